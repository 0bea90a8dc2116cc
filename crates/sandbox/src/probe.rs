//! What this host offers, and the exact remedy for what it lacks.
//!
//! Each check tries the thing itself where that is harmless, in a thread or a short-lived child
//! made for it, and reads what the kernel says of itself where it is not.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::SandboxError;
use crate::spawner::{Kind, Places, try_namespace};

/// One thing looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// Sandboxes cannot be made without it.
    pub required: bool,
    pub detail: String,
    /// What to do when it is not ok.
    pub remedy: Option<String>,
}

/// The oldest kernel with all that is used: `close_range` with `CLOEXEC` came last.
const KERNEL: (u32, u32) = (5, 11);
/// Descriptors of the server below which many environments at once are not possible.
const DESCRIPTORS: u64 = 4096;
/// Programs that scripts written for Lambda expect, and their Debian package.
const TOOLS: [(&str, &str); 6] = [
    ("bash", "bash"),
    ("curl", "curl"),
    ("cat", "coreutils"),
    ("grep", "grep"),
    ("sed", "sed"),
    ("awk", "mawk"),
];

/// Looks at everything that sandboxes need. Blocks for some milliseconds.
#[must_use]
pub fn run() -> Vec<Check> {
    let mut checks = vec![architecture(), kernel(), root()];
    checks.extend(namespaces());
    checks.push(filesystem("overlay"));
    checks.push(filesystem("tmpfs"));
    checks.extend(cgroups());
    checks.push(seccomp());
    checks.push(usr());
    checks.extend(TOOLS.iter().map(|(name, package)| tool(name, package)));
    checks.push(descriptors());
    checks.push(processes());
    checks
}

/// The first required thing that is missing, as an error with its remedy.
pub fn require_namespaces() -> Result<(), SandboxError> {
    let required = [architecture(), kernel(), root()].into_iter();
    let missing = required
        .chain(namespaces())
        .chain(cgroups())
        .find(|check| check.required && !check.ok);
    match missing {
        None => Ok(()),
        Some(check) => Err(SandboxError::Unavailable {
            what: "isolation by namespaces",
            why: format!("{}: {}", check.name, check.detail),
            remedy: check
                .remedy
                .unwrap_or_else(|| "see `bootlace doctor`".into()),
        }),
    }
}

fn check(
    name: &'static str,
    required: bool,
    result: Result<String, String>,
    remedy: impl Into<String>,
) -> Check {
    match result {
        Ok(detail) => Check {
            name,
            ok: true,
            required,
            detail,
            remedy: None,
        },
        Err(detail) => Check {
            name,
            ok: false,
            required,
            detail,
            remedy: Some(remedy.into()),
        },
    }
}

fn architecture() -> Check {
    let here = std::env::consts::ARCH;
    let known = matches!(here, "x86_64" | "aarch64");
    let result = if known {
        Ok(here.to_owned())
    } else {
        Err(here.to_owned())
    };
    check(
        "architecture",
        true,
        result,
        "use an x86_64 or aarch64 machine",
    )
}

fn kernel() -> Check {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|n| n.parse().ok());
    let version = (
        numbers.next().unwrap_or(0_u32),
        numbers.next().unwrap_or(0_u32),
    );
    let result = if version >= KERNEL {
        Ok(release)
    } else {
        Err(release)
    };
    let remedy = format!(
        "install a Linux kernel of version {}.{} or newer",
        KERNEL.0, KERNEL.1
    );
    check("kernel", true, result, remedy)
}

fn root() -> Check {
    let uid = rustix::process::geteuid();
    let result = if uid.is_root() {
        Ok("running as root".into())
    } else {
        Err(format!("running as uid {}", uid.as_raw()))
    };
    let remedy = "start the server as root: sudo bootlace serve (code still runs without \
                  privileges), or accept no isolation with --isolation local";
    check("root", true, result, remedy)
}

fn namespaces() -> Vec<Check> {
    let kinds = [
        (Kind::Mount, "mount namespaces", "mnt"),
        (Kind::Pid, "pid namespaces", "pid"),
        (Kind::Network, "network namespaces", "net"),
        (Kind::Ipc, "ipc namespaces", "ipc"),
        (Kind::Uts, "uts namespaces", "uts"),
        (Kind::Cgroup, "cgroup namespaces", "cgroup"),
        (Kind::User, "user namespaces", "user"),
    ];
    let one = |(kind, name, key): (Kind, &'static str, &str)| {
        let limit = fs::read_to_string(format!("/proc/sys/user/max_{key}_namespaces"));
        let limit = limit
            .map(|text| text.trim().to_owned())
            .unwrap_or_else(|_| "none".into());
        let result = match try_namespace(kind) {
            Ok(()) => Ok(format!("works, at most {limit}")),
            Err(error) => Err(error.to_string()),
        };
        let remedy = if limit == "0" {
            format!("sysctl -w user.max_{key}_namespaces=10000")
        } else {
            "start the server as root, outside a container or in one that is privileged \
             (docker run --privileged)"
                .to_owned()
        };
        check(name, true, result, remedy)
    };
    kinds.into_iter().map(one).collect()
}

fn filesystem(name: &'static str) -> Check {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let listed = known
        .lines()
        .any(|line| line.split_whitespace().last() == Some(name));
    let module = Path::new("/sys/module").join(name).exists();
    let result = if listed || module {
        Ok("known to the kernel".into())
    } else {
        Err("not known to the kernel".into())
    };
    check(name, true, result, format!("modprobe {name}"))
}

fn cgroups() -> Vec<Check> {
    let places = Places::read().unwrap_or_default();
    let v2_offers = |controller: &str| {
        let path = places.v2.as_ref()?.join("cgroup.controllers");
        let list = fs::read_to_string(path).ok()?;
        list.split_whitespace()
            .any(|name| name == controller)
            .then_some("cgroup v2")
    };
    let controller = |name: &'static str, required: bool, controller: &str, v1: bool| {
        let found = v2_offers(controller).or(v1.then_some("cgroup v1"));
        let result = found
            .map(str::to_owned)
            .ok_or_else(|| "no such controller".to_owned());
        let remedy = format!(
            "enable the {controller} controller: mount -t cgroup2 none /sys/fs/cgroup, or boot \
             with cgroup_enable={controller}"
        );
        check(name, required, result, remedy)
    };
    let freeze = match &places.v2 {
        Some(place) => Ok(format!("cgroup v2 at {}", place.display())),
        None => Err("no cgroup v2 is mounted".into()),
    };
    vec![
        controller("memory limit", true, "memory", places.v1_memory.is_some()),
        controller("process limit", true, "pids", places.v1_pids.is_some()),
        controller("cpu share", false, "cpu", places.v1_cpu.is_some()),
        check(
            "freezing",
            false,
            freeze,
            "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified",
        ),
    ]
}

fn seccomp() -> Check {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    let result = match actions {
        Ok(actions) if actions.contains("errno") => Ok("filters".into()),
        _ => Err("the kernel offers no filters".into()),
    };
    check(
        "seccomp",
        true,
        result,
        "use a kernel built with CONFIG_SECCOMP_FILTER=y",
    )
}

fn usr() -> Check {
    let merged = fs::symlink_metadata("/bin").is_ok_and(|meta| meta.is_symlink());
    let detail = if merged {
        "merged"
    } else {
        "not merged; /bin and /lib are bound too"
    };
    check("/usr", false, Ok(detail.into()), "")
}

/// Found where code in a sandbox looks, which is not where the server's user does.
fn tool(name: &'static str, package: &str) -> Check {
    let dirs = ["/usr/local/bin", "/usr/bin", "/bin"];
    let found = dirs
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists());
    let result = match found {
        Some(path) => Ok(path.display().to_string()),
        None => Err("not found; scripts in functions miss it".into()),
    };
    let apt = Path::new("/usr/bin/apt-get").exists();
    let remedy = match (apt, package) {
        (true, _) => format!("apt-get install {package}"),
        (false, "mawk") => "dnf install gawk".into(),
        (false, _) => format!("dnf install {package}"),
    };
    check(name, name == "bash", result, remedy)
}

fn descriptors() -> Check {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let detail = if hard == u64::MAX {
        "unlimited".into()
    } else {
        hard.to_string()
    };
    let result = if hard >= DESCRIPTORS {
        Ok(detail)
    } else {
        Err(detail)
    };
    check(
        "open files",
        false,
        result,
        format!("ulimit -Hn {} before the start", DESCRIPTORS * 16),
    )
}

fn processes() -> Check {
    let text = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    let max = text.trim().parse::<u64>().unwrap_or(0);
    let result = if max >= 32_768 {
        Ok(max.to_string())
    } else {
        Err(max.to_string())
    };
    check(
        "process numbers",
        false,
        result,
        "sysctl -w kernel.pid_max=4194304",
    )
}

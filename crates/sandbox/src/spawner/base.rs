//! The read-only base that every sandbox sees: a curated view of the host, never its root.
//!
//! It is one tmpfs in the spawner's private mount namespace, so it goes when the spawner goes, and
//! its name on the host shows nowhere. The host's `/usr` is bound into it; `/etc` is of our own
//! writing; `/dev` has six harmless nodes. It looks like Amazon Linux where scripts notice: `/bin/sh`
//! is bash, whatever the host's is.

use std::ffi::CString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, mknodat};
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount,
};

/// Size of the base's own files, bytes: certificates and a few small ones.
const BASE_OPTIONS: &std::ffi::CStr = c"size=16m,nr_inodes=8192,mode=0755";
const DEV_OPTIONS: &std::ffi::CStr = c"size=64k,nr_inodes=32,mode=0755";
const STAGE_OPTIONS: &std::ffi::CStr = c"size=64k,nr_inodes=64,mode=0700";
/// Most host trees in one template, count.
pub(super) const STAGED: usize = 24;
/// Files copied from the host's `/etc` are at most this long, bytes.
const COPY_BYTES: u64 = 4 << 20;

/// The user as code inside sees it.
pub(super) const USER: &str = "sbx_user1051";
pub(super) const USER_ID: u32 = 993;
pub(super) const GROUP_ID: u32 = 990;

/// Mount points of the prepared base.
#[derive(Debug)]
pub(super) struct Base {
    /// The root that templates are made of.
    pub(super) root: PathBuf,
    /// Where host trees are bound under neutral names, so that no mount table tells theirs.
    pub(super) stage: PathBuf,
}

impl Base {
    /// Leaves the host's mount namespace for a private copy and prepares the base in it.
    pub(super) fn prepare(run_dir: &Path) -> io::Result<Self> {
        super::sys::unshare(libc::CLONE_NEWNS)?;
        // What is mounted on the host later is still seen; nothing of ours is seen there.
        mount_change(
            "/",
            MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
        )?;
        let base = Self {
            root: run_dir.join("base"),
            stage: run_dir.join("stage"),
        };
        for (dir, options) in [(&base.root, BASE_OPTIONS), (&base.stage, STAGE_OPTIONS)] {
            fs::create_dir_all(dir)?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            mount("base", dir, "tmpfs", flags, options)?;
            mount_change(dir, MountPropagationFlags::PRIVATE)?;
        }
        for index in 0..STAGED {
            fs::create_dir(base.stage.join(format!("l{index}")))?;
        }
        for name in ["none", "shell", "bin"] {
            fs::create_dir(base.stage.join(name))?;
        }
        base.directories()?;
        base.host_programs()?;
        base.etc()?;
        base.devices()?;
        Ok(base)
    }

    /// Makes sure that `target`, an absolute path, is a directory of the base.
    pub(super) fn mount_point(&self, target: &Path) -> io::Result<PathBuf> {
        let inside = target.strip_prefix("/").unwrap_or(target);
        let path = self.root.join(inside);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    fn directories(&self) -> io::Result<()> {
        let open = [
            "usr", "etc", "dev", "proc", "sys", "tmp", "opt", "var/task", "var/tmp", "run", "home",
            "mnt",
        ];
        for dir in open {
            fs::create_dir_all(self.root.join(dir))?;
        }
        fs::create_dir(self.root.join("root"))?;
        fs::set_permissions(self.root.join("root"), fs::Permissions::from_mode(0o700))
    }

    /// `/usr`, and `/bin`, `/lib` and so on as the host has them: links into `/usr` or directories.
    fn host_programs(&self) -> io::Result<()> {
        bind_read_only(Path::new("/usr"), &self.root.join("usr"))?;
        let mut with_shell = vec![PathBuf::from("/usr/bin")];
        for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
            let host = Path::new("/").join(name);
            let Ok(meta) = fs::symlink_metadata(&host) else {
                continue;
            };
            let own = self.root.join(name);
            if meta.is_symlink() {
                symlink(fs::read_link(&host)?, &own)?;
            } else if meta.is_dir() {
                fs::create_dir(&own)?;
                bind_read_only(&host, &own)?;
                if name == "bin" {
                    with_shell.push(host);
                }
            }
        }
        with_shell
            .iter()
            .try_for_each(|dir| self.bash_as_shell(dir))
    }

    /// Lays a directory with `sh -> bash` over a directory of programs whose `sh` is another.
    fn bash_as_shell(&self, programs: &Path) -> io::Result<()> {
        let shell = programs.join("sh");
        let bash = ["/usr/bin/bash", "/bin/bash"]
            .iter()
            .find(|path| Path::new(path).exists());
        let Some(bash) = bash else { return Ok(()) };
        if !shell.exists() || fs::canonicalize(&shell)? == fs::canonicalize(bash)? {
            return Ok(());
        }
        let link = self.stage.join("shell/sh");
        if !link.is_symlink() {
            symlink(bash, link)?;
        }
        let own = self
            .root
            .join(programs.strip_prefix("/").unwrap_or(programs));
        mount_bind(programs, self.stage.join("bin"))?;
        rustix::process::chdir(&self.stage)?;
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        mount("shell", &own, "overlay", flags, c"lowerdir=shell:bin")?;
        rustix::process::chdir("/")?;
        rustix::mount::unmount(self.stage.join("bin"), rustix::mount::UnmountFlags::DETACH)?;
        Ok(())
    }

    fn etc(&self) -> io::Result<()> {
        let etc = self.root.join("etc");
        let user = format!("{USER}:x:{USER_ID}:{GROUP_ID}::/home/{USER}:/sbin/nologin\n");
        let files = [
            (
                "passwd",
                format!(
                    "root:x:0:0:root:/root:/bin/bash\n{user}\
                     nobody:x:65534:65534:nobody:/:/sbin/nologin\n"
                ),
            ),
            (
                "group",
                format!("root:x:0:\n{USER}:x:{GROUP_ID}:\nnogroup:x:65534:\n"),
            ),
            (
                "hosts",
                "127.0.0.1 localhost localhost.localdomain sandbox sandbox.localdomain\n\
                 ::1 localhost6 localhost6.localdomain6\n"
                    .into(),
            ),
            ("hostname", "sandbox\n".into()),
            (
                "nsswitch.conf",
                "passwd: files\ngroup: files\nhosts: files dns\n".into(),
            ),
            (
                "resolv.conf",
                "# this sandbox reaches no name server\n".into(),
            ),
            ("shells", "/bin/sh\n/bin/bash\n".into()),
        ];
        for (name, text) in files {
            fs::write(etc.join(name), text)?;
        }
        for name in [
            "services",
            "protocols",
            "ld.so.cache",
            "ld.so.conf",
            "ssl/openssl.cnf",
        ] {
            copy_file(&Path::new("/etc").join(name), &etc.join(name))?;
        }
        copy_links(Path::new("/etc/alternatives"), &etc.join("alternatives"))?;
        let utc = ["/usr/share/zoneinfo/Etc/UTC", "/usr/share/zoneinfo/UTC"];
        if let Some(utc) = utc.iter().find(|path| Path::new(path).exists()) {
            symlink(utc, etc.join("localtime"))?;
        }
        if Path::new("/usr/lib/os-release").exists() {
            symlink("../usr/lib/os-release", etc.join("os-release"))?;
        } else {
            copy_file(Path::new("/etc/os-release"), &etc.join("os-release"))?;
        }
        certificates(&etc)
    }

    /// Its own tmpfs, because device nodes do not work on the base's mount.
    fn devices(&self) -> io::Result<()> {
        let dev = self.root.join("dev");
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        mount("dev", &dev, "tmpfs", flags, DEV_OPTIONS)?;
        for (name, minor) in [
            ("null", 3),
            ("zero", 5),
            ("full", 7),
            ("random", 8),
            ("urandom", 9),
        ] {
            node(&dev.join(name), name, rustix::fs::makedev(1, minor))?;
        }
        for (link, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            symlink(target, dev.join(link))?;
        }
        let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC;
        mount_remount(&dev, flags, c"")?;
        Ok(())
    }
}

/// Makes a device node, or binds the host's where making one is not allowed.
fn node(path: &Path, name: &str, device: u64) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o666);
    let made = mknodat(
        rustix::fs::CWD,
        path,
        FileType::CharacterDevice,
        mode,
        device,
    );
    if made.is_ok() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
        if fs::File::open(path).is_ok() {
            return Ok(());
        }
        fs::remove_file(path)?;
    }
    fs::File::create(path)?;
    Ok(mount_bind(Path::new("/dev").join(name), path)?)
}

/// Binds a host directory, read-only, without what is mounted below it.
fn bind_read_only(host: &Path, own: &Path) -> io::Result<()> {
    mount_bind(host, own)?;
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    match mount_remount(own, flags, c"") {
        // A host mount whose flags are locked keeps them; read-only is what must not be missing.
        Err(rustix::io::Errno::PERM) => {
            mount_remount(own, flags | MountFlags::NOEXEC, c"")?;
        }
        other => other?,
    }
    Ok(())
}

fn certificates(etc: &Path) -> io::Result<()> {
    copy_links(Path::new("/etc/ssl/certs"), &etc.join("ssl/certs"))?;
    let bundle = etc.join("ssl/certs/ca-certificates.crt");
    let hosts = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    if let Some(host) = hosts.iter().find(|path| Path::new(path).exists()) {
        copy_file(Path::new(host), &bundle)?;
    }
    fs::create_dir_all(etc.join("pki/tls/certs"))?;
    let link = "../../../ssl/certs/ca-certificates.crt";
    symlink(link, etc.join("pki/tls/certs/ca-bundle.crt"))?;
    symlink("certs/ca-certificates.crt", etc.join("ssl/cert.pem"))
}

/// Copies a host file of bounded size; one that does not exist or cannot be read is left out.
fn copy_file(host: &Path, own: &Path) -> io::Result<()> {
    match fs::metadata(host) {
        Ok(meta) if meta.is_file() && meta.len() <= COPY_BYTES => {}
        _ => return Ok(()),
    }
    if let Some(parent) = own.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(own, fs::read(host)?)
}

/// Copies the links of a host directory that lead into `/usr` or to a neighbour. Manual pages are
/// left out; they are most of what Debian's alternatives hold.
fn copy_links(host: &Path, own: &Path) -> io::Result<()> {
    fs::create_dir_all(own)?;
    let entries = match fs::read_dir(host) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        let neighbour = target.components().count() == 1;
        let manual = target
            .extension()
            .is_some_and(|extension| extension == "gz");
        if (neighbour || target.starts_with("/usr")) && !manual {
            symlink(target, own.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// A path as the kernel takes it.
pub(super) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| io::Error::new(ErrorKind::InvalidInput, "a path holds a zero byte"))
}

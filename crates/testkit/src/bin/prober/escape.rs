//! Attempts to get out, or to get at more than code should: each must be refused.
#![allow(
    unsafe_code,
    reason = "the kernel is asked for things that no safe wrapper offers"
)]

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};

use libc::c_long;
use serde_json::{Value, json};

/// What was tried, and what came of it: an error number, or the success that must not be.
type Attempt = (&'static str, Result<i64, i32>);

pub(crate) fn attempts() -> Value {
    let mut all = Vec::new();
    all.extend(mounts());
    all.extend(namespaces());
    all.extend(processes());
    all.extend(kernel());
    all.extend(sockets());
    all.extend(identity());
    all.extend(devices_and_files());
    let all = all.into_iter().map(|(name, result)| match result {
        Ok(value) => json!({ "name": name, "allowed": true, "value": value }),
        Err(errno) => json!({ "name": name, "allowed": false, "errno": errno }),
    });
    all.collect::<Vec<_>>().into()
}

fn call(number: c_long, arguments: [usize; 6]) -> Result<i64, i32> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: pointers among the arguments are to strings and buffers that live for the program;
    // no call passed here writes elsewhere. That the kernel refuses is the very expectation.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 {
        return Err(io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    Ok(result)
}

fn text(text: &'static CStr) -> usize {
    text.as_ptr() as usize
}

/// A zeroed page that outlives everything.
fn page() -> usize {
    Box::leak(vec![0_u64; 512].into_boxed_slice()).as_mut_ptr() as usize
}

fn mounts() -> Vec<Attempt> {
    let (none, tmp) = (0, text(c"/tmp"));
    let tmpfs = text(c"tmpfs");
    let remount = 0x20 | 0x1000; // MS_REMOUNT, MS_BIND
    vec![
        (
            "mount tmpfs",
            call(libc::SYS_mount, [tmpfs, tmp, tmpfs, 0, none, 0]),
        ),
        (
            "bind mount",
            call(libc::SYS_mount, [text(c"/usr"), tmp, none, 4096, none, 0]),
        ),
        (
            "remount root writable",
            call(libc::SYS_mount, [none, text(c"/"), none, remount, none, 0]),
        ),
        (
            "unmount proc",
            call(libc::SYS_umount2, [text(c"/proc"), 2, 0, 0, 0, 0]),
        ),
        (
            "pivot_root",
            call(libc::SYS_pivot_root, [tmp, tmp, 0, 0, 0, 0]),
        ),
        ("chroot", call(libc::SYS_chroot, [tmp, 0, 0, 0, 0, 0])),
        ("fsopen", call(libc::SYS_fsopen, [tmpfs, 0, 0, 0, 0, 0])),
        (
            "open_tree",
            call(libc::SYS_open_tree, [cwd(), text(c"/"), 1, 0, 0, 0]),
        ),
        (
            "move_mount",
            call(libc::SYS_move_mount, [cwd(), tmp, cwd(), tmp, 0, 0]),
        ),
        (
            "mount_setattr",
            call(
                libc::SYS_mount_setattr,
                [cwd(), text(c"/"), 0, page(), 32, 0],
            ),
        ),
        ("statmount", call(457, [page(), page(), 4096, 0, 0, 0])),
        ("listmount", call(458, [page(), page(), 512, 0, 0, 0])),
    ]
}

fn cwd() -> usize {
    libc::AT_FDCWD as usize
}

fn namespaces() -> Vec<Attempt> {
    let unshare = |flag: i32| call(libc::SYS_unshare, [flag as usize, 0, 0, 0, 0, 0]);
    let clone = |flag: i32| {
        let flags = (flag | libc::SIGCHLD) as usize;
        let result = call(libc::SYS_clone, [flags, 0, 0, 0, 0, 0]);
        if result == Ok(0) {
            // SAFETY: the child that should not be ends at once.
            unsafe { libc::_exit(0) };
        }
        result
    };
    let own = fs::File::open("/proc/self/ns/net").map_or(usize::MAX, |f| f.into_raw_fd() as usize);
    vec![
        ("unshare user", unshare(libc::CLONE_NEWUSER)),
        ("unshare mount", unshare(libc::CLONE_NEWNS)),
        ("unshare net", unshare(libc::CLONE_NEWNET)),
        ("unshare pid", unshare(libc::CLONE_NEWPID)),
        ("clone user", clone(libc::CLONE_NEWUSER)),
        ("clone net", clone(libc::CLONE_NEWNET)),
        // A child of the spawner, which would have to wait for it.
        ("clone parent", clone(libc::CLONE_PARENT)),
        ("clone3", call(libc::SYS_clone3, [page(), 88, 0, 0, 0, 0])),
        ("setns", call(libc::SYS_setns, [own, 0, 0, 0, 0, 0])),
        (
            "sethostname",
            call(libc::SYS_sethostname, [text(c"x"), 1, 0, 0, 0, 0]),
        ),
    ]
}

fn processes() -> Vec<Attempt> {
    let me = std::process::id() as usize;
    // SAFETY: a plain call on a number.
    let parent = unsafe { libc::getppid() };
    let pidfd = call(libc::SYS_pidfd_open, [me, 0, 0, 0, 0, 0]);
    let pidfd = pidfd
        .ok()
        .and_then(|fd| usize::try_from(fd).ok())
        .unwrap_or(usize::MAX);
    vec![
        ("ptrace traceme", call(libc::SYS_ptrace, [0, 0, 0, 0, 0, 0])),
        ("ptrace init", call(libc::SYS_ptrace, [16, 1, 0, 0, 0, 0])),
        (
            "process_vm_readv",
            call(libc::SYS_process_vm_readv, [me, page(), 1, page(), 1, 0]),
        ),
        (
            "process_vm_writev",
            call(libc::SYS_process_vm_writev, [me, page(), 1, page(), 1, 0]),
        ),
        (
            "pidfd_getfd",
            call(libc::SYS_pidfd_getfd, [pidfd, 0, 0, 0, 0, 0]),
        ),
        ("kcmp", call(libc::SYS_kcmp, [me, me, 0, 0, 0, 0])),
        ("kill init", call(libc::SYS_kill, [1, 9, 0, 0, 0, 0])),
        (
            "kill parent",
            if parent == 0 {
                Err(libc::ESRCH)
            } else {
                Ok(i64::from(parent))
            },
        ),
        (
            "raise priority",
            call(libc::SYS_setpriority, [0, 0, -5_isize as usize, 0, 0, 0]),
        ),
        (
            "real-time",
            call(
                libc::SYS_sched_setscheduler,
                [
                    0,
                    1,
                    Box::leak(Box::new(10_i32)) as *mut i32 as usize,
                    0,
                    0,
                    0,
                ],
            ),
        ),
        ("more files", more_files()),
    ]
}

fn more_files() -> Result<i64, i32> {
    let limit = libc::rlimit {
        rlim_cur: 4096,
        rlim_max: 4096,
    };
    // SAFETY: reads one live structure.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => Ok(0),
        _ => Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)),
    }
}

fn kernel() -> Vec<Attempt> {
    let key = text(c"user");
    let null = 0;
    let mut all = vec![
        (
            "keyctl",
            call(libc::SYS_keyctl, [0, -3_isize as usize, 1, 0, 0, 0]),
        ),
        (
            "add_key",
            call(libc::SYS_add_key, [key, key, key, 4, -3_isize as usize, 0]),
        ),
        (
            "request_key",
            call(libc::SYS_request_key, [key, key, null, 0, 0, 0]),
        ),
        ("bpf", call(libc::SYS_bpf, [0, page(), 72, 0, 0, 0])),
        (
            "perf_event_open",
            call(
                libc::SYS_perf_event_open,
                [page(), 0, usize::MAX, usize::MAX, 0, 0],
            ),
        ),
        (
            "userfaultfd",
            call(libc::SYS_userfaultfd, [1, 0, 0, 0, 0, 0]),
        ),
        (
            "io_uring_setup",
            call(libc::SYS_io_uring_setup, [4, page(), 0, 0, 0, 0]),
        ),
        (
            "memfd_secret",
            call(libc::SYS_memfd_secret, [0, 0, 0, 0, 0, 0]),
        ),
        ("kexec_load", call(libc::SYS_kexec_load, [0, 0, 0, 0, 0, 0])),
        (
            "init_module",
            call(libc::SYS_init_module, [page(), 16, text(c""), 0, 0, 0]),
        ),
        (
            "finit_module",
            call(libc::SYS_finit_module, [0, text(c""), 0, 0, 0, 0]),
        ),
        (
            "delete_module",
            call(libc::SYS_delete_module, [text(c"loop"), 0, 0, 0, 0, 0]),
        ),
        ("reboot", call(libc::SYS_reboot, [0, 0, 0, 0, 0, 0])),
        (
            "swapon",
            call(libc::SYS_swapon, [text(c"/tmp/x"), 0, 0, 0, 0, 0]),
        ),
        (
            "settimeofday",
            call(libc::SYS_settimeofday, [page(), 0, 0, 0, 0, 0]),
        ),
        ("acct", call(libc::SYS_acct, [0, 0, 0, 0, 0, 0])),
        ("syslog", call(libc::SYS_syslog, [10, 0, 0, 0, 0, 0])),
        (
            "personality",
            call(libc::SYS_personality, [0x0040000, 0, 0, 0, 0, 0]),
        ),
        (
            "open_by_handle_at",
            call(libc::SYS_open_by_handle_at, [cwd(), page(), 0, 0, 0, 0]),
        ),
        (
            "name_to_handle_at",
            call(
                libc::SYS_name_to_handle_at,
                [cwd(), text(c"/"), page(), page(), 0, 0],
            ),
        ),
        (
            "fanotify_init",
            call(libc::SYS_fanotify_init, [0, 0, 0, 0, 0, 0]),
        ),
        (
            "typed input",
            call(libc::SYS_ioctl, [0, 0x5412, text(c"x"), 0, 0, 0]),
        ),
        ("a call of the future", call(1000, [0; 6])),
    ];
    #[cfg(target_arch = "x86_64")]
    all.extend([
        ("iopl", call(libc::SYS_iopl, [3, 0, 0, 0, 0, 0])),
        ("ioperm", call(libc::SYS_ioperm, [0, 1, 1, 0, 0, 0])),
        (
            "modify_ldt",
            call(libc::SYS_modify_ldt, [0, page(), 16, 0, 0, 0]),
        ),
        ("x32 getpid", call(0x4000_0000 + libc::SYS_getpid, [0; 6])),
    ]);
    all
}

fn sockets() -> Vec<Attempt> {
    let socket = |family: i32, kind: i32, protocol: usize| {
        call(
            libc::SYS_socket,
            [family as usize, kind as usize, protocol, 0, 0, 0],
        )
    };
    vec![
        ("raw socket", socket(libc::AF_INET, libc::SOCK_RAW, 1)),
        ("raw v6 socket", socket(libc::AF_INET6, libc::SOCK_RAW, 58)),
        (
            "packet socket",
            socket(libc::AF_PACKET, libc::SOCK_RAW, 0x300),
        ),
        (
            "crypto socket",
            socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
        ),
        ("host socket", socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)),
        (
            "bluetooth socket",
            socket(libc::AF_BLUETOOTH, libc::SOCK_RAW, 1),
        ),
        ("audit netlink", socket(libc::AF_NETLINK, libc::SOCK_RAW, 9)),
        (
            "netfilter netlink",
            socket(libc::AF_NETLINK, libc::SOCK_RAW, 12),
        ),
        ("sctp", socket(libc::AF_INET, libc::SOCK_STREAM, 132)),
        (
            "multipath tcp",
            socket(libc::AF_INET, libc::SOCK_STREAM, 262),
        ),
    ]
}

fn identity() -> Vec<Attempt> {
    let own = fs::write("/tmp/own", "x").and_then(|()| fs::File::open("/tmp/own"));
    let own = own.map_or(usize::MAX, |file| file.into_raw_fd() as usize);
    let set_capability = {
        let header: &mut [u32; 2] = Box::leak(Box::new([0x2008_0522, 0]));
        let data: &mut [u32; 6] = Box::leak(Box::new([1, 1, 1, 0, 0, 0]));
        call(
            libc::SYS_capset,
            [header.as_ptr() as usize, data.as_ptr() as usize, 0, 0, 0, 0],
        )
    };
    vec![
        ("become root", call(libc::SYS_setuid, [0, 0, 0, 0, 0, 0])),
        (
            "become another",
            call(libc::SYS_setuid, [994, 0, 0, 0, 0, 0]),
        ),
        (
            "become root's group",
            call(libc::SYS_setgid, [0, 0, 0, 0, 0, 0]),
        ),
        (
            "join groups",
            call(libc::SYS_setgroups, [1, page(), 0, 0, 0, 0]),
        ),
        (
            "give a file away",
            call(libc::SYS_fchown, [own, 0, 0, 0, 0, 0]),
        ),
        ("take a capability", set_capability),
        ("map another user", wrote("/proc/self/uid_map", "0 0 1")),
    ]
}

fn devices_and_files() -> Vec<Attempt> {
    let mode = (libc::S_IFCHR | 0o666) as usize;
    let node = call(
        libc::SYS_mknodat,
        [cwd(), text(c"/tmp/mem"), mode, 0x101, 0, 0],
    );
    let opened = |path: &str| match fs::File::open(path) {
        Ok(file) => Ok(i64::from(file.as_raw_fd())),
        Err(error) => Err(error.raw_os_error().unwrap_or(0)),
    };
    vec![
        ("make a device", node),
        ("open /dev/mem", opened("/dev/mem")),
        ("open /dev/kmsg", opened("/dev/kmsg")),
        ("open /proc/kcore", opened("/proc/kcore")),
        ("open /proc/kmsg", opened("/proc/kmsg")),
        ("open /dev/shm/x", wrote("/dev/shm/x", "x")),
        (
            "core pattern",
            wrote("/proc/sys/kernel/core_pattern", "|/bin/true"),
        ),
        ("sysrq", wrote("/proc/sysrq-trigger", "h")),
        ("drop caches", wrote("/proc/sys/vm/drop_caches", "1")),
        ("forwarding", wrote("/proc/sys/net/ipv4/ip_forward", "1")),
        (
            "less likely killed",
            wrote("/proc/self/oom_score_adj", "-1000"),
        ),
    ]
}

fn wrote(path: &str, value: &str) -> Result<i64, i32> {
    match fs::write(path, value) {
        Ok(()) => Ok(0),
        Err(error) => Err(error.raw_os_error().unwrap_or(0)),
    }
}

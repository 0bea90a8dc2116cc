//! Which system calls code in a sandbox may not make, and why. This is data; `seccomp` compiles it.
//!
//! It is the last of several barriers: code has no capability anywhere, so the kernel refuses most
//! of these by itself. The list keeps the kernel code behind them out of reach all the same, because
//! that code is where escapes have been found. What is not listed is allowed, up to the newest call
//! known here; anything newer is answered as not implemented.

use libc::{EAFNOSUPPORT, ENOSYS, EPERM, c_long};

/// The newest system call that was judged, `file_setattr` of Linux 6.17.
pub(super) const NEWEST: u32 = 469;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    Errno(i32),
    Kill,
}

/// When a rule applies, by one argument.
#[derive(Debug, Clone, Copy)]
pub(super) enum Argument {
    Any,
    /// Any of these bits is set.
    HasBits {
        index: u32,
        bits: u32,
    },
    Equals {
        index: u32,
        values: &'static [u32],
    },
    NoneOf {
        index: u32,
        values: &'static [u32],
    },
    /// The call is `socket` and is none of these.
    Sockets(&'static [SocketKind]),
}

#[derive(Debug)]
pub(super) struct SocketKind {
    pub(super) family: u32,
    pub(super) types: &'static [u32],
    pub(super) protocols: &'static [u32],
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) number: u32,
    pub(super) argument: Argument,
    pub(super) verdict: Verdict,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for readers, and for failing tests")
    )]
    pub(super) why: &'static str,
}

const SOCKETS: &[SocketKind] = &[
    // Local sockets: stream, datagram, sequenced packets.
    SocketKind {
        family: 1,
        types: &[1, 2, 5],
        protocols: &[0],
    },
    // Internet: TCP and UDP. No raw sockets, and none of the rarer transports.
    SocketKind {
        family: 2,
        types: &[1, 2],
        protocols: &[0, 6, 17],
    },
    SocketKind {
        family: 10,
        types: &[1, 2],
        protocols: &[0, 6, 17],
    },
    // Netlink only to ask for addresses and routes, which the C library's resolver does.
    SocketKind {
        family: 16,
        types: &[2, 3],
        protocols: &[0],
    },
];

const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// All rules, in order of subject.
pub(super) fn rules() -> Vec<Rule> {
    let mut rules = Vec::with_capacity(96);
    for (number, why) in REFUSED {
        rules.push(rule(*number, Argument::Any, EPERM, why));
    }
    #[cfg(target_arch = "x86_64")]
    for (number, why) in REFUSED_X86 {
        rules.push(rule(*number, Argument::Any, EPERM, why));
    }
    for (number, why) in ABSENT {
        rules.push(rule(*number, Argument::Any, ENOSYS, why));
    }
    let bits = (NAMESPACES | libc::CLONE_PARENT).cast_unsigned();
    rules.extend([
        rule(
            libc::SYS_clone,
            Argument::HasBits { index: 0, bits },
            EPERM,
            "no new namespaces, and no children of the spawner, which would have to reap them; \
             threads and processes are made without these flags",
        ),
        rule(
            libc::SYS_personality,
            Argument::NoneOf {
                index: 0,
                values: &[0, u32::MAX],
            },
            EPERM,
            "odd execution domains weaken address space randomization; asking is allowed",
        ),
        rule(
            libc::SYS_ioctl,
            // TIOCSTI, TIOCLINUX, TIOCSETD
            Argument::Equals {
                index: 1,
                values: &[0x5412, 0x541C, 0x5423],
            },
            EPERM,
            "terminal tricks: typed input, console selection, line disciplines",
        ),
        rule(
            libc::SYS_socket,
            Argument::Sockets(SOCKETS),
            EAFNOSUPPORT,
            "only local, TCP, UDP and routing-query sockets: the rest is large kernel surface",
        ),
    ]);
    rules
}

fn rule(number: c_long, argument: Argument, errno: i32, why: &'static str) -> Rule {
    let number = u32::try_from(number).expect("system call numbers are small");
    Rule {
        number,
        argument,
        verdict: Verdict::Errno(errno),
        why,
    }
}

/// Answered as not permitted.
const REFUSED: &[(c_long, &str)] = &[
    // Mounts and the root: the file system view is fixed before code runs.
    (libc::SYS_mount, "mounts nothing"),
    (libc::SYS_umount2, "uncovers nothing that a mount hides"),
    (libc::SYS_pivot_root, "the root stays"),
    (
        libc::SYS_chroot,
        "the root stays; a classic way out of directories",
    ),
    (libc::SYS_open_tree, "new mount interface"),
    (libc::SYS_move_mount, "new mount interface"),
    (
        libc::SYS_fsopen,
        "new mount interface; parsers of mount options had heap overflows",
    ),
    (
        libc::SYS_fsconfig,
        "new mount interface; parsers of mount options had heap overflows",
    ),
    (libc::SYS_fsmount, "new mount interface"),
    (libc::SYS_fspick, "new mount interface"),
    (libc::SYS_mount_setattr, "new mount interface"),
    (467, "open_tree_attr: new mount interface"),
    (457, "statmount: tells of mounts"),
    (458, "listmount: tells of mounts"),
    (libc::SYS_swapon, "host administration"),
    (libc::SYS_swapoff, "host administration"),
    (libc::SYS_quotactl, "host administration"),
    (libc::SYS_quotactl_fd, "host administration"),
    // Namespaces: with a user namespace come capabilities over much kernel code.
    (libc::SYS_unshare, "no new namespaces"),
    (libc::SYS_setns, "no other namespaces"),
    // Other processes: those of the same sandbox share a uid, nothing else should be reachable.
    (libc::SYS_ptrace, "no debugger; Lambda has none either"),
    (libc::SYS_process_vm_readv, "other processes' memory"),
    (libc::SYS_process_vm_writev, "other processes' memory"),
    (libc::SYS_kcmp, "compares kernel pointers of processes"),
    (
        libc::SYS_pidfd_getfd,
        "takes descriptors out of other processes",
    ),
    (libc::SYS_process_madvise, "acts on other processes' memory"),
    (libc::SYS_move_pages, "acts on other processes' memory"),
    (libc::SYS_migrate_pages, "acts on other processes' memory"),
    // Keyrings are not namespaced by mount or pid, and are charged to a user.
    (libc::SYS_add_key, "kernel keyrings"),
    (
        libc::SYS_request_key,
        "kernel keyrings; can start a helper on the host",
    ),
    (libc::SYS_keyctl, "kernel keyrings"),
    // Kernel programs and tracing.
    (libc::SYS_bpf, "programs in the kernel"),
    (
        libc::SYS_perf_event_open,
        "tracing; a frequent source of escapes",
    ),
    (
        libc::SYS_userfaultfd,
        "stops the kernel in the middle of a copy: widens races",
    ),
    (libc::SYS_fanotify_init, "watches file systems"),
    (libc::SYS_lookup_dcookie, "profiling"),
    (libc::SYS_syslog, "the kernel's log"),
    // Files by handle leave the mount's tree.
    (
        libc::SYS_open_by_handle_at,
        "opens files outside the sandbox's trees",
    ),
    (libc::SYS_name_to_handle_at, "makes handles for the above"),
    // The kernel itself, its clock, its names.
    (libc::SYS_init_module, "kernel modules"),
    (libc::SYS_finit_module, "kernel modules"),
    (libc::SYS_delete_module, "kernel modules"),
    (libc::SYS_kexec_load, "another kernel"),
    (libc::SYS_kexec_file_load, "another kernel"),
    (libc::SYS_reboot, "host administration"),
    (libc::SYS_acct, "host administration"),
    (libc::SYS_settimeofday, "the host's clock"),
    (libc::SYS_clock_settime, "the host's clock"),
    (libc::SYS_clock_adjtime, "the host's clock"),
    (libc::SYS_adjtimex, "the host's clock"),
    (libc::SYS_sethostname, "names are fixed"),
    (libc::SYS_setdomainname, "names are fixed"),
    (libc::SYS_vhangup, "terminals"),
    (libc::SYS_nfsservctl, "removed from the kernel"),
    (459, "lsm_get_self_attr: security module interface"),
    (460, "lsm_set_self_attr: security module interface"),
    (461, "lsm_list_modules: security module interface"),
    (
        libc::SYS_remap_file_pages,
        "emulated leftover with a history of faults",
    ),
];

/// Answered as not permitted; calls that only this architecture has.
#[cfg(target_arch = "x86_64")]
const REFUSED_X86: &[(c_long, &str)] = &[
    (libc::SYS_iopl, "hardware ports"),
    (libc::SYS_ioperm, "hardware ports"),
    (
        libc::SYS_modify_ldt,
        "16-bit segments; old and often faulty kernel code",
    ),
    (libc::SYS_uselib, "obsolete loader"),
    (libc::SYS_ustat, "obsolete"),
    (libc::SYS_sysfs, "obsolete"),
    (libc::SYS__sysctl, "obsolete"),
    (174, "create_module: obsolete"),
    (177, "get_kernel_syms: obsolete"),
    (178, "query_module: obsolete"),
    (libc::SYS_epoll_ctl_old, "obsolete"),
    (libc::SYS_epoll_wait_old, "obsolete"),
    (libc::SYS_vserver, "never implemented"),
    (libc::SYS_security, "never implemented"),
    (libc::SYS_tuxcall, "never implemented"),
    (libc::SYS_afs_syscall, "never implemented"),
    (libc::SYS_getpmsg, "never implemented"),
    (libc::SYS_putpmsg, "never implemented"),
];

/// Answered as not implemented, so that libraries use what they used before these existed.
const ABSENT: &[(c_long, &str)] = &[
    (
        libc::SYS_clone3,
        "its flags lie in memory, where a filter cannot look; libraries use clone",
    ),
    (
        libc::SYS_io_uring_setup,
        "a second system call interface past this filter",
    ),
    (
        libc::SYS_io_uring_enter,
        "a second system call interface past this filter",
    ),
    (
        libc::SYS_io_uring_register,
        "a second system call interface past this filter",
    ),
    (
        libc::SYS_memfd_secret,
        "memory that the host cannot account for or reclaim",
    ),
];

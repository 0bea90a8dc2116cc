//! System calls that no safe wrapper offers, each as a safe function where it can be one.
//!
//! Nothing here allocates, so all of it may run in a child that borrows the spawner's memory.
#![allow(
    unsafe_code,
    reason = "raw system calls are made here and nowhere else in the spawner"
)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::{Errno, Result};

use super::seccomp::Program;
use crate::End;

fn check(result: i64) -> Result<i64> {
    if result >= 0 {
        return Ok(result);
    }
    let error = std::io::Error::last_os_error();
    Err(Errno::from_raw_os_error(
        error.raw_os_error().unwrap_or(libc::EIO),
    ))
}

/// Enters the namespaces named by `CLONE_NEW*` flags of a namespace descriptor or a pidfd.
pub(super) fn setns(fd: impl AsFd, flags: c_int) -> Result<()> {
    // SAFETY: changes only which namespaces this process is in.
    check(unsafe { libc::setns(fd.as_fd().as_raw_fd(), flags) }.into()).map(drop)
}

/// Leaves the namespaces named by `CLONE_NEW*` flags for new ones.
pub(super) fn unshare(flags: c_int) -> Result<()> {
    // SAFETY: changes only which namespaces this process is in; no flag that touches memory or
    // descriptors is ever passed.
    check(unsafe { libc::unshare(flags) }.into()).map(drop)
}

/// Brings the loopback interface of the present network namespace up.
pub(super) fn loopback_up(socket: impl AsFd) -> Result<()> {
    let mut name = [0; libc::IFNAMSIZ];
    name[0] = b'l'.cast_signed();
    name[1] = b'o'.cast_signed();
    let flags = libc::IFF_UP | libc::IFF_RUNNING;
    let flags = i16::try_from(flags).unwrap_or(0);
    let request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags },
    };
    let raw = socket.as_fd().as_raw_fd();
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`, which lives until the call returns.
    check(unsafe { libc::ioctl(raw, libc::SIOCSIFFLAGS, &raw const request) }.into()).map(drop)
}

/// Gives up every capability that a later program could get: the bounding set.
pub(super) fn drop_bounding_set() -> Result<()> {
    for capability in 0..64 {
        // SAFETY: takes plain numbers and touches no memory.
        let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        match check(done.into()) {
            // The kernel knows no capability of this number, nor any higher one.
            Err(Errno::INVAL) => return Ok(()),
            other => other?,
        };
    }
    Ok(())
}

/// Gives up every capability held.
pub(super) fn drop_capabilities() -> Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let none = [0_u32; 6];
    // SAFETY: version 3 reads a header and two triples of u32, all live. The raw call is per
    // thread, which is this whole process.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, &raw const none) }).map(drop)
}

/// Marks every descriptor from `first` on to be closed by the next program.
pub(super) fn close_on_exec_from(first: c_int) -> Result<()> {
    // SAFETY: marks descriptors; none is closed before a program is executed.
    check(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            c_int::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    })
    .map(drop)
}

/// Closes every descriptor from `first` on.
///
/// # Safety
/// Nothing may own a descriptor in that range.
pub(super) unsafe fn close_from(first: c_int) -> Result<()> {
    // SAFETY: the caller's promise.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, c_int::MAX, 0) }).map(drop)
}

/// Every signal with its default action, none blocked. The raw call, because the C library keeps
/// its hands on two signals, which are inherited like the others.
pub(super) fn default_signals() {
    /// Bytes of a signal set to the kernel.
    const SET_BYTES: usize = 8;
    // `struct sigaction` of the kernel, all zero: the default action, no flags, nothing blocked.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: reads one live structure and installs no handler. It fails for KILL and STOP,
        // which have no other action.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                &raw const default,
                std::ptr::null_mut::<c_void>(),
                SET_BYTES,
            )
        };
    }
    set_signal_mask(&[]);
}

/// Blocks exactly these signals.
pub(super) fn set_signal_mask(signals: &[c_int]) {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initializes the set; the others read or extend it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// A descriptor that is readable when a child has ended. SIGCHLD must be blocked.
pub(super) fn child_signal_fd() -> Result<OwnedFd> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is initialized before it is read; the kernel gives a new descriptor.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        let fd = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        check(fd.into())?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Installs a seccomp filter. Needs no_new_privs or privilege.
pub(super) fn install(program: &Program) -> Result<()> {
    let filter = program.as_raw();
    const SET_MODE_FILTER: c_int = 1;
    // SAFETY: the kernel copies the program, which lives in `program`; it only restricts us.
    check(unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0, &raw const filter) })
        .map(drop)
}

/// Strings as the kernel takes them: a null-terminated vector of pointers.
#[derive(Debug)]
pub(super) struct Strings {
    pointers: Vec<*const c_char>,
    _owned: Vec<std::ffi::CString>,
}

impl Strings {
    pub(super) fn new(strings: Vec<std::ffi::CString>) -> Self {
        let ends = std::iter::once(std::ptr::null());
        let pointers = strings
            .iter()
            .map(|string| string.as_ptr())
            .chain(ends)
            .collect();
        Self {
            pointers,
            _owned: strings,
        }
    }
}

/// Executes a program; returns only the reason why it could not.
pub(super) fn execute(program: &CStr, args: &Strings, env: &Strings) -> Errno {
    // SAFETY: both vectors end with a null pointer and hold pointers to strings that they own.
    unsafe {
        libc::execve(
            program.as_ptr(),
            args.pointers.as_ptr(),
            env.pointers.as_ptr(),
        )
    };
    last_error()
}

/// Executes an open program; returns only the reason why it could not.
pub(super) fn execute_fd(program: BorrowedFd<'_>, args: &Strings, env: &Strings) -> Errno {
    // SAFETY: as in `execute`; the empty path with AT_EMPTY_PATH means the descriptor itself.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            args.pointers.as_ptr(),
            env.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    last_error()
}

fn last_error() -> Errno {
    let error = std::io::Error::last_os_error();
    Errno::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EIO))
}

/// A child that has ended, reaped; `None` when there is none at the moment.
pub(super) fn reap(pid: Option<i32>, wait: bool) -> Option<(i32, End)> {
    let (kind, id) = match pid {
        Some(pid) => (libc::P_PID, pid.cast_unsigned()),
        None => (libc::P_ALL, 0),
    };
    let options = libc::WEXITED | if wait { 0 } else { libc::WNOHANG };
    loop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the kernel fills `info`, which is all zero and so valid before, too.
        let (result, info) = unsafe {
            let result = libc::waitid(kind, id, info.as_mut_ptr(), options);
            (check(result.into()), info.assume_init())
        };
        match result {
            Err(Errno::INTR) => continue,
            Err(_) => return None,
            Ok(_) => {}
        }
        // SAFETY: for `waitid` these members are the ones that the kernel sets.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        if pid == 0 {
            return None;
        }
        let end = match info.si_code {
            libc::CLD_EXITED => End::Exited(status),
            _ => End::Signaled(status),
        };
        return Some((pid, end));
    }
}

/// Kills a child of ours that has not been reaped.
pub(super) fn kill(pid: i32) {
    // SAFETY: `pid` is a child that has not been reaped, so the number cannot be another's.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Asks a child of ours that has not been reaped to end.
pub(super) fn terminate(pid: i32) {
    // SAFETY: as in `kill`.
    unsafe { libc::kill(pid, libc::SIGTERM) };
}

/// Kills a child of ours that has not been reaped and leads a process group, and the group.
pub(super) fn kill_group(pid: i32) {
    // SAFETY: as in `kill`; while the leader has not been reaped, neither can the group be another.
    unsafe { libc::kill(-pid, libc::SIGKILL) };
}

/// Kills every process of this pid namespace but its first and this one. Must be called only by a
/// child that was born into a sandbox's.
pub(super) fn kill_everybody_else() -> Result<()> {
    // SAFETY: in the namespace that the caller was born into there is only code of one sandbox.
    if unsafe { libc::getpid() } == 1 {
        return Err(Errno::PERM);
    }
    // SAFETY: as above.
    check(unsafe { libc::kill(-1, libc::SIGKILL) }.into()).map(drop)
}

/// The address of a zeroed buffer for `read`s whose content nobody wants.
pub(super) fn drain(fd: impl AsFd) {
    let mut buffer = [0_u8; 1024];
    let raw = fd.as_fd().as_raw_fd();
    // SAFETY: the buffer is as long as stated; the descriptor does not block.
    while unsafe { libc::read(raw, buffer.as_mut_ptr().cast::<c_void>(), buffer.len()) } > 0 {}
}

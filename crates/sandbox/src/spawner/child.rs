//! Children that share the spawner's memory while it waits: `vfork` with a body.
//!
//! A plain fork copies page tables, and the copy is what a start would mostly cost. With
//! `CLONE_VM | CLONE_VFORK` the child borrows the memory, runs its body on a stack of its own, and
//! the spawner sleeps in the kernel until the child has executed a program or exited. Hence a body
//! may borrow the spawner's variables and write its findings to them, and the spawner, having no
//! other thread, is never raced. Namespaces, descriptors (unless shared on purpose), credentials,
//! signal handlers, working directory and resource limits are the child's own.

#![allow(unsafe_code, reason = "the one place that makes processes by hand")]

use std::arch::asm;
use std::ffi::c_void;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Stack of a child, bytes.
const STACK_BYTES: usize = 256 * 1024;

/// `struct clone_args` of the kernel, as of `CLONE_ARGS_SIZE_VER2`.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Memory that children run on, one after the other.
#[derive(Debug)]
pub(super) struct Stack(Box<[u128]>);

impl Stack {
    pub(super) fn new() -> Self {
        Self(vec![0; STACK_BYTES / size_of::<u128>()].into_boxed_slice())
    }
}

/// What the kernel shall make.
#[derive(Default)]
pub(super) struct Birth<'a> {
    /// `CLONE_*` beside the ones this module sets.
    pub(super) flags: i32,
    /// A cgroup v2 directory to be born in.
    pub(super) cgroup: Option<BorrowedFd<'a>>,
    pub(super) want_pidfd: bool,
}

#[derive(Debug)]
pub(super) struct Born {
    pub(super) pid: i32,
    pub(super) pidfd: Option<OwnedFd>,
}

/// Runs `body` in a child that shares our memory and returns once the child has executed another
/// program or ended. `body` returns the exit status of a child that executes nothing.
pub(super) fn run<F: FnOnce() -> i32>(
    birth: &Birth<'_>,
    stack: &mut Stack,
    body: F,
) -> io::Result<Born> {
    let mut slot = Some(body);
    // SAFETY: `CLONE_VFORK` keeps this thread in the kernel until the child no longer uses the
    // memory, so `slot`, what it borrows, and the stack outlive the child's use of them.
    unsafe {
        start(
            birth,
            libc::CLONE_VM | libc::CLONE_VFORK,
            stack,
            body_entry::<F>,
            (&raw mut slot).cast(),
        )
    }
}

/// Runs `body` in a child with a copy of our memory, as `fork` makes it, and does not wait for it:
/// for children whose progress depends on code in a sandbox.
pub(super) fn copy<F: FnOnce() -> i32>(
    birth: &Birth<'_>,
    stack: &mut Stack,
    body: F,
) -> io::Result<Born> {
    let mut slot = Some(body);
    let data = (&raw mut slot).cast();
    // SAFETY: the child has copies of `slot`, of what it borrows and of the stack, as they are now;
    // this process has no other thread that could hold a lock at the moment.
    unsafe { start(birth, 0, stack, body_entry::<F>, data) }
}

/// Starts a child that does nothing until it is killed. Its namespaces can be taken meanwhile.
/// It uses `stack` until it has been waited for.
pub(super) fn park(birth: &Birth<'_>, stack: &mut Stack) -> io::Result<Born> {
    // SAFETY: the entry touches nothing but registers and its own stack, which the caller leaves
    // alone until the child is gone.
    unsafe {
        start(
            birth,
            libc::CLONE_VM,
            stack,
            park_entry,
            std::ptr::null_mut(),
        )
    }
}

extern "C" fn body_entry<F: FnOnce() -> i32>(data: *mut c_void) -> ! {
    // SAFETY: `run` passes a pointer to its live `Option<F>` and is asleep.
    let slot = unsafe { &mut *data.cast::<Option<F>>() };
    let status = slot.take().map_or(125, |body| {
        catch_unwind(AssertUnwindSafe(body)).unwrap_or(125)
    });
    exit(status)
}

extern "C" fn park_entry(_: *mut c_void) -> ! {
    loop {
        let none = std::ptr::null::<c_void>();
        // SAFETY: `ppoll` without descriptors and without timeout only sleeps. It returns for a
        // signal, of which the only one sent is a kill.
        unsafe { libc::syscall(libc::SYS_ppoll, none, 0, none, none, 0) };
    }
}

/// Ends the child without running anything that belongs to the spawner.
pub(super) fn exit(status: i32) -> ! {
    loop {
        // SAFETY: ends this process; no memory is touched.
        unsafe { libc::syscall(libc::SYS_exit_group, status) };
    }
}

/// # Safety
/// `entry(data)` must be sound in a process that shares memory with this one, or has a copy of it,
/// for as long as it does, and must never return.
unsafe fn start(
    birth: &Birth<'_>,
    extra_flags: i32,
    stack: &mut Stack,
    entry: extern "C" fn(*mut c_void) -> !,
    data: *mut c_void,
) -> io::Result<Born> {
    let mut pidfd: i32 = -1;
    let mut flags = birth.flags | extra_flags;
    if birth.want_pidfd {
        flags |= libc::CLONE_PIDFD;
    }
    let mut args = CloneArgs {
        flags: u64::from(flags.cast_unsigned()),
        pidfd: &raw mut pidfd as u64,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        stack: stack.0.as_mut_ptr() as u64,
        stack_size: (stack.0.len() * size_of::<u128>()) as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = birth.cgroup {
        const CLONE_INTO_CGROUP: u64 = 1 << 33;
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: `args` is a live structure of the stated size, the stack is ours and unused, and the
    // caller answers for `entry(data)`.
    let pid = unsafe { clone3(&raw mut args, entry, data) };
    if pid < 0 {
        return Err(io::Error::from_raw_os_error(
            i32::try_from(-pid).unwrap_or(libc::EINVAL),
        ));
    }
    // SAFETY: the kernel stored a new descriptor of ours there, and nothing else owns it.
    let pidfd = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) });
    Ok(Born {
        pid: i32::try_from(pid).unwrap_or(0),
        pidfd,
    })
}

/// `clone3`, with the child going to `entry(data)` on its new stack instead of returning here.
///
/// # Safety
/// As [`start`].
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(
    args: *mut CloneArgs,
    entry: extern "C" fn(*mut c_void) -> !,
    data: *mut c_void,
) -> isize {
    const NUMBER: isize = 435;
    let result: isize;
    // SAFETY: in the parent the call returns like any other and changes rax, rcx and r11 only. The
    // child starts with all registers copied and the top of its own, 16-byte aligned stack, as the
    // calling convention wants it before a call.
    unsafe {
        asm!(
            "syscall", "test rax, rax", "jnz 2f",
            "xor ebp, ebp", "mov rdi, r12", "call r13", "ud2",
            "2:",
            inlateout("rax") NUMBER => result,
            in("rdi") args, in("rsi") size_of::<CloneArgs>(),
            in("r12") data, in("r13") entry,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    result
}

/// `clone3`, with the child going to `entry(data)` on its new stack instead of returning here.
///
/// # Safety
/// As [`start`].
#[cfg(target_arch = "aarch64")]
unsafe fn clone3(
    args: *mut CloneArgs,
    entry: extern "C" fn(*mut c_void) -> !,
    data: *mut c_void,
) -> isize {
    let result: isize;
    // SAFETY: in the parent the call returns like any other and changes x0 only. The child starts
    // with all registers copied and the top of its own, 16-byte aligned stack.
    unsafe {
        asm!(
            "svc 0", "cbnz x0, 2f",
            "mov x29, #0", "mov x0, x20", "blr x21", "brk #1",
            "2:",
            in("x8") libc::SYS_clone3, inlateout("x0") args => result,
            in("x1") size_of::<CloneArgs>(), in("x20") data, in("x21") entry,
        );
    }
    result
}

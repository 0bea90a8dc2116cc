//! Process 1 of a sandbox: it exists, reaps what is orphaned, and ends with the spawner.
//!
//! It is a program of its own, without a standard library, so that it is a few kilobytes, starts in
//! microseconds and gives nothing away: no environment, no copy of the server's memory, no open
//! file but the lifeline. The spawner starts it without privileges and as a user that code in the
//! sandbox is not; here it makes itself undumpable and gives up every system call but `read` and
//! `exit`.
//!
//! The lifeline is a pipe at descriptor 0 whose other end only the spawner has. Nothing is ever
//! written to it; when the spawner is gone, `read` ends, so does this process, and the kernel kills
//! everything else in its pid namespace.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

const PR_SET_DUMPABLE: usize = 4;
const PR_SET_NAME: usize = 15;
const PR_SET_SECCOMP: usize = 22;
const SECCOMP_MODE_STRICT: usize = 1;
const SIGCHLD: usize = 17;
const SIG_IGN: usize = 1;
const EINTR: isize = -4;

#[cfg(target_arch = "x86_64")]
mod number {
    pub const READ: usize = 0;
    pub const RT_SIGACTION: usize = 13;
    pub const EXIT: usize = 60;
    pub const PRCTL: usize = 157;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const READ: usize = 63;
    pub const EXIT: usize = 93;
    pub const RT_SIGACTION: usize = 134;
    pub const PRCTL: usize = 167;
}

// The kernel enters with an aligned stack and no return address; a function expects one.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {}", "ud2", sym run);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "mov x30, #0", "bl {}", "brk #1", sym run);

#[repr(C)]
struct SignalAction {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

extern "C" fn run() -> ! {
    let ignore = SignalAction { handler: SIG_IGN, flags: 0, restorer: 0, mask: 0 };
    let action = &raw const ignore as usize;
    // SAFETY: each pointer is to a live object of the shape the kernel expects. Ignoring SIGCHLD
    // makes the kernel reap every orphan that falls to this process.
    unsafe {
        syscall(number::PRCTL, PR_SET_DUMPABLE, 0, 0, 0);
        syscall(number::PRCTL, PR_SET_NAME, c"init".as_ptr() as usize, 0, 0);
        syscall(number::RT_SIGACTION, SIGCHLD, action, 0, 8);
        syscall(number::PRCTL, PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0);
    }
    let mut byte = 0_u8;
    loop {
        // SAFETY: one byte is written at most, to a live byte.
        let read = unsafe { syscall(number::READ, 0, &raw mut byte as usize, 1, 0) };
        if read != EINTR && read <= 0 {
            exit();
        }
    }
}

fn exit() -> ! {
    loop {
        // SAFETY: ends the only thread. Strict seccomp allows `exit`, not `exit_group`.
        unsafe { syscall(number::EXIT, 0, 0, 0, 0) };
    }
}

#[cfg(target_arch = "x86_64")]
unsafe fn syscall(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: the caller answers for the arguments; the kernel clobbers rcx and r11 only.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, lateout("rcx") _, lateout("r11") _);
    }
    result
}

#[cfg(target_arch = "aarch64")]
unsafe fn syscall(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: the caller answers for the arguments; the kernel changes x0 only.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c,
            in("x3") d);
    }
    result
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    exit()
}

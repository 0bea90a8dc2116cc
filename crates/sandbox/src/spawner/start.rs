//! The start of a sandbox: its process 1 in namespaces of its own.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fchmod, fcntl_add_seals, memfd_create};
use rustix::mount::{MountFlags, mount};
use rustix::process::{Resource, Rlimit, Signal, setrlimit, setsid, umask};
use rustix::thread::{Gid, Uid};

use super::child::{self, Birth, Born, Stack};
use super::stage::{Failed, Stages};
use super::sys::{self, Strings};

/// Bytes of `/tmp` for each inode it may hold: half a page.
const TMP_BYTES_PER_INODE: u64 = 2048;
/// The name of the host as code sees it.
const HOST_NAME: &[u8] = b"sandbox";

/// The program that is process 1 of every sandbox, and what it is started with.
#[derive(Debug)]
pub(super) struct Init {
    program: OwnedFd,
    /// Ends when the spawner does; the write end is nobody else's.
    lifeline: OwnedFd,
    _spawner_lives: OwnedFd,
    args: Strings,
    env: Strings,
    uid: u32,
}

/// What one sandbox is made of.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) template: BorrowedFd<'a>,
    pub(super) network: BorrowedFd<'a>,
    pub(super) tmp_bytes: u64,
}

impl Init {
    pub(super) fn new(uid: u32) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let program = memfd_create("init", flags)?;
        let image = include_bytes!(env!("BOOTLACE_SANDBOX_INIT"));
        if rustix::io::write(&program, image)? != image.len() {
            return Err(io::Error::other("the init program could not be written"));
        }
        // Executable and not readable, which by itself makes the process undumpable.
        fchmod(&program, rustix::fs::Mode::from_raw_mode(0o711))?;
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        fcntl_add_seals(&program, seals)?;
        let (lifeline, spawner_lives) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        Ok(Self {
            program,
            lifeline,
            _spawner_lives: spawner_lives,
            args: Strings::new(vec![c"init".to_owned()]),
            env: Strings::new(Vec::new()),
            uid,
        })
    }

    /// Starts process 1. An error names the stage.
    pub(super) fn start(
        &self,
        parts: &Parts<'_>,
        stack: &mut Stack,
        stages: &mut Stages,
    ) -> Result<Born, (String, io::Error)> {
        let tmp = tmp_options(parts.tmp_bytes);
        let flags = libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        let birth = Birth {
            flags,
            want_pidfd: true,
            ..Birth::default()
        };
        let born = child::run(&birth, stack, || {
            let _ = self.become_init(parts, &tmp, stages);
            127
        });
        let born = born.map_err(|error| ("clone".to_owned(), error))?;
        match stages.failure() {
            None => {
                let _ = stages.step("running", Ok(()));
                Ok(born)
            }
            Some((stage, errno)) => {
                sys::reap(Some(born.pid), true);
                Err((stage.to_owned(), io::Error::from_raw_os_error(errno)))
            }
        }
    }

    /// Runs in the child; returns only when a stage failed.
    fn become_init(
        &self,
        parts: &Parts<'_>,
        tmp: &CString,
        stages: &mut Stages,
    ) -> Result<(), Failed> {
        stages.step(
            "enter network",
            sys::setns(parts.network, libc::CLONE_NEWNET),
        )?;
        stages.step(
            "enter template",
            sys::setns(parts.template, libc::CLONE_NEWNS),
        )?;
        stages.step("own mounts", sys::unshare(libc::CLONE_NEWNS))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        stages.step("mount tmp", mount(c"tmp", c"/tmp", c"tmpfs", flags, &**tmp))?;
        // Only a member of the new pid namespace can mount its proc. Code sees its own processes.
        let flags = flags | MountFlags::NOEXEC;
        stages.step(
            "mount proc",
            mount(c"proc", c"/proc", c"proc", flags, c"hidepid=2"),
        )?;
        stages.step("host name", rustix::system::sethostname(HOST_NAME))?;
        sys::set_signal_mask(&[]);
        umask(rustix::fs::Mode::from_raw_mode(0o077));
        stages.step("session", setsid())?;
        stages.step("lifeline", rustix::stdio::dup2_stdin(&self.lifeline))?;
        stages.step("close", sys::close_on_exec_from(1))?;
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        stages.step("core limit", setrlimit(Resource::Core, none))?;
        stages.step("groups", rustix::thread::set_thread_groups(&[]))?;
        let gid = Gid::from_raw(self.uid);
        stages.step("gid", rustix::thread::set_thread_res_gid(gid, gid, gid))?;
        let uid = Uid::from_raw(self.uid);
        stages.step("uid", rustix::thread::set_thread_res_uid(uid, uid, uid))?;
        stages.step("capabilities", sys::drop_capabilities())?;
        stages.step("no new privileges", rustix::thread::set_no_new_privs(true))?;
        // After the change of user, which would clear it.
        let signal = Some(Signal::KILL);
        stages.step(
            "death",
            rustix::process::set_parent_process_death_signal(signal),
        )?;
        stages.step("start", Ok(()))?;
        let reason = sys::execute_fd(self.program.as_fd(), &self.args, &self.env);
        stages.step("execute init", Err(reason))
    }
}

fn tmp_options(bytes: u64) -> CString {
    let inodes = (bytes / TMP_BYTES_PER_INODE).clamp(1 << 10, 1 << 20);
    CString::new(format!("size={bytes},nr_inodes={inodes},mode=1777"))
        .expect("numbers hold no zero byte")
}

//! The start of a process of the caller's in an existing sandbox.
//!
//! The spawner is its parent and learns its end from the kernel; the sandbox's process 1 only holds
//! the pid namespace. Everything that could be used from inside to get out is given up before the
//! program runs, the user namespace being entered last but one and the filter last.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, chdir, getrlimit, set_dumpable_behavior, setrlimit, setsid,
    umask,
};
use rustix::thread::{Gid, Uid};

use super::base::{GROUP_ID, USER_ID};
use super::cgroup::Entrance;
use super::child::{self, Birth, Stack};
use super::seccomp::Program;
use super::stage::{Failed, Stages};
use super::sys::{self, Strings};
use crate::ProcessSpec;

/// Limits of every process: which, and how much. AWS's numbers.
const LIMITS: [(Resource, u64); 4] = [
    (Resource::Nofile, 1024),
    (Resource::Memlock, 64 * 1024),
    (Resource::Stack, 8 * 1024 * 1024),
    (Resource::Core, 0),
];
/// The stage whose failure is the program's fault.
const EXECUTE: &str = "execute";

/// The sandbox as a process enters it.
#[derive(Debug)]
pub(super) struct Inside<'a> {
    /// Of process 1.
    pub(super) init: BorrowedFd<'a>,
    pub(super) user: BorrowedFd<'a>,
    pub(super) entrance: Entrance,
    pub(super) filter: &'a Program,
    /// Of the spawner.
    pub(super) own_pid_namespace: BorrowedFd<'a>,
    pub(super) processes: u32,
    /// Code in the sandbox can hold up whoever is in it, by using up its processor time.
    pub(super) slow: bool,
}

/// A process that was started.
#[derive(Debug)]
pub(super) enum Started {
    Running(i32),
    /// It will run its program, or tell through the pipe why it cannot.
    Pending(i32, OwnedFd),
}

/// Why a process did not start.
#[derive(Debug)]
pub(super) enum Failure {
    /// The program cannot be executed.
    Program(i32),
    Stage(String, io::Error),
}

/// A program with its arguments as the kernel takes them.
struct Call {
    program: CString,
    args: Strings,
    env: Strings,
    cwd: CString,
}

impl Call {
    fn new(spec: &ProcessSpec) -> io::Result<Self> {
        let text = |text: String| CString::new(text).map_err(io::Error::from);
        let args = spec
            .args
            .iter()
            .cloned()
            .map(text)
            .collect::<io::Result<_>>()?;
        let pair = |(name, value): &(String, String)| text(format!("{name}={value}"));
        let env = spec.env.iter().map(pair).collect::<io::Result<_>>()?;
        Ok(Self {
            program: super::base::c_path(&spec.program)?,
            args: Strings::new(args),
            env: Strings::new(env),
            cwd: super::base::c_path(&spec.cwd)?,
        })
    }
}

/// Starts a process; its pid as the spawner sees it.
///
/// The spawner sleeps until the program runs. Where code in the sandbox could make that last, the
/// child is one that nobody waits for.
pub(super) fn start(
    spec: &ProcessSpec,
    inside: &Inside<'_>,
    output: BorrowedFd<'_>,
    stack: &mut Stack,
    stages: &mut Stages,
) -> Result<Started, Failure> {
    let call = Call::new(spec).map_err(stage("arguments"))?;
    let birth = Birth {
        cgroup: inside.entrance.born.as_ref().map(AsFd::as_fd),
        ..Birth::default()
    };
    // Children are born into this pid namespace until the spawner turns back to its own.
    sys::setns(inside.init, libc::CLONE_NEWPID)
        .map_err(|error| Failure::Stage("enter processes".into(), error.into()))?;
    let started = if inside.slow {
        start_apart(&birth, &call, inside, output, stack, stages)
    } else {
        start_waiting(&birth, &call, inside, output, stack, stages)
    };
    sys::setns(inside.own_pid_namespace, libc::CLONE_NEWPID)
        .expect("a process may always return to its own pid namespace");
    started
}

fn start_waiting(
    birth: &Birth<'_>,
    call: &Call,
    inside: &Inside<'_>,
    output: BorrowedFd<'_>,
    stack: &mut Stack,
    stages: &mut Stages,
) -> Result<Started, Failure> {
    let born = child::run(birth, stack, || {
        let _ = become_program(call, inside, output, stages);
        127
    });
    let born = born.map_err(stage("clone"))?;
    match stages.failure() {
        None => {
            let _ = stages.step("running", Ok(()));
            Ok(Started::Running(born.pid))
        }
        Some((name, errno)) => {
            sys::reap(Some(born.pid), true);
            Err(Failure::new(name, errno))
        }
    }
}

fn start_apart(
    birth: &Birth<'_>,
    call: &Call,
    inside: &Inside<'_>,
    output: BorrowedFd<'_>,
    stack: &mut Stack,
    stages: &mut Stages,
) -> Result<Started, Failure> {
    // The write end is closed by the program's start, or by the child's end.
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        .map_err(|error| Failure::Stage("pipe".into(), error.into()))?;
    let born = child::copy(birth, stack, || {
        let _ = become_program(call, inside, output, stages);
        let told = stages.failure().map(|reason| serde_json::to_vec(&reason));
        if let Some(Ok(text)) = told {
            let _ = rustix::io::write(&theirs, &text);
        }
        127
    });
    let born = born.map_err(stage("clone"))?;
    Ok(Started::Pending(born.pid, ours))
}

/// What a pending child has told. `None` while it is still on its way.
pub(super) fn hear(pipe: BorrowedFd<'_>) -> Option<Result<(), Failure>> {
    // A stage's name and a number are shorter, and so written at once.
    let mut buffer = [0; 256];
    match rustix::io::read(pipe, &mut buffer) {
        Ok(0) => Some(Ok(())),
        Ok(count) => {
            let failure = match serde_json::from_slice::<(String, i32)>(&buffer[..count]) {
                Ok((name, errno)) => Failure::new(&name, errno),
                Err(error) => Failure::Stage("start".into(), error.into()),
            };
            Some(Err(failure))
        }
        Err(_) => None,
    }
}

fn stage(name: &str) -> impl FnOnce(io::Error) -> Failure {
    let name = name.to_owned();
    move |error| Failure::Stage(name, error)
}

impl Failure {
    fn new(stage: &str, errno: i32) -> Self {
        if stage == EXECUTE {
            return Self::Program(errno);
        }
        Self::Stage(stage.to_owned(), io::Error::from_raw_os_error(errno))
    }
}

/// Runs in the child; returns only when a stage failed.
fn become_program(
    call: &Call,
    inside: &Inside<'_>,
    output: BorrowedFd<'_>,
    stages: &mut Stages,
) -> Result<(), Failed> {
    for tasks in inside.entrance.tasks.iter().flatten() {
        stages.step("cgroup", rustix::io::write(tasks, b"0"))?;
    }
    let namespaces =
        libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    stages.step("enter sandbox", sys::setns(inside.init, namespaces))?;
    // So that /proc/self/cgroup tells nothing of where the sandbox hangs.
    stages.step("own cgroup root", sys::unshare(libc::CLONE_NEWCGROUP))?;
    descriptors(output, stages)?;
    stages.step("session", setsid())?;
    umask(Mode::from_raw_mode(0o022));
    for (resource, limit) in LIMITS {
        stages.step("limits", lower(resource, limit))?;
    }
    stages.step("limits", lower(Resource::Nproc, inside.processes.into()))?;
    if inside.slow {
        // This is a copy of the spawner, and may stand about for a while.
        let nobody = DumpableBehavior::NotDumpable;
        stages.step("undumpable", set_dumpable_behavior(nobody))?;
    }
    if let Some(tasks) = &inside.entrance.cpu {
        stages.step("processor share", rustix::io::write(tasks, b"0"))?;
    }
    identity(inside, stages)?;
    stages.step("directory", chdir(&*call.cwd))?;
    sys::set_signal_mask(&[]);
    stages.step("filter", sys::install(inside.filter))?;
    stages.step("start", Ok(()))?;
    let program: &CStr = &call.program;
    stages.step(EXECUTE, Err(sys::execute(program, &call.args, &call.env)))
}

/// 0 is `/dev/null`, 1 and 2 are the output; nothing else survives the program's start.
fn descriptors(output: BorrowedFd<'_>, stages: &mut Stages) -> Result<(), Failed> {
    stages.step("output", rustix::stdio::dup2_stdout(output))?;
    stages.step("output", rustix::stdio::dup2_stderr(output))?;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let null = stages.step(
        "input",
        rustix::fs::open(c"/dev/null", flags, Mode::empty()),
    )?;
    stages.step("input", rustix::stdio::dup2_stdin(&null))?;
    stages.step("close", sys::close_on_exec_from(3))
}

/// Becomes the sandbox user, without any privilege, for good.
fn identity(inside: &Inside<'_>, stages: &mut Stages) -> Result<(), Failed> {
    stages.step("groups", rustix::thread::set_thread_groups(&[]))?;
    stages.step("enter user", sys::setns(inside.user, libc::CLONE_NEWUSER))?;
    stages.step("bounding set", sys::drop_bounding_set())?;
    let gid = Gid::from_raw(GROUP_ID);
    stages.step("gid", rustix::thread::set_thread_res_gid(gid, gid, gid))?;
    let uid = Uid::from_raw(USER_ID);
    stages.step("uid", rustix::thread::set_thread_res_uid(uid, uid, uid))?;
    stages.step("capabilities", sys::drop_capabilities())?;
    stages.step("no new privileges", rustix::thread::set_no_new_privs(true))
}

/// Sets a limit, or the highest allowed below it.
fn lower(resource: Resource, limit: u64) -> rustix::io::Result<()> {
    let allowed = getrlimit(resource)
        .maximum
        .map_or(limit, |maximum| maximum.min(limit));
    setrlimit(
        resource,
        Rlimit {
            current: Some(allowed),
            maximum: Some(allowed),
        },
    )
}

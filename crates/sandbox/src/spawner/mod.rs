//! The spawner: a small single-threaded process that makes every sandbox of a server.
//!
//! The server is many threads and much memory, which no process should be forked from, and it
//! should not be the one that switches namespaces. So it starts this process first, which does one
//! command after the other:
//!
//! ```text
//! server (linux)  ──commands──►  spawner ──clone──►  process 1 of a sandbox   (start, init/main.rs)
//!                 ◄──reports───          ──clone──►  programs in a sandbox    (process)
//! ```
//!
//! A start enters prepared things: a [`template`] with the base and the trees, a [`slot`] with
//! network and user namespace, a [`cgroup`]. Slots are made and old cgroups removed while nothing
//! else is to do. When the server's end of the socket is gone, however it went, the spawner kills
//! all sandboxes, removes what it made and ends; when the spawner is gone, every process 1 ends.

mod base;
mod cgroup;
mod child;
mod empty;
mod places;
mod process;
mod sandbox;
mod seccomp;
mod seccomp_rules;
mod slot;
mod stage;
mod start;
mod sys;
mod table;
mod template;
mod trial;
mod uid_range;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, openat};
use rustix::net::{RecvFlags, SendFlags};

pub(crate) use places::Places;
pub(crate) use trial::{Kind, try_namespace};

use crate::protocol::{self, Command, Report, Setup};
use table::Table;

/// Chores wait until nothing has happened for this long.
const QUIET: Duration = Duration::from_millis(2);
/// How often it is looked whether a process takes too long to start.
const LATE: Duration = Duration::from_millis(100);
/// How long an earlier spawner of the same instance may take to end.
const PREDECESSOR: Duration = Duration::from_secs(10);
/// The weight of the spawner beside other sessions on a busy host.
const AUTOGROUP_NICE: &str = "-10";
/// The name of this process to the kernel, at most 15 bytes.
const NAME: &std::ffi::CStr = c"bootlace-spawn";

/// What the hidden verb runs, before any thread exists. Its standard input is the server's socket.
#[must_use]
pub fn spawner_main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bootlace sandbox spawner: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    detach()?;
    let socket = rustix::stdio::stdin();
    let mut buffer = Vec::new();
    let Some((Command::Setup(setup), _)) =
        protocol::receive(socket, &mut buffer, RecvFlags::empty())?
    else {
        return Err(io::Error::other(
            "started without a server; this verb is not for people",
        ));
    };
    let lock = match lock(&setup) {
        Ok(lock) => lock,
        Err(error) => return refuse(socket, "lock", &error),
    };
    let mut table = match Table::open(&setup) {
        Ok(table) => table,
        Err((stage, error)) => return refuse(socket, stage, &error),
    };
    report(socket, &table.ready_report(), None)?;
    let children = sys::child_signal_fd()?;
    let served = serve(socket, children.as_fd(), &mut table, &mut buffer);
    table.close();
    drop(lock);
    served
}

/// Cuts what ties this process to how the server was started.
#[allow(
    unsafe_code,
    reason = "descriptors inherited from whoever started the server"
)]
fn detach() -> io::Result<()> {
    // SAFETY: nothing of this process has opened a descriptor beyond the standard three.
    unsafe { sys::close_from(3) }?;
    // A terminal's interrupt is for the server, which drains; it must not hit this process.
    let _ = rustix::process::setsid();
    // Its session is a scheduling group of its own, and everybody waits for it; code does not
    // inherit this, as it runs in sessions of its own. Not every kernel has such groups.
    let _ = std::fs::write("/proc/self/autogroup", AUTOGROUP_NICE);
    sys::default_signals();
    sys::set_signal_mask(&[libc::SIGCHLD]);
    rustix::process::chdir("/")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    rustix::thread::set_name(NAME)?;
    // Not this process's own capabilities, but what any program that it starts could ever have.
    sys::drop_bounding_set()?;
    Ok(())
}

/// One spawner for an instance: an earlier one may still be tidying up.
fn lock(setup: &Setup) -> io::Result<std::fs::File> {
    std::fs::create_dir_all(&setup.run_dir)?;
    let file = std::fs::File::create(setup.run_dir.join("spawner.lock"))?;
    let begin = bootlace_types::clock::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(error) if bootlace_types::clock::now() - begin > PREDECESSOR => {
                return Err(error.into());
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn refuse(socket: BorrowedFd<'_>, stage: &str, error: &io::Error) -> io::Result<()> {
    let message = error.to_string();
    report(
        socket,
        &Report::Refused {
            request: 0,
            stage: stage.into(),
            message,
        },
        None,
    )
}

/// Does commands until the server is gone or says goodbye.
fn serve(
    socket: BorrowedFd<'_>,
    children: BorrowedFd<'_>,
    table: &mut Table,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    loop {
        let pause = if table.awaits_emptiness() {
            Some(empty::LOOK)
        } else if table.has_chores() {
            Some(QUIET)
        } else {
            table.starting().next().map(|_| LATE)
        };
        let (command, child) = wait(socket, children, table.starting(), pause)?;
        if child {
            sys::drain(children);
            for message in table.reap() {
                report(socket, &message, None)?;
            }
        }
        if command {
            match protocol::receive(socket, buffer, RecvFlags::DONTWAIT) {
                Ok(None | Some((Command::Shutdown, _))) => return Ok(()),
                Ok(Some((command, fd))) => {
                    let (message, fd) = table.perform(command, fd);
                    if let Some(message) = message {
                        report(socket, &message, fd)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        for message in table.started() {
            report(socket, &message, None)?;
        }
        if table.awaits_emptiness() {
            for message in table.emptied() {
                report(socket, &message, None)?;
            }
        } else if !command && !child {
            table.do_one_chore();
        }
    }
}

/// Whether a command is there, and whether a child has ended; neither after `pause`, or when one of
/// `others` has something to say.
fn wait<'a>(
    socket: BorrowedFd<'a>,
    children: BorrowedFd<'a>,
    others: impl Iterator<Item = BorrowedFd<'a>>,
    pause: Option<Duration>,
) -> io::Result<(bool, bool)> {
    let all = [socket, children].into_iter().chain(others);
    let mut fds: Vec<PollFd<'a>> = all
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    let pause = pause.map(|pause| Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(pause.subsec_nanos()),
    });
    match poll(&mut fds, pause.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok((!fds[0].revents().is_empty(), !fds[1].revents().is_empty()))
}

/// Sends a report. A server that is gone is noticed by the next receive.
fn report(socket: BorrowedFd<'_>, message: &Report, fd: Option<OwnedFd>) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let fd = fd.as_ref().map(AsFd::as_fd);
    match protocol::send(socket, &text, fd, SendFlags::empty()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The host's `/proc`, kept open because children that change their root still need it.
fn open_proc() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(rustix::fs::CWD, "/proc", flags, Mode::empty())?)
}

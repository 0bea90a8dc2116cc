//! Killing everything of the caller's in a sandbox that goes on.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::child::{self, Birth, Stack};
use super::stage::Stages;
use super::sys;

/// How long killed processes may take to be gone before the caller is told that they do not go.
/// What they had mapped is given back meanwhile, gigabytes perhaps.
pub(super) const EMPTY: Duration = Duration::from_secs(5);
/// How often it is looked whether they are.
pub(super) const LOOK: Duration = Duration::from_millis(1);

/// Kills every process of a pid namespace but its first.
///
/// A child of ours inside does it with one `kill` of everybody it sees. The kernel holds off forks
/// meanwhile, so no fork bomb escapes, no daemon is forgotten, no number is taken for another's.
pub(super) fn kill_others(
    init: BorrowedFd<'_>,
    own_pid_namespace: BorrowedFd<'_>,
    stack: &mut Stack,
) -> io::Result<()> {
    let mut stages = Stages::new();
    // Children are born into this pid namespace until the spawner turns back to its own.
    sys::setns(init, libc::CLONE_NEWPID)?;
    let born = child::run(&Birth::default(), stack, || {
        match sys::kill_everybody_else() {
            // There was nobody.
            Err(rustix::io::Errno::SRCH) => 0,
            other => stages.step("kill", other).map_or(1, |()| 0),
        }
    });
    sys::setns(own_pid_namespace, libc::CLONE_NEWPID)
        .expect("a process may always return to its own pid namespace");
    sys::reap(Some(born?.pid), true);
    match stages.failure() {
        None => Ok(()),
        Some((_, errno)) => Err(io::Error::from_raw_os_error(errno)),
    }
}

//! Whether this host lets us make namespaces, by making one.

use std::io;

use super::child::{self, Birth, Stack};
use super::sys;

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Mount,
    Pid,
    Network,
    Ipc,
    Uts,
    Cgroup,
    User,
}

/// Starts a child in a new namespace of this kind and ends it at once.
///
/// The child sleeps from its first to its last moment, so it may share the memory of a process
/// with many threads.
pub(crate) fn try_namespace(kind: Kind) -> io::Result<()> {
    let flags = match kind {
        Kind::Mount => libc::CLONE_NEWNS,
        Kind::Pid => libc::CLONE_NEWPID,
        Kind::Network => libc::CLONE_NEWNET,
        Kind::Ipc => libc::CLONE_NEWIPC,
        Kind::Uts => libc::CLONE_NEWUTS,
        Kind::Cgroup => libc::CLONE_NEWCGROUP,
        Kind::User => libc::CLONE_NEWUSER,
    };
    let mut stack = Stack::new();
    let born = child::park(
        &Birth {
            flags,
            ..Birth::default()
        },
        &mut stack,
    )?;
    sys::kill(born.pid);
    sys::reap(Some(born.pid), true);
    Ok(())
}

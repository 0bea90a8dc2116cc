//! Prepared places for sandboxes: a network namespace, a user namespace and a host uid of its own.
//!
//! Code has no privilege over either namespace, so a slot serves again after everything in its
//! sandbox is gone. It serves the same code only: a network namespace still tells what passed
//! through it, by its counters and by the connections that were closed within the last minute.
//! Making one costs more than the rest of a start, so they are made while nothing else is to do.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::net::{
    AddressFamily, Ipv4Addr, SocketAddrV4, SocketFlags, SocketType, bind, listen, socket_with,
    sockopt::set_socket_reuseaddr,
};

use super::base::{GROUP_ID, USER_ID};
use super::child::{self, Birth, Stack};
use super::stage::Stages;
use super::sys;
use crate::TreeMount;

/// Connections that may wait to be accepted, count.
const BACKLOG: i32 = 128;
/// Slots of one server, count; each has a uid of the server's range.
pub(super) const SLOTS: u32 = 60_000;

#[derive(Debug)]
pub(super) struct Slot {
    /// On the host.
    pub(super) uid: u32,
    pub(super) network: OwnedFd,
    pub(super) user: OwnedFd,
    /// A listener made ahead, and its port.
    listener: Option<(u16, OwnedFd)>,
    /// The code that it served or serves.
    code: Vec<TreeMount>,
    /// A socket of this network may still be in the server's hands.
    lent: bool,
}

impl Slot {
    /// A stream socket in this network, which from now on serves no other sandbox: whoever has the
    /// socket may connect it when this sandbox is gone.
    pub(super) fn lend_socket(&mut self, stack: &mut Stack) -> io::Result<OwnedFd> {
        self.lent = true;
        opened_in(self.network.as_fd(), stack, || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
        })
    }
}

/// Free slots.
#[derive(Debug)]
pub(super) struct Slots {
    first_uid: u32,
    made: u32,
    /// Those that served nobody yet.
    fresh: Vec<Slot>,
    /// Those that served before; the longest free first.
    used: Vec<Slot>,
    /// Uids of slots that were given up.
    returned: Vec<u32>,
    ready: usize,
    /// The port that listeners are made for ahead.
    port: u16,
}

impl Slots {
    pub(super) fn new(first_uid: u32, ready: usize) -> Self {
        Self {
            first_uid,
            made: 0,
            fresh: Vec::new(),
            used: Vec::new(),
            returned: Vec::new(),
            ready,
            port: 9001,
        }
    }

    /// Whether there are fewer fresh slots than should be.
    pub(super) fn wants_more(&self) -> bool {
        self.fresh.len() < self.ready
    }

    pub(super) fn make_one(&mut self, proc: BorrowedFd<'_>, stack: &mut Stack) -> io::Result<()> {
        let slot = self.make(proc, stack)?;
        self.fresh.insert(0, slot);
        Ok(())
    }

    /// A slot for this code, with a listener on this port.
    pub(super) fn take(
        &mut self,
        port: u16,
        code: &[TreeMount],
        proc: BorrowedFd<'_>,
        stack: &mut Stack,
    ) -> io::Result<(Slot, OwnedFd)> {
        self.port = port;
        let served = self.used.iter().rposition(|slot| slot.code == code);
        let mut slot = match served.map(|at| self.used.remove(at)) {
            Some(slot) => slot,
            None => match self.fresh.pop() {
                Some(slot) => slot,
                None => self.make(proc, stack)?,
            },
        };
        if slot.code.is_empty() {
            slot.code = code.to_vec();
        }
        match slot.listener.take() {
            Some((made_for, listener)) if made_for == port => Ok((slot, listener)),
            _ => {
                let listener = listener_in(slot.network.as_fd(), port, stack)?;
                Ok((slot, listener))
            }
        }
    }

    /// Takes a slot back whose sandbox is gone.
    pub(super) fn give_back(&mut self, mut slot: Slot, stack: &mut Stack) {
        if slot.lent {
            self.returned.push(slot.uid);
            return;
        }
        // The new listener also proves that nobody holds the old one; connections that waited
        // there were reset with it.
        match listener_in(slot.network.as_fd(), self.port, stack) {
            Ok(listener) => {
                slot.listener = Some((self.port, listener));
                self.used.push(slot);
            }
            Err(_) => self.returned.push(slot.uid),
        }
        if self.used.len() > self.ready.max(1) * 4 {
            let longest_free = self.used.remove(0);
            self.returned.push(longest_free.uid);
        }
    }

    fn make(&mut self, proc: BorrowedFd<'_>, stack: &mut Stack) -> io::Result<Slot> {
        let uid = match self.returned.pop() {
            Some(uid) => uid,
            None if self.made < SLOTS => {
                self.made += 1;
                self.first_uid + self.made - 1
            }
            None => {
                return Err(io::Error::other(format!(
                    "more than {SLOTS} sandboxes at once"
                )));
            }
        };
        let made = network(self.port, proc, stack).and_then(|(network, listener)| {
            let user = user(uid, stack)?;
            let listener = Some((self.port, listener));
            Ok(Slot {
                uid,
                network,
                user,
                listener,
                code: Vec::new(),
                lent: false,
            })
        });
        if made.is_err() {
            self.returned.push(uid);
        }
        made
    }
}

/// A new network namespace with loopback up and a listener in it.
fn network(port: u16, proc: BorrowedFd<'_>, stack: &mut Stack) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut stages = Stages::new();
    let mut made = None;
    let flags = libc::CLONE_NEWNET | libc::CLONE_FILES;
    let born = child::run(
        &Birth {
            flags,
            ..Birth::default()
        },
        stack,
        || {
            let mut steps = || {
                let socket = socket_with(
                    AddressFamily::INET,
                    SocketType::DGRAM,
                    SocketFlags::CLOEXEC,
                    None,
                );
                let socket = stages.step("network socket", socket)?;
                stages.step("network loopback", sys::loopback_up(socket))?;
                let listener = stages.step("network listener", open_listener(port))?;
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                let namespace = openat(proc, c"self/ns/net", flags, Mode::empty());
                Ok::<_, super::stage::Failed>((stages.step("network keep", namespace)?, listener))
            };
            made = steps().ok();
            0
        },
    )?;
    sys::reap(Some(born.pid), true);
    made.ok_or_else(|| failure(&stages))
}

/// A listener in an existing network namespace.
fn listener_in(network: BorrowedFd<'_>, port: u16, stack: &mut Stack) -> io::Result<OwnedFd> {
    opened_in(network, stack, || open_listener(port))
}

/// What a child opens in an existing network namespace.
fn opened_in(
    network: BorrowedFd<'_>,
    stack: &mut Stack,
    open: impl FnOnce() -> rustix::io::Result<OwnedFd>,
) -> io::Result<OwnedFd> {
    let mut stages = Stages::new();
    let mut made = None;
    let birth = Birth {
        flags: libc::CLONE_FILES,
        ..Birth::default()
    };
    let born = child::run(&birth, stack, || {
        let entered = stages.step("network enter", sys::setns(network, libc::CLONE_NEWNET));
        made = entered
            .and_then(|()| stages.step("network socket", open()))
            .ok();
        0
    })?;
    sys::reap(Some(born.pid), true);
    made.ok_or_else(|| failure(&stages))
}

fn open_listener(port: u16) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    set_socket_reuseaddr(&listener, true)?;
    bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// A new user namespace in which `uid` of the host, and nobody else, is the sandbox user.
fn user(uid: u32, stack: &mut Stack) -> io::Result<OwnedFd> {
    let birth = Birth {
        flags: libc::CLONE_NEWUSER,
        ..Birth::default()
    };
    let born = child::park(&birth, stack)?;
    let proc = Path::new("/proc").join(born.pid.to_string());
    let made = fs::write(proc.join("setgroups"), "deny")
        .and_then(|()| fs::write(proc.join("uid_map"), format!("{USER_ID} {uid} 1")))
        .and_then(|()| fs::write(proc.join("gid_map"), format!("{GROUP_ID} {uid} 1")))
        .and_then(|()| fs::File::open(proc.join("ns/user")));
    sys::kill(born.pid);
    sys::reap(Some(born.pid), true);
    made.map(OwnedFd::from)
}

fn failure(stages: &Stages) -> io::Error {
    match stages.failure() {
        Some((stage, errno)) => {
            let error = io::Error::from_raw_os_error(errno);
            io::Error::new(error.kind(), format!("{stage}: {error}"))
        }
        None => io::Error::other("the helper died"),
    }
}

//! What the server and its spawner say to each other: one JSON document a message, over a
//! `SOCK_SEQPACKET` socket, with file descriptors beside it where a variant says so.
//!
//! The server chooses all numbers. Both sides are the same executable, so no version is carried.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{End, ProcessSpec, SandboxSpec};

/// Longest message, bytes. A process's arguments and environment must fit.
pub(crate) const MESSAGE_BYTES: usize = 160 * 1024;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// The first message; answered by `Ready` or `Refused` of request 0.
    Setup(Setup),
    /// Answered by `Created` with the listener, or `Refused`.
    Create {
        request: u64,
        sandbox: u64,
        spec: SandboxSpec,
    },
    /// Comes with the write end of the output pipe; answered by `Spawned`, `NoExec` or `Refused`.
    Spawn {
        request: u64,
        sandbox: u64,
        process: u64,
        spec: ProcessSpec,
    },
    /// To a process of the caller's, by the caller's number. Not answered: it may have ended.
    Signal {
        sandbox: u64,
        process: u64,
        signal: Deliver,
    },
    /// Answered by `Emptied` when everything of the caller's is gone, or `Refused`.
    KillAll { request: u64, sandbox: u64 },
    /// Answered by `Socket` with a stream socket of the sandbox's network, or `Refused`.
    Connect { request: u64, sandbox: u64 },
    /// Answered by `Destroyed`, also when there is no such sandbox.
    Destroy { request: u64, sandbox: u64 },
    /// Destroys everything and ends the spawner; the answer is the end of the connection.
    Shutdown,
}

/// What a process may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Deliver {
    /// SIGTERM to the process.
    Terminate,
    /// SIGKILL to the process and the rest of its process group.
    Kill,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) instance: String,
    pub(crate) run_dir: PathBuf,
    pub(crate) ready: usize,
    pub(crate) templates: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    Ready {
        uid_base: u32,
        cgroups: String,
    },
    Created {
        request: u64,
        cgroup: CgroupPaths,
        stages_us: Vec<(String, u32)>,
    },
    Spawned {
        request: u64,
        stages_us: Vec<(String, u32)>,
    },
    NoExec {
        request: u64,
        errno: i32,
    },
    Refused {
        request: u64,
        stage: String,
        message: String,
    },
    Destroyed {
        request: u64,
    },
    Emptied {
        request: u64,
    },
    Socket {
        request: u64,
    },
    /// A process of the caller's ended.
    Exited {
        process: u64,
        end: End,
        out_of_memory: bool,
    },
    /// A sandbox ended although nobody destroyed it. Its processes' ends were reported before.
    Gone {
        sandbox: u64,
    },
}

/// Where the numbers of one sandbox are read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct CgroupPaths {
    pub(crate) v1_memory: Option<PathBuf>,
    pub(crate) v1_pids: Option<PathBuf>,
    /// Of a sandbox with a share of the processor.
    pub(crate) v1_cpu: Option<PathBuf>,
    pub(crate) v2: Option<PathBuf>,
}

/// Sends one message with at most one descriptor. `WouldBlock` when `flags` say not to wait.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    message: &[u8],
    fd: Option<BorrowedFd<'_>>,
    flags: SendFlags,
) -> io::Result<()> {
    if message.len() > MESSAGE_BYTES {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    let fds: &[BorrowedFd<'_>] = fd.as_slice();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    loop {
        match sendmsg(
            socket,
            &[IoSlice::new(message)],
            &mut control,
            flags | SendFlags::NOSIGNAL,
        ) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Receives one message into `buffer`, which holds the longest. `None` is the other side's end.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
    buffer: &mut Vec<u8>,
    flags: RecvFlags,
) -> io::Result<Option<(T, Option<OwnedFd>)>> {
    buffer.resize(MESSAGE_BYTES, 0);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(buffer)];
    let received = loop {
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        match recvmsg(socket.as_fd(), &mut slices, &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            // The other side died with messages of ours unread; for us that is its end.
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => break other?,
        }
    };
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    if received.bytes == 0 {
        return Ok(None);
    }
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a message was cut short",
        ));
    }
    let message = serde_json::from_slice(&buffer[..received.bytes])?;
    Ok(Some((message, fd)))
}

//! One sandbox as the spawner holds it.

use std::os::fd::OwnedFd;
use std::time::Instant;

use super::cgroup::Group;
use super::slot::Slot;
use super::sys;
use crate::protocol::Deliver;

/// A sandbox that runs or is being ended.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) init: OwnedFd,
    pub(super) slot: Slot,
    pub(super) group: Group,
    pub(super) processes: u32,
    /// Children of ours inside that have not been reaped.
    pub(super) running: Vec<Running>,
    pub(super) init_lives: bool,
    /// Requests to answer when everything is gone.
    pub(super) destroyers: Vec<u64>,
    /// Requests to answer when the caller's processes are gone, and since when they wait.
    pub(super) emptiers: Vec<(u64, Instant)>,
}

/// A process of the caller's.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pid: i32,
    /// The caller's number for it.
    pub(super) process: u64,
    /// Killed because the caller said so, which is not for want of memory then.
    pub(super) asked_for: bool,
}

impl Sandbox {
    /// Kills process 1 and, by that, everything in the sandbox.
    pub(super) fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.init, rustix::process::Signal::KILL);
    }

    pub(super) fn signal(&mut self, process: u64, signal: Deliver) {
        let found = self.running.iter_mut().find(|one| one.process == process);
        // One that has ended was reported already, or will be.
        let Some(running) = found else { return };
        match signal {
            Deliver::Terminate => sys::terminate(running.pid),
            Deliver::Kill => {
                running.asked_for = true;
                sys::kill_group(running.pid);
            }
        }
    }
}

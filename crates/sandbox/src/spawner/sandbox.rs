//! One sandbox as the spawner holds it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::cgroup::Group;
use super::process::{self, Failure};
use super::slot::Slot;
use super::sys;
use crate::protocol::{Deliver, Report};

/// How long a process may be on its way before it is given up. Only where its sandbox has a share of
/// the processor, and uses it up, does it take long at all.
const START: Duration = Duration::from_secs(10);

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
    /// It has a share of the processor, so whoever enters it may be held up.
    pub(super) slow: bool,
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
    pub(super) start: Start,
}

/// How far a process has come.
#[derive(Debug)]
pub(super) enum Start {
    Done,
    /// The caller knows; what is left is to reap it.
    Failed,
    Pending(Pending),
}

/// A process that is on its way to its program.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) request: u64,
    pub(super) pipe: OwnedFd,
    pub(super) since: Instant,
}

impl Running {
    /// What is to be said of its start, if that has been settled only now.
    pub(super) fn settle(&mut self) -> Option<Report> {
        let Start::Pending(pending) = &self.start else {
            return None;
        };
        let request = pending.request;
        let elapsed = bootlace_types::clock::now().duration_since(pending.since);
        let failure = match process::hear(pending.pipe.as_fd()) {
            Some(Ok(())) => {
                self.start = Start::Done;
                let elapsed_us = u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX);
                let stages_us = vec![("running".to_owned(), elapsed_us)];
                return Some(Report::Spawned { request, stages_us });
            }
            Some(Err(failure)) => failure,
            None if elapsed > START => {
                sys::kill(self.pid);
                let late = io::Error::other("the sandbox leaves no processor time for it");
                Failure::Stage("start".into(), late)
            }
            None => return None,
        };
        self.start = Start::Failed;
        Some(failure.report(request))
    }
}

impl Failure {
    pub(super) fn report(self, request: u64) -> Report {
        match self {
            Self::Program(errno) => Report::NoExec { request, errno },
            Self::Stage(stage, error) => refused(request, stage, &error),
        }
    }
}

pub(super) fn refused(request: u64, stage: String, error: &io::Error) -> Report {
    Report::Refused {
        request,
        stage,
        message: error.to_string(),
    }
}

pub(super) fn gone(request: u64) -> Report {
    let gone = io::Error::other("the sandbox is gone");
    refused(request, "find".into(), &gone)
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

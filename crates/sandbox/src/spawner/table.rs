//! The sandboxes that exist, and the commands on them.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, Uid, fchown, openat};

use super::base::Base;
use super::cgroup::{Cgroups, Entrance, Group, Limits};
use super::child::Stack;
use super::empty;
use super::process::{self, Inside, Started};
use super::sandbox::{Pending, Running, Sandbox, Start, gone, refused};
use super::seccomp::Program;
use super::slot::Slots;
use super::stage::Stages;
use super::start::{Init, Parts};
use super::sys;
use super::template::Templates;
use super::uid_range::UidRange;
use crate::protocol::{Command, Report, Setup};
use crate::{ProcessSpec, SandboxSpec};

/// Cgroups made ahead, count.
const GROUPS_READY: usize = 8;
/// Cgroups that wait to be removed before removing them is no longer a chore, count.
const GROUPS_DEAD: usize = 64;

/// What lies in a sandbox's sockets may be this part of its memory, where it is counted apart.
const SOCKET_SHARE: u64 = 4;

/// What came of a command: a report, and a descriptor to send with it.
type Outcome = (Option<Report>, Option<OwnedFd>);

/// Everything the spawner owns.
#[derive(Debug)]
pub(super) struct Table {
    sandboxes: HashMap<u64, Sandbox>,
    /// Sandboxes that somebody wants empty.
    emptying: Vec<u64>,
    /// Processes on their way to their program: sandbox and pid.
    starting: Vec<(u64, i32)>,
    /// Which sandbox a child of ours belongs to.
    children: HashMap<i32, u64>,
    slots: Slots,
    templates: Templates,
    cgroups: Option<Cgroups>,
    groups_ready: Vec<Group>,
    groups_dead: Vec<Group>,
    groups_made: u64,
    /// Groups made ahead get these: the next sandbox will probably be like the last.
    last_limits: Option<Limits>,
    base: Base,
    init: Init,
    filter: Program,
    uids: UidRange,
    proc: OwnedFd,
    own_pid_namespace: OwnedFd,
    stack: Stack,
}

impl Table {
    /// Sweeps what an earlier life left and prepares what all sandboxes share.
    pub(super) fn open(setup: &Setup) -> Result<Self, (&'static str, io::Error)> {
        fn at<E: Into<io::Error>>(stage: &'static str) -> impl Fn(E) -> (&'static str, io::Error) {
            move |error| (stage, error.into())
        }
        let cgroups = Cgroups::open(&setup.instance).map_err(at("cgroups"))?;
        if !cgroups.complete() {
            let error = io::Error::other(format!(
                "memory and processes cannot be limited here ({})",
                cgroups.describe()
            ));
            return Err(("cgroups", error));
        }
        let uids = UidRange::claim(&setup.instance).map_err(at("user ids"))?;
        let base = Base::prepare(&setup.run_dir).map_err(at("base"))?;
        let proc = super::open_proc().map_err(at("proc"))?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let own_pid_namespace =
            openat(&proc, "self/ns/pid", flags, Mode::empty()).map_err(at("pid namespace"))?;
        let mut table = Self {
            sandboxes: HashMap::new(),
            emptying: Vec::new(),
            starting: Vec::new(),
            children: HashMap::new(),
            // The first uid of the range is that of every process 1.
            slots: Slots::new(uids.first + 1, setup.ready),
            templates: Templates::new(setup.templates),
            cgroups: Some(cgroups),
            groups_ready: Vec::new(),
            groups_dead: Vec::new(),
            groups_made: 0,
            last_limits: None,
            base,
            init: Init::new(uids.first).map_err(at("init"))?,
            filter: Program::new(),
            uids,
            proc,
            own_pid_namespace,
            stack: Stack::new(),
        };
        // Proves namespaces of every kind before the server says that it is ready.
        table
            .slots
            .make_one(table.proc.as_fd(), &mut table.stack)
            .map_err(at("namespaces"))?;
        Ok(table)
    }

    pub(super) fn ready_report(&self) -> Report {
        let cgroups = self
            .cgroups
            .as_ref()
            .map(Cgroups::describe)
            .unwrap_or_default();
        Report::Ready {
            uid_base: self.uids.first,
            cgroups,
        }
    }

    pub(super) fn perform(&mut self, command: Command, fd: Option<OwnedFd>) -> Outcome {
        match command {
            Command::Create {
                request,
                sandbox,
                spec,
            } => self.create(request, sandbox, &spec),
            Command::Spawn {
                request,
                sandbox,
                process,
                spec,
            } => (self.spawn(request, sandbox, process, &spec, fd), None),
            Command::Signal {
                sandbox,
                process,
                signal,
            } => {
                if let Some(sandbox) = self.sandboxes.get_mut(&sandbox) {
                    sandbox.signal(process, signal);
                }
                (None, None)
            }
            Command::KillAll { request, sandbox } => (self.kill_all(request, sandbox), None),
            Command::Connect { request, sandbox } => self.lend_socket(request, sandbox),
            Command::Destroy { request, sandbox } => (self.destroy(request, sandbox), None),
            Command::Setup(_) | Command::Shutdown => (None, None),
        }
    }

    fn create(&mut self, request: u64, key: u64, spec: &SandboxSpec) -> Outcome {
        let mut stages = Stages::new();
        match self.try_create(key, spec, &mut stages) {
            Ok((cgroup, listener)) => {
                let stages_us = stages.clock();
                (
                    Some(Report::Created {
                        request,
                        cgroup,
                        stages_us,
                    }),
                    Some(listener),
                )
            }
            Err((stage, error)) => (Some(refused(request, stage, &error)), None),
        }
    }

    fn try_create(
        &mut self,
        key: u64,
        spec: &SandboxSpec,
        stages: &mut Stages,
    ) -> Result<(crate::protocol::CgroupPaths, OwnedFd), (String, io::Error)> {
        let mut group = self
            .take_group()
            .map_err(|error| ("cgroup".to_owned(), error))?;
        let cgroups = self.cgroups.as_ref().expect("taken only at the end");
        let limits = Limits {
            // What lies in /tmp is memory too, and is limited by itself.
            memory_bytes: spec.memory_bytes.saturating_add(spec.tmp_bytes),
            socket_bytes: spec.memory_bytes / SOCKET_SHARE,
            processes: spec.processes,
        };
        self.last_limits = Some(limits);
        if let Err(error) = cgroups.limit(&mut group, limits) {
            self.groups_dead.push(group);
            return Err(("cgroup limits".into(), error));
        }
        if let Some(share) = spec.cpu
            && let Err(error) = cgroups.limit_cpu(&mut group, share)
        {
            self.groups_dead.push(group);
            return Err(("cpu share".into(), error));
        }
        let paths = cgroups.paths(&group);
        let _ = stages.step("cgroup", Ok(()));
        let taken = self.slots.take(
            spec.listen_port,
            &spec.trees,
            self.proc.as_fd(),
            &mut self.stack,
        );
        let (slot, listener) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                self.groups_dead.push(group);
                return Err(("network".into(), error));
            }
        };
        let _ = stages.step("slot", Ok(()));
        let born = self
            .templates
            .get(&spec.trees, &self.base, self.proc.as_fd(), &mut self.stack)
            .and_then(|template| {
                let _ = stages.step("template", Ok(()));
                let parts = Parts {
                    template,
                    network: slot.network.as_fd(),
                    tmp_bytes: spec.tmp_bytes,
                };
                let stack = &mut self.stack;
                self.init.start(&parts, stack, stages)
            });
        let born = match born {
            Ok(born) => born,
            Err(failure) => {
                self.groups_dead.push(group);
                drop(listener);
                self.slots.give_back(slot, &mut self.stack);
                return Err(failure);
            }
        };
        let init = born.pidfd.expect("asked for");
        self.children.insert(born.pid, key);
        let sandbox = Sandbox {
            init,
            slot,
            group,
            processes: spec.processes,
            running: Vec::new(),
            init_lives: true,
            slow: spec.cpu.is_some(),
            destroyers: Vec::new(),
            emptiers: Vec::new(),
        };
        self.sandboxes.insert(key, sandbox);
        Ok((paths, listener))
    }

    fn take_group(&mut self) -> io::Result<Group> {
        match self.groups_ready.pop() {
            Some(group) => Ok(group),
            None => self.make_group(),
        }
    }

    fn make_group(&mut self) -> io::Result<Group> {
        self.groups_made += 1;
        let cgroups = self.cgroups.as_ref().expect("taken only at the end");
        // The server writes to these by name, so no later spawner's may have the same.
        let name = format!("s{}-{}", std::process::id(), self.groups_made);
        let mut group = cgroups.create(name)?;
        if let Some(limits) = self.last_limits
            && let Err(error) = cgroups.limit(&mut group, limits)
        {
            cgroups.remove(&group);
            return Err(error);
        }
        Ok(group)
    }

    fn spawn(
        &mut self,
        request: u64,
        key: u64,
        process: u64,
        spec: &ProcessSpec,
        output: Option<OwnedFd>,
    ) -> Option<Report> {
        let refuse = |stage: &str, error| Some(refused(request, stage.to_owned(), error));
        let Some(sandbox) = living(&mut self.sandboxes, key) else {
            return Some(gone(request));
        };
        let Some(output) = output else {
            return refuse("output", &io::Error::other("no pipe came along"));
        };
        let (uid, gid) = (
            Uid::from_raw(sandbox.slot.uid),
            Gid::from_raw(sandbox.slot.uid),
        );
        // So that code may open /dev/stdout and /dev/stderr again by name.
        if let Err(error) = fchown(&output, Some(uid), Some(gid)) {
            return refuse("output owner", &error.into());
        }
        let cgroups = self.cgroups.as_ref().expect("taken only at the end");
        let entrance: Entrance = match cgroups.entrance(&sandbox.group) {
            Ok(entrance) => entrance,
            Err(error) => return refuse("cgroup entrance", &error),
        };
        let inside = Inside {
            init: sandbox.init.as_fd(),
            user: sandbox.slot.user.as_fd(),
            entrance,
            filter: &self.filter,
            own_pid_namespace: self.own_pid_namespace.as_fd(),
            processes: sandbox.processes,
            slow: sandbox.slow,
        };
        let mut stages = Stages::new();
        let stack = &mut self.stack;
        let (pid, start) = match process::start(spec, &inside, output.as_fd(), stack, &mut stages) {
            Ok(Started::Running(pid)) => (pid, Start::Done),
            Ok(Started::Pending(pid, pipe)) => {
                self.starting.push((key, pid));
                let pending = Pending {
                    request,
                    pipe,
                    since: bootlace_types::clock::now(),
                };
                (pid, Start::Pending(pending))
            }
            Err(failure) => return Some(failure.report(request)),
        };
        let runs = matches!(start, Start::Done);
        sandbox.running.push(Running {
            pid,
            process,
            asked_for: false,
            start,
        });
        self.children.insert(pid, key);
        runs.then(|| Report::Spawned {
            request,
            stages_us: stages.clock(),
        })
    }

    /// Where processes on their way tell that they have arrived.
    pub(super) fn starting(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.starting.iter().filter_map(|(key, pid)| {
            let sandbox = self.sandboxes.get(key)?;
            match &sandbox.running.iter().find(|one| one.pid == *pid)?.start {
                Start::Pending(pending) => Some(pending.pipe.as_fd()),
                Start::Done | Start::Failed => None,
            }
        })
    }

    /// Says of processes on their way what is to be said by now.
    pub(super) fn started(&mut self) -> Vec<Report> {
        let sandboxes = &mut self.sandboxes;
        let mut reports = Vec::new();
        self.starting.retain(|(key, pid)| {
            let sandbox = sandboxes.get_mut(key);
            let running = sandbox.and_then(|sandbox| {
                let mut all = sandbox.running.iter_mut();
                all.find(|running| running.pid == *pid)
            });
            // One that is dead was settled when it was reaped.
            let Some(running) = running else { return false };
            reports.extend(running.settle());
            matches!(running.start, Start::Pending(_))
        });
        reports
    }

    fn destroy(&mut self, request: u64, key: u64) -> Option<Report> {
        let Some(sandbox) = self.sandboxes.get_mut(&key) else {
            return Some(Report::Destroyed { request });
        };
        sandbox.destroyers.push(request);
        sandbox.kill();
        None
    }

    fn lend_socket(&mut self, request: u64, key: u64) -> Outcome {
        let Some(sandbox) = living(&mut self.sandboxes, key) else {
            return (Some(gone(request)), None);
        };
        match sandbox.slot.lend_socket(&mut self.stack) {
            Ok(socket) => (Some(Report::Socket { request }), Some(socket)),
            Err(error) => (Some(refused(request, "socket".into(), &error)), None),
        }
    }

    /// Kills the caller's processes; the answer comes by [`Self::emptied`].
    fn kill_all(&mut self, request: u64, key: u64) -> Option<Report> {
        let Some(sandbox) = living(&mut self.sandboxes, key) else {
            return Some(gone(request));
        };
        for running in &mut sandbox.running {
            running.asked_for = true;
        }
        let init = sandbox.init.as_fd();
        let own = self.own_pid_namespace.as_fd();
        if let Err(error) = empty::kill_others(init, own, &mut self.stack) {
            return Some(refused(request, "kill all".into(), &error));
        }
        // They die frozen, but a process that is born there later would not run.
        let cgroups = self.cgroups.as_ref().expect("taken only at the end");
        if let Err(error) = cgroups.thaw(&sandbox.group) {
            return Some(refused(request, "thaw".into(), &error));
        }
        sandbox
            .emptiers
            .push((request, bootlace_types::clock::now()));
        self.emptying.push(key);
        None
    }

    /// Whether [`Self::emptied`] has something to look at.
    pub(super) fn awaits_emptiness(&self) -> bool {
        !self.emptying.is_empty()
    }

    /// Answers those who wait until a sandbox is empty, when it is or when they waited too long.
    /// Who waits for one that is gone was answered by [`Self::bury`].
    pub(super) fn emptied(&mut self) -> Vec<Report> {
        let cgroups = self.cgroups.as_ref().expect("taken only at the end");
        let sandboxes = &mut self.sandboxes;
        let mut reports = Vec::new();
        self.emptying.retain(|key| {
            let Some(sandbox) = sandboxes.get_mut(key) else {
                return false;
            };
            if sandbox.running.is_empty() && cgroups.is_empty(&sandbox.group) {
                cgroups.forget_out_of_memory(&mut sandbox.group);
                let answer = |(request, _)| Report::Emptied { request };
                reports.extend(sandbox.emptiers.drain(..).map(answer));
                return false;
            }
            sandbox.emptiers.retain(|(request, since)| {
                let late = since.elapsed() > empty::EMPTY;
                if late {
                    let error = io::Error::other("some processes do not end");
                    reports.push(refused(*request, "kill all".into(), &error));
                }
                !late
            });
            !sandbox.emptiers.is_empty()
        });
        reports
    }

    /// Collects the dead and says what they mean.
    pub(super) fn reap(&mut self) -> Vec<Report> {
        let mut reports = Vec::new();
        while let Some((pid, end)) = sys::reap(None, false) {
            let Some(key) = self.children.remove(&pid) else {
                continue;
            };
            let Some(sandbox) = self.sandboxes.get_mut(&key) else {
                continue;
            };
            if let Some(at) = sandbox
                .running
                .iter()
                .position(|running| running.pid == pid)
            {
                let mut running = sandbox.running.swap_remove(at);
                reports.extend(running.settle());
                let killed = matches!(end, crate::End::Signaled(libc::SIGKILL))
                    // What a shell says of a command that was killed.
                    || end == crate::End::Exited(128 + libc::SIGKILL);
                let cgroups = self.cgroups.as_ref().expect("taken only at the end");
                let out_of_memory =
                    killed && !running.asked_for && cgroups.was_out_of_memory(&mut sandbox.group);
                if !matches!(running.start, Start::Failed) {
                    reports.push(Report::Exited {
                        process: running.process,
                        end,
                        out_of_memory,
                    });
                }
            } else {
                sandbox.init_lives = false;
            }
            if !sandbox.init_lives && sandbox.running.is_empty() {
                reports.extend(self.bury(key));
            }
        }
        reports
    }

    /// Takes back what a sandbox had.
    fn bury(&mut self, key: u64) -> Vec<Report> {
        let Some(sandbox) = self.sandboxes.remove(&key) else {
            return Vec::new();
        };
        self.groups_dead.push(sandbox.group);
        self.slots.give_back(sandbox.slot, &mut self.stack);
        if self.groups_dead.len() > GROUPS_DEAD {
            self.remove_dead_groups();
        }
        let mut reports: Vec<Report> = sandbox
            .emptiers
            .into_iter()
            .map(|(request, _)| gone(request))
            .collect();
        if sandbox.destroyers.is_empty() {
            reports.push(Report::Gone { sandbox: key });
        }
        let answer = |request| Report::Destroyed { request };
        reports.extend(sandbox.destroyers.into_iter().map(answer));
        reports
    }

    pub(super) fn has_chores(&self) -> bool {
        self.slots.wants_more()
            || !self.groups_dead.is_empty()
            || self.groups_ready.len() < GROUPS_READY
    }

    /// Does a little of what makes later starts fast.
    pub(super) fn do_one_chore(&mut self) {
        if !self.groups_dead.is_empty() {
            self.remove_dead_groups();
        } else if self.groups_ready.len() < GROUPS_READY {
            match self.make_group() {
                Ok(group) => self.groups_ready.insert(0, group),
                Err(error) => complain("prepare a cgroup", &error),
            }
        } else if self.slots.wants_more()
            && let Err(error) = self.slots.make_one(self.proc.as_fd(), &mut self.stack)
        {
            complain("prepare a network namespace", &error);
        }
    }

    fn remove_dead_groups(&mut self) {
        let cgroups = self.cgroups.as_ref().expect("taken only at the end");
        self.groups_dead.retain(|group| !cgroups.remove(group));
    }

    /// Ends everything, in the order in which the kernel lets go of it.
    pub(super) fn close(&mut self) {
        for sandbox in self.sandboxes.values() {
            sandbox.kill();
        }
        while !self.children.is_empty() {
            let Some((pid, _)) = sys::reap(None, true) else {
                break;
            };
            self.children.remove(&pid);
        }
        if let Some(cgroups) = self.cgroups.take() {
            cgroups.close();
        }
    }
}

fn living(sandboxes: &mut HashMap<u64, Sandbox>, key: u64) -> Option<&mut Sandbox> {
    let sandbox = sandboxes.get_mut(&key)?;
    sandbox.init_lives.then_some(sandbox)
}

/// A chore that fails does not hurt yet: the next start does it itself and reports the reason.
fn complain(what: &str, error: &io::Error) {
    eprintln!("bootlace sandbox spawner: cannot {what}: {error}");
}

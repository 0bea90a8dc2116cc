//! Resource limits and counters: cgroups of either version, or of both on one host.
//!
//! Only code is put into a sandbox's cgroups, never its process 1, so that no limit, freezer or
//! out-of-memory kill hits the process that holds the sandbox together. Attaching through
//! `cgroup.procs` waits for a grace period of the kernel, about 8 ms on an idle host; a child that
//! writes `0` to version 1's `tasks`, or is born into version 2's directory, does not.
//!
//! Groups for processor time are made only for sandboxes that have a share, so that the others need
//! not enter them, nor have the scheduler look through one more level.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, open, openat, unlinkat};

use super::places::Places;
use crate::CpuShare;
use crate::protocol::CgroupPaths;

/// Attempts to remove a cgroup whose last task is just going.
const REMOVE_ATTEMPTS: u32 = 200;

/// One hierarchy and our directory in it, under which each sandbox has one.
#[derive(Debug)]
struct Hierarchy {
    path: PathBuf,
    dir: OwnedFd,
}

/// Where this server's cgroups live.
#[derive(Debug)]
pub(super) struct Cgroups {
    v1_memory: Option<Hierarchy>,
    v1_pids: Option<Hierarchy>,
    v1_cpu: Option<Hierarchy>,
    v2: Option<Hierarchy>,
    v2_memory: bool,
    v2_pids: bool,
    /// Whether version 2 could hand it down. It is not before somebody has a share.
    v2_cpu: bool,
    /// The mount that version 2's directory is in.
    v2_top: PathBuf,
}

/// The limits of one sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) memory_bytes: u64,
    /// Of what is in sockets. Version 2 counts it as memory.
    pub(super) socket_bytes: u64,
    pub(super) processes: u32,
}

/// The cgroups of one sandbox.
#[derive(Debug)]
pub(super) struct Group {
    name: String,
    limits: Option<Limits>,
    /// It has a directory for processor time, too.
    v1_cpu: bool,
    /// Out-of-memory kills that have been told already.
    kills_seen: u64,
}

/// What a child needs to enter a group.
#[derive(Debug, Default)]
pub(super) struct Entrance {
    /// Each takes a `0` from the child itself.
    pub(super) tasks: [Option<OwnedFd>; 2],
    /// Likewise, but late: from then on other code can hold the child up.
    pub(super) cpu: Option<OwnedFd>,
    /// A directory to be born in.
    pub(super) born: Option<OwnedFd>,
}

impl Cgroups {
    /// Finds the hierarchies, removes what an earlier life left there, and makes our directories.
    pub(super) fn open(instance: &str) -> io::Result<Self> {
        Self::open_at(Places::read()?, instance)
    }

    fn open_at(places: Places, instance: &str) -> io::Result<Self> {
        let mut opened: Vec<Hierarchy> = Vec::new();
        let mut open = |place: Option<PathBuf>| -> io::Result<Option<Hierarchy>> {
            let Some(path) = place.map(|place| place.join(instance)) else {
                return Ok(None);
            };
            // Controllers may be mounted together.
            let known = opened.iter().position(|hierarchy| hierarchy.path == path);
            let at = match known {
                Some(at) => at,
                None => {
                    opened.push(Hierarchy::open(&path)?);
                    opened.len() - 1
                }
            };
            opened[at].again().map(Some)
        };
        let v2 = places.v2.as_deref().and_then(|place| {
            let hierarchy = Hierarchy::open(&place.join(instance)).ok()?;
            delegate(place, &hierarchy.path);
            Some(hierarchy)
        });
        let offers = |name: &str| {
            let has = |hierarchy: &Hierarchy| {
                fs::read_to_string(hierarchy.path.join("cgroup.subtree_control"))
                    .is_ok_and(|list| list.split_whitespace().any(|word| word == name))
            };
            v2.as_ref().is_some_and(has)
        };
        let (v2_memory, v2_pids) = (offers("memory"), offers("pids"));
        let v2_top = places.v2.clone().unwrap_or_default();
        let listed = fs::read_to_string(v2_top.join("cgroup.controllers")).unwrap_or_default();
        let v2_cpu = v2.is_some() && listed.split_whitespace().any(|word| word == "cpu");
        let v1_memory = if v2_memory {
            None
        } else {
            open(places.v1_memory)?
        };
        let v1_pids = if v2_pids { None } else { open(places.v1_pids)? };
        // Code runs without a share where this cannot be had.
        let v1_cpu = open(places.v1_cpu).unwrap_or(None);
        Ok(Self {
            v1_memory,
            v1_pids,
            v1_cpu,
            v2,
            v2_memory,
            v2_pids,
            v2_cpu,
            v2_top,
        })
    }

    /// What limits memory and processes here, for people.
    pub(super) fn describe(&self) -> String {
        let version = |v1: bool, v2: bool| match (v1, v2) {
            (_, true) => "v2",
            (true, false) => "v1",
            (false, false) => "none",
        };
        format!(
            "memory {}, pids {}, cpu {}, freeze {}",
            version(self.v1_memory.is_some(), self.v2_memory),
            version(self.v1_pids.is_some(), self.v2_pids),
            version(self.v1_cpu.is_some(), self.v2_cpu),
            version(false, self.v2.is_some()),
        )
    }

    /// Whether both memory and processes can be limited.
    pub(super) fn complete(&self) -> bool {
        (self.v1_memory.is_some() || self.v2_memory) && (self.v1_pids.is_some() || self.v2_pids)
    }

    /// Those that every group is in.
    fn hierarchies(&self) -> impl Iterator<Item = &Hierarchy> {
        let joint = match (&self.v1_memory, &self.v1_pids) {
            (Some(memory), Some(pids)) => memory.path == pids.path,
            _ => false,
        };
        let pids = if joint { &None } else { &self.v1_pids };
        [&self.v1_memory, pids, &self.v2].into_iter().flatten()
    }

    /// Makes a group without limits.
    pub(super) fn create(&self, name: String) -> io::Result<Group> {
        for hierarchy in self.hierarchies() {
            mkdirat(&hierarchy.dir, &name, Mode::from_raw_mode(0o755))?;
        }
        Ok(Group {
            name,
            limits: None,
            v1_cpu: false,
            kills_seen: 0,
        })
    }

    /// Bounds the processor time of a group.
    pub(super) fn limit_cpu(&self, group: &mut Group, share: CpuShare) -> io::Result<()> {
        let (quota, period) = (share.quota_us.to_string(), share.period_us.to_string());
        match (&self.v1_cpu, &self.v2) {
            (Some(hierarchy), _) => {
                match mkdirat(&hierarchy.dir, &group.name, Mode::from_raw_mode(0o755)) {
                    // It is mounted together with one that the group is in already.
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                group.v1_cpu = true;
                hierarchy.write(group, "cpu.cfs_period_us", &period)?;
                hierarchy.write(group, "cpu.cfs_quota_us", &quota)
            }
            (None, Some(hierarchy)) if self.v2_cpu => {
                let value = format!("{quota} {period}");
                match hierarchy.write(group, "cpu.max", &value) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        hand_down(&self.v2_top, &hierarchy.path, "+cpu");
                        hierarchy.write(group, "cpu.max", &value)
                    }
                    other => other,
                }
            }
            _ => Err(io::Error::other("there is no cgroup controller `cpu` here")),
        }
    }

    /// Sets the limits, unless they were set so before: each write costs some 40 µs.
    pub(super) fn limit(&self, group: &mut Group, limits: Limits) -> io::Result<()> {
        if group.limits == Some(limits) {
            return Ok(());
        }
        group.limits = None;
        self.write_limits(group, limits)?;
        group.limits = Some(limits);
        Ok(())
    }

    fn write_limits(&self, group: &Group, limits: Limits) -> io::Result<()> {
        let memory = limits.memory_bytes.to_string();
        let processes = limits.processes.to_string();
        if let Some(hierarchy) = &self.v1_memory {
            const PLAIN: &str = "memory.limit_in_bytes";
            const WITH_SWAP: &str = "memory.memsw.limit_in_bytes";
            // Counted apart, if at all: without a limit it would be the host's.
            let sockets = limits.socket_bytes.to_string();
            hierarchy.write_if_present(group, "memory.kmem.tcp.limit_in_bytes", &sockets)?;
            // The limit with swap may never be the lower one, so a group that is used again with
            // more memory than before needs it raised first, and with less lowered last.
            let written = hierarchy.write(group, PLAIN, &memory);
            if written.as_ref().err().and_then(io::Error::raw_os_error) == Some(libc::EINVAL) {
                hierarchy.write_if_present(group, WITH_SWAP, &memory)?;
                hierarchy.write(group, PLAIN, &memory)?;
            } else {
                written?;
                hierarchy.write_if_present(group, WITH_SWAP, &memory)?;
            }
        }
        if let Some(hierarchy) = &self.v1_pids {
            hierarchy.write(group, "pids.max", &processes)?;
        }
        let Some(hierarchy) = &self.v2 else {
            return Ok(());
        };
        if self.v2_memory {
            hierarchy.write(group, "memory.max", &memory)?;
            hierarchy.write_if_present(group, "memory.swap.max", "0")?;
            // One process of a function out of memory means the function is.
            hierarchy.write_if_present(group, "memory.oom.group", "1")?;
        }
        if self.v2_pids {
            hierarchy.write(group, "pids.max", &processes)?;
        }
        Ok(())
    }

    pub(super) fn entrance(&self, group: &Group) -> io::Result<Entrance> {
        let mut entrance = Entrance::default();
        let cpu = if group.v1_cpu { &self.v1_cpu } else { &None };
        let v1 = [&self.v1_memory, &self.v1_pids, cpu];
        let [memory, pids] = &mut entrance.tasks;
        for (hierarchy, slot) in v1.into_iter().zip([memory, pids, &mut entrance.cpu]) {
            let Some(hierarchy) = hierarchy else { continue };
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let path = format!("{}/tasks", group.name);
            *slot = Some(openat(&hierarchy.dir, path, flags, Mode::empty())?);
        }
        if let Some(hierarchy) = &self.v2 {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            entrance.born = Some(openat(&hierarchy.dir, &group.name, flags, Mode::empty())?);
        }
        Ok(entrance)
    }

    /// Whether the kernel has killed for want of memory in this group since this was last asked.
    pub(super) fn was_out_of_memory(&self, group: &mut Group) -> bool {
        let (hierarchy, file) = match (&self.v1_memory, &self.v2) {
            (Some(hierarchy), _) => (hierarchy, "memory.oom_control"),
            (None, Some(hierarchy)) => (hierarchy, "memory.events"),
            (None, None) => return false,
        };
        let text = fs::read_to_string(hierarchy.path.join(&group.name).join(file));
        let kills = text.ok().and_then(|text| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("oom_kill "))?;
            line.trim().parse().ok()
        });
        let kills = kills.unwrap_or(0);
        let risen = kills > group.kills_seen;
        group.kills_seen = kills;
        risen
    }

    /// Kills for want of memory that came until now are nobody's who is started later.
    pub(super) fn forget_out_of_memory(&self, group: &mut Group) {
        self.was_out_of_memory(group);
    }

    /// Whether no task is in a group any more, not even a dead one.
    pub(super) fn is_empty(&self, group: &Group) -> bool {
        let hierarchy = if self.v2_pids {
            &self.v2
        } else {
            &self.v1_pids
        };
        let count = hierarchy.as_ref().map(|hierarchy| {
            fs::read_to_string(hierarchy.path.join(&group.name).join("pids.current"))
        });
        count.is_some_and(|count| count.is_ok_and(|count| count.trim() == "0"))
    }

    /// Lets the processes of a group go on, and those that come into it.
    pub(super) fn thaw(&self, group: &Group) -> io::Result<()> {
        match &self.v2 {
            Some(hierarchy) => hierarchy.write(group, "cgroup.freeze", "0"),
            None => Ok(()),
        }
    }

    pub(super) fn paths(&self, group: &Group) -> CgroupPaths {
        let path = |hierarchy: &Option<Hierarchy>| {
            hierarchy
                .as_ref()
                .map(|hierarchy| hierarchy.path.join(&group.name))
        };
        CgroupPaths {
            v1_memory: path(&self.v1_memory),
            v1_pids: path(&self.v1_pids),
            v1_cpu: path(&self.v1_cpu).filter(|_| group.v1_cpu),
            v2: path(&self.v2),
        }
    }

    /// Removes a group's directories; `false` while a task is still in one of them.
    pub(super) fn remove(&self, group: &Group) -> bool {
        let cpu = self.v1_cpu.iter().filter(|_| group.v1_cpu);
        self.hierarchies().chain(cpu).all(|hierarchy| {
            match unlinkat(&hierarchy.dir, &group.name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => true,
                Err(_) => false,
            }
        })
    }

    /// Removes everything of this server.
    pub(super) fn close(self) {
        for hierarchy in self.hierarchies().chain(&self.v1_cpu) {
            remove_tree(&hierarchy.path);
        }
    }
}

impl Hierarchy {
    fn open(path: &Path) -> io::Result<Self> {
        if path.exists() {
            remove_tree(path);
        }
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            path: path.to_owned(),
            dir: open(path, flags, Mode::empty())?,
        })
    }

    /// The same once more.
    fn again(&self) -> io::Result<Self> {
        Ok(Self {
            path: self.path.clone(),
            dir: self.dir.try_clone()?,
        })
    }

    fn write(&self, group: &Group, file: &str, value: &str) -> io::Result<()> {
        let path = format!("{}/{file}", group.name);
        let fd = openat(
            &self.dir,
            path,
            OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        rustix::io::write(fd, value.as_bytes())?;
        Ok(())
    }

    fn write_if_present(&self, group: &Group, file: &str, value: &str) -> io::Result<()> {
        match self.write(group, file, value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

/// Hands controllers down from `place` to our directory and from there to the sandboxes. What
/// cannot be handed down is absent afterwards, and version 1 or `doctor` takes over.
fn delegate(place: &Path, own: &Path) {
    for controller in ["+memory", "+pids"] {
        hand_down(place, own, controller);
    }
}

fn hand_down(place: &Path, own: &Path, controller: &str) {
    let _ = fs::write(place.join("cgroup.subtree_control"), controller);
    let _ = fs::write(own.join("cgroup.subtree_control"), controller);
}

/// Kills what is left in a directory of cgroups and removes it. Best effort, bounded.
fn remove_tree(path: &Path) {
    let _ = fs::write(path.join("cgroup.kill"), "1");
    let children = fs::read_dir(path).into_iter().flatten().flatten();
    for child in children.filter(|child| child.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_tree(&child.path());
    }
    for _ in 0..REMOVE_ATTEMPTS {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            _ => return,
        }
        kill_all(path);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn kill_all(path: &Path) {
    let list = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    for pid in list.lines().filter_map(|line| line.parse().ok()) {
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_that_are_mounted_together_share_a_group() {
        // Plain directories serve for cgroups as long as no limit is written.
        let mount = tempfile::tempdir().expect("a directory");
        let place = Some(mount.path().to_owned());
        let places = Places {
            v1_memory: place.clone(),
            v1_pids: place.clone(),
            v1_cpu: place,
            v2: None,
        };
        let cgroups = Cgroups::open_at(places, "bootlace-test").expect("they open");
        assert!(cgroups.complete());
        let group = cgroups.create("s1".into()).expect("it is made once");
        let made = mount.path().join("bootlace-test/s1");
        assert!(made.is_dir());
        assert!(cgroups.remove(&group));
        assert!(!made.exists());
    }
}

//! Resource limits and counters: cgroups of either version, or of both on one host.
//!
//! Only code is put into a sandbox's cgroups, never its process 1, so that no limit, freezer or
//! out-of-memory kill hits the process that holds the sandbox together. Attaching through
//! `cgroup.procs` waits for a grace period of the kernel, about 8 ms on an idle host; a child that
//! writes `0` to version 1's `tasks`, or is born into version 2's directory, does not.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, open, openat, unlinkat};

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
    v2: Option<Hierarchy>,
    v2_memory: bool,
    v2_pids: bool,
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
    /// Out-of-memory kills that have been told already.
    kills_seen: u64,
}

/// What a child needs to enter a group.
#[derive(Debug, Default)]
pub(super) struct Entrance {
    /// Each takes a `0` from the child itself.
    pub(super) tasks: [Option<OwnedFd>; 2],
    /// A directory to be born in.
    pub(super) born: Option<OwnedFd>,
}

impl Cgroups {
    /// Finds the hierarchies, removes what an earlier life left there, and makes our directories.
    pub(super) fn open(instance: &str) -> io::Result<Self> {
        let places = Places::read()?;
        let open = |place: Option<PathBuf>| -> io::Result<Option<Hierarchy>> {
            place
                .map(|place| Hierarchy::open(&place.join(instance)))
                .transpose()
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
        let v1_memory = if v2_memory {
            None
        } else {
            open(places.v1_memory)?
        };
        let v1_pids = if v2_pids { None } else { open(places.v1_pids)? };
        Ok(Self {
            v1_memory,
            v1_pids,
            v2,
            v2_memory,
            v2_pids,
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
            "memory {}, pids {}, freeze {}",
            version(self.v1_memory.is_some(), self.v2_memory),
            version(self.v1_pids.is_some(), self.v2_pids),
            version(false, self.v2.is_some()),
        )
    }

    /// Whether both memory and processes can be limited.
    pub(super) fn complete(&self) -> bool {
        (self.v1_memory.is_some() || self.v2_memory) && (self.v1_pids.is_some() || self.v2_pids)
    }

    fn hierarchies(&self) -> impl Iterator<Item = &Hierarchy> {
        [&self.v1_memory, &self.v1_pids, &self.v2]
            .into_iter()
            .flatten()
    }

    /// Makes a group without limits.
    pub(super) fn create(&self, name: String) -> io::Result<Group> {
        for hierarchy in self.hierarchies() {
            mkdirat(&hierarchy.dir, &name, Mode::from_raw_mode(0o755))?;
        }
        Ok(Group {
            name,
            limits: None,
            kills_seen: 0,
        })
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
        let v1 = [&self.v1_memory, &self.v1_pids];
        for (hierarchy, slot) in v1.into_iter().zip(&mut entrance.tasks) {
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

    pub(super) fn paths(&self, group: &Group) -> CgroupPaths {
        let path = |hierarchy: &Option<Hierarchy>| {
            hierarchy
                .as_ref()
                .map(|hierarchy| hierarchy.path.join(&group.name))
        };
        CgroupPaths {
            v1_memory: path(&self.v1_memory),
            v1_pids: path(&self.v1_pids),
            v2: path(&self.v2),
        }
    }

    /// Removes a group's directories; `false` while a task is still in one of them.
    pub(super) fn remove(&self, group: &Group) -> bool {
        self.hierarchies().all(|hierarchy| {
            match unlinkat(&hierarchy.dir, &group.name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => true,
                Err(_) => false,
            }
        })
    }

    /// Removes everything of this server.
    pub(super) fn close(self) {
        for hierarchy in self.hierarchies() {
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
        let _ = fs::write(place.join("cgroup.subtree_control"), controller);
        let _ = fs::write(own.join("cgroup.subtree_control"), controller);
    }
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

/// Directories in which this process may make cgroups.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) v1_memory: Option<PathBuf>,
    pub(crate) v1_pids: Option<PathBuf>,
    pub(crate) v2: Option<PathBuf>,
}

impl Places {
    pub(crate) fn read() -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        Ok(Self::parse(&mounts, &own))
    }

    /// Below this process's own cgroup in version 1, so that limits set on the server hold for its
    /// sandboxes; at the mount's top in version 2, where inner cgroups may not hold processes.
    fn parse(mounts: &str, own: &str) -> Self {
        let v1 = |controller: &str| {
            let own = own.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':').skip(1);
                let controllers = fields.next()?;
                let path = fields.next()?;
                controllers
                    .split(',')
                    .any(|name| name == controller)
                    .then_some(path)
            })?;
            mounts.lines().filter_map(Mount::parse).find_map(|mount| {
                let here = mount.kind == "cgroup"
                    && mount.options.split(',').any(|name| name == controller);
                let relative = Path::new(own).strip_prefix(&mount.root).ok()?;
                here.then(|| mount.target.join(relative))
            })
        };
        let v2 = mounts
            .lines()
            .filter_map(Mount::parse)
            .find(|mount| mount.kind == "cgroup2");
        Self {
            v1_memory: v1("memory"),
            v1_pids: v1("pids"),
            v2: v2.map(|mount| mount.target),
        }
    }
}

/// One line of `/proc/self/mountinfo`.
#[derive(Debug)]
struct Mount {
    root: PathBuf,
    target: PathBuf,
    kind: String,
    options: String,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(3);
        let (root, target) = (front.next()?, front.next()?);
        let mut back = back.split(' ');
        let kind = back.next()?.to_owned();
        let options = back.nth(1)?.to_owned();
        Some(Self {
            root: unescape(root),
            target: unescape(target),
            kind,
            options,
        })
    }
}

/// The kernel writes blanks and backslashes in octal.
fn unescape(path: &str) -> PathBuf {
    let path = path
        .replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n");
    PathBuf::from(path.replace("\\134", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(mounts: &str, own: &str) -> Vec<Option<String>> {
        let places = Places::parse(mounts, own);
        [places.v1_memory, places.v1_pids, places.v2]
            .map(|path| path.map(|path| path.display().to_string()))
            .to_vec()
    }

    #[test]
    fn version_1_places_lie_below_the_own_cgroup() {
        let mounts = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let own = "8:pids:/\n4:memory:/a/b\n0::/\n";
        assert_eq!(
            places(mounts, own),
            [
                Some("/sys/fs/cgroup/memory/a/b".into()),
                Some("/sys/fs/cgroup/pids/".into()),
                Some("/sys/fs/cgroup/unified".into()),
            ]
        );
    }

    #[test]
    fn joint_controllers_and_partial_mounts_are_understood() {
        let mounts = "35 31 0:32 /docker/x /cg/both rw master:1 - cgroup none rw,memory,pids\n";
        let own = "4:pids,memory:/docker/x/y\n";
        assert_eq!(
            places(mounts, own),
            [Some("/cg/both/y".into()), Some("/cg/both/y".into()), None]
        );
    }

    #[test]
    fn version_2_alone_has_one_place() {
        let mounts =
            "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        let own = "0::/system.slice/bootlace.service\n";
        assert_eq!(
            places(mounts, own),
            [None, None, Some("/sys/fs/cgroup".into())]
        );
    }
}

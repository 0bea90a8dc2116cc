//! Where cgroups can be made: what is mounted, and where this process is in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Directories in which this process may make cgroups.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) v1_memory: Option<PathBuf>,
    pub(crate) v1_pids: Option<PathBuf>,
    pub(crate) v1_cpu: Option<PathBuf>,
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
            v1_cpu: v1("cpu"),
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
        [places.v1_memory, places.v1_pids, places.v1_cpu, places.v2]
            .map(|path| path.map(|path| path.display().to_string()))
            .to_vec()
    }

    #[test]
    fn version_1_places_lie_below_the_own_cgroup() {
        let mounts = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
                      39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let own = "8:pids:/\n3:cpuset:/\n2:cpu,cpuacct:/c\n4:memory:/a/b\n0::/\n";
        assert_eq!(
            places(mounts, own),
            [
                Some("/sys/fs/cgroup/memory/a/b".into()),
                Some("/sys/fs/cgroup/pids/".into()),
                Some("/sys/fs/cgroup/cpu,cpuacct/c".into()),
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
            [
                Some("/cg/both/y".into()),
                Some("/cg/both/y".into()),
                None,
                None
            ]
        );
    }

    #[test]
    fn version_2_alone_has_one_place() {
        let mounts =
            "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        let own = "0::/system.slice/bootlace.service\n";
        assert_eq!(
            places(mounts, own),
            [None, None, None, Some("/sys/fs/cgroup".into())]
        );
    }
}

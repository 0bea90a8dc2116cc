//! What a server has on the host: processes, mounts, cgroups.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::eventually;

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    started: String,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        if matches!(fields[0], "Z" | "X") {
            return None;
        }
        Some(Self {
            pid,
            parent: fields[1].parse().ok()?,
            started: fields[19].to_owned(),
        })
    }

    pub(crate) fn lives(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.started == self.started)
    }
}

/// All processes below one, itself left out.
pub(crate) fn descendants(pid: u32) -> Vec<Process> {
    let numbers = fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let all: Vec<Process> = numbers.filter_map(Process::read).collect();
    let mut family = vec![pid];
    let mut found: Vec<Process> = Vec::new();
    while let Some(parent) = family.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            family.push(process.pid);
            found.push(process.clone());
        }
    }
    found
}

/// What the host still holds in the name of a data directory: mounts, cgroups.
pub(crate) fn traces_on_host(data_dir: &Path) -> Vec<String> {
    let data_dir = data_dir.canonicalize().expect("the data directory");
    let data_dir = data_dir.to_str().expect("UTF-8");
    let instance = instance_of(data_dir);
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let mounts = mounts
        .lines()
        .filter(|line| line.contains(data_dir) || line.contains(&instance));
    let mut traces: Vec<String> = mounts.map(|line| format!("mount {line}")).collect();
    let controllers = mounts_of("cgroup").into_iter().chain(mounts_of("cgroup2"));
    for root in controllers {
        find_directories(Path::new(&root), &instance, &mut traces);
    }
    traces
}

/// As the server names everything on the host that is its own.
pub(crate) fn instance_of(data_dir: &str) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(data_dir);
    let hex: String = digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("bootlace-{hex}")
}

fn mounts_of(kind: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let of_kind = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (target, found) = (fields.nth(1)?, fields.next()?);
        (found == kind).then(|| target.to_owned())
    });
    of_kind.collect()
}

/// With their inodes: a cgroup that is made anew under an old name is another one.
fn cgroups_in(directory: &Path, found: &mut Vec<String>) {
    let Ok(metadata) = fs::metadata(directory) else {
        return;
    };
    found.push(format!(
        "cgroup {} ({})",
        directory.display(),
        metadata.ino()
    ));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            cgroups_in(&entry.path(), found);
        }
    }
}

fn find_directories(root: &Path, part: &str, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(root) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if entry.file_name().to_string_lossy().contains(part) {
                cgroups_in(&entry.path(), found);
            } else {
                find_directories(&entry.path(), part, found);
            }
        }
    }
}

/// Sends a signal to a process that must be there.
pub(crate) fn kill(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("a pid");
    kill_process(pid, signal).expect("the process is there");
}

/// Waits until none of them runs.
pub(crate) fn all_end(family: &[Process]) {
    eventually("every process of the server is gone", || {
        family.iter().all(|process| !process.lives())
    });
}

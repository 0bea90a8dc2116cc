//! What a server and the processes below it hold in memory, read from /proc.

use std::collections::HashMap;
use std::fs;

use anyhow::Context;

/// In MiB. Functions are only counted: their memory is their own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident set of the server's process.
    pub(crate) server: f64,
    /// Proportional set of every process below it that is not a function: the spawner, and the first
    /// process of each sandbox. Proportional, since they share their pages.
    pub(crate) helpers: f64,
    pub(crate) functions: usize,
}

impl Memory {
    pub(crate) fn of(server: i32) -> anyhow::Result<Self> {
        let mut memory = Self {
            server: field(server, "status", "VmRSS:")?,
            helpers: 0.0,
            functions: 0,
        };
        for process in descendants(server)? {
            if is_function(process) {
                memory.functions += 1;
            } else {
                // It may have ended since it was listed.
                memory.helpers += field(process, "smaps_rollup", "Pss:").unwrap_or(0.0);
            }
        }
        Ok(memory)
    }
}

fn is_function(process: i32) -> bool {
    let program = fs::read_link(format!("/proc/{process}/exe"));
    program.is_ok_and(|path| path.file_name().is_some_and(|name| name == "bootstrap"))
}

fn field(process: i32, file: &str, name: &str) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/{file}"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .context("no such field")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib / 1024.0)
}

fn descendants(ancestor: i32) -> anyhow::Result<Vec<i32>> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(process) = entry?.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        if let Some(parent) = parent(process) {
            children.entry(parent).or_default().push(process);
        }
    }
    let mut found = Vec::new();
    let mut unseen = vec![ancestor];
    while let Some(process) = unseen.pop() {
        let below = children.remove(&process).unwrap_or_default();
        unseen.extend(&below);
        found.extend(below);
    }
    Ok(found)
}

fn parent(process: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name is in parentheses and may hold anything; the parent is the second word behind it.
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::{Memory, parent};

    #[test]
    fn this_process_has_a_parent_and_some_memory() {
        let this = i32::try_from(std::process::id()).unwrap();
        assert!(parent(this).unwrap() > 0);
        assert!(Memory::of(this).unwrap().server > 0.1);
    }
}

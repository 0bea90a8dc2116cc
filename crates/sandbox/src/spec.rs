//! What a sandbox and a process in it shall be, and what they were.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::SandboxError;

/// One sandbox to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// Unique among the live sandboxes of the server; `[a-z0-9-]{1,40}`.
    pub id: String,
    /// Read-only mounts. Sandboxes with equal vectors share one prepared template.
    pub trees: Vec<TreeMount>,
    /// Memory for the processes, bytes.
    pub memory_bytes: u64,
    /// Size of `/tmp`, bytes.
    pub tmp_bytes: u64,
    /// Processes and threads at once, count.
    pub processes: u32,
    /// A listener at `127.0.0.1:<port>` inside the sandbox is handed to the host.
    pub listen_port: u16,
    /// The most processor time for the processes together; none is as much as there is, for good.
    pub cpu: Option<CpuShare>,
}

/// So much processor time in each period: more than the period is more than one processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuShare {
    pub quota_us: u64,
    pub period_us: u64,
}

impl CpuShare {
    /// The shortest quota and the bounds of a period that the kernel takes.
    const QUOTA_LEAST_US: u64 = 1_000;
    const PERIOD_US: std::ops::RangeInclusive<u64> = 1_000..=1_000_000;

    pub(crate) fn validate(self) -> Result<(), SandboxError> {
        if self.quota_us >= Self::QUOTA_LEAST_US && Self::PERIOD_US.contains(&self.period_us) {
            return Ok(());
        }
        Err(SandboxError::Invalid(format!("{self:?}")))
    }
}

/// One read-only directory made of host trees, merged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TreeMount {
    /// Where it appears, absolute: `/var/task`, `/opt`.
    pub target: PathBuf,
    /// Host directories, lowest first. None makes an empty directory.
    pub layers: Vec<PathBuf>,
}

/// One process to start in a sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Path as code in the sandbox sees it.
    pub program: PathBuf,
    /// The whole vector, `argv[0]` included.
    pub args: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Working directory as code in the sandbox sees it.
    pub cwd: PathBuf,
}

/// What a sandbox uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Memory without what lies in `/tmp`, bytes.
    pub memory_bytes: u64,
    /// Processes and threads that count against the limit.
    pub processes: u32,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus {
    pub end: End,
    /// The kernel killed it, or a process it waited for, because the memory limit was reached.
    pub out_of_memory: bool,
}

/// The manner of a process's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// It called exit with this status.
    Exited(i32),
    /// This signal ended it.
    Signaled(i32),
    /// The sandbox or the spawner went away first; nobody knows.
    Lost,
}

impl ExitStatus {
    /// It called exit.
    #[must_use]
    pub const fn exited(code: i32) -> Self {
        Self {
            end: End::Exited(code),
            out_of_memory: false,
        }
    }

    /// A signal ended it.
    #[must_use]
    pub const fn signaled(signal: i32) -> Self {
        Self {
            end: End::Signaled(signal),
            out_of_memory: false,
        }
    }

    /// Nobody knows how it ended.
    #[must_use]
    pub const fn lost() -> Self {
        Self {
            end: End::Lost,
            out_of_memory: false,
        }
    }
}

//! The server's side of the Linux driver.

use std::path::PathBuf;

use crate::driver::Process;
use crate::{ProcessSpec, SandboxError, SandboxSpec, SpawnError, Stats};

/// How the spawner process is started: normally the server's own executable with a hidden verb.
#[derive(Debug, Clone)]
pub struct SpawnerCommand {
    pub exe: PathBuf,
    pub args: Vec<String>,
}

/// What the Linux driver needs to know.
#[derive(Debug, Clone)]
pub struct LinuxOptions {
    pub spawner: SpawnerCommand,
    /// `bootlace-<12 hex>`; everything on the host is named with it.
    pub instance: String,
    /// A directory of this server for the prepared base.
    pub run_dir: PathBuf,
    /// The directory below which all trees of all specifications lie.
    pub trees_dir: PathBuf,
    pub pool: PoolOptions,
}

/// What is kept ready.
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    /// Prepared network namespaces with their user namespace, count.
    pub ready: usize,
    /// Template mount namespaces kept at most, count.
    pub templates: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            ready: 8,
            templates: 256,
        }
    }
}

/// Sandboxes of namespaces, cgroups and seccomp. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LinuxDriver {}

impl LinuxDriver {
    /// Starts the spawner. Needs a running Tokio runtime.
    pub fn start(options: LinuxOptions) -> Result<Self, SandboxError> {
        let _ = options;
        Ok(Self {})
    }

    /// Whether the spawner lives.
    #[must_use]
    pub fn ready(&self) -> bool {
        false
    }

    pub(crate) async fn create(&self, _spec: SandboxSpec) -> Result<LinuxSandbox, SandboxError> {
        Err(SandboxError::SpawnerGone)
    }

    pub(crate) async fn shutdown(&self) {}
}

#[derive(Debug)]
pub(crate) struct LinuxSandbox {}

impl LinuxSandbox {
    pub(crate) fn take_listener(&mut self) -> Option<std::net::TcpListener> {
        None
    }
    pub(crate) fn address(&self) -> &str {
        ""
    }
    pub(crate) async fn spawn(&self, _spec: ProcessSpec) -> Result<Process, SpawnError> {
        Err(SandboxError::SpawnerGone.into())
    }
    pub(crate) fn stats(&self) -> Result<Stats, SandboxError> {
        Err(SandboxError::SpawnerGone)
    }
    pub(crate) async fn destroy(self) -> Result<(), SandboxError> {
        Ok(())
    }
}

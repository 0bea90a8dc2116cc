//! Sandboxes that are none: ordinary child processes of the server.

use std::path::PathBuf;

use crate::driver::Process;
use crate::{ProcessSpec, SandboxError, SandboxSpec, SpawnError, Stats};

/// What the local driver needs to know.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// A directory of this server; every sandbox gets one below it.
    pub run_dir: PathBuf,
}

/// Unsandboxed process groups. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LocalDriver {}

impl LocalDriver {
    /// Needs a running Tokio runtime.
    pub fn start(options: LocalOptions) -> Result<Self, SandboxError> {
        let _ = options;
        Ok(Self {})
    }
    pub(crate) async fn create(&self, _spec: SandboxSpec) -> Result<LocalSandbox, SandboxError> {
        Err(SandboxError::SandboxGone)
    }
    pub(crate) async fn shutdown(&self) {}
}

#[derive(Debug)]
pub(crate) struct LocalSandbox {}

impl LocalSandbox {
    pub(crate) fn take_listener(&mut self) -> Option<std::net::TcpListener> {
        None
    }
    pub(crate) fn address(&self) -> &str {
        ""
    }
    pub(crate) fn inside(&self, path: &str) -> PathBuf {
        PathBuf::from(path)
    }
    pub(crate) async fn spawn(&self, _spec: &ProcessSpec) -> Result<Process, SpawnError> {
        Err(SandboxError::SandboxGone.into())
    }
    pub(crate) fn stats(&self) -> Result<Stats, SandboxError> {
        Err(SandboxError::SandboxGone)
    }
    pub(crate) async fn destroy(self) -> Result<(), SandboxError> {
        Ok(())
    }
}

//! What can go wrong with a sandbox.

use std::io;

/// A sandbox could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// This host cannot do it; the remedy is exact.
    #[error("{what} is not possible on this host: {why}; remedy: {remedy}")]
    Unavailable {
        what: &'static str,
        why: String,
        remedy: String,
    },
    /// The specification breaks a rule of this crate.
    #[error("invalid sandbox specification: {0}")]
    Invalid(String),
    /// A step of making the sandbox failed.
    #[error("sandbox stage `{stage}` failed: {message}")]
    Stage { stage: String, message: String },
    /// The spawner process is gone, and every sandbox with it.
    #[error("the sandbox spawner is gone")]
    SpawnerGone,
    /// The sandbox is gone already.
    #[error("the sandbox is gone")]
    SandboxGone,
    /// No process can be started in it before it is thawed.
    #[error("the sandbox is frozen")]
    Frozen,
    /// It cannot be frozen at the moment.
    #[error("a process of the sandbox is being started or ended")]
    Busy,
    /// The host refused something.
    #[error("{what}: {source}")]
    Io {
        what: &'static str,
        #[source]
        source: io::Error,
    },
}

impl SandboxError {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// A process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The program cannot be executed: absent, not executable, no known format, too long arguments.
    #[error("cannot execute {program}: {}", io::Error::from_raw_os_error(*errno))]
    Exec { program: String, errno: i32 },
    /// The sandbox could not do it.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

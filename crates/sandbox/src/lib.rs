//! Isolation of processes on Linux.
//!
//! A [`Driver`] makes sandboxes, a [`Sandbox`] starts processes in itself, a [`Process`] has output
//! and an end. The `Linux` driver uses namespaces, cgroups and seccomp and never forks the server:
//! a small single-threaded process, the spawner ([`spawner_main`]), makes everything. `Local` runs
//! ordinary child processes without any barrier and is used only when asked for by name; `Fake`
//! runs scripts of a test.
//!
//! What this crate does not know: functions, runtimes, layers, invocations, HTTP. It mounts trees,
//! starts programs and reports how they ended. It is the only crate with `unsafe` code; each use
//! says which promise of the kernel it rests on.
//!
//! Read [`Driver`] first, then `spawner` for how a sandbox is made.

mod connector;
mod driver;
mod error;
mod fake;
mod linux;
mod local;
pub mod probe;
mod protocol;
mod signals;
mod spawner;
mod spec;

pub use connector::Connector;
pub use driver::{Driver, Exit, Isolation, Process, Sandbox, Selected, Stages};
pub use error::{SandboxError, SpawnError};
pub use fake::{FakeDriver, FakeGuest, Script};
pub use linux::{LinuxDriver, LinuxOptions, PoolOptions, SpawnerCommand};
pub use local::{LocalDriver, LocalOptions};
pub use signals::Signals;
pub use spawner::spawner_main;
pub use spec::{CpuShare, End, ExitStatus, ProcessSpec, SandboxSpec, Stats, TreeMount};

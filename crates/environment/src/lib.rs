//! One execution environment: its lifecycle, the Runtime API it serves to the code inside, its log.
//!
//! It does not know callers, pools or the store: it is started with everything it needs, tells its
//! [`Home`] when it is vacant, and an [`IdleLease`] is the right to invoke it. Read `lifecycle`
//! first, a pure machine with the diagram; [`Environment`] does what the machine decides, directly
//! from the task of the caller or of the guest's connection, so that a warm invocation is nothing
//! but the meeting of the two.

mod bootstrap;
mod connections;
mod cpu;
mod environment;
mod extension_event;
mod extension_files;
mod extensions_api;
mod failure;
mod freeze;
mod hands;
mod lease;
mod lifecycle;
mod log;
mod log_format;
mod platform_event;
mod platform_text;
mod processes;
mod prompt;
mod registry;
mod reporting;
mod runtime_api;
mod runtime_event;
mod spec;
mod start;
mod stop;
mod stream;
mod stream_pump;
mod stream_rate;
mod telemetry;
mod variables;

pub use bootlace_sandbox::Driver;
pub use environment::{Environment, EnvironmentId, Home, Lost, StartPhases};
pub use failure::{ExtensionFault, Failure};
pub use lease::{Finishing, IdleLease, NotIdle, Reply, Running};
pub use lifecycle::Was;
pub use log::{LogEvent, LogOrigin, LogSink};
pub use log_format::{ApplicationLevel, LogFormat, SystemLevel};
pub use registry::{EnvironmentInfo, EnvironmentState, Registry};
pub use spec::{EnvironmentSpec, Invocation, Options, Outcome, ResponseMode, Trees};
pub use start::Start;
pub use stream::{Chunks, StreamLimits};

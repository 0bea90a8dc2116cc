//! The dispatcher with everything below it, over real sockets; only the processes are scripts.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test spawns its callers, and a surprise ends it"
)]

mod cast;
mod extension_ends;
mod extensions;
mod failures;
mod freezing;
mod hoards;
mod logs;
mod metrics;
mod pools;
mod runtime_api;
mod slice;
mod spans;
mod streams;
mod telemetry;
mod world;

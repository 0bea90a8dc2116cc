//! The whole API over real sockets, on the embedded store; only the functions' processes are
//! scripts.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::large_futures,
    reason = "a test spawns its callers, and a surprise ends it"
)]

mod admin;
mod bad_input;
mod connections;
mod function_metrics;
mod functions;
mod invoke;
mod layers;
mod names;
mod s3;
mod streams;
mod world;

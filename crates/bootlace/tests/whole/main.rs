//! The binary as its users meet it: as a process, over HTTP, killed at the wrong moment.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start processes and read clocks"
)]

mod command_line;
mod common;
mod crash;
mod demo;
mod host;
mod invocations;
mod lifecycle;
mod logs;
mod serve;
mod soak;
mod telemetry;

//! The binary: one server and the verbs that speak to it.
//!
//! This is the only place that wires the other crates together ([`server`]); the verbs below
//! [`verb`] know the server only by its documented HTTP API. `main` is an ordinary function: the
//! hidden verb `sandbox-init` must run before any thread exists, and a verb that needs no runtime
//! starts none.
//!
//! Read [`cli`] for what the program offers, [`exit`] for how it ends, [`server`] for the wiring.

mod cli;
mod client;
mod config;
mod exit;
mod otlp;
mod output;
mod package;
mod server;
mod signals;
mod telemetry;
mod verb;

use std::process::ExitCode;

/// The hidden verb by which the server starts its sandbox spawner from its own executable.
pub(crate) const SANDBOX_INIT: &str = "sandbox-init";

fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|verb| verb == SANDBOX_INIT)
    {
        return bootlace_sandbox::spawner_main();
    }
    exit::code(cli::run())
}

//! The command line. Verbs and their options are a contract: scripts depend on them.

use std::future::Future;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::exit::{self, Done, Failure};
use crate::verb::{config, demo, doctor, env, function, invoke, layer, logs, serve};

#[derive(Debug, Parser)]
#[command(
    name = "bootlace",
    version,
    about = "Runs AWS Lambda functions on your own Linux machines"
)]
#[command(after_help = exit::HELP, arg_required_else_help = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server
    Serve(serve::Serve),
    /// Walk through it all: a shell runtime as a layer, a function on it, one invocation
    Demo(demo::Demo),
    /// Print export lines that point AWS tools here: eval "$(bootlace env)"
    Env(env::Env),
    /// Say what this host offers and lacks, with the exact remedy
    Doctor(doctor::Doctor),
    /// Print the effective configuration, with the default and the origin of each key
    Config(config::Config),
    /// Publish and list layers
    #[command(subcommand)]
    Layer(layer::Layer),
    /// Create, update, list and delete functions
    #[command(subcommand)]
    Function(function::Function),
    /// Invoke a function and print its answer
    Invoke(invoke::Invoke),
    /// Print what a function logged, and follow what it goes on to log
    Logs(logs::Logs),
    /// The sandbox spawner; the server starts it, people do not
    #[command(hide = true, name = crate::SANDBOX_INIT)]
    SandboxInit,
}

/// Reads the command line and does what it says. Ends the process on a usage error.
pub(crate) fn run() -> Result<Done, Failure> {
    match Cli::parse().verb {
        Verb::Serve(verb) => verb.run(),
        Verb::Demo(verb) => verb.run(),
        Verb::Env(verb) => verb.run(),
        Verb::Doctor(verb) => verb.run(),
        Verb::Config(verb) => verb.run(),
        Verb::Layer(verb) => block_on(verb.run()),
        Verb::Function(verb) => block_on(verb.run()),
        Verb::Invoke(verb) => block_on(verb.run()),
        Verb::Logs(verb) => block_on(verb.run()),
        // `main` takes this one before anything else exists; options in front of it are an error.
        Verb::SandboxInit => Err(Failure::usage("sandbox-init is started by the server only")),
    }
}

/// A verb that only speaks to a server needs one thread.
fn block_on(verb: impl Future<Output = Result<Done, Failure>>) -> Result<Done, Failure> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    runtime.block_on(verb)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}

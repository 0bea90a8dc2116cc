//! Measures Bootlace against a *floor*: the least a server can do to invoke a function.
//!
//! The floor ([`floor`]) is hyper with one mutex: no names, no limits, no logs, no sandbox. It runs
//! the same function process, and the same client drives both in one run, in turns, so a ratio
//! between the two says more than either number. Read [`run`] first; each of [`warm`],
//! [`throughput`], [`cold`], [`start`] and [`streaming`] is one row of the table or a few.
//!
//! This program knows Bootlace only as an HTTP server and a command line.

mod client;
mod cold;
mod environment;
mod floor;
mod function;
mod memory;
mod pin;
mod run;
mod server;
mod start;
mod stats;
mod streaming;
mod table;
mod throughput;
mod warm;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "bootlace-bench", about)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Measure everything and print one table
    Run(run::Options),
    /// Serve as the floor, until the process is ended
    Floor {
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// The function's program, started with the runtime's environment variables
        #[arg(long)]
        function: PathBuf,
        /// Function processes that are started at once
        #[arg(long, default_value_t = 1)]
        processes: usize,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().verb {
        Verb::Run(options) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(run::run(&options))
        }
        Verb::Floor {
            listen,
            function,
            processes,
        } => floor::main(listen, function, processes),
    }
}

//! The task runner: `cargo xtask VERB` does everything that a person or CI does to this repository.
//!
//! It knows how to build, check, test and measure, and nothing of how Bootlace works.
//! Each verb is a file; [`test`] is the one that CI calls.

mod bench;
mod demo;
mod fuzz;
mod machine;
mod python;
mod shell;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Tasks of this repository"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build Bootlace and run its walkthrough: a shell runtime as a layer, and a function on it
    Demo,
    /// Check the format, the lints and the shape, then run all tests: Rust's and unmodified AWS clients'
    Test(test::Options),
    /// `test`, the fuzz targets that a function reaches, and the licence and advisory checks where
    /// cargo-deny is installed
    Ci(test::CiOptions),
    /// Attack the parsers that read hostile bytes
    Fuzz(fuzz::Options),
    /// Check the shape of the source: crate edges, file sizes, forbidden calls
    Tidy,
    /// Measure a release build against a bare server, and print one table
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Demo => demo::run(),
        Verb::Test(options) => test::run(&options),
        Verb::Ci(options) => test::ci(&options),
        Verb::Fuzz(options) => fuzz::run(&options),
        Verb::Tidy => tidy::run().map(|()| ExitCode::SUCCESS),
        Verb::Bench(options) => bench::run(&options),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

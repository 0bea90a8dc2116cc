//! `cargo xtask bench`: builds for release and runs the benchmark program.

use std::process::ExitCode;

use crate::{machine, shell, workspace};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A few rounds only: shows that the benchmark works, not how fast anything is
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    machine::provide(machine::DEMO)?;
    let mut build = shell::cargo("build")?;
    build.args([
        "--release",
        "--package",
        "bootlace",
        "--package",
        "rust-echo",
        "--package",
        "rust-stream",
    ]);
    build.args(["--package", "bootlace-bench"]);
    shell::run(build)?;
    let mut bench = shell::command(workspace::program("release", "bootlace-bench")?);
    bench.arg("run");
    bench
        .arg("--bootlace")
        .arg(workspace::program("release", "bootlace")?);
    bench
        .arg("--function")
        .arg(workspace::program("release", "bootstrap")?);
    bench
        .arg("--stream-function")
        .arg(workspace::program("release", "bootstrap-stream")?);
    if options.quick {
        bench.arg("--quick");
    }
    shell::run(bench)?;
    Ok(ExitCode::SUCCESS)
}

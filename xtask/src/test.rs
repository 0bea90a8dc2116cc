//! `cargo xtask test`: everything that must hold before a change lands.

mod count;

use std::process::{Command, ExitCode};

use crate::{fuzz, machine, python, shell, tidy, workspace};
use count::Count;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Run the tests alone, without the format, lint and shape checks before them
    #[arg(long)]
    tests_only: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CiOptions {
    /// How long each fuzz target runs
    #[arg(long, default_value_t = 60)]
    fuzz_seconds: u32,
}

/// What the conformance tests run, by the variable that tells them where it is.
const PROGRAMS: [(&str, &str); 6] = [
    ("BOOTLACE_BIN", "bootlace"),
    ("BOOTLACE_ECHO", "bootstrap"),
    ("BOOTLACE_STREAM", "bootstrap-stream"),
    ("BOOTLACE_SCENARIOS", "scenarios"),
    ("BOOTLACE_RECORDER", "recorder"),
    ("BOOTLACE_BENCH", "bootlace-bench"),
];

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    machine::provide(machine::DEMO)?;
    machine::provide(machine::TEST)?;
    if !options.tests_only {
        check()?;
    }
    let mut build = shell::cargo("build")?;
    build.args(["--workspace", "--bins"]);
    shell::run(build)?;

    let mut total = rust()?;
    total += conformance()?;
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(if total.failed == 0 && total.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

pub(crate) fn ci(options: &CiOptions) -> anyhow::Result<ExitCode> {
    if machine::on_path("cargo-deny") {
        let mut deny = shell::cargo("deny")?;
        deny.args([
            "--all-features",
            "check",
            "licenses",
            "advisories",
            "bans",
            "sources",
        ]);
        shell::run(deny)?;
    } else {
        eprintln!("cargo-deny is not installed: licences and advisories are not checked");
    }
    let mut format = shell::cargo("fmt")?;
    format.args(["--manifest-path", "fuzz/Cargo.toml", "--check"]);
    shell::run(format)?;
    let tested = run(&Options { tests_only: false })?;
    if tested == ExitCode::SUCCESS {
        fuzz::attack(fuzz::REACHED_BY_FUNCTIONS, options.fuzz_seconds)?;
    }
    Ok(tested)
}

/// The checks that run nothing: format, lints, shape. Quick ones first.
fn check() -> anyhow::Result<()> {
    let mut format = shell::cargo("fmt")?;
    format.args(["--all", "--check"]);
    shell::run(format)?;
    tidy::run()?;
    let mut lint = shell::cargo("clippy")?;
    lint.args(["--workspace", "--all-targets", "--", "--deny", "warnings"]);
    shell::run(lint)
}

fn rust() -> anyhow::Result<Count> {
    if !machine::on_path("cargo-nextest") {
        let mut test = shell::cargo("test")?;
        test.args(["--workspace", "--no-fail-fast"]);
        return counted(test, count::libtest);
    }
    let mut nextest = shell::cargo("nextest")?;
    nextest.args(["run", "--workspace", "--no-fail-fast", "--retries", "0"]);
    let mut total = counted(nextest, count::nextest)?;
    // Examples in the documentation are the one thing that nextest leaves out.
    let mut documentation = shell::cargo("test")?;
    documentation.args(["--workspace", "--doc", "--no-fail-fast"]);
    total += counted(documentation, count::libtest)?;
    Ok(total)
}

fn conformance() -> anyhow::Result<Count> {
    let mut pytest = shell::command(python::interpreter()?);
    pytest.args(["-m", "pytest", "-p", "no:cacheprovider", "conformance"]);
    pytest.current_dir(workspace::root()?);
    pytest.env("PYTHONDONTWRITEBYTECODE", "1");
    for (variable, program) in PROGRAMS {
        pytest.env(variable, workspace::program("debug", program)?);
    }
    counted(pytest, count::pytest)
}

/// Runs a test runner and reads its closing lines.
fn counted(command: Command, read: fn(&str) -> Option<Count>) -> anyhow::Result<Count> {
    let mut count = Count::default();
    let status = shell::watch(command, |line| {
        if let Some(more) = read(line) {
            count += more;
        }
    })?;
    if !status.success() {
        // A runner that fails without a failed test broke down; that is a failure too.
        count.failed = count.failed.max(1);
    }
    Ok(count)
}

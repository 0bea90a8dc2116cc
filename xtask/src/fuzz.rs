//! `cargo xtask fuzz`: attacks the parsers that read hostile bytes, each for a while.
//!
//! libFuzzer needs its targets instrumented, which the pinned compiler does with stable options; the
//! address sanitizer would need a nightly one, and the code under attack has no `unsafe`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::{machine, shell, workspace};

/// Every target; those that a function's code reaches come first.
const TARGETS: &[&str] = &[
    "guest_http",
    "log_framing",
    "client_http",
    "zip_ingestion",
    "names",
];
/// What `cargo xtask ci` attacks.
pub(crate) const REACHED_BY_FUNCTIONS: &[&str] = &["guest_http", "log_framing"];

const INSTRUMENTED: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The targets; all unless given
    targets: Vec<String>,
    /// How long each one runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let all = TARGETS.iter().map(|target| (*target).to_owned());
    let targets = match options.targets.as_slice() {
        [] => all.collect(),
        some => some.to_vec(),
    };
    if let Some(unknown) = targets.iter().find(|one| !TARGETS.contains(&one.as_str())) {
        bail!("{unknown:?} is none of {}", TARGETS.join(", "));
    }
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    attack(&targets, options.seconds)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the targets and runs each for so long; an input that breaks one is kept and named.
pub(crate) fn attack(targets: &[&str], seconds: u32) -> anyhow::Result<()> {
    machine::provide(machine::FUZZ)?;
    let root = workspace::root()?;
    let made = workspace::metadata()?.target_directory.join("fuzz");
    let programs = build(&root, &made, targets)?;
    for target in targets {
        let [corpus, broken] = ["corpus", "broken"].map(|kind| made.join(kind).join(target));
        fs::create_dir_all(&corpus).context("cannot make the corpus")?;
        fs::create_dir_all(&broken).context("cannot make a place for inputs that break it")?;
        let mut fuzzer = shell::command(programs.join(target));
        fuzzer
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", broken.display()))
            .args(["-timeout=30", "-rss_limit_mb=2048", "-max_len=4096"])
            .args(["-print_final_stats=1", "-verbosity=0"])
            .arg(corpus)
            .arg(root.join("fuzz/seeds").join(target));
        let status = shell::status(&mut fuzzer)?;
        if !status.success() {
            bail!(
                "{target} broke ({status}); the input is in {}",
                broken.display()
            );
        }
    }
    Ok(())
}

/// Gives the directory of the programs.
fn build(root: &Path, made: &Path, targets: &[&str]) -> anyhow::Result<PathBuf> {
    // With a named target, build scripts and macros are not instrumented.
    let host = host()?;
    let mut cargo = shell::cargo("build")?;
    cargo
        .args(["--release", "--locked", "--manifest-path"])
        .arg(root.join("fuzz/Cargo.toml"))
        .args(["--target", &host, "--target-dir"])
        .arg(made)
        .env("RUSTFLAGS", INSTRUMENTED);
    for target in targets {
        cargo.args(["--bin", target]);
    }
    shell::run(cargo)?;
    Ok(made.join(host).join("release"))
}

fn host() -> anyhow::Result<String> {
    let mut rustc = shell::command("rustc");
    rustc.arg("-vV");
    let text = shell::output(rustc).context("cannot ask rustc for its host")?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_known_and_has_seeds() {
        let fuzz = workspace::root().unwrap().join("fuzz");
        let files = fs::read_dir(fuzz.join("fuzz_targets")).unwrap();
        let mut names: Vec<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        let mut known: Vec<String> = TARGETS.iter().map(|name| format!("{name}.rs")).collect();
        known.sort_unstable();
        assert_eq!(names, known);
        for target in TARGETS {
            let seeds = fs::read_dir(fuzz.join("seeds").join(target)).unwrap();
            assert!(seeds.count() > 0, "{target}");
        }
    }
}

//! `cargo xtask demo`: from a clone to the walkthrough in one command.

use std::process::ExitCode;

use crate::{machine, shell, workspace};

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    machine::provide(machine::DEMO)?;
    let mut build = shell::cargo("build")?;
    build.args(["--package", "bootlace"]);
    shell::run(build)?;
    let mut demo = shell::command(workspace::program("debug", "bootlace")?);
    demo.arg("demo");
    let status = shell::status(&mut demo)?;
    // 1 also when a signal ended it, which has no code.
    let code = status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1);
    Ok(ExitCode::from(code))
}

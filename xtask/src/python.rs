//! The Python environment of the conformance tests: pinned clients, in the target directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::{shell, workspace};

/// The environment's interpreter; made or renewed when the requirements changed since.
pub(crate) fn interpreter() -> anyhow::Result<PathBuf> {
    let home = workspace::metadata()?
        .target_directory
        .join("conformance-venv");
    let requirements = workspace::root()?.join("conformance/requirements.txt");
    let wanted = fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let python = home.join("bin/python");
    let stamp = home.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && python.exists() {
        return Ok(python);
    }
    create(&home, &python, &requirements)?;
    fs::write(stamp, wanted)?;
    Ok(python)
}

fn create(home: &Path, python: &Path, requirements: &Path) -> anyhow::Result<()> {
    let mut venv = shell::command("python3");
    venv.args(["-m", "venv", "--clear"]).arg(home);
    shell::run(venv)?;
    let mut pip = shell::command(python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ]);
    pip.arg(requirements);
    shell::run(pip)
}

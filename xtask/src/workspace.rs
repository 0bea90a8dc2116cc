//! Where the workspace is, and what cargo says of it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use crate::shell;

#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev` or `build`; an ordinary one has none.
    pub(crate) kind: Option<String>,
    /// Set for the members of a workspace.
    pub(crate) path: Option<PathBuf>,
}

pub(crate) fn root() -> anyhow::Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .context("xtask is not in a workspace")
}

pub(crate) fn metadata() -> anyhow::Result<Metadata> {
    let mut cargo = shell::cargo("metadata")?;
    cargo.args(["--no-deps", "--format-version", "1"]);
    let text = shell::output(cargo).context("`cargo metadata` failed")?;
    serde_json::from_str(&text).context("cannot read what `cargo metadata` says")
}

/// A program that `cargo build` makes.
pub(crate) fn program(profile: &str, name: &str) -> anyhow::Result<PathBuf> {
    Ok(metadata()?.target_directory.join(profile).join(name))
}

//! `cargo xtask tidy`: the rules of the source that neither the compiler nor clippy knows.

mod edges;
mod operations;
mod sources;

use anyhow::bail;

use crate::{shell, workspace};

pub(crate) fn run() -> anyhow::Result<()> {
    let mut complaints = edges::check(&workspace::metadata()?);
    let root = workspace::root()?;
    complaints.extend(sources::check(&root)?);
    complaints.extend(operations::check(&root)?);
    complaints.extend(fuzz_is_locked()?);
    if complaints.is_empty() {
        return Ok(());
    }
    for complaint in &complaints {
        eprintln!("tidy: {complaint}");
    }
    bail!("{} things are out of order", complaints.len())
}

/// The fuzz targets are a workspace of their own, which no other build looks at.
fn fuzz_is_locked() -> anyhow::Result<Option<String>> {
    let mut metadata = shell::cargo("metadata")?;
    metadata.args(["--locked", "--format-version", "1"]);
    metadata.args(["--manifest-path", "fuzz/Cargo.toml"]);
    let locked = shell::output(metadata).is_some();
    let remedy = "fuzz/Cargo.lock is out of date: run `cargo update --workspace --manifest-path fuzz/Cargo.toml`";
    Ok((!locked).then(|| remedy.to_owned()))
}

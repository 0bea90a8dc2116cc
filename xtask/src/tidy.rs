//! `cargo xtask tidy`: the rules of the source that neither the compiler nor clippy knows.

mod edges;
mod operations;
mod sources;

use anyhow::bail;

use crate::workspace;

pub(crate) fn run() -> anyhow::Result<()> {
    let mut complaints = edges::check(&workspace::metadata()?);
    let root = workspace::root()?;
    complaints.extend(sources::check(&root)?);
    complaints.extend(operations::check(&root)?);
    if complaints.is_empty() {
        return Ok(());
    }
    for complaint in &complaints {
        eprintln!("tidy: {complaint}");
    }
    bail!("{} things are out of order", complaints.len())
}

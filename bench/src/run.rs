//! The whole run: every measurement in turn, then the table.

use std::path::PathBuf;

use anyhow::Context;

use crate::{cold, start, streaming, table, throughput, warm};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The `bootlace` program
    #[arg(long)]
    pub(crate) bootlace: PathBuf,
    /// The function's program: an echo with the official Rust client
    #[arg(long)]
    pub(crate) function: PathBuf,
    /// The program of a function that streams with the official Rust client
    #[arg(long)]
    pub(crate) stream_function: PathBuf,
    /// A few rounds only: shows that it works, not how fast
    #[arg(long)]
    pub(crate) quick: bool,
}

impl Options {
    /// The number for a run that counts, or for a quick one.
    pub(crate) fn sized<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut rows = warm::measure(options).await.context("warm invoke")?;
    rows.extend(throughput::measure(options).await.context("throughput")?);
    rows.extend(cold::measure(options).await.context("cold start")?);
    rows.extend(start::measure(options).await.context("server start")?);
    rows.extend(streaming::measure(options).await.context("streaming")?);
    table::print(&rows);
    Ok(())
}

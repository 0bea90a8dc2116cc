//! The composition root: the one place where the crates meet.

use std::net::SocketAddr;

use anyhow::{Context, bail};

use crate::config::Config;
use crate::exit::Failure;

/// The runtime of the server: few threads, because the work is waiting.
pub(crate) fn runtime(workers: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(workers)
        .thread_name("server")
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
}

impl Server {
    pub(crate) async fn start(config: Config) -> Result<Self, Failure> {
        let started: anyhow::Result<Self> =
            async { bail!("{} is not wired", config.server.listen) }.await;
        Ok(started?)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn stop(self) {}
}

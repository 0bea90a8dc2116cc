//! The server's own log on stderr and its metrics. The output of functions never passes here.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Starts the log with the directives of `[server] log`, such as `info` or `info,bootlace_invoke=debug`.
pub(crate) fn start_log(directives: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(directives)
        .with_context(|| format!("`server.log`: {directives:?} is no log filter"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init()
        .map_err(|error| anyhow!("cannot start the log: {error}"))
}

/// Where the metrics of all crates are collected.
#[derive(Clone)]
pub(crate) struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Latency buckets, seconds: from a warm invocation on this machine to Lambda's longest timeout.
    const SECONDS: &'static [f64] = &[
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
        2.5, 5.0, 15.0, 60.0, 300.0, 900.0,
    ];

    pub(crate) fn start() -> anyhow::Result<Self> {
        let builder = PrometheusBuilder::new().set_buckets(Self::SECONDS)?;
        let handle = builder
            .install_recorder()
            .context("cannot start the metrics")?;
        Ok(Self { handle })
    }

    /// The Prometheus text, made when asked.
    pub(crate) fn render(&self) -> Arc<dyn Fn() -> String + Send + Sync> {
        let handle = self.handle.clone();
        Arc::new(move || handle.render())
    }

    /// Folds recorded samples into their buckets; without it they pile up between two scrapes.
    pub(crate) fn fold(&self) {
        self.handle.run_upkeep();
    }
}

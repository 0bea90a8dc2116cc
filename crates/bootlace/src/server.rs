//! The composition root: the one place where the crates meet.

mod janitor;
mod options;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bootlace_api::Api;
use bootlace_control::ControlPlane;
use bootlace_invoke::Dispatcher;
use bootlace_sandbox::{Driver, Selected};
use bootlace_store::{DataDir, Store};
use bootlace_tasks::TaskKind;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::otlp::Exporter;
use crate::telemetry::Metrics;

/// Accepts clients; nothing works without it.
const CLIENTS: TaskKind = TaskKind::vital("clients").finished();
/// What is left of an answer after its invocation was drained may take this long to go out.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// The runtime of the server: few threads, because most of the work is waiting; on one processor
/// the one that hands nothing from thread to thread.
pub(crate) fn runtime(workers: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = match workers.min(processors) {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    builder
        .thread_name("server")
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")
}

/// A running server. It owns its data directory until it has stopped.
pub(crate) struct Server {
    address: SocketAddr,
    drain: Duration,
    stopping: watch::Sender<bool>,
    clients: JoinHandle<Option<()>>,
    dispatcher: Arc<Dispatcher>,
    driver: Driver,
    exporter: Option<Exporter>,
    store: Store,
    /// Its lock keeps other servers away; released last.
    data_dir: DataDir,
}

impl Server {
    /// Starts everything, in the order in which it must exist. When this returns, the address
    /// answers.
    pub(crate) async fn start(config: Config) -> anyhow::Result<Self> {
        raise_open_files();
        let path = &config.store.data_dir;
        let data_dir = DataDir::open(path)
            .with_context(|| format!("cannot use the data directory {}", path.display()))?;
        let (isolation, sandboxes) = options::sandbox(&config.sandbox, &data_dir);
        let Selected { driver, why } = Driver::select(isolation, sandboxes)
            .context("cannot isolate functions (`bootlace doctor` tells more)")?;
        tracing::info!(isolation = driver.name(), "{why}");
        if matches!(driver, Driver::Local(_)) {
            tracing::warn!("functions are NOT isolated: they can do whatever this user can do");
        }
        let metrics = Metrics::start()?;
        let store = Store::open(&data_dir, options::logs(&config.logs))
            .await
            .context("cannot open the store")?;
        let control = ControlPlane::new(store.clone(), options::control(&config));
        control
            .recover()
            .await
            .context("cannot finish what the last run began")?;
        let (spans, exporter) = options::spans(&config.telemetry)?;
        let limits = options::dispatcher(&config, spans);
        let dispatcher = Dispatcher::start(limits, store.clone(), driver.clone()).await?;
        let listen = config.server.listen;
        let listener = TcpListener::bind(listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr().context("cannot learn the address")?;

        let (stopping, stop) = watch::channel(false);
        let api = Api {
            control,
            dispatcher: Arc::clone(&dispatcher),
            options: options::api(&config, &driver, &metrics),
        };
        let clients =
            bootlace_tasks::spawn(CLIENTS, bootlace_api::serve(api, listener, stop.clone()));
        janitor::start(metrics, store.clone(), stop);
        Ok(Self {
            address,
            drain: config.server.drain,
            stopping,
            clients,
            dispatcher,
            driver,
            exporter,
            store,
            data_dir,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn isolation(&self) -> &'static str {
        self.driver.name()
    }

    /// Lets running invocations finish, ends everything else, and returns when nothing is left.
    pub(crate) async fn stop(self) {
        let Self {
            stopping,
            clients,
            dispatcher,
            driver,
            exporter,
            store,
            data_dir,
            drain,
            ..
        } = self;
        stopping.send_replace(true);
        dispatcher.drain(drain).await;
        if tokio::time::timeout(LAST_BYTES, clients).await.is_err() {
            tracing::warn!("some clients did not take their answers");
        }
        drop(dispatcher);
        if let Some(exporter) = exporter {
            exporter.finish().await;
        }
        driver.shutdown().await;
        store.close().await;
        drop(data_dir);
    }
}

/// Takes as many descriptors as this process may have: every environment and client holds some, and
/// the usual soft limit of 1024 exists for programs that use `select`.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
}

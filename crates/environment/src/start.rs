//! The life of an environment's task: it makes the sandbox, serves the connections, reads the output,
//! starts and stops processes as the machine orders, and destroys what is left.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use bootlace_sandbox::{Driver, Sandbox, SandboxSpec, TreeMount};
use bootlace_tasks::TaskKind;
use bootlace_types::{clock, limits};
use tokio::net::TcpListener;

use crate::connections::Connections;
use crate::cpu;
use crate::environment::{Environment, EnvironmentId, Home};
use crate::extension_files::{self, ExtensionFile};
use crate::failure::Failure;
use crate::lifecycle::{Event, Lifecycle, Order};
use crate::log::{Log, LogSink};
use crate::processes::Processes;
use crate::registry::Registry;
use crate::spec::{EnvironmentSpec, Options, Trees};
use crate::stop::stop;

const ENVIRONMENT: TaskKind = TaskKind::disposable("environment").finished();
/// The port of the Runtime API inside every sandbox.
const RUNTIME_API_PORT: u16 = 9001;

/// Everything a new environment needs.
#[derive(Debug)]
pub struct Start {
    pub spec: Arc<EnvironmentSpec>,
    pub trees: Trees,
    pub driver: Driver,
    pub registry: Arc<Registry>,
    /// How long it took to get the trees.
    pub fetch: Duration,
    pub options: Options,
    pub sink: LogSink,
}

impl Start {
    /// Starts an environment in a task of its own; its home hears what becomes of it, and first of
    /// all exactly one of vacant and lost. `creating` is dropped when the sandbox stands and what
    /// can start at once in it has started, `reservation` when nothing is left of the environment.
    pub fn run<C, R>(self, home: Weak<dyn Home>, creating: C, reservation: R) -> EnvironmentId
    where
        C: Send + 'static,
        R: Send + 'static,
    {
        let id = self.registry.next_id();
        let stream = log_stream(&self.spec);
        let (scope, group) = (
            self.spec.function.scope.clone(),
            self.spec.log_group.clone(),
        );
        let format = self.spec.log_format;
        let log = Log::new(scope, group, stream, format, self.sink.clone());
        let spec = Arc::clone(&self.spec);
        let room = Arc::clone(&self.registry.telemetry_room);
        let environment = Arc::new(Environment::new(id, spec, self.options, log, room, home));
        environment.fetched(self.fetch);
        self.registry.insert(&environment);
        bootlace_tasks::spawn(ENVIRONMENT, async move {
            let _reservation = reservation;
            let _guard = Vanish {
                environment: &environment,
                registry: &self.registry,
            };
            match Box::pin(provision(&environment, &self)).await {
                Ok(listener) => live(&environment, listener, &self, creating).await,
                Err(failure) => {
                    drop(creating);
                    environment.happen(Event::Failed(failure));
                }
            }
            Box::pin(destroy(&environment)).await;
        });
        id
    }
}

/// Whatever happens to the task, nobody waits for its environment for ever.
struct Vanish<'a> {
    environment: &'a Arc<Environment>,
    registry: &'a Registry,
}

impl Drop for Vanish<'_> {
    fn drop(&mut self) {
        self.environment.happen(Event::Gone);
        self.registry.remove(self.environment.id);
        if let Some(home) = self.environment.home.upgrade() {
            home.gone(self.environment.id);
        }
    }
}

/// Makes the sandbox.
async fn provision(environment: &Arc<Environment>, start: &Start) -> Result<TcpListener, Failure> {
    let spec = &environment.spec;
    let mount = |target: &str, layers: Vec<PathBuf>| TreeMount {
        target: target.into(),
        layers,
    };
    let sandbox_spec = SandboxSpec {
        id: environment.id.to_string(),
        trees: vec![
            mount("/var/task", vec![start.trees.code.clone()]),
            mount("/opt", start.trees.layers.clone()),
        ],
        memory_bytes: u64::from(spec.memory_mb) << 20,
        tmp_bytes: u64::from(spec.tmp_mb) << 20,
        processes: limits::PROCESSES,
        listen_port: RUNTIME_API_PORT,
        cpu: environment.options.cpu_share.then(cpu::burst),
    };
    let began = clock::now();
    let made = start.driver.create(sandbox_spec).await;
    let mut sandbox = made.map_err(|error| platform("cannot make a sandbox", &error))?;
    let listener = sandbox.take_listener().ok_or_else(|| Failure::Platform {
        context: "the sandbox has no listener".into(),
    })?;
    let listener = TcpListener::from_std(listener)
        .map_err(|error| platform("cannot listen in the sandbox", &error))?;
    environment.sandbox_ready(clock::now().saturating_duration_since(began));
    *environment
        .sandbox
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(sandbox));
    environment.happen(Event::Provisioned);
    Ok(listener)
}

/// Serves until the environment ends, for whatever reason.
async fn live<C>(
    environment: &Arc<Environment>,
    listener: TcpListener,
    start: &Start,
    creating: C,
) {
    let spare = Arc::clone(&start.registry.spare_connections);
    let connections = Connections::new(Arc::clone(environment), listener, spare);
    tokio::select! {
        () = work(environment, &connections, &start.trees, creating) => {}
        never = connections.accept() => match never {},
        never = environment.log.follow() => match never {},
    }
}

/// Does what the machine orders, one thing after the other.
async fn work<C>(
    environment: &Arc<Environment>,
    connections: &Connections,
    trees: &Trees,
    creating: C,
) {
    let mut creating = Some(creating);
    // The share is for invocations; the first initialization has all there is.
    let mut burst = environment.options.cpu_share;
    let Some(sandbox) = environment.sandbox() else {
        return;
    };
    let mut processes = Processes::new(Arc::clone(environment), sandbox);
    loop {
        match environment.order() {
            Order::Launch => {
                environment.init_starts();
                let files = extension_files::find(&trees.layers);
                let external = files.iter().map(|file| file.name.clone()).collect();
                environment.happen(Event::Launched { external });
                if let Err(failure) = launch(environment, &mut processes, files).await {
                    environment.happen(Event::Failed(failure));
                }
            }
            Order::StartRuntime => {
                environment.happen(Event::RuntimeStarted);
                if let Err(failure) = processes.start_runtime(trees).await {
                    environment.happen(Event::Failed(failure));
                }
            }
            Order::Stop(how) => {
                drop(creating.take());
                match stop(environment, &mut processes, connections, &how).await {
                    Ok(()) => environment.stopped(),
                    Err(error) => {
                        let failure = platform("cannot end the processes", &error);
                        environment.happen(Event::Failed(failure));
                    }
                }
            }
            Order::End => return,
            Order::Wait => {
                drop(creating.take());
                if burst && environment.with_lifecycle(Lifecycle::is_past_init) {
                    burst = false;
                    share_cpu(environment, processes.sandbox());
                }
                let look = burst.then(|| clock::now() + limits::FREEZE_GRACE);
                wait(environment, &mut processes, look).await;
            }
        }
    }
}

fn share_cpu(environment: &Environment, sandbox: &Sandbox) {
    let share = cpu::of(environment.spec.memory_mb);
    if let Err(error) = sandbox.share_cpu(share) {
        tracing::warn!(environment = %environment.id, %error, "no share of the processor was set");
    }
}

async fn launch(
    environment: &Arc<Environment>,
    processes: &mut Processes,
    files: Vec<ExtensionFile>,
) -> Result<(), Failure> {
    // The machine may have refused so many.
    let initializing = environment.order() == Order::Wait || files.is_empty();
    match initializing {
        true => processes.start_extensions(files).await,
        false => Ok(()),
    }
}

/// Waits until something happens that may change the order, and tells the machine of it; or until
/// it is time to look.
async fn wait(environment: &Arc<Environment>, processes: &mut Processes, look: Option<Instant>) {
    let tick = environment.with_lifecycle(Lifecycle::deadline);
    let rest = environment.rest();
    let look = tick.into_iter().chain(rest).chain(look).min();
    let timer = async {
        match look {
            Some(when) => tokio::time::sleep_until(when.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = environment.wake.notified() => {}
        failure = processes.ended() => {
            environment.stream_read().await;
            environment.log.drain();
            environment.happen(Event::Failed(failure));
        }
        () = timer => {
            if tick.is_some() {
                environment.log.drain();
                environment.happen(Event::Tick);
            }
        }
    }
}

async fn destroy(environment: &Arc<Environment>) {
    environment.log.drain();
    let sandbox = environment
        .sandbox
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(sandbox) = sandbox else { return };
    // Whoever still holds it lets go of it at once; it is then destroyed in the background.
    let Some(sandbox) = Arc::into_inner(sandbox) else {
        return;
    };
    if let Err(error) = sandbox.destroy().await {
        tracing::warn!(environment = %environment.id, %error, "a sandbox was not destroyed cleanly");
    }
}

pub(crate) fn platform(what: &str, error: &dyn std::error::Error) -> Failure {
    let mut context = format!("{what}: {error}");
    let mut source = error.source();
    while let Some(inner) = source {
        context.push_str(": ");
        context.push_str(&inner.to_string());
        source = inner.source();
    }
    Failure::Platform { context }
}

/// `YYYY/MM/DD/[<version>]<32 hex>`; where functions may share the group, their name comes before
/// the version.
fn log_stream(spec: &EnvironmentSpec) -> String {
    let date = chrono::DateTime::<chrono::Utc>::from(clock::wall()).format("%Y/%m/%d");
    let (name, version) = (&spec.function.name, &spec.version);
    let environment = uuid::Uuid::new_v4();
    let environment = environment.as_simple();
    match spec.log_group.strip_prefix("/aws/lambda/") {
        Some(own) if *own == **name => format!("{date}/[{version}]{environment}"),
        _ => format!("{date}/{name}[{version}]{environment}"),
    }
}

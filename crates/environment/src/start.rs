//! The life of an environment's task: it makes the sandbox, starts the runtime, serves the
//! connections, reads the output, sees the end, and destroys what is left.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use bootlace_sandbox::{Driver, Exit, ProcessSpec, Sandbox, SandboxSpec, SpawnError, TreeMount};
use bootlace_tasks::TaskKind;
use bootlace_types::{clock, limits};
use tokio::net::TcpListener;

use crate::bootstrap;
use crate::connections::Connections;
use crate::environment::{Environment, EnvironmentId, Home};
use crate::failure::Failure;
use crate::lifecycle::{Event, State};
use crate::log::{Log, LogSink};
use crate::registry::Registry;
use crate::spec::{EnvironmentSpec, Trees};
use crate::stream::StreamLimits;
use crate::variables::{Place, variables};

const ENVIRONMENT: TaskKind = TaskKind::disposable("environment").finished();
/// The port of the Runtime API inside every sandbox.
const RUNTIME_API_PORT: u16 = 9001;
/// After `init/error` the runtime may end by itself, and finish its log, for so long.
const INIT_ERROR_GRACE: Duration = Duration::from_millis(250);

/// Everything a new environment needs.
#[derive(Debug)]
pub struct Start {
    pub spec: Arc<EnvironmentSpec>,
    pub trees: Trees,
    pub driver: Driver,
    pub registry: Arc<Registry>,
    pub init_limit: Duration,
    /// How long it took to get the trees.
    pub fetch: Duration,
    pub sink: LogSink,
    pub stream_limits: StreamLimits,
}

impl Start {
    /// Starts an environment in a task of its own; its home hears what becomes of it, and first of
    /// all exactly one of vacant and lost. `creating` is dropped when the runtime process runs or
    /// cannot, `reservation` when nothing is left of the environment.
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
        let log = Log::new(scope, group, stream, self.sink.clone());
        let environment = Arc::new(Environment::new(
            id,
            Arc::clone(&self.spec),
            log,
            home,
            self.stream_limits,
        ));
        environment.fetched(self.fetch);
        self.registry.insert(&environment);
        bootlace_tasks::spawn(ENVIRONMENT, async move {
            let _reservation = reservation;
            let _guard = Vanish {
                environment: &environment,
                registry: &self.registry,
            };
            let provisioned = Box::pin(provision(&environment, &self, creating)).await;
            let served = match provisioned {
                Ok(stage) => Some(serve(&environment, stage, &self).await),
                Err(failure) => {
                    environment.happen(Event::Failed(failure));
                    None
                }
            };
            Box::pin(destroy(&environment, served)).await;
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

/// A running runtime process and where it calls.
struct Stage {
    listener: TcpListener,
    exit: Exit,
}

async fn provision<P>(
    environment: &Arc<Environment>,
    start: &Start,
    creating: P,
) -> Result<Stage, Failure> {
    let _creating = creating;
    let spec = &environment.spec;
    let program = bootstrap::find(&start.trees).ok_or(Failure::NoBootstrap)?;
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
        cpu: None,
    };
    let began = clock::now();
    let made = start.driver.create(sandbox_spec).await;
    let mut sandbox = made.map_err(|error| platform("cannot make a sandbox", &error))?;
    let listener = sandbox.take_listener().ok_or_else(|| Failure::Platform {
        context: "the sandbox has no listener".into(),
    })?;
    let listener = TcpListener::from_std(listener)
        .map_err(|error| platform("cannot listen in the sandbox", &error))?;
    let known_as = program.to_string_lossy().into_owned();
    let process = runtime_process(environment, &sandbox, program);
    environment.sandbox_ready(clock::now().saturating_duration_since(began));
    environment.happen(Event::Started);
    let spawned = sandbox.spawn(process).await;
    *environment
        .sandbox
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some(sandbox);
    let process = spawned.map_err(|error| match error {
        // The path that the code's author knows, whatever the driver made of it.
        SpawnError::Exec { errno, .. } => Failure::Exec {
            program: known_as,
            errno,
        },
        SpawnError::Sandbox(error) => platform("cannot start the runtime", &error),
    })?;
    let attached = environment.log.attach(process.output);
    attached.map_err(|error| platform("cannot read the runtime's output", &error))?;
    Ok(Stage {
        listener,
        exit: process.exit,
    })
}

fn runtime_process(environment: &Environment, sandbox: &Sandbox, program: PathBuf) -> ProcessSpec {
    let inside = |path: &str| sandbox.inside(path);
    let place = Place {
        runtime_api: sandbox.address(),
        log_stream: environment.log.stream(),
        inside: &inside,
    };
    ProcessSpec {
        args: vec![program.to_string_lossy().into_owned()],
        program,
        env: variables(&environment.spec, &place),
        cwd: "/var/task".into(),
    }
}

/// Serves until the environment ends, for whatever reason.
async fn serve(environment: &Arc<Environment>, stage: Stage, start: &Start) -> Served {
    let Stage { listener, mut exit } = stage;
    let init_limit = start.init_limit;
    let spare = Arc::clone(&start.registry.spare_connections);
    let mut connections = Connections::new(Arc::clone(environment), listener, spare);
    let mut init_timer = Some(Box::pin(tokio::time::sleep(init_limit)));
    let mut output_open = true;
    loop {
        tokio::select! {
            () = environment.stop.notified() => break,
            () = connections.accept() => {}
            () = environment.log.follow(), if output_open => output_open = false,
            status = exit.wait() => {
                environment.stream_read().await;
                environment.log.drain();
                environment.happen(Event::Failed(Failure::of_exit(status)));
                break;
            }
            () = expired(&mut init_timer), if init_timer.is_some() => {
                init_timer = None;
                if environment.with_state(|state| matches!(state, State::Initializing { .. })) {
                    environment.log.drain();
                    environment.happen(Event::Failed(Failure::TimedOut { limit: init_limit }));
                }
            }
        }
    }
    Served { connections, exit }
}

struct Served {
    connections: Connections,
    exit: Exit,
}

async fn expired(timer: &mut Option<std::pin::Pin<Box<tokio::time::Sleep>>>) {
    match timer {
        Some(timer) => timer.await,
        None => std::future::pending().await,
    }
}

async fn destroy(environment: &Arc<Environment>, served: Option<Served>) {
    if let Some(Served {
        connections,
        mut exit,
    }) = served
    {
        if environment.with_state(State::ended_by_init_error) {
            let _ = tokio::time::timeout(INIT_ERROR_GRACE, exit.wait()).await;
        }
        environment.log.drain();
        drop(connections);
    }
    let sandbox = environment
        .sandbox
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(sandbox) = sandbox else { return };
    if let Err(error) = sandbox.destroy().await {
        tracing::warn!(environment = %environment.id, %error, "a sandbox was not destroyed cleanly");
    }
}

fn platform(what: &str, error: &dyn std::error::Error) -> Failure {
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

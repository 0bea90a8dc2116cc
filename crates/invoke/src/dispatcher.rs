//! The way of an invocation: find the function, get a permit, get an environment, hand over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bootlace_environment::{
    Driver, EnvironmentInfo, LogSink, Options, Outcome, Registry, ResponseMode, StreamLimits,
};
use bootlace_store::logs::LogStore;
use bootlace_store::{Rev, Store};
use bootlace_tasks::TaskKind;
use bootlace_types::{FunctionArn, Qualifier, Scope, clock, limits};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::catalog::{self, Catalog, Function, Readiness};
use crate::fleet::Fleets;
use crate::logs;
use crate::meeting::{Answer, Guarded, begin};
use crate::metrics_names::{self, Metrics};
use crate::observation::Observation;
use crate::request::{InvokeError, InvokeRequest, InvokeResponse};
use crate::series::{MetricsQuery, MetricsSeries};
use crate::spans::SpanSink;
use crate::stream::{self, InvokeStream};

const SAMPLER: TaskKind = TaskKind::disposable("sampler");
/// How often a drain looks whether it is done.
const DRAIN_POLL: Duration = Duration::from_millis(5);
/// After a drain's limit, environments get so long to be destroyed.
const DESTROY_WAIT: Duration = Duration::from_secs(5);
/// Idle environments are looked at less often than busy ones.
const LOOKS_PER_SWEEP: u64 = 5;
const UNHANDLED: &str = "Unhandled";

/// How the dispatcher works.
#[derive(Debug, Clone)]
pub struct DispatcherOptions {
    /// Concurrent invocations of one account and region.
    pub account_concurrency: u32,
    /// Idle environments end after this.
    pub idle_timeout: Duration,
    /// Initialization may take so long.
    pub init_timeout: Duration,
    /// Environments that have been idle for so long are frozen; `None` freezes none.
    pub freeze_grace: Option<Duration>,
    /// Functions get their share of the processor by their memory size.
    pub cpu_share: bool,
    /// Environments there may be at once, idle ones included.
    pub max_environments: usize,
    /// Sandboxes that may be made at once.
    pub max_creating: usize,
    /// An invocation waits so long for an environment that has answered another and will be idle
    /// soon, before one is started for it.
    pub settle_wait: Duration,
    /// Connections to the Runtime API that sandboxes may have together, beyond each one's share.
    pub spare_guest_connections: usize,
    /// Who gets the functions' logs instead of the log store.
    pub logs: LogSink,
    /// Who gets the spans of invocations.
    pub spans: SpanSink,
    /// What bounds streamed answers.
    pub stream: StreamLimits,
}

impl Default for DispatcherOptions {
    fn default() -> Self {
        Self {
            account_concurrency: limits::ACCOUNT_CONCURRENCY,
            idle_timeout: limits::IDLE_ENVIRONMENT,
            init_timeout: limits::INIT,
            freeze_grace: Some(limits::FREEZE_GRACE),
            cpu_share: false,
            max_environments: limits::ENVIRONMENTS,
            max_creating: limits::CREATING,
            settle_wait: limits::SETTLE_WAIT,
            spare_guest_connections: limits::GUEST_CONNECTIONS_SPARE,
            logs: LogSink::None,
            spans: SpanSink::None,
            stream: StreamLimits::default(),
        }
    }
}

/// The dispatcher could not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot load the functions")]
pub struct StartError(#[from] bootlace_store::StoreError);

/// Runs functions.
#[derive(Debug)]
pub struct Dispatcher {
    catalog: Arc<Catalog>,
    registry: Arc<Registry>,
    fleets: Arc<Fleets>,
    logs: LogStore,
    draining: AtomicBool,
    tasks: Mutex<Vec<JoinHandle<Option<()>>>>,
}

impl Dispatcher {
    /// Loads the functions and follows the store from there. Metrics go to the recorder that is
    /// installed now.
    ///
    /// # Errors
    ///
    /// The functions cannot be read.
    pub async fn start(
        options: DispatcherOptions,
        store: Store,
        driver: Driver,
    ) -> Result<Arc<Self>, StartError> {
        metrics_names::describe();
        let metrics = Metrics::resolve();
        let registry = Arc::new(Registry::new(options.spare_guest_connections));
        let fleets = Arc::new(Fleets {
            store: store.clone(),
            driver,
            registry: Arc::clone(&registry),
            metrics: metrics.clone(),
            options: Options {
                init_limit: options.init_timeout,
                freeze_grace: options.freeze_grace,
                stream_limits: options.stream,
                cpu_share: options.cpu_share,
            },
            settle_wait: options.settle_wait,
            sink: logs::sink(options.logs, &store.logs),
            spans: options.spans,
            room: Arc::new(Semaphore::new(options.max_environments)),
            creating: Arc::new(Semaphore::new(options.max_creating.max(1))),
            all: Mutex::default(),
        });
        let catalog = Arc::new(Catalog::new(
            options.account_concurrency,
            Arc::clone(&fleets),
        ));
        let from = catalog.load(&store).await?;
        let logs = store.logs.clone();
        let follow = Arc::clone(&catalog).follow(store, from);
        let sample = sample(
            Arc::clone(&registry),
            Arc::clone(&fleets),
            metrics,
            options.idle_timeout,
        );
        let tasks = vec![
            bootlace_tasks::spawn(catalog::FOLLOW, follow),
            bootlace_tasks::spawn(SAMPLER, sample),
        ];
        Ok(Arc::new(Self {
            catalog,
            registry,
            fleets,
            logs,
            draining: AtomicBool::new(false),
            tasks: Mutex::new(tasks),
        }))
    }

    /// Waits until invocations see the store's revision: after a write to the control plane, so
    /// that its caller finds what it wrote. It gives up after [`limits::CATALOG_WAIT`].
    pub async fn reached(&self, rev: Rev) {
        let mut applied = self.catalog.applied();
        let reached = applied.wait_for(|at| *at >= rev);
        if tokio::time::timeout(limits::CATALOG_WAIT, reached)
            .await
            .is_err()
        {
            tracing::warn!(
                rev = rev.0,
                "invocations do not see a change of the store yet"
            );
        }
    }

    /// Runs a function. A function that fails is an answer; an error means that it did not run.
    ///
    /// Dropped before the function has the event, nothing runs; dropped later, the invocation
    /// goes on to its end without its caller.
    ///
    /// # Errors
    ///
    /// See [`InvokeError`].
    pub async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, InvokeError> {
        match self.run(request, ResponseMode::Buffered).await? {
            (function, Answer::Whole(outcome)) => Ok(respond(&function, outcome)),
            (_, Answer::Stream(..)) => Err(InvokeError::Platform {
                context: "an answer was streamed that nobody wanted in pieces".into(),
            }),
        }
    }

    /// The same, with the answer piece by piece as the runtime sends it. It returns when the
    /// answer begins, or is there as a whole.
    ///
    /// # Errors
    ///
    /// See [`InvokeError`].
    pub async fn invoke_streaming(
        &self,
        request: InvokeRequest,
    ) -> Result<InvokeStream, InvokeError> {
        match self.run(request, ResponseMode::Streaming).await? {
            (function, Answer::Whole(outcome)) => {
                Ok(InvokeStream::of_whole(function.version(), outcome))
            }
            (function, Answer::Stream(chunks, finishing, observation)) => {
                let end = stream::attend(finishing, observation);
                Ok(InvokeStream::of_chunks(function.version(), chunks, end))
            }
        }
    }

    async fn run(
        &self,
        mut request: InvokeRequest,
        mode: ResponseMode,
    ) -> Result<(Arc<Function>, Answer), InvokeError> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(InvokeError::ShuttingDown);
        }
        let function = self.find(&request)?;
        let function = match &function.readiness {
            Readiness::Ready => function,
            Readiness::Never(why) => return Err(why.clone()),
            Readiness::Pending => Box::pin(self.pending(&request)).await?,
        };
        let mut observation = Observation::admit(&function, &mut request)?;
        let running = match begin(&function, request, mode, &mut observation).await {
            Ok(running) => running,
            Err(why) => {
                observation.refused(&why);
                return Err(why);
            }
        };
        let answer = Guarded::new(running, observation).await;
        let answer = answer.ok_or_else(|| InvokeError::Platform {
            context: "the environment vanished".into(),
        })?;
        Ok((function, answer))
    }

    /// What `DryRun` asks: whether there is such a function.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn check(
        &self,
        scope: &Scope,
        name: &str,
        qualifier: Option<&Qualifier>,
    ) -> Result<(), InvokeError> {
        self.lookup(scope, name, qualifier).map(|_| ())
    }

    /// What a function did, or `None` if there is no such function.
    #[must_use]
    pub fn function_metrics(
        &self,
        scope: &Scope,
        name: &str,
        query: MetricsQuery,
    ) -> Option<MetricsSeries> {
        let function = self.catalog.find(scope, name)?;
        Some(function.recorder.read(query))
    }

    /// What functions logged, and what clients did.
    #[must_use]
    pub fn logs(&self) -> &LogStore {
        &self.logs
    }

    /// All environments of the server, oldest first.
    #[must_use]
    pub fn environments(&self) -> Vec<EnvironmentInfo> {
        self.registry.list()
    }

    /// Invocations of an account that run now.
    #[must_use]
    pub fn running(&self, scope: &Scope) -> u32 {
        self.catalog.account(scope).running()
    }

    /// Refuses new invocations, lets running ones finish for as long as `limit`, then ends every
    /// environment and returns when all are gone.
    pub async fn drain(&self, limit: Duration) {
        self.draining.store(true, Ordering::Relaxed);
        let idle = async {
            while self.catalog.running() > 0 {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        if tokio::time::timeout(limit, idle).await.is_err() {
            tracing::warn!("invocations still run at the end of the drain; they are ended");
        }
        self.fleets.close();
        let gone = async {
            while self.registry.count() > 0 {
                // Again, for those that were just starting.
                self.registry.shut_down_all();
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        if tokio::time::timeout(DESTROY_WAIT, gone).await.is_err() {
            tracing::error!(
                left = self.registry.count(),
                "environments could not be destroyed"
            );
        }
    }

    fn find(&self, request: &InvokeRequest) -> Result<Arc<Function>, InvokeError> {
        self.lookup(&request.scope, &request.name, request.qualifier.as_ref())
    }

    fn lookup(
        &self,
        scope: &Scope,
        name: &str,
        qualifier: Option<&Qualifier>,
    ) -> Result<Arc<Function>, InvokeError> {
        let found = match qualifier {
            None | Some(Qualifier::Latest) => self.catalog.find(scope, name),
            // Published versions and aliases do not exist yet.
            Some(_) => None,
        };
        found.ok_or_else(|| InvokeError::NotFound {
            arn: FunctionArn::new(scope, name, qualifier.cloned()),
        })
    }

    /// Waits for a function that is still being made.
    async fn pending(&self, request: &InvokeRequest) -> Result<Arc<Function>, InvokeError> {
        let mut applied = self.catalog.applied();
        let ready = async {
            loop {
                applied.borrow_and_update();
                let function = self.find(request)?;
                match &function.readiness {
                    Readiness::Ready => return Ok(function),
                    Readiness::Never(why) => return Err(why.clone()),
                    Readiness::Pending => {}
                }
                if applied.changed().await.is_err() {
                    return Err(InvokeError::ShuttingDown);
                }
            }
        };
        let waited = tokio::time::timeout(limits::PENDING_WAIT, ready).await;
        waited.unwrap_or(Err(InvokeError::NotReady { state: "Pending" }))
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        let tasks = self
            .tasks
            .get_mut()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn sample(
    registry: Arc<Registry>,
    fleets: Arc<Fleets>,
    metrics: Metrics,
    idle_timeout: Duration,
) {
    let mut tick = tokio::time::interval(limits::SAMPLE_PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for look in 0_u64.. {
        tick.tick().await;
        registry.look();
        if look % LOOKS_PER_SWEEP != 0 {
            continue;
        }
        metrics.environments(registry.counts());
        if let Some(since) = clock::now().checked_sub(idle_timeout) {
            fleets.expire(since);
        }
    }
}

fn respond(function: &Function, outcome: Outcome) -> InvokeResponse {
    InvokeResponse {
        executed_version: function.version(),
        payload: outcome.payload,
        function_error: outcome.error.map(|_| UNHANDLED),
        log_tail: outcome.log_tail,
    }
}

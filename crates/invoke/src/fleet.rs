//! The environments of one function version: the pool's decisions, carried out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bootlace_environment::{
    Driver, EnvironmentId, EnvironmentSpec, Failure, Home, IdleLease, LogSink, Lost, Options,
    Registry, Start, Trees, Was,
};
use bootlace_store::Store;
use bootlace_store::record::FunctionConfig;
use bootlace_tasks::TaskKind;
use bootlace_types::{Digest, clock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::metrics_names::Metrics;
use crate::pool::{Pool, Ticket, Vacancy, Warmth};
use crate::request::{InvokeError, throttle};
use crate::series::Recorder;
use crate::spans::SpanSink;

const START: TaskKind = TaskKind::disposable("environment start");
/// How long a start waits for the environment that made room for it to be gone.
const ROOM_WAIT: Duration = Duration::from_secs(5);

/// What all fleets share, and the list of them.
#[derive(Debug)]
pub(crate) struct Fleets {
    pub(crate) store: Store,
    pub(crate) driver: Driver,
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Metrics,
    pub(crate) options: Options,
    pub(crate) settle_wait: Duration,
    pub(crate) sink: LogSink,
    pub(crate) spans: SpanSink,
    /// One permit for each environment there may be.
    pub(crate) room: Arc<Semaphore>,
    /// One permit for each sandbox that may be made at once.
    pub(crate) creating: Arc<Semaphore>,
    pub(crate) all: Mutex<Vec<Weak<Fleet>>>,
}

impl Fleets {
    /// Ends environments that have been idle since before `since`.
    pub(crate) fn expire(&self, since: Instant) {
        for fleet in self.list() {
            let expired = fleet.lock().remove(|lease| lease.since() <= since);
            expired.into_iter().for_each(IdleLease::shut_down);
        }
    }

    /// No environment is started any more.
    pub(crate) fn close(&self) {
        self.room.close();
        self.creating.close();
    }

    /// Ends the environment that has been idle longest, of whatever function.
    fn evict_one(&self) -> bool {
        let age = |fleet: &Arc<Fleet>| fleet.lock().oldest().map(IdleLease::since);
        let fleets = self.list().into_iter();
        let oldest = fleets.filter_map(|fleet| Some((age(&fleet)?, fleet)));
        let Some((since, fleet)) = oldest.min_by_key(|(since, _)| *since) else {
            return false;
        };
        let mut one = true;
        let evicted = fleet
            .lock()
            .remove(|lease| lease.since() <= since && std::mem::take(&mut one));
        let any = !evicted.is_empty();
        evicted.into_iter().for_each(IdleLease::shut_down);
        any
    }

    fn list(&self) -> Vec<Arc<Fleet>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|fleet| fleet.strong_count() > 0);
        all.iter().filter_map(Weak::upgrade).collect()
    }
}

/// What a caller that waited gets.
#[derive(Debug)]
pub(crate) enum Grant {
    Lease(IdleLease),
    Refused(InvokeError),
}

/// The environments of one function version.
#[derive(Debug)]
pub(crate) struct Fleet {
    me: Weak<Self>,
    shared: Arc<Fleets>,
    pub(crate) spec: Arc<EnvironmentSpec>,
    code: Digest,
    layers: Vec<Digest>,
    recorder: Arc<Recorder>,
    pool: Mutex<Pool<IdleLease, oneshot::Sender<Grant>>>,
}

impl Fleet {
    pub(crate) fn new(
        shared: &Arc<Fleets>,
        spec: EnvironmentSpec,
        config: &FunctionConfig,
        recorder: Arc<Recorder>,
    ) -> Arc<Self> {
        let fleet = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            shared: Arc::clone(shared),
            spec: Arc::new(spec),
            code: config.code.digest,
            layers: config
                .layers
                .iter()
                .map(|layer| layer.code.digest)
                .collect(),
            recorder,
            pool: Mutex::new(Pool::new()),
        });
        let mut all = shared.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::downgrade(&fleet));
        fleet
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(crate) fn spans(&self) -> &SpanSink {
        &self.shared.spans
    }

    /// An idle environment, if there is one.
    pub(crate) fn take(&self) -> Option<IdleLease> {
        self.lock().take()
    }

    /// Waits for an environment, which is started if need be.
    pub(crate) async fn wait(&self) -> Grant {
        let began = clock::now();
        let (way, mut grant) = oneshot::channel();
        let (ticket, starts) = self.lock().wait(way);
        let _place = Place {
            fleet: self,
            ticket,
        };
        self.start(starts);
        let settled = tokio::time::timeout(self.shared.settle_wait, &mut grant).await;
        let grant = match settled {
            Ok(grant) => grant,
            Err(_) => {
                let starts = self.lock().insist(ticket);
                self.start(starts);
                grant.await
            }
        };
        let waited = clock::now().saturating_duration_since(began);
        self.shared.metrics.queue.record(waited.as_secs_f64());
        // A way is dropped without a word only when the fleet's tasks are.
        grant.unwrap_or(Grant::Refused(InvokeError::ShuttingDown))
    }

    /// No new callers come: what is idle ends now, the rest when it is vacant.
    pub(crate) fn retire(&self) {
        let idle = self.lock().retire();
        idle.into_iter().for_each(IdleLease::shut_down);
    }

    fn start(&self, count: usize) {
        for _ in 0..count {
            let Some(me) = self.me.upgrade() else { return };
            bootlace_tasks::spawn(START, async move {
                if let Err(why) = me.start_one().await {
                    me.not_started(Grant::Refused(why));
                }
            });
        }
    }

    async fn start_one(&self) -> Result<(), InvokeError> {
        let reservation = self.reserve().await?;
        let creating = Arc::clone(&self.shared.creating).acquire_owned().await;
        let creating = creating.map_err(|_| InvokeError::ShuttingDown)?;
        let began = clock::now();
        let trees = self.trees().await.map_err(|error| {
            tracing::error!(function = %self.spec.function, %error, "code is not available");
            InvokeError::Platform {
                context: format!("code is not available: {error}"),
            }
        })?;
        let took = clock::now().saturating_duration_since(began);
        self.shared.metrics.fetch.record(took.as_secs_f64());
        let start = Start {
            spec: Arc::clone(&self.spec),
            trees,
            driver: self.shared.driver.clone(),
            registry: Arc::clone(&self.shared.registry),
            fetch: took,
            options: self.shared.options,
            sink: self.shared.sink.clone(),
        };
        let home: Weak<dyn Home> = self.me.clone();
        start.run(home, creating, reservation);
        Ok(())
    }

    /// Room for one more environment on this server; if need be an idle one ends for it.
    async fn reserve(&self) -> Result<OwnedSemaphorePermit, InvokeError> {
        let room = &self.shared.room;
        if let Ok(permit) = Arc::clone(room).try_acquire_owned() {
            return Ok(permit);
        }
        let full = InvokeError::Throttled {
            reason: throttle::ACCOUNT,
        };
        if !self.shared.evict_one() {
            return Err(full);
        }
        match tokio::time::timeout(ROOM_WAIT, Arc::clone(room).acquire_owned()).await {
            Ok(permit) => permit.map_err(|_| InvokeError::ShuttingDown),
            Err(_) => Err(full),
        }
    }

    async fn trees(&self) -> Result<Trees, bootlace_store::StoreError> {
        let cache = &self.shared.store.trees;
        let code = cache.tree(&self.code).await?;
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            layers.push(cache.tree(layer).await?);
        }
        Ok(Trees { code, layers })
    }

    /// A start came to nothing: the oldest waiter hears why.
    fn not_started(&self, why: Grant) {
        let (way, starts) = self.lock().lost(Was::Starting);
        if let Some(way) = way {
            // A waiter that went away does not care.
            let _ = way.send(why);
        }
        self.start(starts);
    }

    fn lock(&self) -> MutexGuard<'_, Pool<IdleLease, oneshot::Sender<Grant>>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warmth(lease: &IdleLease) -> Warmth {
    match lease.is_initialized() {
        true => Warmth::Warm,
        false => Warmth::Cold,
    }
}

impl Home for Fleet {
    fn vacant(&self, lease: IdleLease, was: Was) {
        if was == Was::Starting {
            self.shared.metrics.cold_starts.increment(1);
            self.recorder.cold_start();
            if let Some(phases) = lease.phases().filter(|_| lease.is_initialized()) {
                self.shared
                    .metrics
                    .sandbox
                    .record(phases.sandbox.as_secs_f64());
                self.shared.metrics.init.record(phases.init.as_secs_f64());
            }
        }
        let how_warm = warmth(&lease);
        let mut vacancy = self.lock().vacant(lease, was, how_warm);
        loop {
            match vacancy {
                Vacancy::Kept => return,
                Vacancy::Retire(lease) => return lease.shut_down(),
                Vacancy::Serve(way, lease) => match way.send(Grant::Lease(lease)) {
                    // The waiter went away just now: the next one, or idle.
                    Err(Grant::Lease(lease)) => {
                        let how_warm = warmth(&lease);
                        vacancy = self.lock().vacant(lease, Was::Idle, how_warm);
                    }
                    Ok(()) | Err(_) => return,
                },
            }
        }
    }

    fn settling(&self, id: EnvironmentId, was: Was) {
        let mut pool = self.lock();
        pool.settling();
        if was == Was::Idle {
            let leases = pool.remove(|lease| lease.id() == id);
            drop(pool);
            drop(leases);
        }
    }

    fn lost(&self, lost: Lost) {
        if let Some(Failure::Platform { context }) = &lost.failure {
            tracing::error!(function = %self.spec.function, context, "an environment failed");
        }
        match lost.was {
            Was::Starting => self.not_started(Grant::Refused(match lost.failure {
                Some(Failure::Platform { context }) => InvokeError::Platform { context },
                Some(failure) => InvokeError::Platform {
                    context: failure.to_string(),
                },
                None => InvokeError::ShuttingDown,
            })),
            was => {
                let id = lost.id;
                let mut pool = self.lock();
                let leases = pool.remove(|lease| lease.id() == id);
                let (_, starts) = pool.lost(was);
                drop(pool);
                drop(leases);
                self.start(starts);
            }
        }
    }

    fn gone(&self, _: EnvironmentId) {}
}

/// A place in the queue, given up when the waiting future is dropped.
struct Place<'a> {
    fleet: &'a Fleet,
    ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.fleet.lock().leave(self.ticket);
    }
}

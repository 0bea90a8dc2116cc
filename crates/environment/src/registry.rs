//! All environments of the server, and the sampler that looks after the busy ones.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bootlace_types::{clock, limits};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::cpu;
use crate::environment::{Environment, EnvironmentId};
use crate::failure::Failure;
use crate::lifecycle::{Event, Lifecycle, State};
use crate::telemetry::Room;

/// What people may know of an environment.
#[derive(Debug, Clone, Serialize)]
pub struct EnvironmentInfo {
    pub id: String,
    pub function_arn: String,
    pub version: String,
    pub state: EnvironmentState,
    /// Whether its processes stand still.
    pub frozen: bool,
    /// Whether its runtime has initialized; if it is idle and has not, the next invocation does it.
    pub initialized: bool,
    /// What the runtime called itself in its first call.
    pub runtime_release: Option<String>,
    /// How long it has lived.
    pub age_ms: u64,
    pub invocations: u64,
    pub memory_size_mb: u32,
    pub max_memory_used_mb: u64,
    pub log_stream: String,
    /// Thousandths of a processor that it may use once it has initialized; none: as many as
    /// there are.
    pub cpu_share_mcpu: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvironmentState {
    Starting,
    Idle,
    Running,
    /// Something failed; its processes are being stopped, and it will be vacant again.
    Resetting,
    Ending,
}

impl EnvironmentState {
    pub const ALL: [Self; 5] = [
        Self::Starting,
        Self::Idle,
        Self::Running,
        Self::Resetting,
        Self::Ending,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Resetting => "resetting",
            Self::Ending => "ending",
        }
    }
}

/// Every environment from its start until nothing is left of it.
pub struct Registry {
    last_id: AtomicU64,
    all: Mutex<HashMap<EnvironmentId, Arc<Environment>>>,
    /// One permit for each guest connection that its sandbox has no share of its own for.
    pub(crate) spare_connections: Arc<Semaphore>,
    /// What subscribers of telemetry may have waiting, all together.
    pub(crate) telemetry_room: Arc<Room>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// `spare_connections` are those that sandboxes may open beyond the share that each has.
    #[must_use]
    pub fn new(spare_connections: usize) -> Self {
        Self {
            last_id: AtomicU64::new(0),
            all: Mutex::default(),
            spare_connections: Arc::new(Semaphore::new(spare_connections)),
            telemetry_room: Arc::new(Room::new(limits::TELEMETRY_ROOM_BYTES)),
        }
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// What there is, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<EnvironmentInfo> {
        let mut all: Vec<Arc<Environment>> = self.lock().values().cloned().collect();
        all.sort_by_key(|environment| environment.id);
        all.iter().map(|environment| environment.info()).collect()
    }

    /// How many there are in each state, in the order of [`EnvironmentState::ALL`].
    #[must_use]
    pub fn counts(&self) -> [u32; EnvironmentState::ALL.len()] {
        let mut counts = [0; EnvironmentState::ALL.len()];
        for environment in self.lock().values() {
            let state = environment.state();
            if let Some(index) = EnvironmentState::ALL.iter().position(|one| *one == state) {
                counts[index] += 1;
            }
        }
        counts
    }

    /// One look of the sampler: reads the memory of those that were invoked since the last look,
    /// ends those that use too much, and those whose runtime answered but never came back.
    pub fn look(&self) {
        let busy: Vec<Arc<Environment>> = {
            let all = self.lock();
            let touched = all
                .values()
                .filter(|one| one.touched.load(Ordering::Relaxed));
            touched.cloned().collect()
        };
        for environment in busy {
            if environment.state() != EnvironmentState::Running {
                environment.touched.store(false, Ordering::Relaxed);
            }
            environment.look();
        }
    }

    /// Ends every environment, whatever it is doing.
    pub fn shut_down_all(&self) {
        let all: Vec<Arc<Environment>> = self.lock().values().cloned().collect();
        for environment in all {
            environment.happen(Event::Shutdown);
        }
    }

    pub(crate) fn next_id(&self) -> EnvironmentId {
        EnvironmentId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn insert(&self, environment: &Arc<Environment>) {
        self.lock().insert(environment.id, Arc::clone(environment));
    }

    pub(crate) fn remove(&self, id: EnvironmentId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EnvironmentId, Arc<Environment>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Environment {
    fn look(self: &Arc<Self>) {
        let limit = u64::from(self.spec.memory_mb) << 20;
        if self.sample().is_some_and(|used| used > limit) {
            self.log.drain();
            self.happen(Event::Failed(Failure::OutOfMemory));
            return;
        }
        // The caller's own timer is first while there is a caller that waits.
        let Some(before) = clock::now().checked_sub(std::time::Duration::from_millis(200)) else {
            return;
        };
        if let Some(id) = self.with_lifecycle(|machine| machine.overdue(before)) {
            self.log.drain();
            self.happen(Event::TimedOut { id });
        }
    }

    fn state(&self) -> EnvironmentState {
        self.with_lifecycle(|machine| match machine.state() {
            State::Provisioning | State::Initializing(_) => EnvironmentState::Starting,
            State::Idle { .. } | State::Cold(_) => EnvironmentState::Idle,
            State::Invoking(_) => EnvironmentState::Running,
            State::Stopping(stopping) if !stopping.for_good() => EnvironmentState::Resetting,
            State::Stopping(_) | State::Ending(_) | State::Terminated => EnvironmentState::Ending,
        })
    }

    fn info(&self) -> EnvironmentInfo {
        let age = clock::now().saturating_duration_since(self.created);
        EnvironmentInfo {
            id: self.id.to_string(),
            function_arn: self.spec.function.to_string(),
            version: self.spec.version.to_string(),
            state: self.state(),
            frozen: *self.frozen.borrow(),
            initialized: self.with_lifecycle(Lifecycle::is_initialized),
            runtime_release: self.release.get().map(|name| name.clone().into()),
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            invocations: self.invocations.load(Ordering::Relaxed),
            memory_size_mb: self.spec.memory_mb,
            max_memory_used_mb: self.peak.load(Ordering::Relaxed).div_ceil(1 << 20),
            log_stream: self.log.stream().to_owned(),
            cpu_share_mcpu: self.options.cpu_share.then(|| {
                let share = cpu::of(self.spec.memory_mb);
                share.quota_us * 1_000 / share.period_us
            }),
        }
    }
}

//! One execution environment: what it consists of and what its owner hears of it. What it does is
//! in `hands`.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use bootlace_sandbox::Sandbox;
use bootlace_types::{clock, limits};
use tokio::sync::{Notify, oneshot, watch};

use crate::extension_event::ExtensionEvent;
use crate::failure::Failure;
use crate::lease::IdleLease;
use crate::lifecycle::{Lifecycle, Was};
use crate::log::Log;
use crate::runtime_event::RuntimeEvent;
use crate::spec::{EnvironmentSpec, Options, Outcome};
use crate::stream::{self, Answered};
use crate::telemetry::Room;

/// Names an environment within one life of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnvironmentId(pub u64);

impl fmt::Display for EnvironmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "env-{}", self.0)
    }
}

/// Who owns an environment. Called from the tasks of guests and callers, never under a lock of the
/// environment; it must be quick.
pub trait Home: Send + Sync {
    /// It is vacant; the lease is the right to invoke it.
    fn vacant(&self, lease: IdleLease, was: Was);
    /// It will be vacant soon: its caller has an answer, or it is being reset. One that was idle
    /// is not idle any more; a lease of it is worth nothing.
    fn settling(&self, id: EnvironmentId, was: Was);
    /// It ended and will not be vacant again.
    fn lost(&self, lost: Lost);
    /// Nothing is left of it.
    fn gone(&self, id: EnvironmentId);
}

/// How an environment was lost.
#[derive(Debug)]
pub struct Lost {
    pub id: EnvironmentId,
    pub was: Was,
    /// `None` when its owner ended it.
    pub failure: Option<Failure>,
}

/// How long the parts of an environment's start took.
#[derive(Debug, Clone, Copy)]
pub struct StartPhases {
    pub began: Instant,
    /// Until code and layers were there.
    pub fetch: Duration,
    /// Until the first process could start.
    pub sandbox: Duration,
    /// From there until everybody waited for an event.
    pub init: Duration,
}

/// One execution environment. The lock is short and never held across an await.
pub struct Environment {
    pub(crate) id: EnvironmentId,
    pub(crate) spec: Arc<EnvironmentSpec>,
    pub(crate) options: Options,
    pub(crate) log: Log,
    pub(crate) telemetry_room: Arc<Room>,
    pub(crate) home: Weak<dyn Home>,
    pub(crate) created: Instant,
    /// Wakes its task, which then looks what it has to do.
    pub(crate) wake: Notify,
    pub(crate) sandbox: Mutex<Option<Arc<Sandbox>>>,
    /// Highest memory use seen, bytes.
    pub(crate) peak: AtomicU64,
    /// Whether it was invoked since the sampler looked.
    pub(crate) touched: AtomicBool,
    pub(crate) invocations: AtomicU64,
    /// What the runtime calls itself.
    pub(crate) release: OnceLock<Box<str>>,
    /// Whether its processes stand still.
    pub(crate) frozen: watch::Sender<bool>,
    /// Whether its task looks from time to time if the environment has been idle for long enough
    /// to be frozen.
    pub(crate) resting: AtomicBool,
    /// Whether a body of the runtime's is arriving and being kept.
    pub(crate) receiving: AtomicBool,
    /// Whether a streamed answer is being read from the runtime, and what tells when it is not.
    pub(crate) reading: AtomicBool,
    pub(crate) read: Notify,
    /// How long the parts of its start took, microseconds.
    pub(crate) fetch_us: AtomicU64,
    pub(crate) sandbox_us: AtomicU64,
    pub(crate) init_us: AtomicU64,
    core: Mutex<Core>,
}

/// What the lock is for.
pub(crate) struct Core {
    pub(crate) lifecycle: Lifecycle,
    /// The `next` call that waits for an event.
    pub(crate) parked: Option<oneshot::Sender<Arc<RuntimeEvent>>>,
    /// The running invocation, kept because a runtime may ask for it again.
    pub(crate) event: Option<Arc<RuntimeEvent>>,
    pub(crate) caller: Option<Caller>,
    /// One for each extension that has called, in the machine's order.
    pub(crate) slots: Vec<Slot>,
    pub(crate) frozen: bool,
}

/// Where an extension waits, or its event does.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) parked: Option<oneshot::Sender<ExtensionEvent>>,
    pub(crate) pending: Option<ExtensionEvent>,
}

/// Whom the invocation's outcome goes to.
pub(crate) enum Caller {
    /// It has heard nothing yet.
    Waiting(oneshot::Sender<Answered>),
    /// It is getting a streamed answer, and waits for how that ends.
    Streaming(stream::End),
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The right to keep a body that is arriving; an environment gives it to one at a time.
pub(crate) struct Receiving<'a>(&'a AtomicBool);

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Environment {
    pub(crate) fn new(
        id: EnvironmentId,
        spec: Arc<EnvironmentSpec>,
        options: Options,
        log: Log,
        telemetry_room: Arc<Room>,
        home: Weak<dyn Home>,
    ) -> Self {
        Self {
            telemetry_room,
            id,
            spec,
            options,
            log,
            home,
            created: clock::now(),
            wake: Notify::new(),
            sandbox: Mutex::new(None),
            peak: AtomicU64::new(0),
            touched: AtomicBool::new(false),
            invocations: AtomicU64::new(0),
            release: OnceLock::new(),
            frozen: watch::Sender::new(false),
            resting: AtomicBool::new(options.freeze_grace.is_some()),
            receiving: AtomicBool::new(false),
            reading: AtomicBool::new(false),
            read: Notify::new(),
            fetch_us: AtomicU64::new(0),
            sandbox_us: AtomicU64::new(0),
            init_us: AtomicU64::new(0),
            core: Mutex::new(Core {
                lifecycle: Lifecycle::new(options.init_limit),
                parked: None,
                event: None,
                caller: None,
                slots: Vec::new(),
                frozen: false,
            }),
        }
    }

    #[must_use]
    pub fn id(&self) -> EnvironmentId {
        self.id
    }

    /// What the runtime calls itself in its first call.
    pub(crate) fn release(&self, headers: &http::HeaderMap) {
        if self.release.get().is_some() {
            return;
        }
        let named = headers.get(http::header::USER_AGENT);
        let named = named.and_then(|value| value.to_str().ok()).unwrap_or("");
        let graphic = named.chars().filter(|c| c.is_ascii_graphic() || *c == ' ');
        let named: String = graphic.take(limits::USER_AGENT_CHARS).collect();
        // Another call was first.
        let _ = self.release.set(named.into());
    }

    /// The sandbox, while there is one.
    pub(crate) fn sandbox(&self) -> Option<Arc<Sandbox>> {
        let sandbox = self.sandbox.lock().unwrap_or_else(PoisonError::into_inner);
        sandbox.clone()
    }

    /// Reads the memory in use now and keeps the highest. Not for the warm path: it reads files.
    pub(crate) fn sample(&self) -> Option<u64> {
        let sandbox = self.sandbox.lock().unwrap_or_else(PoisonError::into_inner);
        let used = sandbox.as_ref()?.stats().ok()?.memory_bytes;
        self.peak.fetch_max(used, Ordering::Relaxed);
        Some(used)
    }

    /// What was done for it before it was there.
    pub(crate) fn fetched(&self, took: Duration) {
        self.fetch_us.store(micros(took), Ordering::Relaxed);
    }

    pub(crate) fn sandbox_ready(&self, took: Duration) {
        self.sandbox_us.store(micros(took), Ordering::Relaxed);
    }

    pub(crate) fn phases(&self) -> StartPhases {
        let fetch = Duration::from_micros(self.fetch_us.load(Ordering::Relaxed));
        StartPhases {
            began: self.created.checked_sub(fetch).unwrap_or(self.created),
            fetch,
            sandbox: Duration::from_micros(self.sandbox_us.load(Ordering::Relaxed)),
            init: Duration::from_micros(self.init_us.load(Ordering::Relaxed)),
        }
    }

    /// Lets a body be kept, if the machine wants one and no other is arriving.
    pub(crate) fn receive(&self, wanted: impl FnOnce(&Lifecycle) -> bool) -> Option<Receiving<'_>> {
        if !self.with_lifecycle(wanted) || self.receiving.swap(true, Ordering::Relaxed) {
            return None;
        }
        Some(Receiving(&self.receiving))
    }

    /// Reads the machine under the lock.
    pub(crate) fn with_lifecycle<T>(&self, read: impl FnOnce(&Lifecycle) -> T) -> T {
        read(&self.lock().lifecycle)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    pub(crate) fn slot(&mut self, place: usize) -> &mut Slot {
        if self.slots.len() <= place {
            self.slots.resize_with(place + 1, Slot::default);
        }
        &mut self.slots[place]
    }
}

impl Caller {
    /// A caller that went away loses its answer, nothing else.
    pub(crate) fn tell(self, outcome: Outcome) {
        match self {
            Self::Waiting(caller) => drop(caller.send(Answered::Whole(outcome))),
            Self::Streaming(end) => end.tell(outcome),
        }
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

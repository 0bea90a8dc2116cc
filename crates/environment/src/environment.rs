//! One execution environment: the lifecycle machine, and the hands that do what it decides.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bootlace_sandbox::Sandbox;
use bootlace_types::{RequestId, clock, limits};
use tokio::sync::{Notify, oneshot};

use crate::failure::Failure;
use crate::lease::IdleLease;
use crate::lifecycle::{Actions, Event, Lifecycle, Notice, Report, State, Verdict, Was};
use crate::log::Log;
use crate::report;
use crate::runtime_event::RuntimeEvent;
use crate::spec::{EnvironmentSpec, Outcome, ResponseMode};
use crate::stream::{self, Answered, GuestStream, StreamLimits};

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
    /// It is idle; the lease is the right to invoke it.
    fn vacant(&self, lease: IdleLease, was: Was);
    /// Its caller has an answer and it will be vacant soon.
    fn settling(&self);
    /// It ended and will not be vacant again.
    fn lost(&self, lost: Lost);
    /// Nothing is left of it.
    fn gone(&self, id: EnvironmentId);
}

/// How an environment was lost.
#[derive(Debug)]
pub struct Lost {
    pub spec: Arc<EnvironmentSpec>,
    pub id: EnvironmentId,
    pub was: Was,
    /// `None` when its owner ended it.
    pub failure: Option<Failure>,
    /// What it wrote while it started; with the platform's line about it.
    pub log: Option<bytes::Bytes>,
}

impl Lost {
    /// What an invocation gets that waited for this environment to start: its request is over
    /// before it began. `None` when the environment did not fail by itself.
    #[must_use]
    pub fn outcome(self, request_id: RequestId, log_tail: bool) -> Option<Outcome> {
        let failure = self.failure?;
        let payload = failure.document(request_id);
        let error = Some(failure.code().into());
        let log_tail = log_tail.then(|| {
            let report = Report {
                request_id,
                duration: Duration::ZERO,
                init: None,
                produced: None,
                failure: Some(failure),
            };
            report::tail_of_failed_start(&report, &self.spec, self.log.as_deref())
        });
        Some(Outcome {
            payload,
            error,
            log_tail,
        })
    }
}

/// How long the parts of an environment's start took.
#[derive(Debug, Clone, Copy)]
pub struct StartPhases {
    pub began: Instant,
    /// Until code and layers were there.
    pub fetch: Duration,
    /// Until the runtime process could start.
    pub sandbox: Duration,
    /// From there to its first `next`.
    pub init: Duration,
}

/// One execution environment. The lock is short and never held across an await.
pub struct Environment {
    pub(crate) id: EnvironmentId,
    pub(crate) spec: Arc<EnvironmentSpec>,
    pub(crate) log: Log,
    pub(crate) home: Weak<dyn Home>,
    pub(crate) created: Instant,
    pub(crate) stream_limits: StreamLimits,
    /// Wakes its task to destroy the sandbox.
    pub(crate) stop: Notify,
    pub(crate) sandbox: Mutex<Option<Sandbox>>,
    /// Highest memory use seen, bytes.
    pub(crate) peak: AtomicU64,
    /// Whether it was invoked since the sampler looked.
    pub(crate) touched: AtomicBool,
    pub(crate) invocations: AtomicU64,
    /// Whether a body of the runtime's is arriving and being kept.
    receiving: AtomicBool,
    /// Whether a streamed answer is being read from the runtime, and what tells when it is not.
    reading: AtomicBool,
    read: Notify,
    /// How long the parts of its start took, microseconds.
    fetch_us: AtomicU64,
    sandbox_us: AtomicU64,
    init_us: AtomicU64,
    core: Mutex<Core>,
}

struct Core {
    lifecycle: Lifecycle,
    /// The `next` call that waits for an event.
    parked: Option<oneshot::Sender<Arc<RuntimeEvent>>>,
    /// The running invocation, kept because a runtime may ask for it again.
    event: Option<Arc<RuntimeEvent>>,
    caller: Option<Caller>,
}

/// Whom the invocation's outcome goes to.
enum Caller {
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

/// What a `next` call gets.
pub(crate) enum NextAnswer {
    Event(Arc<RuntimeEvent>),
    Parked(oneshot::Receiver<Arc<RuntimeEvent>>),
    Refused(Verdict),
}

/// What becomes of an answer that the runtime wants to stream.
pub(crate) enum StreamAnswer {
    Begun(GuestStream),
    /// Its caller wants it in one piece.
    Collect,
    Refused(Verdict),
}

impl Environment {
    pub(crate) fn new(
        id: EnvironmentId,
        spec: Arc<EnvironmentSpec>,
        log: Log,
        home: Weak<dyn Home>,
        stream_limits: StreamLimits,
    ) -> Self {
        Self {
            id,
            spec,
            log,
            home,
            created: clock::now(),
            stream_limits,
            stop: Notify::new(),
            sandbox: Mutex::new(None),
            peak: AtomicU64::new(0),
            touched: AtomicBool::new(false),
            invocations: AtomicU64::new(0),
            receiving: AtomicBool::new(false),
            reading: AtomicBool::new(false),
            read: Notify::new(),
            fetch_us: AtomicU64::new(0),
            sandbox_us: AtomicU64::new(0),
            init_us: AtomicU64::new(0),
            core: Mutex::new(Core {
                lifecycle: Lifecycle::new(),
                parked: None,
                event: None,
                caller: None,
            }),
        }
    }

    #[must_use]
    pub fn id(&self) -> EnvironmentId {
        self.id
    }

    /// Something happened; whoever brought it gets the verdict.
    pub(crate) fn happen(self: &Arc<Self>, event: Event) -> Verdict {
        let now = clock::now();
        let mut core = self.lock();
        let actions = core.lifecycle.handle(now, event);
        self.act(core, actions, now)
    }

    /// The runtime asks for an event.
    pub(crate) fn next(self: &Arc<Self>) -> NextAnswer {
        // What was written before this call belongs to the invocation that ends with it.
        self.log.drain();
        let now = clock::now();
        let mut core = self.lock();
        let mut actions = core.lifecycle.handle(now, Event::Next);
        let answer = match std::mem::take(&mut actions.verdict) {
            Verdict::Park => {
                let (sender, receiver) = oneshot::channel();
                // A call that was parked before loses its place; its connection gets a refusal.
                core.parked = Some(sender);
                NextAnswer::Parked(receiver)
            }
            Verdict::Deliver => match &core.event {
                Some(event) => NextAnswer::Event(Arc::clone(event)),
                None => NextAnswer::Refused(Verdict::None),
            },
            refused => NextAnswer::Refused(refused),
        };
        self.act(core, actions, now);
        answer
    }

    /// Hands an event to the parked runtime. Gives it back when the environment is not idle.
    pub(crate) fn invoke(
        self: &Arc<Self>,
        event: Arc<RuntimeEvent>,
        caller: oneshot::Sender<Answered>,
    ) -> Result<(), Arc<RuntimeEvent>> {
        let request_id = event.request_id;
        let with_report = event.log_tail;
        let now = clock::now();
        let mut core = self.lock();
        let limit = self.spec.timeout;
        let invoke = Event::Invoke {
            request_id,
            limit,
            with_report,
        };
        if core.lifecycle.handle(now, invoke).verdict != Verdict::Accepted {
            return Err(event);
        }
        core.caller = Some(Caller::Waiting(caller));
        let parked = core.parked.take();
        core.event = Some(Arc::clone(&event));
        drop(core);
        self.touched.store(true, Ordering::Relaxed);
        self.invocations.fetch_add(1, Ordering::Relaxed);
        let version = &self.spec.version;
        self.log.begin(request_id, with_report, || {
            report::start_line(request_id, version)
        });
        if let Some(parked) = parked {
            // If that connection broke, the event waits for the runtime's next call.
            let _ = parked.send(event);
        }
        Ok(())
    }

    /// The runtime begins to stream its answer to a request.
    pub(crate) fn begin_stream(self: &Arc<Self>, id: RequestId) -> StreamAnswer {
        let now = clock::now();
        let mut core = self.lock();
        let event = core.event.as_ref();
        if event.is_some_and(|event| event.mode == ResponseMode::Buffered) {
            return StreamAnswer::Collect;
        }
        let begins = core
            .lifecycle
            .handle(now, Event::StreamBegins { id: Some(id) });
        if begins.verdict != Verdict::Accepted {
            return StreamAnswer::Refused(begins.verdict);
        }
        let (guest, caller, end) = stream::open();
        let waiting = core.caller.replace(Caller::Streaming(end));
        drop(core);
        if let Some(Caller::Waiting(waiting)) = waiting {
            // A caller that went away: the pieces are dropped as they come.
            let _ = waiting.send(Answered::Stream(caller));
        }
        StreamAnswer::Begun(guest)
    }

    /// Whether more of a streamed answer may come from the runtime's connection.
    pub(crate) fn reads_stream(&self, reads: bool) {
        self.reading.store(reads, Ordering::Relaxed);
        if !reads {
            self.read.notify_waiters();
        }
    }

    pub(crate) fn is_reading_stream(&self) -> bool {
        self.reading.load(Ordering::Relaxed)
    }

    /// Waits until what the runtime has written of a streamed answer is on its way; not for long,
    /// as its caller may be slow.
    pub(crate) async fn stream_read(&self) {
        let read = self.read.notified();
        if self.is_reading_stream() {
            let _ = tokio::time::timeout(limits::STREAM_BREAK_GRACE, read).await;
        }
    }

    /// The machine has decided; this does it. Everything that others see happens after the lock.
    fn act(
        self: &Arc<Self>,
        mut core: MutexGuard<'_, Core>,
        actions: Actions,
        now: Instant,
    ) -> Verdict {
        let caller = if actions.answer.is_some() {
            core.caller.take()
        } else {
            None
        };
        if actions.report.is_some() {
            core.event = None;
        }
        if actions.destroy {
            core.parked = None;
        }
        drop(core);
        let tail = actions.report.and_then(|report| self.report(&report));
        if let Some(notice) = actions.notice {
            self.notify(notice, now);
        }
        if let (Some(answer), Some(caller)) = (actions.answer, caller) {
            caller.tell(Outcome {
                payload: answer.payload,
                error: answer.error,
                log_tail: tail,
            });
        }
        if actions.destroy {
            self.stop.notify_one();
        }
        actions.verdict
    }

    fn report(&self, report: &Report) -> Option<bytes::Bytes> {
        if self.peak.load(Ordering::Relaxed) == 0 {
            self.sample();
        }
        self.log.finish(|| {
            let peak = self.peak.load(Ordering::Relaxed);
            let mut lines = report::end_line(report.request_id);
            lines.push_str(&report::report_line(report, self.spec.memory_mb, peak));
            lines
        })
    }

    fn notify(self: &Arc<Self>, notice: Notice, now: Instant) {
        let Some(home) = self.home.upgrade() else {
            // Nobody will ever use it again.
            if matches!(notice, Notice::Vacant(_)) {
                self.happen(Event::Shutdown);
            }
            return;
        };
        match notice {
            Notice::Vacant(was) => {
                if was == Was::Starting {
                    let since = now.saturating_duration_since(self.created);
                    let init = since.saturating_sub(self.phases().sandbox);
                    self.init_us.store(micros(init), Ordering::Relaxed);
                    self.log.forget_tail();
                }
                home.vacant(IdleLease::new(Arc::clone(self)), was);
            }
            Notice::Settling => home.settling(),
            Notice::Lost(was, failure) => {
                let log = match &failure {
                    Some(failure) if was == Was::Starting => self.log.finish(|| {
                        let since = now.saturating_duration_since(self.created);
                        report::init_report_line(since, failure)
                    }),
                    _ => None,
                };
                let spec = Arc::clone(&self.spec);
                home.lost(Lost {
                    spec,
                    id: self.id,
                    was,
                    failure,
                    log,
                });
            }
        }
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

    pub(crate) fn overdue(&self, now: Instant) -> Option<RequestId> {
        self.lock().lifecycle.overdue(now)
    }

    /// Lets a body be kept, if the state wants one and no other is arriving.
    pub(crate) fn receive(&self, wanted: impl FnOnce(&State) -> bool) -> Option<Receiving<'_>> {
        if !self.with_state(wanted) || self.receiving.swap(true, Ordering::Relaxed) {
            return None;
        }
        Some(Receiving(&self.receiving))
    }

    /// Reads the state under the lock.
    pub(crate) fn with_state<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(self.lock().lifecycle.state())
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// A caller that went away loses its answer, nothing else.
    fn tell(self, outcome: Outcome) {
        match self {
            Self::Waiting(caller) => drop(caller.send(Answered::Whole(outcome))),
            Self::Streaming(end) => end.tell(outcome),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

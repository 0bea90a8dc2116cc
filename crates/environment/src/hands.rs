//! The hands of an environment: they do what the lifecycle machine decides, on the task of whoever
//! brought the event, so that a warm invocation is nothing but the meeting of caller and runtime.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bootlace_types::{RequestId, clock, limits};
use http::HeaderMap;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::environment::{Caller, Core, Environment, Lost};
use crate::extension_event::ExtensionEvent;
use crate::lease::IdleLease;
use crate::lifecycle::{Actions, Deliver, Event, Notice, Order, Verdict};
use crate::runtime_event::{INVOCATION_ID, RuntimeEvent};
use crate::spec::{Outcome, ResponseMode};
use crate::stream::{self, Answered, GuestStream};

/// What a `next` call gets, of a runtime or of an extension.
pub(crate) enum NextAnswer<E> {
    Event(E),
    Parked(oneshot::Receiver<E>),
    Refused(Verdict),
}

/// What becomes of an answer that the runtime wants to stream.
pub(crate) enum StreamAnswer {
    Begun(GuestStream),
    /// Its caller wants it in one piece.
    Collect,
    Refused(Verdict),
}

/// Events on their way to those who wait for them.
#[derive(Default)]
struct Parcels {
    runtime: Option<(oneshot::Sender<Arc<RuntimeEvent>>, Arc<RuntimeEvent>)>,
    extensions: Vec<(
        usize,
        Option<oneshot::Sender<ExtensionEvent>>,
        ExtensionEvent,
    )>,
}

impl Environment {
    /// Something happened; whoever brought it gets the verdict.
    pub(crate) fn happen(self: &Arc<Self>, event: Event) -> Verdict {
        let now = clock::now();
        let mut core = self.lock();
        let actions = core.lifecycle.handle(now, event);
        self.act(core, actions, now)
    }

    /// The runtime asks for an event.
    pub(crate) fn next(self: &Arc<Self>) -> NextAnswer<Arc<RuntimeEvent>> {
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

    /// An extension asks for an event.
    pub(crate) fn extension_next(self: &Arc<Self>, id: Uuid) -> NextAnswer<ExtensionEvent> {
        self.log.drain();
        let now = clock::now();
        let mut core = self.lock();
        let place = core.lifecycle.parties().place(id);
        if let Some(place) = place {
            let slot = core.slot(place);
            if let Some(event) = slot.pending.take() {
                return NextAnswer::Event(event);
            }
            // Its connection broke while it waited; it waits here now.
            if slot.parked.as_ref().is_some_and(oneshot::Sender::is_closed) {
                let (sender, receiver) = oneshot::channel();
                slot.parked = Some(sender);
                return NextAnswer::Parked(receiver);
            }
        }
        let mut actions = core.lifecycle.handle(now, Event::ExtensionNext { id });
        let answer = match (std::mem::take(&mut actions.verdict), place) {
            (Verdict::Park, Some(place)) => {
                let (sender, receiver) = oneshot::channel();
                core.slot(place).parked = Some(sender);
                NextAnswer::Parked(receiver)
            }
            (refused, _) => NextAnswer::Refused(refused),
        };
        self.act(core, actions, now);
        answer
    }

    /// Hands an event to whom it concerns. Gives it back when the environment is not vacant.
    pub(crate) fn invoke(
        self: &Arc<Self>,
        event: Arc<RuntimeEvent>,
        caller: oneshot::Sender<Answered>,
    ) -> Result<(), Arc<RuntimeEvent>> {
        let request_id = event.request_id;
        let with_report = event.log_tail;
        let now = clock::now();
        let mut core = self.lock();
        if core.frozen && !self.thaw(&mut core) {
            drop(core);
            self.cannot_thaw();
            return Err(event);
        }
        let invoke = Event::Invoke {
            request_id,
            limit: self.spec.timeout,
            with_report,
        };
        let actions = core.lifecycle.handle(now, invoke);
        if actions.verdict != Verdict::Accepted {
            return Err(event);
        }
        core.caller = Some(Caller::Waiting(caller));
        core.event = Some(event);
        self.touched.store(true, Ordering::Relaxed);
        self.invocations.fetch_add(1, Ordering::Relaxed);
        if actions.begin.is_none() {
            // Initialization comes first; what it writes belongs to this invocation.
            self.log.open(request_id, with_report);
        }
        self.act(core, actions, now);
        Ok(())
    }

    /// Whether an answer says that it belongs to an earlier attempt of the request that runs.
    pub(crate) fn is_stale(&self, id: Option<RequestId>, headers: &HeaderMap) -> bool {
        let Some(attempt) = headers.get(INVOCATION_ID).filter(|id| !id.is_empty()) else {
            return false;
        };
        let core = self.lock();
        let running = core.event.as_ref();
        running.is_some_and(|event| {
            Some(event.request_id) == id && event.invocation_id != attempt.as_bytes()
        })
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

    /// Nothing runs in the sandbox any more, and nobody who ran is connected.
    pub(crate) fn stopped(self: &Arc<Self>) {
        let now = clock::now();
        let mut core = self.lock();
        core.parked = None;
        core.slots.clear();
        let actions = core.lifecycle.handle(now, Event::Stopped);
        self.act(core, actions, now);
    }

    /// What the environment's task has to do now.
    pub(crate) fn order(&self) -> Order {
        self.lock().lifecycle.order()
    }

    /// The machine has decided; this does it. Everything that others see happens after the lock.
    fn act(
        self: &Arc<Self>,
        mut core: std::sync::MutexGuard<'_, Core>,
        actions: Actions,
        now: Instant,
    ) -> Verdict {
        let parties = match &actions.init {
            Some(init) => core.lifecycle.parties().describe(init.failure.as_ref()),
            None => Vec::new(),
        };
        let caller = match actions.answer {
            Some(_) => core.caller.take(),
            None => None,
        };
        let parcels = match actions.deliver {
            Some(deliver) => core.pack(deliver),
            None => Parcels::default(),
        };
        // What the log says of it.
        let event = match actions.report {
            Some(_) => core.event.take(),
            None if actions.begin.is_some() || actions.runtime_done.is_some() => core.event.clone(),
            None => None,
        };
        drop(core);
        if let Some(done) = actions.init_runtime_done {
            self.runtime_initialized(&done);
        }
        if let Some(init) = actions.init {
            self.initialized(&init, &parties);
        }
        if let Some((id, with_report)) = actions.begin {
            self.begins(id, with_report, event.as_deref());
        }
        self.send(parcels);
        if let Some(done) = actions.runtime_done {
            self.runtime_done(&done, event.as_deref());
        }
        let tail = actions.report;
        let tail = tail.and_then(|report| self.report(&report, event.as_deref()));
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
        if actions.wake {
            self.wake.notify_one();
        }
        actions.verdict
    }

    fn send(self: &Arc<Self>, parcels: Parcels) {
        for (place, parked, event) in parcels.extensions {
            let unsent = match parked {
                Some(parked) => parked.send(event).err(),
                None => Some(event),
            };
            if let Some(event) = unsent {
                // It waits for the extension's next call.
                self.lock().slot(place).pending = Some(event);
            }
        }
        if let Some((parked, event)) = parcels.runtime {
            // If that connection broke, the event waits for the runtime's next call.
            let _ = parked.send(event);
        }
    }

    fn notify(self: &Arc<Self>, notice: Notice, now: Instant) {
        let Some(home) = self.home.upgrade() else {
            // Nobody will ever use it again.
            if matches!(notice, Notice::Vacant(_) | Notice::Cold(_)) {
                self.happen(Event::Shutdown);
            }
            return;
        };
        match notice {
            Notice::Vacant(was) => {
                self.rest_soon();
                home.vacant(IdleLease::new(Arc::clone(self), now, true), was);
            }
            Notice::Cold(was) => {
                home.vacant(IdleLease::new(Arc::clone(self), now, false), was);
            }
            Notice::Settling(was) => home.settling(self.id, was),
            Notice::Lost(was, failure) => home.lost(Lost {
                id: self.id,
                was,
                failure,
            }),
        }
    }
}

impl Core {
    /// Takes those who wait out of their places.
    fn pack(&mut self, deliver: Deliver) -> Parcels {
        let mut parcels = Parcels::default();
        let (extensions, event) = match deliver {
            Deliver::Invocation { extensions } => {
                let Some(event) = self.event.clone() else {
                    return parcels;
                };
                let json = (!extensions.is_empty()).then(|| ExtensionEvent::invoke(&event));
                parcels.runtime = self.parked.take().map(|parked| (parked, event));
                (extensions, json)
            }
            Deliver::Shutdown {
                extensions,
                reason,
                deadline_ms,
            } => (
                extensions,
                Some(ExtensionEvent::shutdown(reason, deadline_ms)),
            ),
        };
        if let Some(event) = event {
            for place in extensions {
                let parked = self.slot(place).parked.take();
                parcels.extensions.push((place, parked, event.clone()));
            }
        }
        parcels
    }
}

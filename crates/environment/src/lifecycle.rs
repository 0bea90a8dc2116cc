//! The life of one environment as a pure machine: it decides, [`crate::Environment`] acts.
//!
//! ```text
//!                    ┌──────────── everybody stopped ─────────────┐
//!                    ▼                                            │
//!                  Cold ──── invoke ────┐                     Stopping ◄── whatever fails
//!                                       ▼                         │
//!  Provisioning ─► Initializing ─► Idle ⇄ Invoking                │ if it shall end
//!                                                                 ▼
//!                                                     Ending ─► Terminated
//! ```
//!
//! The parties are the runtime and the extensions. Idle means that all of them are parked on their
//! `next`. An invocation goes to the runtime and to the extensions that registered for it; its
//! caller has the answer as soon as the runtime gave it, and it is over when all are parked again.
//! What a state does not allow is refused as AWS refuses it.
//!
//! When something fails, the first failure counts: the parties are stopped, the sandbox with its
//! `/tmp` stays, and the environment is Cold: vacant, but the next invocation initializes it first,
//! within its own time (AWS calls it suppressed initialization). Only a broken sandbox, or the
//! owner's wish, leads to the end.

use std::time::{Duration, Instant};

use bootlace_types::{RequestId, limits};

use crate::failure::{ExtensionFault, Failure, UNHANDLED};

mod ending;
mod parties;
mod running;
mod words;

pub(crate) use ending::{Ending, Stopping};
use parties::Runtime;
pub(crate) use parties::{Parties, Party};
pub(crate) use running::Running;
pub use words::Was;
pub(crate) use words::{
    Actions, Answer, Deliver, Event, ExtensionRefusal, InitReport, InitRuntimeDone, Notice, Phase,
    Produced, Refusal, Report, RuntimeDone, Sent, ShutdownReason, Verdict,
};

/// Where the environment stands.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one in each environment, and an invocation allocates nothing for it"
)]
pub(crate) enum State {
    /// The sandbox is being made.
    Provisioning,
    /// It may be invoked, but nothing runs in the sandbox; what brought it here, late calls of the
    /// killed must know.
    Cold(Ending),
    /// The parties start, and not all have asked for an event yet.
    Initializing(Init),
    /// All are parked; `init` is how long initialization took, until it is reported.
    Idle {
        since: Instant,
        init: Option<Duration>,
    },
    Invoking(Running),
    /// The parties are being stopped.
    Stopping(Stopping),
    /// The sandbox is being destroyed.
    Ending(Ending),
    Terminated,
}

/// An initialization under way.
#[derive(Debug)]
pub(crate) struct Init {
    since: Instant,
    /// Whether the extensions were started.
    launched: bool,
}

impl Init {
    fn new(since: Instant) -> Self {
        Self {
            since,
            launched: false,
        }
    }
}

/// What the environment's task has to do now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Wait,
    /// Start the external extensions.
    Launch,
    StartRuntime,
    Stop(Stop),
    /// Destroy the sandbox.
    End,
}

/// How the parties are to be stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    /// All the time there is; without any everybody is killed at once.
    pub(crate) budget: Duration,
    /// The extensions that may work when they have heard of the end, by their names.
    pub(crate) waits_for: Vec<Box<str>>,
    /// The runtime said that it cannot initialize: it may end by itself and finish its log.
    pub(crate) runtime_ends: bool,
    /// Afterwards the sandbox is destroyed; else it is kept.
    pub(crate) for_good: bool,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    state: State,
    parties: Parties,
    init_limit: Duration,
}

impl Lifecycle {
    pub(crate) fn new(init_limit: Duration) -> Self {
        Self {
            state: State::Provisioning,
            parties: Parties::default(),
            init_limit,
        }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn parties(&self) -> &Parties {
        &self.parties
    }

    /// Decides what an event means.
    pub(crate) fn handle(&mut self, now: Instant, event: Event) -> Actions {
        use Event as E;
        use State as S;
        match (&mut self.state, event) {
            // Ends first: whatever failed, or whoever wants it.
            (_, E::Gone) => self.gone(now),
            (S::Ending(ending), event) => ending.refuse(&event),
            (S::Terminated, event) => Ending::Other.refuse(&event),
            (_, E::Shutdown) => self.end(now, None),
            (_, E::Failed(failure)) => self.fail(now, failure),
            (S::Stopping(_), event) => self.while_stopping(now, event),

            (S::Provisioning, E::Provisioned) => {
                self.state = S::Initializing(Init::new(now));
                Actions::waking()
            }
            (
                S::Idle { .. } | S::Cold(_),
                E::Invoke {
                    request_id,
                    limit,
                    with_report,
                },
            ) => self.invoke(now, (request_id, limit, with_report)),
            (_, E::Invoke { .. }) => Actions::refuse(Refusal::Unusable),
            (S::Cold(ending), event) => ending.refuse(&event),

            (_, E::Register { name, events, id }) => {
                let verdict = self.parties.register(&name, &events, id);
                let wake = verdict == Verdict::Registered;
                Actions {
                    verdict,
                    wake,
                    ..Actions::default()
                }
            }
            (
                _,
                E::ExtensionFails {
                    id,
                    fault,
                    reported,
                },
            ) => {
                let verdict = self.parties.extension_fails(now, id, fault, reported);
                // There may be a deadline now.
                let wake = verdict == Verdict::Accepted;
                Actions {
                    verdict,
                    wake,
                    ..Actions::default()
                }
            }
            (_, E::Tick) => self.tick(now),

            (
                S::Initializing(init)
                | S::Invoking(Running {
                    suppressed: Some(init),
                    ..
                }),
                event @ (E::Launched { .. }
                | E::RuntimeStarted
                | E::Next
                | E::ExtensionNext { .. }
                | E::InitError { .. }),
            ) => {
                if let E::Launched { .. } = event {
                    init.launched = true;
                }
                self.while_initializing(now, event)
            }

            (S::Provisioning, E::Next) => refuse_transition("Started", "Ready"),
            (S::Idle { .. }, E::Next) => Actions::of(Verdict::Park),
            (S::Invoking(_), E::Next) => self.runtime_next(now),
            (_, E::ExtensionNext { id }) => self.extension_next(now, id),

            (S::Invoking(running), E::Response { id, body }) if running.expects(id) => {
                running.answer_whole(now, Verdict::Accepted, body, None)
            }
            (
                S::Invoking(running),
                E::Error {
                    id,
                    error_type,
                    body,
                },
            ) if running.expects(id) => {
                running.names_error(error_type);
                running.answer_whole(now, Verdict::Accepted, body, Some(UNHANDLED))
            }
            (S::Invoking(running), E::Faulty { id, fault }) if running.expects(id) => {
                let document = fault.document(running.request_id);
                let verdict = Verdict::Refused(Refusal::Fault(fault));
                running.answer_whole(now, verdict, document, Some(fault.error_type()))
            }
            (S::Invoking(running), E::StreamBegins { id }) if running.expects(id) => {
                running.begin_stream();
                Actions::of(Verdict::Accepted)
            }
            (S::Invoking(running), E::StreamEnds { id, answer, sent }) if running.streams(id) => {
                running.sent(now, sent);
                running.answer(now, Verdict::Accepted, answer)
            }
            (S::Invoking(running), E::StreamBroken { id, fault, sent }) if running.streams(id) => {
                running.sent(now, sent);
                let mut actions = self.fail(now, Failure::BrokenStream(fault));
                actions.verdict = Verdict::Refused(Refusal::Fault(fault));
                actions
            }
            (
                _,
                E::Response { .. }
                | E::Error { .. }
                | E::Faulty { .. }
                | E::StreamBegins { .. }
                | E::StreamEnds { .. }
                | E::StreamBroken { .. },
            ) => Actions::refuse(Refusal::InvalidRequestId),

            (_, E::InitError { .. }) => refuse_transition(self.runtime_state(), "InitError"),

            (S::Invoking(running), E::TimedOut { id }) if running.request_id == id => {
                let limit = running.limit;
                self.fail(now, Failure::TimedOut { limit })
            }
            (
                _,
                E::TimedOut { .. }
                | E::Provisioned
                | E::Launched { .. }
                | E::RuntimeStarted
                | E::Farewell { .. }
                | E::Stopped,
            ) => Actions::default(),
        }
    }

    /// What the task has to do now. It asks again after each wake and each thing it did.
    pub(crate) fn order(&self) -> Order {
        match &self.state {
            State::Initializing(init)
            | State::Invoking(Running {
                suppressed: Some(init),
                ..
            }) => match () {
                () if !init.launched => Order::Launch,
                () if self.parties.runtime == Runtime::Absent
                    && self.parties.all_external_registered() =>
                {
                    Order::StartRuntime
                }
                () => Order::Wait,
            },
            State::Stopping(stopping) => Order::Stop(stopping.how(&self.parties)),
            State::Ending(_) | State::Terminated => Order::End,
            State::Provisioning | State::Cold(_) | State::Idle { .. } | State::Invoking(_) => {
                Order::Wait
            }
        }
    }

    /// When the machine wants to hear a [`Event::Tick`] at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let init = match &self.state {
            State::Initializing(init) => Some(init.since + self.init_limit),
            State::Idle { .. } | State::Invoking(_) => None,
            State::Provisioning
            | State::Cold(_)
            | State::Stopping(_)
            | State::Ending(_)
            | State::Terminated => return None,
        };
        let fault = self.parties.fault.as_ref();
        let fault = fault.map(|(_, _, since)| *since + limits::PARTY_ERROR_GRACE);
        init.into_iter().chain(fault).min()
    }

    /// The invocation whose time is over at `now`, if there is one.
    pub(crate) fn overdue(&self, now: Instant) -> Option<RequestId> {
        match &self.state {
            State::Invoking(running) if running.is_overdue(now) => Some(running.request_id),
            _ => None,
        }
    }

    /// Whether its parties were all parked once, and still run.
    pub(crate) fn is_initialized(&self) -> bool {
        match &self.state {
            State::Idle { .. } => true,
            State::Invoking(running) => running.suppressed.is_none(),
            _ => false,
        }
    }

    /// Whether its initialization phase is over, well or not.
    pub(crate) fn is_past_init(&self) -> bool {
        !matches!(self.state, State::Provisioning | State::Initializing(_))
    }

    /// Whether its parties are initializing, in whosever time.
    pub(crate) fn is_initializing(&self) -> bool {
        match &self.state {
            State::Initializing(_) => true,
            State::Invoking(running) => running.suppressed.is_some(),
            _ => false,
        }
    }

    /// Whether the runtime may answer this request now.
    pub(crate) fn expects_answer(&self, id: Option<RequestId>) -> bool {
        matches!(&self.state, State::Invoking(running) if running.expects(id))
    }

    /// Whether the runtime may say now that it cannot initialize.
    pub(crate) fn expects_init_error(&self) -> bool {
        let initializing = matches!(
            &self.state,
            State::Initializing(_)
                | State::Invoking(Running {
                    suppressed: Some(_),
                    ..
                })
        );
        initializing && self.parties.runtime == Runtime::Started
    }

    fn invoke(&mut self, now: Instant, facts: (RequestId, Duration, bool)) -> Actions {
        let mut actions = Actions::of(Verdict::Accepted);
        let running = match &mut self.state {
            State::Idle { init, .. } => {
                actions.begin = Some((facts.0, facts.2));
                actions.deliver = Some(Deliver::Invocation {
                    extensions: self.parties.invoke(),
                });
                Running::new(now, facts, init.take(), None)
            }
            _ => {
                actions.wake = true;
                Running::new(now, facts, None, Some(Init::new(now)))
            }
        };
        self.state = State::Invoking(running);
        actions
    }

    fn while_initializing(&mut self, now: Instant, event: Event) -> Actions {
        match (self.parties.runtime, event) {
            (_, Event::Launched { external }) => {
                if external.len() > limits::EXTENSIONS {
                    let text = format!("Extension limit ({}) reached", limits::EXTENSIONS);
                    return self.fail(now, Failure::extension(ExtensionFault::Launch, text));
                }
                self.parties.launch(external);
                Actions::default()
            }
            (_, Event::RuntimeStarted) => {
                self.parties.runtime = Runtime::Started;
                Actions::default()
            }
            (runtime @ (Runtime::Started | Runtime::Ready), Event::Next) => {
                self.parties.runtime = Runtime::Ready;
                self.parties.closed = true;
                let phase = self.phase();
                let mut actions = self.parked(now);
                actions.init_runtime_done = (runtime == Runtime::Started).then_some({
                    let failure = None;
                    InitRuntimeDone { phase, failure }
                });
                actions
            }
            (_, Event::ExtensionNext { id }) => match self.parties.extension_ready(id) {
                Verdict::Park => self.parked(now),
                refused => Actions::of(refused),
            },
            (Runtime::Started, Event::InitError { error_type, body }) => {
                let mut actions = self.fail(now, Failure::InitError { error_type, body });
                actions.verdict = Verdict::Accepted;
                actions
            }
            (_, Event::InitError { .. }) => refuse_transition(self.runtime_state(), "InitError"),
            _ => refuse_transition(self.runtime_state(), "Ready"),
        }
    }

    /// One more party is parked; if it was the last, initialization is over.
    fn parked(&mut self, now: Instant) -> Actions {
        let mut actions = Actions::of(Verdict::Park);
        if !self.parties.all_ready() {
            return actions;
        }
        let since = match &mut self.state {
            State::Initializing(init) => {
                let since = init.since;
                let init = Some(now.saturating_duration_since(since));
                self.state = State::Idle { since: now, init };
                actions.notice = Some(Notice::Vacant(Was::Starting));
                (Phase::Init, since)
            }
            State::Invoking(running) => {
                let since = running.suppressed.as_ref().map_or(now, |init| init.since);
                running.deliver(now);
                actions.begin = Some(running.begins());
                actions.deliver = Some(Deliver::Invocation {
                    extensions: self.parties.invoke(),
                });
                (Phase::Invoke, since)
            }
            _ => return actions,
        };
        actions.init = Some(InitReport {
            phase: since.0,
            duration: now.saturating_duration_since(since.1),
            failure: None,
        });
        actions
    }

    fn runtime_next(&mut self, now: Instant) -> Actions {
        let State::Invoking(running) = &mut self.state else {
            return Actions::default();
        };
        if !running.is_answered() {
            return Actions::of(Verdict::Deliver);
        }
        if running.back.is_some() {
            return Actions::of(Verdict::Park);
        }
        running.back = Some(now);
        self.parties.runtime = Runtime::Ready;
        let done = running.runtime_done(now, None);
        let mut actions = match self.parties.all_back() {
            true => self.complete(now),
            false => Actions::default(),
        };
        actions.verdict = Verdict::Park;
        actions.runtime_done = Some(done);
        actions
    }

    fn extension_next(&mut self, now: Instant, id: uuid::Uuid) -> Actions {
        let verdict = self.parties.extension_ready(id);
        let runtime_is_back =
            matches!(&self.state, State::Invoking(running) if running.back.is_some());
        let last = verdict == Verdict::Park && runtime_is_back && self.parties.all_back();
        let mut actions = match last {
            true => self.complete(now),
            false => Actions::default(),
        };
        actions.verdict = verdict;
        actions
    }

    fn complete(&mut self, now: Instant) -> Actions {
        let idle = State::Idle {
            since: now,
            init: None,
        };
        match std::mem::replace(&mut self.state, idle) {
            State::Invoking(running) => running.complete(now, self.parties.any_for_invoke()),
            _ => Actions::default(),
        }
    }

    fn tick(&mut self, now: Instant) -> Actions {
        if let State::Initializing(init) = &self.state {
            let limit = self.init_limit;
            if now >= init.since + limit {
                return self.fail(now, Failure::TimedOut { limit });
            }
        }
        match &self.parties.fault {
            Some((fault, reported, since)) if now >= *since + limits::PARTY_ERROR_GRACE => {
                let failure = Failure::extension(*fault, reported.clone());
                self.fail(now, failure)
            }
            _ => Actions::default(),
        }
    }

    /// Whose time an initialization takes that is under way.
    fn phase(&self) -> Phase {
        match &self.state {
            State::Invoking(_) => Phase::Invoke,
            _ => Phase::Init,
        }
    }

    /// The name AWS's platform has for where the runtime stands.
    fn runtime_state(&self) -> &'static str {
        match (self.parties.runtime, &self.state) {
            (Runtime::Running, State::Invoking(running)) => running.runtime_state(),
            (Runtime::Ready | Runtime::Running, _) => "Ready",
            (Runtime::Absent | Runtime::Started, _) => "Started",
        }
    }
}

fn refuse_transition(from: &'static str, to: &'static str) -> Actions {
    Actions::refuse(Refusal::Transition { from, to })
}

#[cfg(test)]
mod tests;

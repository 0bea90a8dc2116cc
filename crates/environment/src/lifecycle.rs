//! The life of one environment as a pure machine: it decides, [`crate::Environment`] acts.
//!
//! ```text
//!  Provisioning ─► Initializing ─► Idle ⇄ Invoking { Running ─► Answered }
//!       │               │           │          │
//!       └───────────────┴───────────┴──────────┴──► ShuttingDown ─► Terminated
//! ```
//!
//! Idle means that the runtime is parked on `next`. An invocation is Running until the runtime has
//! answered (while it streams its answer, too), and Answered until it asks for the next one: only then is the environment free. What
//! a state does not allow is refused as AWS refuses it. Everything that fails leads to
//! ShuttingDown; an environment is never used again after a failure.

use std::time::{Duration, Instant};

use bootlace_types::RequestId;
use bytes::Bytes;

use crate::failure::{Failure, UNHANDLED};

mod words;

pub use words::Was;
pub(crate) use words::{Actions, Answer, Event, Notice, Produced, Refusal, Report, Sent, Verdict};

/// Where the environment stands.
#[derive(Debug)]
pub(crate) enum State {
    /// The sandbox is being made.
    Provisioning,
    /// The runtime process runs and has not asked for an event yet.
    Initializing {
        since: Instant,
    },
    /// The runtime is parked; `init` is how long initialization took, until it is reported.
    Idle {
        init: Option<Duration>,
    },
    Invoking(Running),
    /// Nothing is accepted any more; the sandbox is being destroyed.
    ShuttingDown(Ending),
    Terminated,
}

impl State {
    pub(crate) fn ended_by_init_error(&self) -> bool {
        matches!(self, Self::ShuttingDown(Ending::InitError))
    }

    /// Whether the runtime may answer this request now.
    pub(crate) fn expects_answer(&self, id: Option<RequestId>) -> bool {
        matches!(self, Self::Invoking(running) if running.expects(id))
    }

    /// Whether the runtime may say now that it cannot initialize.
    pub(crate) fn expects_init_error(&self) -> bool {
        matches!(self, Self::Initializing { .. })
    }
}

/// What brought an environment to its end, as far as late calls of its runtime must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    TimedOut,
    InitError,
    Other,
}

/// The invocation of an environment that is Invoking.
#[derive(Debug)]
pub(crate) struct Running {
    request_id: RequestId,
    began: Instant,
    limit: Duration,
    /// The caller waits for the REPORT line.
    with_report: bool,
    /// How long initialization took, in the first invocation.
    init: Option<Duration>,
    /// The runtime has begun an answer that goes to the caller piece by piece.
    streams: bool,
    /// Whether the runtime has answered, and what the caller has not been told yet.
    answered: Option<Option<Answer>>,
    produced: Option<Produced>,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    state: State,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Provisioning,
        }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Decides what an event means.
    pub(crate) fn handle(&mut self, now: Instant, event: Event) -> Actions {
        use Event as E;
        use State as S;
        match (&mut self.state, event) {
            // Ends first: whatever failed, or whoever wants it, there is one way out.
            (_, E::Gone) => self.gone(now),
            (S::ShuttingDown(ending), event) => after_the_end(*ending, &event),
            (S::Terminated, event) => after_the_end(Ending::Other, &event),
            (_, E::Failed(failure)) => self.end(now, Some(failure)),
            (_, E::Shutdown) => self.end(now, None),

            (S::Provisioning, E::Started) => {
                self.state = S::Initializing { since: now };
                Actions::default()
            }
            (_, E::Started) => Actions::default(),

            (S::Initializing { since }, E::Next) => {
                let init = Some(now.saturating_duration_since(*since));
                self.state = S::Idle { init };
                Actions::of(Verdict::Park).tell(Notice::Vacant(Was::Starting))
            }
            (S::Idle { .. }, E::Next) => Actions::of(Verdict::Park),
            (S::Invoking(running), E::Next) => match running.answered {
                None => Actions::of(Verdict::Deliver),
                Some(_) => self.complete(now),
            },
            (S::Provisioning, E::Next) => refuse_transition("Started", "Ready"),

            (
                S::Idle { init },
                E::Invoke {
                    request_id,
                    limit,
                    with_report,
                },
            ) => {
                let init = init.take();
                self.state = S::Invoking(Running {
                    request_id,
                    began: now,
                    limit,
                    with_report,
                    init,
                    streams: false,
                    answered: None,
                    produced: None,
                });
                Actions::of(Verdict::Accepted)
            }
            (_, E::Invoke { .. }) => Actions::of(Verdict::Refused(Refusal::Unusable)),

            (S::Invoking(running), E::Response { id, body }) if running.expects(id) => {
                running.answer_whole(now, Verdict::Accepted, body, None)
            }
            (S::Invoking(running), E::Error { id, body }) if running.expects(id) => {
                running.answer_whole(now, Verdict::Accepted, body, Some(UNHANDLED))
            }
            (S::Invoking(running), E::Faulty { id, fault }) if running.expects(id) => {
                let document = fault.document(running.request_id);
                let verdict = Verdict::Refused(Refusal::Fault(fault));
                running.answer_whole(now, verdict, document, Some(fault.error_type()))
            }
            (S::Invoking(running), E::StreamBegins { id }) if running.expects(id) => {
                running.streams = true;
                Actions::of(Verdict::Accepted)
            }
            (S::Invoking(running), E::StreamEnds { id, answer, sent }) if running.streams(id) => {
                running.sent(now, sent);
                running.answer(Verdict::Accepted, answer)
            }
            (S::Invoking(running), E::StreamBroken { id, fault, sent }) if running.streams(id) => {
                running.sent(now, sent);
                let mut actions = self.end(now, Some(Failure::BrokenStream(fault)));
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
            ) => Actions::of(Verdict::Refused(Refusal::InvalidRequestId)),

            (S::Initializing { .. }, E::InitError { error_type, body }) => {
                let mut actions = self.end(now, Some(Failure::InitError { error_type, body }));
                actions.verdict = Verdict::Accepted;
                actions
            }
            (S::Provisioning, E::InitError { .. }) => refuse_transition("Started", "InitError"),
            (S::Idle { .. }, E::InitError { .. }) => refuse_transition("Ready", "InitError"),
            (S::Invoking(running), E::InitError { .. }) => {
                refuse_transition(running.runtime_state(), "InitError")
            }

            (S::Invoking(running), E::TimedOut { id }) if running.request_id == id => {
                let limit = running.limit;
                self.end(now, Some(Failure::TimedOut { limit }))
            }
            (_, E::TimedOut { .. }) => Actions::default(),
        }
    }

    /// The invocation whose time is over at `now`, if there is one.
    pub(crate) fn overdue(&self, now: Instant) -> Option<RequestId> {
        match &self.state {
            State::Invoking(running) if now >= running.began + running.limit => {
                Some(running.request_id)
            }
            _ => None,
        }
    }

    fn complete(&mut self, now: Instant) -> Actions {
        let state = std::mem::replace(&mut self.state, State::Idle { init: None });
        let State::Invoking(mut running) = state else {
            return Actions::default();
        };
        let was = running.was();
        let answer = running.answered.take().flatten();
        Actions {
            verdict: Verdict::Park,
            report: Some(running.report(now, None)),
            answer,
            notice: Some(Notice::Vacant(was)),
            destroy: false,
        }
    }

    /// Leaves whatever state for ShuttingDown, with the answer its caller still lacks.
    fn end(&mut self, now: Instant, failure: Option<Failure>) -> Actions {
        let ending = match &failure {
            Some(Failure::TimedOut { .. }) => Ending::TimedOut,
            Some(Failure::InitError { .. }) => Ending::InitError,
            _ => Ending::Other,
        };
        let state = std::mem::replace(&mut self.state, State::ShuttingDown(ending));
        let mut actions = Actions {
            destroy: true,
            ..Actions::default()
        };
        let was = match state {
            State::Provisioning | State::Initializing { .. } => Was::Starting,
            State::Idle { .. } => Was::Idle,
            State::Invoking(running) => {
                // Ended from outside in the middle of an invocation: it was killed.
                let failure = failure.clone().unwrap_or(KILLED);
                actions.report = Some(running.report(now, Some(failure.clone())));
                let was = running.was();
                actions.answer = match running.answered {
                    Some(held) => held,
                    None => Some(Answer {
                        payload: failure.document(running.request_id),
                        error: Some(failure.code().into()),
                    }),
                };
                was
            }
            State::ShuttingDown(_) | State::Terminated => return Actions::default(),
        };
        actions.notice = Some(Notice::Lost(was, failure));
        actions
    }

    fn gone(&mut self, now: Instant) -> Actions {
        let mut actions = match self.state {
            State::ShuttingDown(_) | State::Terminated => Actions::default(),
            _ => self.end(now, None),
        };
        actions.destroy = false;
        self.state = State::Terminated;
        actions
    }
}

const KILLED: Failure = Failure::Exited(bootlace_sandbox::End::Signaled(9));

impl Running {
    fn expects(&self, id: Option<RequestId>) -> bool {
        self.answered.is_none() && !self.streams && id == Some(self.request_id)
    }

    /// Whether a streamed answer to this request has begun and not ended.
    fn streams(&self, id: RequestId) -> bool {
        self.answered.is_none() && self.streams && id == self.request_id
    }

    fn answer_whole(
        &mut self,
        now: Instant,
        verdict: Verdict,
        payload: Bytes,
        error: Option<&'static str>,
    ) -> Actions {
        let bytes = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        self.sent(now, Sent { first: now, bytes });
        let error = error.map(Into::into);
        self.answer(verdict, Answer { payload, error })
    }

    fn sent(&mut self, now: Instant, sent: Sent) {
        self.produced = Some(Produced {
            latency: sent.first.saturating_duration_since(self.began),
            duration: now.saturating_duration_since(sent.first),
            bytes: sent.bytes,
        });
    }

    fn answer(&mut self, verdict: Verdict, answer: Answer) -> Actions {
        if self.with_report {
            self.answered = Some(Some(answer));
            return Actions::of(verdict);
        }
        self.answered = Some(None);
        let mut actions = Actions::of(verdict).tell(Notice::Settling);
        actions.answer = Some(answer);
        actions
    }

    fn report(&self, now: Instant, failure: Option<Failure>) -> Report {
        let mut duration = now.saturating_duration_since(self.began);
        if let Some(Failure::TimedOut { limit }) = &failure {
            duration = *limit;
        }
        Report {
            request_id: self.request_id,
            duration,
            init: self.init,
            produced: self.produced,
            failure,
        }
    }

    /// Settling, if its caller has been told everything already.
    fn was(&self) -> Was {
        if matches!(self.answered, Some(None)) {
            Was::Settling
        } else {
            Was::Running
        }
    }

    /// The name AWS's platform has for where the runtime stands.
    fn runtime_state(&self) -> &'static str {
        if self.answered.is_some() {
            "RuntimeResponseSentState"
        } else if self.streams {
            "InvocationResponse"
        } else {
            "Running"
        }
    }
}

/// A runtime that is being killed may still speak.
fn after_the_end(ending: Ending, event: &Event) -> Actions {
    let refusal = match (ending, event) {
        (Ending::InitError, Event::Next) => Refusal::Transition {
            from: "InitError",
            to: "Ready",
        },
        (Ending::InitError, Event::InitError { .. }) => Refusal::Transition {
            from: "InitError",
            to: "InitError",
        },
        (
            Ending::TimedOut,
            Event::Response { .. }
            | Event::Error { .. }
            | Event::Faulty { .. }
            | Event::StreamBegins { .. }
            | Event::StreamEnds { .. }
            | Event::StreamBroken { .. },
        ) => Refusal::InvokeTimeout,
        (
            _,
            Event::Response { .. }
            | Event::Error { .. }
            | Event::Faulty { .. }
            | Event::StreamBegins { .. }
            | Event::StreamEnds { .. }
            | Event::StreamBroken { .. }
            | Event::InitError { .. }
            | Event::Next
            | Event::Invoke { .. },
        ) => Refusal::Unusable,
        (
            _,
            Event::Started
            | Event::TimedOut { .. }
            | Event::Failed(_)
            | Event::Shutdown
            | Event::Gone,
        ) => return Actions::default(),
    };
    Actions::of(Verdict::Refused(refusal))
}

fn refuse_transition(from: &'static str, to: &'static str) -> Actions {
    Actions::of(Verdict::Refused(Refusal::Transition { from, to }))
}

#[cfg(test)]
mod tests;

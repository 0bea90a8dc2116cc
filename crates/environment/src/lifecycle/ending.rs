//! What happens when something fails or somebody wants the end: who is stopped, who is told what.

use std::time::Instant;

use super::parties::{Parties, Runtime};
use super::words::{
    Actions, Deliver, Event, ExtensionRefusal, InitReport, InitRuntimeDone, Notice, Phase, Refusal,
    ShutdownReason, Verdict, Was,
};
use super::{Lifecycle, State, Stop};
use crate::failure::Failure;

/// What an invocation failed of whose environment was ended from outside.
pub(super) const KILLED: Failure = Failure::Exited(bootlace_sandbox::End::Signaled(9));

/// What stopped the parties, as far as late calls of theirs must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    TimedOut,
    InitError,
    Other,
}

/// Parties that are being stopped.
#[derive(Debug)]
pub(crate) struct Stopping {
    ending: Ending,
    reason: ShutdownReason,
    /// Afterwards the sandbox is destroyed; else it is kept for the next invocation.
    for_good: bool,
    /// What the owner believes that the environment is doing.
    was: Was,
}

impl Stopping {
    /// Whether the sandbox is destroyed afterwards.
    pub(crate) fn for_good(&self) -> bool {
        self.for_good
    }

    /// How to go about it.
    pub(super) fn how(&self, parties: &Parties) -> Stop {
        let waits_for = parties.extensions.iter().filter(|one| one.shutdown);
        Stop {
            budget: parties.budget(),
            waits_for: waits_for.map(|one| one.name.clone()).collect(),
            runtime_ends: self.ending == Ending::InitError,
            for_good: self.for_good,
        }
    }
}

impl Lifecycle {
    /// Something failed. The first failure counts.
    pub(super) fn fail(&mut self, now: Instant, failure: Failure) -> Actions {
        if failure.breaks_sandbox() || matches!(self.state, State::Provisioning) {
            return self.end(now, Some(failure));
        }
        if matches!(self.state, State::Stopping(_) | State::Cold(_)) {
            return Actions::default();
        }
        let failure = match self.parties.fault.take() {
            // An extension said that it would end, and now it did.
            Some((fault, ..)) => failure.because_of(fault),
            None => failure,
        };
        let (ending, reason) = match &failure {
            Failure::TimedOut { .. } => (Ending::TimedOut, ShutdownReason::Timeout),
            Failure::InitError { .. } => (Ending::InitError, ShutdownReason::Failure),
            _ => (Ending::Other, ShutdownReason::Failure),
        };
        let (mut actions, was) = self.leave(now, Some(&failure));
        actions.notice = match was {
            Was::Starting | Was::Settling => None,
            Was::Idle | Was::Running => Some(Notice::Settling(was)),
        };
        self.state = State::Stopping(Stopping {
            ending,
            reason,
            for_good: false,
            was: match was {
                Was::Starting => Was::Starting,
                Was::Idle | Was::Running | Was::Settling => Was::Settling,
            },
        });
        actions.wake = true;
        actions
    }

    /// The environment ends: `failure` broke it, or its owner wants it.
    pub(super) fn end(&mut self, now: Instant, failure: Option<Failure>) -> Actions {
        if matches!(&self.state, State::Stopping(stopping) if stopping.for_good) {
            return match failure {
                // Nothing can be stopped any more in a sandbox that is broken.
                Some(_) => {
                    self.state = State::Ending(Ending::Other);
                    Actions::waking()
                }
                None => Actions::default(),
            };
        }
        let broken = failure.as_ref().is_some_and(Failure::breaks_sandbox);
        let (mut actions, was) = self.leave(now, failure.as_ref());
        self.state = match std::mem::replace(&mut self.state, State::Terminated) {
            State::Stopping(stopping) if !broken => State::Stopping(Stopping {
                for_good: true,
                ..stopping
            }),
            State::Provisioning | State::Cold(_) => State::Ending(Ending::Other),
            _ if broken => State::Ending(Ending::Other),
            _ => State::Stopping(Stopping {
                ending: Ending::Other,
                reason: ShutdownReason::Spindown,
                for_good: true,
                was,
            }),
        };
        actions.notice = Some(Notice::Lost(was, failure));
        actions.wake = true;
        actions
    }

    pub(super) fn gone(&mut self, now: Instant) -> Actions {
        let known = match &self.state {
            State::Ending(_) | State::Terminated => true,
            State::Stopping(stopping) => stopping.for_good,
            _ => false,
        };
        let mut actions = match known {
            true => Actions::default(),
            false => self.end(now, None),
        };
        actions.wake = false;
        self.state = State::Terminated;
        actions
    }

    pub(super) fn while_stopping(&mut self, now: Instant, event: Event) -> Actions {
        let State::Stopping(stopping) = &mut self.state else {
            return Actions::default();
        };
        match event {
            Event::Farewell { deadline_ms } => Actions {
                deliver: Some(Deliver::Shutdown {
                    extensions: self.parties.farewell(),
                    reason: stopping.reason,
                    deadline_ms,
                }),
                ..Actions::default()
            },
            Event::ExtensionNext { id } => Actions::of(self.parties.extension_ready(id)),
            Event::ExtensionFails {
                id,
                fault,
                reported,
            } => Actions::of(self.parties.extension_fails(now, id, fault, reported)),
            Event::Stopped => {
                let (ending, was) = (stopping.ending, stopping.was);
                self.parties = Parties::default();
                if stopping.for_good {
                    self.state = State::Ending(ending);
                    return Actions::waking();
                }
                self.state = State::Cold(ending);
                Actions::default().tell(Notice::Cold(was))
            }
            event => stopping.ending.refuse(&event),
        }
    }

    /// What everybody is told who took part in what the environment was doing.
    fn leave(&mut self, now: Instant, failure: Option<&Failure>) -> (Actions, Was) {
        match std::mem::replace(&mut self.state, State::Terminated) {
            State::Initializing(init) => {
                let report = failure.map(|failure| InitReport {
                    phase: Phase::Init,
                    duration: now.saturating_duration_since(init.since),
                    failure: Some(failure.clone()),
                });
                self.state = State::Initializing(init);
                let actions = Actions {
                    init_runtime_done: self.runtime_fails(Phase::Init, failure),
                    init: report,
                    ..Actions::default()
                };
                (actions, Was::Starting)
            }
            State::Invoking(running) => {
                let init = running.suppressed.as_ref().map(|init| InitReport {
                    phase: Phase::Invoke,
                    duration: now.saturating_duration_since(init.since),
                    failure: Some(failure.cloned().unwrap_or(KILLED)),
                });
                let (mut actions, was) = running.fail(now, failure);
                if init.is_some() {
                    actions.init_runtime_done = self.runtime_fails(Phase::Invoke, failure);
                }
                actions.init = init;
                (actions, was)
            }
            state => {
                let was = match &state {
                    State::Stopping(stopping) => stopping.was,
                    State::Provisioning => Was::Starting,
                    _ => Was::Idle,
                };
                self.state = state;
                (Actions::default(), was)
            }
        }
    }
}

impl Lifecycle {
    /// What is said of a runtime that initializes when something fails.
    fn runtime_fails(&self, phase: Phase, failure: Option<&Failure>) -> Option<InitRuntimeDone> {
        let failure = Some(failure?.clone());
        (self.parties.runtime == Runtime::Started).then_some(InitRuntimeDone { phase, failure })
    }
}

impl Ending {
    /// A party that is being killed, or was, may still speak.
    pub(super) fn refuse(self, event: &Event) -> Actions {
        use Event as E;
        let refusal = match (self, event) {
            (Self::InitError, E::Next) => Refusal::Transition {
                from: "InitError",
                to: "Ready",
            },
            (Self::InitError, E::InitError { .. }) => Refusal::Transition {
                from: "InitError",
                to: "InitError",
            },
            (
                Self::TimedOut,
                E::Response { .. }
                | E::Error { .. }
                | E::Faulty { .. }
                | E::StreamBegins { .. }
                | E::StreamEnds { .. }
                | E::StreamBroken { .. },
            ) => Refusal::InvokeTimeout,
            (_, E::Register { .. }) => Refusal::Extension(ExtensionRefusal::RegistrationClosed),
            (_, E::ExtensionNext { id }) => Refusal::Extension(ExtensionRefusal::Unknown(*id)),
            (_, E::ExtensionFails { .. }) => {
                Refusal::Extension(ExtensionRefusal::UnknownIdentifier)
            }
            (
                _,
                E::Response { .. }
                | E::Error { .. }
                | E::Faulty { .. }
                | E::StreamBegins { .. }
                | E::StreamEnds { .. }
                | E::StreamBroken { .. }
                | E::InitError { .. }
                | E::Next
                | E::Invoke { .. },
            ) => Refusal::Unusable,
            (
                _,
                E::Provisioned
                | E::Launched { .. }
                | E::RuntimeStarted
                | E::TimedOut { .. }
                | E::Tick
                | E::Failed(_)
                | E::Farewell { .. }
                | E::Stopped
                | E::Shutdown
                | E::Gone,
            ) => return Actions::default(),
        };
        Actions::of(Verdict::Refused(refusal))
    }
}

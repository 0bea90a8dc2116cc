//! The right to invoke an idle environment, and the invocation that it becomes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::Sleep;

use crate::environment::{Environment, EnvironmentId, StartPhases};
use crate::lifecycle::{Event, State, Was};
use crate::runtime_event::RuntimeEvent;
use crate::spec::{Invocation, Outcome};
use crate::stream::{Answered, Chunks};

/// The right to invoke an environment that is vacant. There is one at a time; dropped
/// unused it goes back to the environment's owner.
#[derive(Debug)]
pub struct IdleLease {
    environment: Option<Arc<Environment>>,
    since: Instant,
    initialized: bool,
}

/// An invocation could not begin, because the environment ended meanwhile; nothing was run.
#[derive(Debug)]
pub struct NotIdle(Arc<RuntimeEvent>);

impl IdleLease {
    pub(crate) fn new(environment: Arc<Environment>, since: Instant, initialized: bool) -> Self {
        Self {
            environment: Some(environment),
            since,
            initialized,
        }
    }

    /// Whether its runtime waits for an event; else it starts with the invocation, within its time.
    #[must_use]
    pub fn is_initialized(&self) -> bool {
        self.initialized
    }

    #[must_use]
    pub fn id(&self) -> EnvironmentId {
        self.environment
            .as_ref()
            .map_or(EnvironmentId(0), |environment| environment.id)
    }

    /// Since when it has been idle.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Whether it has never been invoked.
    #[must_use]
    pub fn is_new(&self) -> bool {
        let invocations = |environment: &Arc<Environment>| {
            let count = &environment.invocations;
            count.load(std::sync::atomic::Ordering::Relaxed)
        };
        self.environment
            .as_ref()
            .is_some_and(|one| invocations(one) == 0)
    }

    /// How long its start took.
    #[must_use]
    pub fn phases(&self) -> Option<StartPhases> {
        self.environment
            .as_ref()
            .map(|environment| environment.phases())
    }

    /// Hands the event to the runtime. What comes back is awaited for the outcome.
    pub fn invoke(self, invocation: Invocation) -> Result<Running, NotIdle> {
        let limit = self
            .environment
            .as_ref()
            .map(|environment| environment.spec.timeout);
        self.deliver(Arc::new(RuntimeEvent::new(
            invocation,
            limit.unwrap_or_default(),
        )))
    }

    /// The same again, with another environment.
    pub fn retry(self, refused: NotIdle) -> Result<Running, NotIdle> {
        self.deliver(refused.0)
    }

    fn deliver(mut self, event: Arc<RuntimeEvent>) -> Result<Running, NotIdle> {
        let Some(environment) = self.environment.take() else {
            return Err(NotIdle(event));
        };
        let (caller, outcome) = oneshot::channel();
        let request_id = event.request_id;
        environment.invoke(event, caller).map_err(NotIdle)?;
        let timer = Box::pin(tokio::time::sleep(environment.spec.timeout));
        Ok(Running(Timed {
            environment,
            request_id,
            awaited: outcome,
            timer,
        }))
    }

    /// Ends the environment.
    pub fn shut_down(mut self) {
        if let Some(environment) = self.environment.take() {
            environment.happen(Event::Shutdown);
        }
    }
}

impl Drop for IdleLease {
    fn drop(&mut self) {
        let Some(environment) = self.environment.take() else {
            return;
        };
        let initialized = environment.with_lifecycle(|machine| match machine.state() {
            State::Idle { .. } => Some(true),
            State::Cold(_) => Some(false),
            _ => None,
        });
        let Some(initialized) = initialized else {
            return;
        };
        match environment.home.upgrade() {
            Some(home) => {
                let lease = Self::new(environment, self.since, initialized);
                home.vacant(lease, Was::Idle);
            }
            None => {
                environment.happen(Event::Shutdown);
            }
        }
    }
}

/// An invocation that runs; await it for its answer. It also enforces the function's timeout, so
/// whoever loses interest must hand it to a task instead of dropping it.
#[derive(Debug)]
pub struct Running(Timed<Answered>);

/// What an invocation was answered.
#[derive(Debug)]
pub enum Reply {
    Whole(Outcome),
    /// Piece by piece; how it ends is the outcome, whose payload is empty or an error document.
    Stream(Chunks, Finishing),
}

impl Future for Running {
    /// `None` only when the environment vanished without a word, which it does not.
    type Output = Option<Reply>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Reply>> {
        let answered = self.0.poll(context);
        answered.map(|answered| {
            Some(match answered? {
                Answered::Whole(outcome) => Reply::Whole(outcome),
                Answered::Stream(stream) => {
                    let finishing = Finishing(Timed {
                        environment: Arc::clone(&self.0.environment),
                        request_id: self.0.request_id,
                        awaited: stream.end,
                        timer: Box::pin(tokio::time::sleep_until(self.0.timer.deadline())),
                    });
                    Reply::Stream(stream.chunks, finishing)
                }
            })
        })
    }
}

/// An invocation whose answer is being streamed; await it for how that ends. Like [`Running`], it
/// enforces the timeout and must not be dropped.
#[derive(Debug)]
pub struct Finishing(Timed<Outcome>);

impl Future for Finishing {
    type Output = Option<Outcome>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Outcome>> {
        self.0.poll(context)
    }
}

/// What an environment will tell about a request before the function's time is over.
#[derive(Debug)]
struct Timed<T> {
    environment: Arc<Environment>,
    request_id: bootlace_types::RequestId,
    awaited: oneshot::Receiver<T>,
    timer: Pin<Box<Sleep>>,
}

impl<T> Timed<T> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        if let Poll::Ready(told) = Pin::new(&mut self.awaited).poll(context) {
            return Poll::Ready(told.ok());
        }
        if self.timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.environment.log.drain();
        self.environment.happen(Event::TimedOut {
            id: self.request_id,
        });
        // Either the timeout answered, or the function did just before.
        Poll::Ready(self.awaited.try_recv().ok())
    }
}

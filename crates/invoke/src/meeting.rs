//! One invocation's meeting with an environment, and what happens when its caller leaves.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bootlace_environment::{
    Chunks, Finishing, IdleLease, Invocation, Outcome, Reply, ResponseMode, Running,
};
use bootlace_tasks::TaskKind;

use crate::catalog::Function;
use crate::fleet::Grant;
use crate::observation::{Observation, VANISHED};
use crate::request::{InvokeError, InvokeRequest};

/// An environment can end between the moment it is leased and the moment it is invoked; so often
/// another is tried.
const ATTEMPTS: usize = 8;

const ABANDONED: TaskKind = TaskKind::disposable("abandoned invocation").finished();

/// Hands the event to an environment, or to another if the first has ended meanwhile.
pub(crate) async fn begin(
    function: &Function,
    request: InvokeRequest,
    mode: ResponseMode,
    observation: &mut Observation,
) -> Result<Running, InvokeError> {
    let invoked_arn = match request.qualifier {
        Some(_) => function.latest_arn.clone(),
        None => function.arn.clone(),
    };
    let invocation = Invocation {
        request_id: request.request_id,
        payload: request.payload,
        invoked_arn,
        trace_id: request.trace_id,
        client_context: request.client_context,
        cognito_identity: request.cognito_identity,
        tenant_id: request.tenant_id,
        log_tail: request.log_tail,
        mode,
    };
    let mut attempt = lease(function, observation).await?.invoke(invocation);
    for _ in 0..ATTEMPTS {
        match attempt {
            Ok(running) => {
                observation.delivered();
                return Ok(running);
            }
            Err(refused) => attempt = lease(function, observation).await?.retry(refused),
        }
    }
    let context = "no environment stayed alive".into();
    attempt.map_err(|_| InvokeError::Platform { context })
}

async fn lease(
    function: &Function,
    observation: &mut Observation,
) -> Result<IdleLease, InvokeError> {
    if let Some(lease) = function.fleet.take() {
        observation.leased(&lease);
        return Ok(lease);
    }
    // Boxed, so that the warm path carries nothing of it.
    match Box::pin(function.fleet.wait()).await {
        Grant::Lease(lease) => {
            observation.leased(&lease);
            Ok(lease)
        }
        Grant::Refused(why) => Err(why),
    }
}

/// What an invocation came to.
pub(crate) enum Answer {
    Whole(Outcome),
    /// It goes on, and its permit with it.
    Stream(Chunks, Finishing, Observation),
}

/// A running invocation. If its caller goes away, a task sees it to its end.
pub(crate) struct Guarded(Option<(Running, Observation)>);

impl Guarded {
    pub(crate) fn new(running: Running, observation: Observation) -> Self {
        Self(Some((running, observation)))
    }
}

impl Future for Guarded {
    type Output = Option<Answer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((running, _)) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let reply = match Pin::new(running).poll(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(reply) => reply,
        };
        let observation = self.0.take().map(|(_, observation)| observation);
        Poll::Ready(match (reply, observation) {
            (Some(Reply::Whole(outcome)), Some(observation)) => {
                observation.ended(outcome.error.as_ref());
                Some(Answer::Whole(outcome))
            }
            (Some(Reply::Stream(chunks, finishing)), Some(observation)) => {
                Some(Answer::Stream(chunks, finishing, observation))
            }
            _ => None,
        })
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let Some((running, observation)) = self.0.take() else {
            return;
        };
        // Without a runtime the server is gone, and the environment with it.
        if tokio::runtime::Handle::try_current().is_ok() {
            bootlace_tasks::spawn(ABANDONED, async move {
                let outcome = match running.await {
                    Some(Reply::Whole(outcome)) => Some(outcome),
                    Some(Reply::Stream(chunks, finishing)) => {
                        drop(chunks);
                        finishing.await
                    }
                    None => None,
                };
                observation.ended(error_of(outcome.as_ref()));
            });
        }
    }
}

/// How a function failed, if it did.
pub(crate) fn error_of(outcome: Option<&Outcome>) -> Option<&Cow<'static, str>> {
    match outcome {
        Some(outcome) => outcome.error.as_ref(),
        None => Some(&VANISHED),
    }
}

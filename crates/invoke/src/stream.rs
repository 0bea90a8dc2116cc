//! An answer that its caller gets piece by piece.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bootlace_environment::{Chunks, Finishing, Outcome};
use bootlace_tasks::TaskKind;
use bootlace_types::limits;
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::meeting::error_of;
use crate::observation::Observation;

const STREAMING: TaskKind = TaskKind::disposable("streaming invocation").finished();

/// An invocation whose answer has begun. Dropped, the invocation goes on to its end and the rest
/// of the answer is thrown away.
#[derive(Debug)]
pub struct InvokeStream {
    executed_version: Arc<str>,
    stage: Stage,
}

/// What comes of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// At most [`limits::STREAM_CHUNK_BYTES`] of the answer.
    Chunk(Bytes),
    /// The last event.
    Complete(StreamEnd),
}

/// How an answer ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StreamEnd {
    pub error: Option<StreamError>,
    /// Raw; only when it was asked for.
    pub log_tail: Option<Bytes>,
}

/// How the function failed, perhaps in the middle of its answer.
#[derive(Debug, PartialEq, Eq)]
pub struct StreamError {
    /// `Unhandled`, what the runtime said, or AWS's type of the failure.
    pub code: Cow<'static, str>,
    /// The error's document, as the runtime or AWS writes it.
    pub details: Bytes,
}

#[derive(Debug)]
enum Stage {
    Chunks(Chunks, oneshot::Receiver<Outcome>),
    Whole(Bytes, StreamEnd),
    Ending(oneshot::Receiver<Outcome>),
    Over,
}

impl InvokeStream {
    pub(crate) fn of_chunks(
        executed_version: Arc<str>,
        chunks: Chunks,
        end: oneshot::Receiver<Outcome>,
    ) -> Self {
        Self {
            executed_version,
            stage: Stage::Chunks(chunks, end),
        }
    }

    /// An answer that came in one piece. A failure is told at the end, as the end of a stream is.
    pub(crate) fn of_whole(executed_version: Arc<str>, mut outcome: Outcome) -> Self {
        let payload = match outcome.error {
            None => std::mem::take(&mut outcome.payload),
            Some(_) => Bytes::new(),
        };
        Self {
            executed_version,
            stage: Stage::Whole(payload, StreamEnd::of(outcome)),
        }
    }

    #[must_use]
    pub fn executed_version(&self) -> &str {
        &self.executed_version
    }

    /// The next event; `None` after the last one.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<StreamEvent>> {
        loop {
            match &mut self.stage {
                Stage::Chunks(chunks, _) => {
                    if let Some(chunk) = ready!(chunks.poll_next(context)) {
                        return Poll::Ready(Some(StreamEvent::Chunk(chunk)));
                    }
                    if let Stage::Chunks(_, end) = std::mem::replace(&mut self.stage, Stage::Over) {
                        self.stage = Stage::Ending(end);
                    }
                }
                Stage::Ending(end) => {
                    // Its task tells the outcome unless the whole server ends.
                    let outcome = ready!(Pin::new(end).poll(context));
                    self.stage = Stage::Over;
                    let end = outcome
                        .map(StreamEnd::of)
                        .unwrap_or_else(|_| StreamEnd::lost());
                    return Poll::Ready(Some(StreamEvent::Complete(end)));
                }
                Stage::Whole(rest, _) if !rest.is_empty() => {
                    let piece = rest.split_to(rest.len().min(limits::STREAM_CHUNK_BYTES));
                    return Poll::Ready(Some(StreamEvent::Chunk(piece)));
                }
                Stage::Whole(_, end) => {
                    let end = std::mem::take(end);
                    self.stage = Stage::Over;
                    return Poll::Ready(Some(StreamEvent::Complete(end)));
                }
                Stage::Over => return Poll::Ready(None),
            }
        }
    }

    /// The next event; `None` after the last one.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }
}

impl StreamEnd {
    fn of(outcome: Outcome) -> Self {
        let details = outcome.payload;
        Self {
            error: outcome.error.map(|code| StreamError { code, details }),
            log_tail: outcome.log_tail,
        }
    }

    fn lost() -> Self {
        Self {
            error: Some(StreamError {
                code: "Sandbox.Failure".into(),
                details: Bytes::new(),
            }),
            log_tail: None,
        }
    }
}

/// Sees a streaming invocation to its end in a task of its own: a caller that stopped reading
/// holds up neither the timeout nor the permit's return.
pub(crate) fn attend(finishing: Finishing, observation: Observation) -> oneshot::Receiver<Outcome> {
    let (caller, outcome) = oneshot::channel();
    bootlace_tasks::spawn(STREAMING, async move {
        let outcome = finishing.await;
        observation.ended(error_of(outcome.as_ref()));
        if let Some(outcome) = outcome {
            // A caller that went away does not care.
            let _ = caller.send(outcome);
        }
    });
    outcome
}

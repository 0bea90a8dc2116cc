//! A streamed answer on its way from a runtime to its caller.
//!
//! Between the two stands a channel of few and small pieces, so that memory is bounded and a slow
//! caller slows the runtime. The runtime's side also learns when the invocation is over by other
//! means, a timeout say, and the caller's side how the answer ended.

use bootlace_types::limits;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::spec::Outcome;

/// What bounds a streamed answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// So many bytes come as fast as they can, once in an answer.
    pub burst_bytes: u64,
    /// The others come at this rate.
    pub rate_bytes_per_s: u64,
    /// An answer may be so long.
    pub limit_bytes: u64,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            burst_bytes: limits::STREAM_BURST_BYTES,
            rate_bytes_per_s: limits::STREAM_RATE_BYTES_PER_S,
            limit_bytes: limits::STREAM_BYTES,
        }
    }
}

/// What the invoker hears first of an invocation.
#[derive(Debug)]
pub(crate) enum Answered {
    Whole(Outcome),
    Stream(CallerStream),
}

/// The caller's side of a stream.
#[derive(Debug)]
pub(crate) struct CallerStream {
    pub(crate) chunks: Chunks,
    pub(crate) end: oneshot::Receiver<Outcome>,
}

/// The pieces of a streamed answer; dropped, the rest of it is thrown away as it comes.
#[derive(Debug)]
pub struct Chunks(mpsc::Receiver<Bytes>);

impl Chunks {
    /// The next piece, or `None` after the last one.
    pub fn poll_next(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Bytes>> {
        self.0.poll_recv(context)
    }
}

/// Tells the caller how a stream ended, and the runtime's side that it did.
pub(crate) struct End {
    caller: oneshot::Sender<Outcome>,
    /// Dropped with this; the runtime's side sees it.
    _over: oneshot::Sender<()>,
}

impl End {
    pub(crate) fn tell(self, outcome: Outcome) {
        // A caller that went away does not care.
        let _ = self.caller.send(outcome);
    }
}

/// The runtime's side of a stream.
pub(crate) struct GuestStream {
    chunks: mpsc::Sender<Bytes>,
    over: oneshot::Receiver<()>,
}

/// What became of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    On,
    /// The caller went away; the invocation goes on.
    Nobody,
    /// The invocation is over already.
    Over,
}

impl GuestStream {
    /// Hands a piece on when the caller has room for it.
    pub(crate) async fn pass(&mut self, piece: Bytes) -> Passed {
        tokio::select! {
            biased;
            _ = &mut self.over => Passed::Over,
            sent = self.chunks.send(piece) => match sent {
                Ok(()) => Passed::On,
                Err(_) => Passed::Nobody,
            },
        }
    }

    /// Waits until the invocation is over by other means than the answer's end.
    pub(crate) async fn over(&mut self) {
        let _ = (&mut self.over).await;
    }
}

pub(crate) fn open() -> (GuestStream, CallerStream, End) {
    let (sender, chunks) = mpsc::channel(limits::STREAM_CHUNKS);
    let (caller, end) = oneshot::channel();
    let (over_sender, over) = oneshot::channel();
    let chunks = Chunks(chunks);
    (
        GuestStream {
            chunks: sender,
            over,
        },
        CallerStream { chunks, end },
        End {
            caller,
            _over: over_sender,
        },
    )
}

//! What the lifecycle machine hears and what it says.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use bootlace_types::RequestId;
use bytes::Bytes;

use crate::failure::{AnswerFault, Failure};

/// What happens to an environment.
#[derive(Debug)]
pub(crate) enum Event {
    /// The sandbox stands, the runtime process is about to start.
    Started,
    Invoke {
        request_id: RequestId,
        limit: Duration,
        with_report: bool,
    },
    /// The runtime calls `next`.
    Next,
    /// The runtime answers; an id that is none of ours is `None`.
    Response {
        id: Option<RequestId>,
        body: Bytes,
    },
    Error {
        id: Option<RequestId>,
        body: Bytes,
    },
    /// The runtime answers in a way that cannot be passed on.
    Faulty {
        id: Option<RequestId>,
        fault: AnswerFault,
    },
    /// The runtime begins an answer whose pieces go to the caller as they come.
    StreamBegins {
        id: Option<RequestId>,
    },
    /// That answer is over; `answer` is what its caller is told at the end.
    StreamEnds {
        id: RequestId,
        answer: Answer,
        sent: Sent,
    },
    /// That answer stopped before its end or grew too long.
    StreamBroken {
        id: RequestId,
        fault: AnswerFault,
        sent: Sent,
    },
    InitError {
        error_type: Box<str>,
        body: Bytes,
    },
    /// The invocation's time is over.
    TimedOut {
        id: RequestId,
    },
    /// The environment cannot go on: start failed, process ended, memory or init limit passed.
    Failed(Failure),
    /// Its owner wants it to end.
    Shutdown,
    /// The sandbox is gone.
    Gone,
}

/// What to do now; the fields are done in their order.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    /// For whoever brought the event.
    pub(crate) verdict: Verdict,
    /// Write END and REPORT of the invocation that is over.
    pub(crate) report: Option<Report>,
    /// Tell the owner; before the caller, who may come back at once.
    pub(crate) notice: Option<Notice>,
    /// For the caller of the invocation.
    pub(crate) answer: Option<Answer>,
    /// Destroy the sandbox.
    pub(crate) destroy: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody waits for one.
    #[default]
    None,
    Accepted,
    /// Hold the call until there is an event.
    Park,
    /// Give it the event of the running invocation.
    Deliver,
    Refused(Refusal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The call is not allowed in the runtime's state.
    Transition {
        from: &'static str,
        to: &'static str,
    },
    InvalidRequestId,
    Fault(AnswerFault),
    /// The invocation's time was over before its answer came.
    InvokeTimeout,
    /// The environment is ending; for an invoker: it is not idle.
    Unusable,
}

/// What the caller gets; of a streamed answer, what it gets after the last piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) payload: Bytes,
    /// The error's code if the function failed; the payload is then its document.
    pub(crate) error: Option<Cow<'static, str>>,
}

/// What a runtime sent as its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    /// When the first byte came.
    pub(crate) first: Instant,
    pub(crate) bytes: u64,
}

/// The same, measured from the invocation's beginning: AWS's spans `responseLatency` and
/// `responseDuration`, and `producedBytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Produced {
    pub(crate) latency: Duration,
    pub(crate) duration: Duration,
    pub(crate) bytes: u64,
}

/// The facts of an invocation's REPORT line.
#[derive(Debug, PartialEq)]
pub(crate) struct Report {
    pub(crate) request_id: RequestId,
    pub(crate) duration: Duration,
    pub(crate) init: Option<Duration>,
    /// What the runtime answered, if it did.
    pub(crate) produced: Option<Produced>,
    pub(crate) failure: Option<Failure>,
}

/// What the owner of the environment must know.
#[derive(Debug, PartialEq)]
pub(crate) enum Notice {
    /// It is parked and may be invoked.
    Vacant(Was),
    /// Its caller has the answer; it will be free soon.
    Settling,
    /// It will not be used again.
    Lost(Was, Option<Failure>),
}

/// What an environment was doing before it became vacant or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Was {
    Starting,
    Idle,
    Running,
    /// Its invocation was answered but not over.
    Settling,
}

impl Actions {
    pub(super) fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            ..Self::default()
        }
    }

    pub(super) fn tell(mut self, notice: Notice) -> Self {
        self.notice = Some(notice);
        self
    }
}

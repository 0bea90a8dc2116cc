//! What the lifecycle machine hears and what it says.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use bootlace_types::RequestId;
use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use crate::failure::{AnswerFault, ExtensionFault, Failure};

/// What happens to an environment.
#[derive(Debug)]
pub(crate) enum Event {
    /// The sandbox stands, nothing runs in it yet.
    Provisioned,
    /// The processes of these external extensions are about to start; there may be none.
    Launched {
        external: Vec<Box<str>>,
    },
    /// The runtime process is about to start.
    RuntimeStarted,
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
        error_type: Cow<'static, str>,
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
    /// An extension registers; `id` is what it is called if it may.
    Register {
        name: Box<str>,
        events: Vec<Box<str>>,
        id: Uuid,
    },
    /// An extension calls `event/next`.
    ExtensionNext {
        id: Uuid,
    },
    /// An extension says that it cannot go on.
    ExtensionFails {
        id: Uuid,
        fault: ExtensionFault,
        reported: Box<str>,
    },
    /// The invocation's time is over.
    TimedOut {
        id: RequestId,
    },
    /// Time has passed: see [`super::Lifecycle::deadline`].
    Tick,
    /// A process ended, could not start, or used too much memory.
    Failed(Failure),
    /// The runtime is gone, the extensions hear of the end and may work until the deadline.
    Farewell {
        deadline_ms: u64,
    },
    /// Nothing runs in the sandbox any more.
    Stopped,
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
    /// The runtime's part of initialization is over.
    pub(crate) init_runtime_done: Option<InitRuntimeDone>,
    /// Initialization is over.
    pub(crate) init: Option<InitReport>,
    /// Write START of this invocation, and keep its log's tail if need be: its event goes out, or
    /// its initialization failed.
    pub(crate) begin: Option<(RequestId, bool)>,
    /// What the parked parties get.
    pub(crate) deliver: Option<Deliver>,
    /// The runtime's part of the invocation is over.
    pub(crate) runtime_done: Option<RuntimeDone>,
    /// Write END and REPORT of the invocation that is over.
    pub(crate) report: Option<Report>,
    /// Tell the owner; before the caller, who may come back at once.
    pub(crate) notice: Option<Notice>,
    /// For the caller of the invocation.
    pub(crate) answer: Option<Answer>,
    /// The environment's task has something to do: see [`super::Lifecycle::order`].
    pub(crate) wake: bool,
}

/// An event for those who wait for one; extensions are named by their places.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Deliver {
    Invocation {
        extensions: Vec<usize>,
    },
    Shutdown {
        extensions: Vec<usize>,
        reason: ShutdownReason,
        deadline_ms: u64,
    },
}

/// Why the extensions are told to end, in AWS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShutdownReason {
    Spindown,
    Timeout,
    Failure,
}

impl ShutdownReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Spindown => "spindown",
            Self::Timeout => "timeout",
            Self::Failure => "failure",
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody waits for one.
    #[default]
    None,
    Accepted,
    /// The extension is registered.
    Registered,
    /// Hold the call until there is an event.
    Park,
    /// Give it the event of the running invocation.
    Deliver,
    Refused(Refusal),
}

#[derive(Debug, Clone, PartialEq, Eq)]
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
    Extension(ExtensionRefusal),
    /// The environment is ending; for an invoker: it is not idle.
    Unusable,
}

/// Why an extension's call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExtensionRefusal {
    /// The call is not allowed in its state; `who` is its name or its id, as AWS's text has it.
    Transition {
        from: &'static str,
        to: &'static str,
        who: Box<str>,
    },
    RegistrationClosed,
    NameTaken,
    TooMany,
    InvalidEventType {
        event: Box<str>,
        reason: &'static str,
    },
    /// Nobody has this id; AWS's texts differ between its calls.
    Unknown(Uuid),
    UnknownIdentifier,
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

/// The same, measured from when the runtime had the event: AWS's spans `responseLatency` and
/// `responseDuration`, and `producedBytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Produced {
    pub(crate) latency: Duration,
    pub(crate) duration: Duration,
    pub(crate) bytes: u64,
}

/// In which phase an initialization ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    Init,
    /// Under an invocation, within its time: AWS's suppressed initialization.
    Invoke,
}

/// The runtime asked for its first event, or will not.
#[derive(Debug, PartialEq)]
pub(crate) struct InitRuntimeDone {
    pub(crate) phase: Phase,
    pub(crate) failure: Option<Failure>,
}

/// The facts of an initialization that is over.
#[derive(Debug, PartialEq)]
pub(crate) struct InitReport {
    pub(crate) phase: Phase,
    pub(crate) duration: Duration,
    pub(crate) failure: Option<Failure>,
}

/// The runtime's part of an invocation, up to its `next` or its end.
#[derive(Debug, PartialEq)]
pub(crate) struct RuntimeDone {
    pub(crate) request_id: RequestId,
    pub(crate) duration: Duration,
    /// What the runtime answered, if it did.
    pub(crate) produced: Option<Produced>,
    /// From the answer to the runtime's `next`.
    pub(crate) overhead: Option<Duration>,
    /// The type of the error that it answered, if it did.
    pub(crate) error_type: Option<Cow<'static, str>>,
    pub(crate) failure: Option<Failure>,
}

/// The facts of an invocation's REPORT line.
#[derive(Debug, PartialEq)]
pub(crate) struct Report {
    pub(crate) request_id: RequestId,
    pub(crate) duration: Duration,
    pub(crate) init: Option<Duration>,
    /// What the runtime answered, if it did.
    pub(crate) produced: Option<Produced>,
    /// From the runtime's `next` to that of the last extension, if there was one to wait for.
    pub(crate) extension_overhead: Option<Duration>,
    /// The type of the error that the runtime answered, if it did.
    pub(crate) error_type: Option<Cow<'static, str>>,
    pub(crate) failure: Option<Failure>,
}

/// What the owner of the environment must know.
#[derive(Debug, PartialEq)]
pub(crate) enum Notice {
    /// It may be invoked.
    Vacant(Was),
    /// It may be invoked, but nothing runs in it: it will be initialized first.
    Cold(Was),
    /// It will be vacant soon. If it was idle, it is not any more.
    Settling(Was),
    /// It will not be used again.
    Lost(Was, Option<Failure>),
}

/// What an environment was doing before it became vacant or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Was {
    Starting,
    Idle,
    Running,
    /// It was about to be vacant: its invocation was answered, or it was being reset.
    Settling,
}

impl Actions {
    pub(super) fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            ..Self::default()
        }
    }

    pub(super) fn refuse(refusal: Refusal) -> Self {
        Self::of(Verdict::Refused(refusal))
    }

    pub(super) fn waking() -> Self {
        Self {
            wake: true,
            ..Self::default()
        }
    }

    pub(super) fn tell(mut self, notice: Notice) -> Self {
        self.notice = Some(notice);
        self
    }
}

//! One invocation, from the moment its caller hands it over until everybody is back.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use bootlace_types::RequestId;
use bytes::Bytes;

use super::Init;
use super::ending::KILLED;
use super::words::{Actions, Answer, Notice, Produced, Report, RuntimeDone, Sent, Verdict, Was};
use crate::failure::Failure;

/// The invocation of an environment that is Invoking.
#[derive(Debug)]
pub(crate) struct Running {
    pub(super) request_id: RequestId,
    began: Instant,
    pub(super) limit: Duration,
    /// The caller waits for the REPORT line.
    with_report: bool,
    /// How long initialization took, in the first invocation.
    init: Option<Duration>,
    /// Initialization runs first, within this invocation's time.
    pub(super) suppressed: Option<Init>,
    /// When the runtime got the event.
    delivered: Instant,
    /// The runtime has begun an answer that goes to the caller piece by piece.
    streams: bool,
    /// Whether the runtime has answered, and what the caller has not been told yet.
    answered: Option<Option<Answer>>,
    answered_at: Option<Instant>,
    produced: Option<Produced>,
    /// The type of the error that it answered.
    error_type: Option<Cow<'static, str>>,
    /// When the runtime asked for the next event; extensions may still work on this one.
    pub(super) back: Option<Instant>,
}

impl Running {
    pub(super) fn new(
        now: Instant,
        (request_id, limit, with_report): (RequestId, Duration, bool),
        init: Option<Duration>,
        suppressed: Option<Init>,
    ) -> Self {
        Self {
            request_id,
            began: now,
            limit,
            with_report,
            init,
            suppressed,
            delivered: now,
            streams: false,
            answered: None,
            answered_at: None,
            produced: None,
            error_type: None,
            back: None,
        }
    }

    /// The runtime gets the event now.
    pub(super) fn deliver(&mut self, now: Instant) {
        self.suppressed = None;
        self.delivered = now;
    }

    /// What its START line needs.
    pub(super) fn begins(&self) -> (RequestId, bool) {
        (self.request_id, self.with_report)
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered.is_some()
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        now >= self.began + self.limit
    }

    pub(super) fn expects(&self, id: Option<RequestId>) -> bool {
        let open = self.suppressed.is_none() && self.answered.is_none() && !self.streams;
        open && id == Some(self.request_id)
    }

    /// Whether a streamed answer to this request has begun and not ended.
    pub(super) fn streams(&self, id: RequestId) -> bool {
        self.answered.is_none() && self.streams && id == self.request_id
    }

    pub(super) fn begin_stream(&mut self) {
        self.streams = true;
    }

    pub(super) fn answer_whole(
        &mut self,
        now: Instant,
        verdict: Verdict,
        payload: Bytes,
        error: Option<&'static str>,
    ) -> Actions {
        let bytes = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        self.sent(now, Sent { first: now, bytes });
        let error = error.map(Into::into);
        self.answer(now, verdict, Answer { payload, error })
    }

    /// The runtime names its error.
    pub(super) fn names_error(&mut self, error_type: Cow<'static, str>) {
        self.error_type = Some(error_type);
    }

    pub(super) fn sent(&mut self, now: Instant, sent: Sent) {
        self.produced = Some(Produced {
            latency: sent.first.saturating_duration_since(self.delivered),
            duration: now.saturating_duration_since(sent.first),
            bytes: sent.bytes,
        });
    }

    pub(super) fn answer(&mut self, now: Instant, verdict: Verdict, answer: Answer) -> Actions {
        self.answered_at = Some(now);
        self.error_type = self.error_type.take().or_else(|| answer.error.clone());
        if self.with_report {
            self.answered = Some(Some(answer));
            return Actions::of(verdict);
        }
        self.answered = Some(None);
        let mut actions = Actions::of(verdict).tell(Notice::Settling(Was::Running));
        actions.answer = Some(answer);
        actions
    }

    /// Everybody is back.
    pub(super) fn complete(mut self, now: Instant, extensions: bool) -> Actions {
        let was = self.was();
        let mut report = self.report(now, None);
        if extensions {
            let back = self.back.unwrap_or(now);
            report.extension_overhead = Some(now.saturating_duration_since(back));
        }
        Actions {
            report: Some(report),
            answer: self.answered.take().flatten(),
            notice: Some(Notice::Vacant(was)),
            ..Actions::default()
        }
    }

    /// It ends here; what its caller lacks is the failure's document. `None` means that it was
    /// killed from outside.
    pub(super) fn fail(self, now: Instant, failure: Option<&Failure>) -> (Actions, Was) {
        let failure = failure.cloned().unwrap_or(KILLED);
        let was = self.was();
        let mut actions = Actions {
            begin: self.suppressed.is_some().then(|| self.begins()),
            runtime_done: match self.back {
                None => Some(self.runtime_done(now, Some(failure.clone()))),
                Some(_) => None,
            },
            report: Some(self.report(now, Some(failure.clone()))),
            ..Actions::default()
        };
        actions.answer = match self.answered {
            Some(held) => held,
            None => Some(Answer {
                payload: failure.document(self.request_id),
                error: Some(failure.code().into()),
            }),
        };
        (actions, was)
    }

    pub(super) fn runtime_done(&self, now: Instant, failure: Option<Failure>) -> RuntimeDone {
        let since = |then: Instant| now.saturating_duration_since(then);
        RuntimeDone {
            request_id: self.request_id,
            duration: since(self.delivered),
            produced: self.produced,
            overhead: self.answered_at.map(since),
            error_type: self.error_type.clone(),
            failure,
        }
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
            extension_overhead: None,
            error_type: self.error_type.clone(),
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

    /// The name AWS's platform has for where a runtime stands that has the event.
    pub(super) fn runtime_state(&self) -> &'static str {
        if self.answered.is_some() {
            "RuntimeResponseSentState"
        } else if self.streams {
            "InvocationResponse"
        } else {
            "Running"
        }
    }
}

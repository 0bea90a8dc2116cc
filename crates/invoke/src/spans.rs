//! What an invocation took, in parts, for whoever collects traces.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bootlace_environment::StartPhases;
use bootlace_types::{RequestId, SpanId, TraceHeader, clock, limits};
use bytes::Bytes;
use metrics::Counter;
use tokio::sync::mpsc;

use crate::metrics_names::{SPANS_EXPORTED, SPANS_LOST};

/// Who gets the spans. What it cannot take at once is lost and counted; it holds up nobody.
#[derive(Debug, Clone, Default)]
pub enum SpanSink {
    /// Nobody; nothing is kept for them.
    #[default]
    None,
    Queue(mpsc::Sender<InvocationSpan>),
}

/// One invocation, from its admission to its end.
#[derive(Debug)]
pub struct InvocationSpan {
    pub request_id: RequestId,
    /// Without a qualifier.
    pub function_arn: Bytes,
    pub version: Arc<str>,
    /// The caller's trace header as it came.
    pub trace_header: Option<String>,
    pub began: SystemTime,
    pub took: Duration,
    /// How long it was until an environment had the event; `None` if none ever had.
    pub queued: Option<Duration>,
    /// The start of its environment, if this is the first invocation of it.
    pub cold_start: Option<ColdStart>,
    /// How the function failed, or why it did not run.
    pub error: Option<Cow<'static, str>>,
}

/// The parts of a cold start, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct ColdStart {
    pub began: SystemTime,
    pub fetch: Duration,
    pub sandbox: Duration,
    pub init: Duration,
}

/// Counts spans that a collector took, and those that it did not.
pub fn count_spans(exported: usize, lost: usize) {
    metrics::counter!(SPANS_EXPORTED).increment(exported as u64);
    metrics::counter!(SPANS_LOST).increment(lost as u64);
}

impl SpanSink {
    /// A queue of the size that is due, and its other end.
    #[must_use]
    pub fn queue() -> (Self, mpsc::Receiver<InvocationSpan>) {
        let (sender, receiver) = mpsc::channel(limits::SPANS_QUEUED);
        (Self::Queue(sender), receiver)
    }

    /// Begins the span of an admitted invocation; what the function calls will be below it.
    pub(crate) fn begin(
        &self,
        request_id: RequestId,
        trace_header: &mut Option<String>,
    ) -> Option<Box<Draft>> {
        let Self::Queue(queue) = self else {
            return None;
        };
        let as_it_came = trace_header.clone();
        if let Some(header) = trace_header
            && TraceHeader::parse(header).is_some()
        {
            *header = TraceHeader::below(header, SpanId::of(request_id));
        }
        Some(Box::new(Draft {
            queue: queue.clone(),
            request_id,
            trace_header: as_it_came,
            began: clock::wall(),
            admitted: clock::now(),
            cold_start: None,
        }))
    }
}

/// The span of an invocation that runs.
#[derive(Debug)]
pub(crate) struct Draft {
    queue: mpsc::Sender<InvocationSpan>,
    request_id: RequestId,
    trace_header: Option<String>,
    began: SystemTime,
    admitted: Instant,
    cold_start: Option<ColdStart>,
}

impl Draft {
    /// Its environment was started and has served nobody before.
    pub(crate) fn cold(&mut self, phases: &StartPhases) {
        let ago = self.admitted.saturating_duration_since(phases.began);
        let later = phases.began.saturating_duration_since(self.admitted);
        self.cold_start = Some(ColdStart {
            began: self.began - ago + later,
            fetch: phases.fetch,
            sandbox: phases.sandbox,
            init: phases.init,
        });
    }

    /// It is over.
    pub(crate) fn end(
        self,
        function_arn: Bytes,
        version: Arc<str>,
        delivered: Option<Instant>,
        error: Option<Cow<'static, str>>,
        lost: &Counter,
    ) {
        let since_admission = |at: Instant| at.saturating_duration_since(self.admitted);
        let span = InvocationSpan {
            request_id: self.request_id,
            function_arn,
            version,
            trace_header: self.trace_header,
            began: self.began,
            took: since_admission(clock::now()),
            queued: delivered.map(since_admission),
            cold_start: self.cold_start,
            error,
        };
        if self.queue.try_send(span).is_err() {
            lost.increment(1);
        }
    }
}

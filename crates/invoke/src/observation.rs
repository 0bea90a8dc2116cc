//! One invocation as the metrics see it, from its admission to its end.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bootlace_environment::IdleLease;
use bootlace_types::clock;

use crate::catalog::Function;
use crate::concurrency::Permit;
use crate::request::{InvokeError, InvokeRequest};
use crate::series::Present;
use crate::spans::Draft;

/// What a function died of whose environment vanished without a word.
pub(crate) static VANISHED: Cow<'static, str> = Cow::Borrowed("Sandbox.Failure");

/// An admitted invocation: it holds the permit, and whoever learns how it went says so here, once.
/// Dropped without a word, it counts as one that never ran.
#[derive(Debug)]
pub(crate) struct Observation {
    function: Arc<Function>,
    present: Present,
    permit: Permit,
    /// When an environment got the event.
    delivered: Option<Instant>,
    /// Only where spans are collected.
    draft: Option<Box<Draft>>,
}

impl Observation {
    /// Admits an invocation, or counts that it was not.
    pub(crate) fn admit(
        function: &Arc<Function>,
        request: &mut InvokeRequest,
    ) -> Result<Self, InvokeError> {
        let permit = function.allowance.admit().map_err(|reason| {
            throttled(function);
            InvokeError::Throttled { reason }
        })?;
        let spans = function.fleet.spans();
        Ok(Self {
            present: function.recorder.enter(),
            function: Arc::clone(function),
            permit,
            delivered: None,
            draft: spans.begin(request.request_id, &mut request.trace_id),
        })
    }

    /// It has the right to this environment.
    pub(crate) fn leased(&mut self, lease: &IdleLease) {
        if let Some(draft) = &mut self.draft
            && lease.is_new()
            && let Some(phases) = lease.phases()
        {
            draft.cold(&phases);
        }
    }

    /// An environment has the event.
    pub(crate) fn delivered(&mut self) {
        self.delivered = Some(clock::now());
    }

    /// No environment took it.
    pub(crate) fn refused(self, why: &InvokeError) {
        let error = match why {
            InvokeError::Throttled { .. } => {
                throttled(&self.function);
                "TooManyRequestsException"
            }
            _ => "ServiceException",
        };
        trace(
            &self.function,
            self.draft,
            self.delivered,
            Some(Cow::Borrowed(error)),
        );
    }

    /// It came to an end, and its permit returns.
    pub(crate) fn ended(self, error: Option<&Cow<'static, str>>) {
        let metrics = self.function.fleet.metrics();
        let took = self
            .delivered
            .map(|at| clock::now().saturating_duration_since(at));
        metrics.invocation(error.is_some(), took);
        self.present.ended(error.is_some(), took);
        drop(self.permit);
        trace(&self.function, self.draft, self.delivered, error.cloned());
    }
}

fn trace(
    function: &Function,
    draft: Option<Box<Draft>>,
    delivered: Option<Instant>,
    error: Option<Cow<'static, str>>,
) {
    if let Some(draft) = draft {
        let lost = &function.fleet.metrics().spans_lost;
        draft.end(
            function.arn.clone(),
            function.version(),
            delivered,
            error,
            lost,
        );
    }
}

fn throttled(function: &Function) {
    function.fleet.metrics().throttles.increment(1);
    function.recorder.throttle();
}

//! One invocation as the metrics see it, from its admission to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bootlace_types::clock;

use crate::catalog::Function;
use crate::concurrency::Permit;
use crate::request::InvokeError;
use crate::series::Present;

/// An admitted invocation: it holds the permit, and whoever learns how it went says so here, once.
/// Dropped without a word, it counts as one that never ran.
#[derive(Debug)]
pub(crate) struct Observation {
    function: Arc<Function>,
    present: Present,
    permit: Permit,
    /// When an environment got the event.
    delivered: Option<Instant>,
}

impl Observation {
    /// Admits an invocation, or counts that it was not.
    pub(crate) fn admit(function: &Arc<Function>) -> Result<Self, InvokeError> {
        let permit = function.allowance.admit().map_err(|reason| {
            throttled(function);
            InvokeError::Throttled { reason }
        })?;
        Ok(Self {
            present: function.recorder.enter(),
            function: Arc::clone(function),
            permit,
            delivered: None,
        })
    }

    /// An environment has the event.
    pub(crate) fn delivered(&mut self) {
        self.delivered = Some(clock::now());
    }

    /// No environment took it.
    pub(crate) fn refused(self, why: &InvokeError) {
        if matches!(why, InvokeError::Throttled { .. }) {
            throttled(&self.function);
        }
    }

    /// It came to an end, and its permit returns.
    pub(crate) fn ended(self, failed: bool) {
        let took = self.delivered.map(since);
        self.function.fleet.metrics().invocation(failed, took);
        self.present.ended(failed, took);
        drop(self.permit);
    }
}

fn since(instant: Instant) -> Duration {
    clock::now().saturating_duration_since(instant)
}

fn throttled(function: &Function) {
    function.fleet.metrics().throttles.increment(1);
    function.recorder.throttle();
}

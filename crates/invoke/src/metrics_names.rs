//! The metrics of this crate: their names, what they mean, and handles resolved once.

use metrics::{Counter, Gauge, Histogram, Unit, counter, gauge, histogram};

use bootlace_environment::EnvironmentState;

pub const INVOCATIONS: &str = "bootlace_invocations_total";
pub const ERRORS: &str = "bootlace_errors_total";
pub const THROTTLES: &str = "bootlace_throttles_total";
pub const COLD_STARTS: &str = "bootlace_cold_starts_total";
pub const DURATION: &str = "bootlace_invocation_duration_seconds";
pub const QUEUE: &str = "bootlace_cold_start_wait_seconds";
pub const FETCH: &str = "bootlace_cold_start_fetch_seconds";
pub const SANDBOX: &str = "bootlace_cold_start_sandbox_seconds";
pub const INIT: &str = "bootlace_cold_start_init_seconds";
pub const SPANS_EXPORTED: &str = "bootlace_spans_exported_total";
pub const SPANS_LOST: &str = "bootlace_spans_lost_total";
pub const ENVIRONMENTS: &str = "bootlace_environments";

/// Counters, and what they count.
pub const COUNTERS: &[(&str, &str)] = &[
    (INVOCATIONS, "Invocations that ran"),
    (ERRORS, "Invocations whose function failed"),
    (
        THROTTLES,
        "Invocations refused because a concurrency limit was reached",
    ),
    (COLD_STARTS, "Environments that were initialized"),
    (
        SPANS_EXPORTED,
        "Spans of invocations that the collector took",
    ),
    (
        SPANS_LOST,
        "Spans that were not exported: too many at once, or refused by the collector",
    ),
];

/// Histograms of seconds, and what they measure.
pub const HISTOGRAMS: &[(&str, &str)] = &[
    (
        DURATION,
        "From the event's delivery to the end of the function's answer",
    ),
    (
        QUEUE,
        "How long an invocation waited for an environment when none was idle",
    ),
    (
        FETCH,
        "Part of a cold start: the code and layers are made ready",
    ),
    (
        SANDBOX,
        "Part of a cold start: the sandbox is made and the process started",
    ),
    (
        INIT,
        "Part of a cold start: from the process's start to its first next",
    ),
];

/// Gauges, and what they show.
pub const GAUGES: &[(&str, &str)] = &[(ENVIRONMENTS, "Environments by state")];

/// Tells the installed recorder what each metric means.
pub fn describe() {
    for (name, text) in COUNTERS {
        metrics::describe_counter!(*name, Unit::Count, *text);
    }
    for (name, text) in HISTOGRAMS {
        metrics::describe_histogram!(*name, Unit::Seconds, *text);
    }
    for (name, text) in GAUGES {
        metrics::describe_gauge!(*name, Unit::Count, *text);
    }
}

/// Handles; a recorder must be installed before they are resolved.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) invocations: Counter,
    pub(crate) errors: Counter,
    pub(crate) throttles: Counter,
    pub(crate) cold_starts: Counter,
    pub(crate) spans_lost: Counter,
    pub(crate) duration: Histogram,
    pub(crate) queue: Histogram,
    pub(crate) fetch: Histogram,
    pub(crate) sandbox: Histogram,
    pub(crate) init: Histogram,
    environments: [Gauge; EnvironmentState::ALL.len()],
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn resolve() -> Self {
        let state = |state: EnvironmentState| gauge!(ENVIRONMENTS, "state" => state.as_str());
        Self {
            invocations: counter!(INVOCATIONS),
            errors: counter!(ERRORS),
            throttles: counter!(THROTTLES),
            cold_starts: counter!(COLD_STARTS),
            spans_lost: counter!(SPANS_LOST),
            duration: histogram!(DURATION),
            queue: histogram!(QUEUE),
            fetch: histogram!(FETCH),
            sandbox: histogram!(SANDBOX),
            init: histogram!(INIT),
            environments: EnvironmentState::ALL.map(state),
        }
    }

    /// Counts an invocation that ran.
    pub(crate) fn invocation(&self, failed: bool, took: Option<std::time::Duration>) {
        self.invocations.increment(1);
        if failed {
            self.errors.increment(1);
        }
        if let Some(took) = took {
            self.duration.record(took.as_secs_f64());
        }
    }

    /// Sets the gauges, in the order of [`EnvironmentState::ALL`].
    pub(crate) fn environments(&self, counts: [u32; EnvironmentState::ALL.len()]) {
        for (gauge, count) in self.environments.iter().zip(counts) {
            gauge.set(f64::from(count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_documented_and_named_alike() {
        let document = include_str!("../../../docs/openapi.yaml");
        for (name, _) in COUNTERS.iter().chain(HISTOGRAMS).chain(GAUGES) {
            assert!(document.contains(&format!("| `{name}` |")), "{name}");
            let rest = name.strip_prefix("bootlace_").unwrap_or_default();
            assert!(
                rest.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{name}"
            );
        }
        let documented = document.matches("| `bootlace_").count();
        assert_eq!(documented, COUNTERS.len() + HISTOGRAMS.len() + GAUGES.len());
    }
}

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
pub const ENVIRONMENTS: &str = "bootlace_environments";

/// Tells the installed recorder what each metric means.
pub fn describe() {
    let counters = [
        (INVOCATIONS, "Invocations that ran"),
        (ERRORS, "Invocations whose function failed"),
        (
            THROTTLES,
            "Invocations refused because a concurrency limit was reached",
        ),
        (COLD_STARTS, "Environments that were initialized"),
    ];
    for (name, text) in counters {
        metrics::describe_counter!(name, Unit::Count, text);
    }
    let histograms = [
        (
            DURATION,
            "From the event's delivery to the function's answer",
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
    for (name, text) in histograms {
        metrics::describe_histogram!(name, Unit::Seconds, text);
    }
    metrics::describe_gauge!(ENVIRONMENTS, Unit::Count, "Environments by state");
}

/// Handles; a recorder must be installed before they are resolved.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) invocations: Counter,
    pub(crate) errors: Counter,
    pub(crate) throttles: Counter,
    pub(crate) cold_starts: Counter,
    pub(crate) duration: Histogram,
    pub(crate) queue: Histogram,
    pub(crate) fetch: Histogram,
    pub(crate) sandbox: Histogram,
    pub(crate) init: Histogram,
    environments: [Gauge; 4],
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
    pub(crate) fn environments(&self, counts: [u32; 4]) {
        for (gauge, count) in self.environments.iter().zip(counts) {
            gauge.set(f64::from(count));
        }
    }
}

//! What the platform says about an environment: AWS's events, each with the record it has in the
//! Telemetry API and in JSON logs. Their text lines are in `platform_text`.
//!
//! SnapStart's events are not here, because nothing here restores a snapshot.

use std::time::{Duration, SystemTime};

use bootlace_types::{FunctionArn, RequestId};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use crate::failure::Failure;
use crate::lifecycle::{Phase, Produced};
use crate::log_format::SystemLevel;

/// One event. It is made only when somebody will see it.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(crate) enum PlatformEvent<'a> {
    InitStart {
        initialization_type: InitializationType,
        phase: Phase,
        function_name: &'a str,
        function_version: &'a str,
    },
    InitRuntimeDone {
        initialization_type: InitializationType,
        phase: Phase,
        #[serde(flatten)]
        end: End<'a>,
    },
    InitReport {
        initialization_type: InitializationType,
        phase: Phase,
        #[serde(flatten)]
        end: End<'a>,
        metrics: InitMetrics,
    },
    Start {
        request_id: RequestId,
        #[serde(serialize_with = "text")]
        function_arn: &'a FunctionArn,
        version: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        tracing: Option<Tracing<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tenant_id: Option<&'a str>,
    },
    RuntimeDone {
        request_id: RequestId,
        #[serde(flatten)]
        end: End<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        metrics: Option<RuntimeMetrics>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        spans: Vec<Span>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tracing: Option<Tracing<'a>>,
    },
    /// Only the Logs API and text logs have it.
    End { request_id: RequestId },
    Report {
        request_id: RequestId,
        #[serde(flatten)]
        end: End<'a>,
        metrics: Metrics,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        spans: Vec<Span>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tracing: Option<Tracing<'a>>,
    },
    Extension {
        name: &'a str,
        state: &'static str,
        events: Vec<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error_type: Option<&'a str>,
    },
    /// `platform.telemetrySubscription`, or `platform.logsSubscription` in the Logs API.
    Subscription {
        name: &'a str,
        state: &'static str,
        types: Vec<&'static str>,
        #[serde(skip)]
        of_logs_api: bool,
    },
    LogsDropped {
        dropped_bytes: u64,
        dropped_records: u64,
        reason: &'static str,
    },
    /// Only the Logs API has it: the record is a text.
    Fault(&'a str),
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum InitializationType {
    OnDemand,
}

/// How a part of the work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct End<'a> {
    pub(crate) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_type: Option<&'a str>,
    /// The error is what the function answered; nothing ended by it.
    #[serde(skip)]
    pub(crate) answered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Success,
    /// The platform failed.
    Failure,
    /// The function, its runtime or an extension failed.
    Error,
    Timeout,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Tracing<'a> {
    #[serde(rename = "type")]
    kind: TraceType,
    value: &'a str,
}

#[derive(Debug, Clone, Copy, Serialize)]
enum TraceType {
    #[serde(rename = "X-Amzn-Trace-Id")]
    Xray,
}

/// A part of an invocation's time.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Span {
    name: &'static str,
    #[serde(serialize_with = "time")]
    start: SystemTime,
    #[serde(rename = "durationMs", serialize_with = "ms")]
    duration: Duration,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct InitMetrics {
    #[serde(rename = "durationMs", serialize_with = "ms")]
    pub(crate) duration: Duration,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct RuntimeMetrics {
    #[serde(rename = "durationMs", serialize_with = "ms")]
    pub(crate) duration: Duration,
    #[serde(rename = "producedBytes", skip_serializing_if = "Option::is_none")]
    pub(crate) produced_bytes: Option<u64>,
}

/// The numbers of a REPORT.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Metrics {
    #[serde(rename = "durationMs", serialize_with = "ms")]
    pub(crate) duration: Duration,
    #[serde(rename = "billedDurationMs")]
    pub(crate) billed_ms: u64,
    #[serde(rename = "memorySizeMB")]
    pub(crate) memory_mb: u32,
    #[serde(rename = "maxMemoryUsedMB")]
    pub(crate) peak_mb: u64,
    #[serde(
        rename = "initDurationMs",
        serialize_with = "optional_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) init: Option<Duration>,
}

impl Metrics {
    /// What is billed is the duration and the initialization, rounded up together.
    pub(crate) fn new(
        duration: Duration,
        init: Option<Duration>,
        memory_mb: u32,
        peak_bytes: u64,
    ) -> Self {
        let billed = duration + init.unwrap_or_default();
        Self {
            duration,
            billed_ms: u64::try_from(billed.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX),
            memory_mb,
            peak_mb: peak_bytes.div_ceil(1 << 20),
            init,
        }
    }
}

impl<'a> End<'a> {
    pub(crate) const SUCCESS: Self = Self {
        status: Status::Success,
        error_type: None,
        answered: false,
    };

    pub(crate) fn of(failure: Option<&'a Failure>) -> Self {
        match failure {
            None => Self::SUCCESS,
            Some(Failure::TimedOut { .. }) => Self {
                status: Status::Timeout,
                error_type: None,
                answered: false,
            },
            Some(failure) => Self {
                status: match failure.breaks_sandbox() {
                    true => Status::Failure,
                    false => Status::Error,
                },
                error_type: Some(failure.report_type()),
                answered: false,
            },
        }
    }

    /// The runtime answered, and its answer was an error of this type if there is one.
    pub(crate) fn of_answer(error_type: Option<&'a str>) -> Self {
        match error_type {
            None => Self::SUCCESS,
            error_type => Self {
                status: Status::Error,
                error_type,
                answered: true,
            },
        }
    }

    fn succeeded(&self) -> bool {
        self.status == Status::Success
    }
}

impl<'a> Tracing<'a> {
    pub(crate) fn of(value: &'a [u8]) -> Option<Self> {
        let value = std::str::from_utf8(value).ok()?;
        let kind = TraceType::Xray;
        (!value.is_empty()).then_some(Self { kind, value })
    }
}

impl Span {
    /// How the time of an answer was spent; `delivered` is when the runtime got the event.
    pub(crate) fn of_runtime(
        delivered: SystemTime,
        produced: Option<Produced>,
        overhead: Option<Duration>,
    ) -> Vec<Self> {
        let mut spans = Vec::new();
        let Some(produced) = produced else {
            return spans;
        };
        let mut start = delivered;
        let parts = [
            ("responseLatency", Some(produced.latency)),
            ("responseDuration", Some(produced.duration)),
            ("runtimeOverhead", overhead),
        ];
        for (name, duration) in parts {
            let Some(duration) = duration else { break };
            spans.push(Self {
                name,
                start,
                duration,
            });
            start += duration;
        }
        spans
    }

    /// What the extensions took after the runtime was done, up to `now`.
    pub(crate) fn of_extensions(now: SystemTime, overhead: Duration) -> Self {
        Self {
            name: "extensionOverhead",
            start: now.checked_sub(overhead).unwrap_or(now),
            duration: overhead,
        }
    }
}

impl PlatformEvent<'_> {
    /// Its name in the Telemetry API and in JSON logs.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::InitStart { .. } => "platform.initStart",
            Self::InitRuntimeDone { .. } => "platform.initRuntimeDone",
            Self::InitReport { .. } => "platform.initReport",
            Self::Start { .. } => "platform.start",
            Self::RuntimeDone { .. } => "platform.runtimeDone",
            Self::End { .. } => "platform.end",
            Self::Report { .. } => "platform.report",
            Self::Extension { .. } => "platform.extension",
            Self::Subscription {
                of_logs_api: false, ..
            } => "platform.telemetrySubscription",
            Self::Subscription {
                of_logs_api: true, ..
            } => "platform.logsSubscription",
            Self::LogsDropped { .. } => "platform.logsDropped",
            Self::Fault(_) => "platform.fault",
        }
    }

    /// The system log level that shows it, in JSON logs; `None` for what never stands there.
    pub(crate) fn level(&self) -> Option<SystemLevel> {
        use SystemLevel as L;
        let if_ok = |end: &End<'_>, ok| Some(if end.succeeded() { ok } else { L::Warn });
        match self {
            // INFO only with a runtime version, which a custom runtime does not have here.
            Self::InitStart { .. } => Some(L::Debug),
            Self::InitRuntimeDone { end, .. }
            | Self::InitReport { end, .. }
            | Self::RuntimeDone { end, .. } => if_ok(end, L::Debug),
            Self::Report { end, .. } => if_ok(end, L::Info),
            Self::Start { .. } | Self::Subscription { .. } => Some(L::Info),
            Self::Extension { error_type, .. } => Some(if error_type.is_none() {
                L::Info
            } else {
                L::Warn
            }),
            Self::LogsDropped { .. } => Some(L::Warn),
            Self::End { .. } | Self::Fault(_) => None,
        }
    }

    /// `{"time","type","record"}`, without a line break.
    pub(crate) fn json(&self, at: SystemTime) -> String {
        envelope(at, self.type_name(), self)
    }
}

#[derive(Serialize)]
struct Envelope<'a, R> {
    #[serde(serialize_with = "time")]
    time: SystemTime,
    #[serde(rename = "type")]
    kind: &'a str,
    record: R,
}

/// An event as the Telemetry API and JSON logs have it.
pub(crate) fn envelope(at: SystemTime, kind: &str, record: impl Serialize) -> String {
    let envelope = Envelope {
        time: at,
        kind,
        record,
    };
    // Numbers and texts always serialize; an empty line is the honest rest.
    serde_json::to_string(&envelope).unwrap_or_default()
}

fn time<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let time = DateTime::<Utc>::from(*time);
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn text<S: Serializer>(arn: &FunctionArn, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(arn)
}

/// Milliseconds with three decimals.
#[expect(
    clippy::cast_precision_loss,
    reason = "a duration here is far below what a double holds exactly"
)]
fn ms<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let micros = (duration.as_nanos() + 500) / 1_000;
    serializer.serialize_f64(micros as f64 / 1_000.0)
}

fn optional_ms<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => ms(duration, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests;

use std::time::Duration;

use bootlace_invoke::{BUCKET_MS, Durations, MetricsPoint, MetricsQuery, MetricsSeries};
use serde::Serialize;

/// What one function did, step by step.
#[derive(Debug, Serialize)]
pub(crate) struct FunctionMetrics {
    function_arn: String,
    from_ms: u64,
    to_ms: u64,
    step_ms: u64,
    bucket_ms: u64,
    kept_from_ms: u64,
    points: Vec<Point>,
}

#[derive(Debug, Serialize)]
struct Point {
    at_ms: u64,
    invocations: u64,
    errors: u64,
    throttles: u64,
    cold_starts: u64,
    concurrency_max: u32,
    duration_ms: Option<DurationMs>,
}

#[derive(Debug, Serialize)]
struct DurationMs {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    p50: f64,
    p90: f64,
    p99: f64,
}

impl FunctionMetrics {
    pub(crate) fn of(function_arn: String, query: MetricsQuery, series: &MetricsSeries) -> Self {
        Self {
            function_arn,
            from_ms: series.from_ms,
            to_ms: series.to_ms,
            step_ms: query.step_ms,
            bucket_ms: BUCKET_MS,
            kept_from_ms: series.kept_from_ms,
            points: series.points.iter().map(Point::of).collect(),
        }
    }
}

impl Point {
    fn of(point: &MetricsPoint) -> Self {
        Self {
            at_ms: point.at_ms,
            invocations: point.invocations,
            errors: point.errors,
            throttles: point.throttles,
            cold_starts: point.cold_starts,
            concurrency_max: point.concurrency_max,
            duration_ms: point.durations.as_ref().map(DurationMs::of),
        }
    }
}

impl DurationMs {
    fn of(durations: &Durations) -> Self {
        let ms = |duration: Duration| duration.as_secs_f64() * 1_000.0;
        Self {
            count: durations.count,
            sum: ms(durations.sum),
            min: ms(durations.min),
            max: ms(durations.max),
            p50: ms(durations.p50),
            p90: ms(durations.p90),
            p99: ms(durations.p99),
        }
    }
}

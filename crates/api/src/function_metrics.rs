//! `GET /bootlace/v1/functions/{FunctionName}/metrics`: what one function did in the last hours.

use bootlace_control::{InvokeQuery, check_invoke};
use bootlace_invoke::{BUCKET_MS, MetricsQuery};
use bootlace_types::{FunctionArn, clock, limits};
use hyper::StatusCode;

use crate::answer;
use crate::call::Call;
use crate::error::ApiError;
use crate::invocation::refusal;
use crate::routes::Answered;
use crate::wire::function_metrics::FunctionMetrics;

/// What is shown when `from` is not given.
const LAST_HOUR_MS: u64 = 3_600_000;
/// The longest step: all that is kept.
const LONGEST_MS: u64 = BUCKET_MS * limits::METRICS_BUCKETS as u64;

pub(crate) async fn read(call: Call) -> Answered {
    let query = InvokeQuery {
        function_name: call.param("FunctionName"),
        qualifier: None,
        invocation_type: None,
        log_type: None,
    };
    let (name, qualifier) = check_invoke(&call.scope, query)?;
    let dispatcher = &call.shared.dispatcher;
    dispatcher
        .check(&call.scope, &name, qualifier.as_ref())
        .map_err(refusal)?;
    let query = asked(&call, clock::epoch_ms(clock::wall()))?;
    let arn = FunctionArn::new(&call.scope, &name, None).to_string();
    // A function that was deleted just now has done nothing.
    let series = dispatcher.function_metrics(&call.scope, &name, query);
    let series = series.ok_or_else(|| ApiError::not_found(format!("Function not found: {arn}")))?;
    answer::json(StatusCode::OK, &FunctionMetrics::of(arn, query, &series))
}

fn asked(call: &Call, now_ms: u64) -> Result<MetricsQuery, ApiError> {
    let to_ms = number(call, "to")?.unwrap_or(now_ms);
    let from_ms = number(call, "from")?.unwrap_or_else(|| to_ms.saturating_sub(LAST_HOUR_MS));
    let step_ms = number(call, "step")?.unwrap_or(BUCKET_MS);
    if from_ms >= to_ms {
        return Err(ApiError::invalid_parameter(format!(
            "from ({from_ms}) must be before to ({to_ms})."
        )));
    }
    if step_ms == 0 || step_ms % BUCKET_MS != 0 || step_ms > LONGEST_MS {
        return Err(ApiError::invalid_parameter(format!(
            "step must be a multiple of {BUCKET_MS} up to {LONGEST_MS}, in milliseconds."
        )));
    }
    Ok(MetricsQuery {
        from_ms,
        to_ms,
        step_ms,
    })
}

/// Milliseconds, of the epoch or long.
fn number(call: &Call, name: &str) -> Result<Option<u64>, ApiError> {
    let Some(text) = call.query(name) else {
        return Ok(None);
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.map(Some).ok_or_else(|| {
        ApiError::invalid_parameter(format!("{name} must be a whole number of milliseconds."))
    })
}

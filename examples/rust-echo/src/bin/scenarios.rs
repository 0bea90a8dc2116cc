//! Does as its event says, by the official Rust runtime client: for the conformance tests, which
//! have the same function in Python, JavaScript and shell.

use std::process::exit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lambda_runtime::{Context, Diagnostic, Error, LambdaEvent, service_fn};
use rustix::process::{Signal, getpid, kill_process};
use serde_json::{Value, json};

#[derive(Debug)]
struct AsTold;

impl From<AsTold> for Diagnostic {
    fn from(_: AsTold) -> Self {
        Self {
            error_type: "AsTold".to_owned(),
            error_message: "as told".to_owned(),
        }
    }
}

async fn act(event: LambdaEvent<Value>, state: &State) -> Result<Value, AsTold> {
    let invocations = 1 + state.invocations.fetch_add(1, Ordering::Relaxed);
    let LambdaEvent { payload, context } = event;
    match payload
        .get("do")
        .and_then(Value::as_str)
        .unwrap_or_default()
    {
        "error" => Err(AsTold),
        "exit" => exit(3),
        "kill" => kill().await,
        "sleep" => sleep().await,
        "large" => Ok("x".repeat(size(&payload)).into()),
        "count" => Ok(json!({"environment": state.environment, "invocations": invocations})),
        "context" => Ok(seen(&context)),
        _ => Ok(payload),
    }
}

struct State {
    environment: String,
    invocations: AtomicUsize,
}

async fn kill() -> Result<Value, AsTold> {
    let _ = kill_process(getpid(), Signal::KILL);
    sleep().await
}

async fn sleep() -> Result<Value, AsTold> {
    tokio::time::sleep(Duration::from_secs(60)).await;
    Ok(Value::Null)
}

fn size(event: &Value) -> usize {
    let bytes = event.get("bytes").and_then(Value::as_u64);
    bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or(0)
}

fn seen(context: &Context) -> Value {
    let left = context.deadline().duration_since(now()).unwrap_or_default();
    json!({
        "requestId": context.request_id,
        "arn": context.invoked_function_arn,
        "remainingMs": left.as_secs_f64() * 1000.0,
        "custom": context.client_context.as_ref().map(|caller| &caller.custom),
        "trace": context.xray_trace_id,
    })
}

#[allow(
    clippy::disallowed_methods,
    reason = "a function of a user has no clock module"
)]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    match std::env::var("FAIL_INIT").as_deref() {
        Ok("raise") => return Err("no configuration".into()),
        Ok("exit") => exit(7),
        _ => {}
    }
    let state = State {
        environment: std::fs::read_to_string("/proc/sys/kernel/random/uuid")?,
        invocations: AtomicUsize::new(0),
    };
    lambda_runtime::run(service_fn(|event| act(event, &state))).await
}

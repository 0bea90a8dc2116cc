//! Prints every event and every telemetry record that it gets, by the official Rust extension client.
//!
//! It does not subscribe to `extension`: its own lines would come back to it, without end.

use std::process::exit;

use lambda_extension::{
    Error, Extension, InvokeEvent, LambdaEvent, LambdaTelemetry, LogBuffering, NextEvent,
    SharedService, ShutdownEvent, service_fn,
};
use serde_json::{Value, json};

/// Where telemetry is delivered, inside the environment.
const PORT: u16 = 9003;

/// As soon as can be, and in deliveries as small as can be.
const BUFFERING: LogBuffering = LogBuffering {
    timeout_ms: 25,
    max_bytes: 262_144,
    max_items: 1_000,
};

fn print(what: &Value) {
    println!("recorder {what}");
}

async fn record(records: Vec<LambdaTelemetry>) -> Result<(), Error> {
    for record in records {
        print(&serde_json::to_value(record)?);
    }
    Ok(())
}

async fn happen(event: LambdaEvent) -> Result<(), Error> {
    match event.next {
        NextEvent::Invoke(event) => print(&of_invoke(&event)),
        NextEvent::Shutdown(event) => {
            print(&of_shutdown(&event));
            // Whoever stays is killed two seconds later.
            exit(0);
        }
    }
    Ok(())
}

fn of_invoke(event: &InvokeEvent) -> Value {
    json!({
        "eventType": "INVOKE",
        "deadlineMs": event.deadline_ms,
        "requestId": event.request_id,
        "invokedFunctionArn": event.invoked_function_arn,
        "tracing": { "type": event.tracing.r#type, "value": event.tracing.value },
    })
}

fn of_shutdown(event: &ShutdownEvent) -> Value {
    json!({
        "eventType": "SHUTDOWN",
        "shutdownReason": event.shutdown_reason,
        "deadlineMs": event.deadline_ms,
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    Extension::new()
        .with_events(&["INVOKE", "SHUTDOWN"])
        .with_events_processor(service_fn(happen))
        .with_telemetry_types(&["platform", "function"])
        .with_telemetry_buffering(BUFFERING)
        .with_telemetry_port_number(PORT)
        .with_telemetry_processor(SharedService::new(service_fn(record)))
        .run()
        .await
}

use std::time::{Duration, SystemTime};

use bootlace_types::Scope;
use serde_json::json;

use super::*;
use crate::failure::Failure;

const ID: &str = "5bbe1ae4-8b45-4ba7-b58e-9a6d6e4c3a11";
const ROOT: &str = "Root=1-6925e2f1-5f6a0f1d2c3b4a5968778695;Parent=53995c3f42cd8ad8;Sampled=1";

fn id() -> RequestId {
    ID.parse().expect("an id")
}

fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_144_000_123)
}

const TIMED_OUT: Failure = Failure::TimedOut {
    limit: Duration::from_secs(3),
};
const CRASHED: Failure = Failure::Exited(bootlace_sandbox::End::Exited(1));

/// The whole line, and the level that shows it.
#[track_caller]
fn check(event: &PlatformEvent<'_>, kind: &str, level: Option<SystemLevel>, record: &str) {
    let want =
        format!(r#"{{"time":"2025-11-26T08:00:00.123Z","type":"{kind}","record":{record}}}"#);
    assert_eq!(event.json(at()), want);
    assert_eq!(event.level(), level);
}

fn init_start() -> PlatformEvent<'static> {
    PlatformEvent::InitStart {
        initialization_type: InitializationType::OnDemand,
        phase: Phase::Init,
        function_name: "f",
        function_version: "$LATEST",
    }
}

#[test]
fn an_initialization_has_three_records() {
    check(
        &init_start(),
        "platform.initStart",
        Some(SystemLevel::Debug),
        r#"{"initializationType":"on-demand","phase":"init","functionName":"f","functionVersion":"$LATEST"}"#,
    );
    let runtime_done = |failure| PlatformEvent::InitRuntimeDone {
        initialization_type: InitializationType::OnDemand,
        phase: Phase::Init,
        end: End::of(failure),
    };
    check(
        &runtime_done(None),
        "platform.initRuntimeDone",
        Some(SystemLevel::Debug),
        r#"{"initializationType":"on-demand","phase":"init","status":"success"}"#,
    );
    check(
        &runtime_done(Some(&CRASHED)),
        "platform.initRuntimeDone",
        Some(SystemLevel::Warn),
        r#"{"initializationType":"on-demand","phase":"init","status":"error","errorType":"Runtime.ExitError"}"#,
    );
    let report = |failure| PlatformEvent::InitReport {
        initialization_type: InitializationType::OnDemand,
        phase: Phase::Invoke,
        end: End::of(failure),
        metrics: InitMetrics {
            duration: Duration::from_nanos(463_512_400),
        },
    };
    check(
        &report(None),
        "platform.initReport",
        Some(SystemLevel::Debug),
        r#"{"initializationType":"on-demand","phase":"invoke","status":"success","metrics":{"durationMs":463.512}}"#,
    );
    check(
        &report(Some(&TIMED_OUT)),
        "platform.initReport",
        Some(SystemLevel::Warn),
        r#"{"initializationType":"on-demand","phase":"invoke","status":"timeout","metrics":{"durationMs":463.512}}"#,
    );
}

#[test]
fn an_invocation_has_three_records() {
    let tracing = Tracing::of(ROOT.as_bytes());
    let shown = format!(r#""tracing":{{"type":"X-Amzn-Trace-Id","value":"{ROOT}"}}"#);
    check(
        &PlatformEvent::Start {
            request_id: id(),
            function_arn: &FunctionArn::new(&Scope::default(), "f", None),
            version: "$LATEST",
            tracing,
            tenant_id: Some("blue"),
        },
        "platform.start",
        Some(SystemLevel::Info),
        &format!(
            r#"{{"requestId":"{ID}","functionArn":"arn:aws:lambda:us-east-1:000000000000:function:f","version":"$LATEST",{shown},"tenantId":"blue"}}"#
        ),
    );
    let produced = Produced {
        latency: Duration::from_millis(50),
        duration: Duration::from_micros(30),
        bytes: 12,
    };
    let overhead = Some(Duration::from_micros(1_500));
    check(
        &PlatformEvent::RuntimeDone {
            request_id: id(),
            end: End::SUCCESS,
            metrics: Some(RuntimeMetrics {
                duration: Duration::from_micros(51_530),
                produced_bytes: Some(12),
            }),
            spans: Span::of_runtime(at(), Some(produced), overhead),
            tracing: None,
        },
        "platform.runtimeDone",
        Some(SystemLevel::Debug),
        &format!(
            r#"{{"requestId":"{ID}","status":"success","metrics":{{"durationMs":51.53,"producedBytes":12}},"spans":[{{"name":"responseLatency","start":"2025-11-26T08:00:00.123Z","durationMs":50.0}},{{"name":"responseDuration","start":"2025-11-26T08:00:00.173Z","durationMs":0.03}},{{"name":"runtimeOverhead","start":"2025-11-26T08:00:00.173Z","durationMs":1.5}}]}}"#
        ),
    );
    let duration = Duration::from_micros(1_233_960);
    let init = Some(Duration::from_micros(463_512));
    check(
        &PlatformEvent::Report {
            request_id: id(),
            end: End::SUCCESS,
            metrics: Metrics::new(duration, init, 128, 40 << 20),
            spans: vec![Span::of_extensions(at(), Duration::from_millis(123))],
            tracing,
        },
        "platform.report",
        Some(SystemLevel::Info),
        &format!(
            r#"{{"requestId":"{ID}","status":"success","metrics":{{"durationMs":1233.96,"billedDurationMs":1698,"memorySizeMB":128,"maxMemoryUsedMB":40,"initDurationMs":463.512}},"spans":[{{"name":"extensionOverhead","start":"2025-11-26T08:00:00.000Z","durationMs":123.0}}],{shown}}}"#
        ),
    );
    check(
        &PlatformEvent::End { request_id: id() },
        "platform.end",
        None,
        &format!(r#"{{"requestId":"{ID}"}}"#),
    );
}

#[test]
fn what_failed_says_how() {
    let done = |end| PlatformEvent::RuntimeDone {
        request_id: id(),
        end,
        metrics: None,
        spans: Vec::new(),
        tracing: None,
    };
    let check = |end, record: &str| {
        let record = format!(r#"{{"requestId":"{ID}",{record}}}"#);
        check(
            &done(end),
            "platform.runtimeDone",
            Some(SystemLevel::Warn),
            &record,
        );
    };
    check(End::of(Some(&TIMED_OUT)), r#""status":"timeout""#);
    check(
        End::of(Some(&CRASHED)),
        r#""status":"error","errorType":"Runtime.ExitError""#,
    );
    check(
        End::of_answer(Some("Function.Mine")),
        r#""status":"error","errorType":"Function.Mine""#,
    );
    let broken = Failure::Platform {
        context: "for operators".into(),
    };
    check(
        End::of(Some(&broken)),
        r#""status":"failure","errorType":"Sandbox.Failure""#,
    );
}

#[test]
fn extensions_and_subscriptions_have_records() {
    let extension = |error_type| PlatformEvent::Extension {
        name: "watcher",
        state: "Ready",
        events: vec!["INVOKE", "SHUTDOWN"],
        error_type,
    };
    check(
        &extension(None),
        "platform.extension",
        Some(SystemLevel::Info),
        r#"{"name":"watcher","state":"Ready","events":["INVOKE","SHUTDOWN"]}"#,
    );
    check(
        &extension(Some("Extension.Crash")),
        "platform.extension",
        Some(SystemLevel::Warn),
        r#"{"name":"watcher","state":"Ready","events":["INVOKE","SHUTDOWN"],"errorType":"Extension.Crash"}"#,
    );
    for (of_logs_api, kind) in [
        (false, "platform.telemetrySubscription"),
        (true, "platform.logsSubscription"),
    ] {
        check(
            &PlatformEvent::Subscription {
                name: "watcher",
                state: "Subscribed",
                types: vec!["platform", "function"],
                of_logs_api,
            },
            kind,
            Some(SystemLevel::Info),
            r#"{"name":"watcher","state":"Subscribed","types":["platform","function"]}"#,
        );
    }
    check(
        &PlatformEvent::LogsDropped {
            dropped_bytes: 12_345,
            dropped_records: 123,
            reason: "slow",
        },
        "platform.logsDropped",
        Some(SystemLevel::Warn),
        r#"{"droppedBytes":12345,"droppedRecords":123,"reason":"slow"}"#,
    );
    check(
        &PlatformEvent::Fault("RequestId: x Process exited"),
        "platform.fault",
        None,
        r#""RequestId: x Process exited""#,
    );
}

#[test]
fn any_line_is_a_record_that_can_be_read() {
    let line = String::from_utf8_lossy(b"quote \" back \\ nul \0 not text \xff");
    let line = envelope(at(), "function", &line);
    let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(
        read["record"],
        json!("quote \" back \\ nul \0 not text \u{fffd}")
    );
}

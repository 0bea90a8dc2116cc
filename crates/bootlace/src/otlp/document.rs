//! Spans as the collector wants them: OTLP's JSON encoding of `ExportTraceServiceRequest`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bootlace_invoke::InvocationSpan;
use bootlace_types::{SpanId, TraceHeader, TraceId};
use serde_json::{Value, json};

/// `SPAN_KIND_INTERNAL` and `SPAN_KIND_SERVER`.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
/// `STATUS_CODE_ERROR`
const ERROR: u8 = 2;
/// Characters of an error's type; a runtime may name it as it likes.
const ERROR_CHARS: usize = 256;

/// The request's body for these invocations.
pub(super) fn request(spans: &[InvocationSpan]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let spans: Vec<Value> = spans.iter().flat_map(invocation).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": [
            text("service.name", "bootlace"),
            text("service.version", version),
            text("cloud.platform", "aws_lambda"),
        ]},
        "scopeSpans": [{
            "scope": {"name": "bootlace", "version": version},
            "spans": spans,
        }],
    }]})
}

/// The span of an invocation and those of its phases.
fn invocation(span: &InvocationSpan) -> Vec<Value> {
    let id = SpanId::of(span.request_id);
    let header = span.trace_header.as_deref().and_then(TraceHeader::parse);
    let trace = header.map_or_else(|| TraceId::of(span.request_id), |header| header.root);
    // A header that was made for the invocation itself names no caller.
    let parent = header
        .and_then(|header| header.parent)
        .filter(|parent| *parent != id);
    let end = span.began + span.took;
    let phases = phases(span);
    let cold = phases.iter().any(|phase| phase.name == "init");

    let arn = String::from_utf8_lossy(&span.function_arn);
    let name = arn.rsplit(':').next().unwrap_or_default();
    let mut attributes = vec![
        text("faas.invocation_id", &span.request_id.to_string()),
        text("faas.version", &span.version),
        text("cloud.resource_id", &arn),
        json!({"key": "faas.coldstart", "value": {"boolValue": cold}}),
    ];
    let error: Option<String> = span
        .error
        .as_deref()
        .map(|error| error.chars().take(ERROR_CHARS).collect());
    attributes.extend(error.as_deref().map(|error| text("error.type", error)));
    let mut whole = json!({
        "traceId": trace.to_string(),
        "spanId": id.to_string(),
        "name": name,
        "kind": SERVER,
        "startTimeUnixNano": nanos(span.began),
        "endTimeUnixNano": nanos(end),
        "attributes": attributes,
    });
    if let Some(parent) = parent {
        whole["parentSpanId"] = parent.to_string().into();
    }
    if let Some(error) = error {
        whole["status"] = json!({"code": ERROR, "message": error});
    }
    let children = phases.iter().zip(0..).map(|(phase, nth)| {
        json!({
            "traceId": trace.to_string(),
            "spanId": id.child(nth).to_string(),
            "parentSpanId": id.to_string(),
            "name": phase.name,
            "kind": INTERNAL,
            "startTimeUnixNano": nanos(phase.began),
            "endTimeUnixNano": nanos(phase.end),
        })
    });
    let children: Vec<Value> = children.collect();
    std::iter::once(whole).chain(children).collect()
}

struct Phase {
    name: &'static str,
    began: SystemTime,
    end: SystemTime,
}

/// The parts of an invocation. An environment may have been started before the invocation came, for
/// another that left; only what this one waited for is shown.
fn phases(span: &InvocationSpan) -> Vec<Phase> {
    let end = span.began + span.took;
    let delivered = span.queued.map(|queued| span.began + queued);
    let mut phases = vec![Phase {
        name: "queue",
        began: span.began,
        end: delivered.unwrap_or(end),
    }];
    if let Some(cold) = &span.cold_start {
        let mut began = cold.began;
        for (name, took) in [
            ("fetch", cold.fetch),
            ("sandbox", cold.sandbox),
            ("init", cold.init),
        ] {
            let end = began + took;
            if end > span.began {
                let began = began.max(span.began);
                phases.push(Phase { name, began, end });
            }
            began = end;
        }
    }
    phases.extend(delivered.map(|began| Phase {
        name: "handler",
        began,
        end,
    }));
    phases
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// Whole nanoseconds as text, as the encoding writes 64-bit numbers.
fn nanos(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    since.as_nanos().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootlace_invoke::ColdStart;

    const MS: Duration = Duration::from_millis(1);

    fn span(trace_header: Option<&str>) -> InvocationSpan {
        InvocationSpan {
            request_id: "5bbe1ae4-8b45-4ba7-b58e-9a6d6e4c3a11"
                .parse()
                .expect("an id"),
            function_arn: "arn:aws:lambda:us-east-1:000000000000:function:f".into(),
            version: "$LATEST".into(),
            trace_header: trace_header.map(str::to_owned),
            began: UNIX_EPOCH + 100 * MS,
            took: 50 * MS,
            queued: Some(30 * MS),
            cold_start: None,
            error: None,
        }
    }

    /// Names and times of the phases, milliseconds.
    fn times(spans: &[Value]) -> Vec<(&str, u64, u64)> {
        let ms = |value: &Value| {
            value
                .as_str()
                .expect("a text")
                .parse::<u64>()
                .expect("a number")
                / 1_000_000
        };
        spans[1..]
            .iter()
            .map(|span| {
                let name = span["name"].as_str().expect("a name");
                (
                    name,
                    ms(&span["startTimeUnixNano"]),
                    ms(&span["endTimeUnixNano"]),
                )
            })
            .collect()
    }

    #[test]
    fn the_callers_trace_is_continued() {
        let spans = invocation(&span(Some(
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        )));
        for span in &spans {
            assert_eq!(span["traceId"], "5759e988bd862e3fe1be46a994272793");
        }
        assert_eq!(spans[0]["spanId"], "b58e9a6d6e4c3a11");
        assert_eq!(spans[0]["parentSpanId"], "53995c3f42cd8ad8");
        assert_eq!(spans[1]["parentSpanId"], "b58e9a6d6e4c3a11");
        assert_eq!(
            (&spans[0]["name"], &spans[0]["kind"]),
            (&json!("f"), &json!(2))
        );
        assert_eq!(spans[0]["status"], Value::Null);
        assert_eq!(spans[0]["startTimeUnixNano"], "100000000");
    }

    #[test]
    fn a_trace_of_its_own_has_no_parent() {
        let own = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=b58e9a6d6e4c3a11;Sampled=0";
        for (header, trace) in [
            (Some(own), "5759e988bd862e3fe1be46a994272793"),
            (Some("Root=1-a-b"), "5bbe1ae48b454ba7b58e9a6d6e4c3a11"),
            (None, "5bbe1ae48b454ba7b58e9a6d6e4c3a11"),
        ] {
            let spans = invocation(&span(header));
            assert_eq!(spans[0]["traceId"], trace, "{header:?}");
            assert_eq!(spans[0].get("parentSpanId"), None, "{header:?}");
        }
    }

    #[test]
    fn phases_lie_within_the_invocation() {
        let warm = invocation(&span(None));
        assert_eq!(times(&warm), [("queue", 100, 130), ("handler", 130, 150)]);
        let start = |began: u32| InvocationSpan {
            cold_start: Some(ColdStart {
                began: UNIX_EPOCH + began * MS,
                fetch: 5 * MS,
                sandbox: 10 * MS,
                init: 10 * MS,
            }),
            ..span(None)
        };
        let cold = invocation(&start(101));
        assert_eq!(
            times(&cold),
            [
                ("queue", 100, 130),
                ("fetch", 101, 106),
                ("sandbox", 106, 116),
                ("init", 116, 126),
                ("handler", 130, 150)
            ]
        );
        let begun_for_another = invocation(&start(90));
        assert_eq!(
            times(&begun_for_another)[1..3],
            [("sandbox", 100, 105), ("init", 105, 115)]
        );
        let long_before = invocation(&start(10));
        assert_eq!(long_before.len(), 3);
        let cold_start = |spans: &[Value]| spans[0]["attributes"][3]["value"]["boolValue"].clone();
        assert_eq!(
            (cold_start(&cold), cold_start(&long_before)),
            (json!(true), json!(false))
        );
    }

    #[test]
    fn what_failed_says_how() {
        let failed = InvocationSpan {
            error: Some("x".repeat(1_000).into()),
            queued: None,
            ..span(None)
        };
        let spans = invocation(&failed);
        assert_eq!(
            spans[0]["status"],
            json!({"code": 2, "message": "x".repeat(256)})
        );
        assert_eq!(times(&spans), [("queue", 100, 150)]);
    }
}

//! The versions of the two APIs, and the records that each of them has.

use std::time::SystemTime;

use serde::de::IgnoredAny;
use serde_json::json;

use crate::log::LogOrigin;
use crate::log_format::is_object;
use crate::platform_event::{PlatformEvent, envelope};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    Telemetry202207,
    /// Lines that are JSON objects are passed on as such.
    Telemetry202212,
    Logs2020,
    /// The same with `platform.runtimeDone`.
    Logs2021,
}

impl Schema {
    pub(crate) fn is_of_logs_api(self) -> bool {
        matches!(self, Self::Logs2020 | Self::Logs2021)
    }

    /// What the platform says, if this version has a record of it.
    pub(crate) fn platform(self, at: SystemTime, event: &PlatformEvent<'_>) -> Option<String> {
        use PlatformEvent as E;
        if self.is_of_logs_api() {
            return self.platform_in_logs(at, event);
        }
        match event {
            E::End { .. }
            | E::Fault(_)
            | E::Subscription {
                of_logs_api: true, ..
            } => None,
            _ => Some(event.json(at)),
        }
    }

    fn platform_in_logs(self, at: SystemTime, event: &PlatformEvent<'_>) -> Option<String> {
        use PlatformEvent as E;
        let record = match event {
            E::InitStart { .. }
            | E::InitRuntimeDone { .. }
            | E::InitReport { .. }
            | E::Subscription {
                of_logs_api: false, ..
            } => return None,
            E::RuntimeDone { .. } if self == Self::Logs2020 => return None,
            E::RuntimeDone {
                request_id, end, ..
            } => json!({ "requestId": request_id, "status": end.status }),
            E::Start {
                request_id,
                version,
                ..
            } => json!({ "requestId": request_id, "version": version }),
            E::Report {
                request_id,
                metrics,
                ..
            } => json!({ "requestId": request_id, "metrics": metrics }),
            E::Extension { .. }
            | E::Subscription { .. }
            | E::End { .. }
            | E::LogsDropped { .. }
            | E::Fault(_) => return Some(event.json(at)),
        };
        Some(envelope(at, event.type_name(), record))
    }

    /// A line of a process; `structured` is whether the function's log format lets it be JSON.
    pub(crate) fn line(
        self,
        at: SystemTime,
        origin: LogOrigin,
        line: &[u8],
        structured: bool,
    ) -> String {
        let kind = match origin {
            LogOrigin::Extension => "extension",
            LogOrigin::Function | LogOrigin::Platform => "function",
        };
        let line = String::from_utf8_lossy(line);
        if structured && self == Self::Telemetry202212 && is_object(line.as_bytes()) {
            // What is valid is passed on as it is, not read and written anew.
            if serde_json::from_str::<IgnoredAny>(&line).is_ok() {
                return with_raw(at, kind, line.trim());
            }
        }
        envelope(at, kind, line)
    }
}

/// The envelope of a record that is JSON already.
fn with_raw(at: SystemTime, kind: &str, record: &str) -> String {
    let mut whole = envelope(at, kind, ());
    // It ends with the record, `null`, and a brace.
    whole.truncate(whole.len().saturating_sub("null}".len()));
    whole.reserve_exact(record.len() + 1);
    whole.push_str(record);
    whole.push('}');
    whole
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bootlace_types::{FunctionArn, RequestId, Scope};

    use super::*;
    use crate::platform_event::{End, Metrics, RuntimeMetrics};

    const ID: &str = "5bbe1ae4-8b45-4ba7-b58e-9a6d6e4c3a11";
    const ALL: [Schema; 4] = [
        Schema::Telemetry202207,
        Schema::Telemetry202212,
        Schema::Logs2020,
        Schema::Logs2021,
    ];

    fn id() -> RequestId {
        ID.parse().unwrap()
    }

    fn at() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_144_000_123)
    }

    /// The record in each version; what is not there is empty.
    fn records(event: &PlatformEvent<'_>) -> [String; 4] {
        let kind = event.type_name();
        let begin = format!(r#"{{"time":"2025-11-26T08:00:00.123Z","type":"{kind}","record":"#);
        ALL.map(|schema| match schema.platform(at(), event) {
            Some(line) => {
                let record = line.strip_prefix(&begin).expect(&line);
                record.strip_suffix('}').expect(&line).to_owned()
            }
            None => String::new(),
        })
    }

    #[test]
    fn the_logs_api_knows_less_of_an_invocation() {
        let [_, telemetry, old, new] = records(&PlatformEvent::Start {
            request_id: id(),
            function_arn: &FunctionArn::new(&Scope::default(), "f", None),
            version: "1",
            tracing: None,
            tenant_id: Some("blue"),
        });
        let short = format!(r#"{{"requestId":"{ID}","version":"1"}}"#);
        assert_eq!([old, new], [short.clone(), short]);
        assert!(telemetry.contains("tenantId"));

        let duration = Duration::from_millis(5);
        let done = records(&PlatformEvent::RuntimeDone {
            request_id: id(),
            end: End::of_answer(Some("Runtime.Unknown")),
            metrics: Some(RuntimeMetrics {
                duration,
                produced_bytes: None,
            }),
            spans: Vec::new(),
            tracing: None,
        });
        let want = format!(r#"{{"requestId":"{ID}","status":"error"}}"#);
        assert_eq!([&*done[2], &done[3]], ["", &want]);
        assert!(done[0].contains("errorType"));

        let report = records(&PlatformEvent::Report {
            request_id: id(),
            end: End::SUCCESS,
            metrics: Metrics::new(duration, None, 128, 40 << 20),
            spans: Vec::new(),
            tracing: None,
        });
        let want = format!(
            r#"{{"metrics":{{"billedDurationMs":5,"durationMs":5.0,"maxMemoryUsedMB":40,"memorySizeMB":128}},"requestId":"{ID}"}}"#
        );
        assert_eq!([&report[2], &report[3]], [&want, &want]);
        assert!(report[1].contains(r#""status":"success""#));
    }

    #[test]
    fn each_api_has_records_that_the_other_lacks() {
        let end = records(&PlatformEvent::End { request_id: id() });
        let want = format!(r#"{{"requestId":"{ID}"}}"#);
        assert_eq!(end, ["", "", &want, &want].map(str::to_owned));
        let fault = records(&PlatformEvent::Fault("it failed"));
        assert_eq!(
            fault,
            ["", "", r#""it failed""#, r#""it failed""#].map(str::to_owned)
        );
        for of_logs_api in [false, true] {
            let subscription = records(&PlatformEvent::Subscription {
                name: "x",
                state: "Subscribed",
                types: vec!["platform"],
                of_logs_api,
            });
            let has = subscription.map(|record| !record.is_empty());
            assert_eq!(has, [!of_logs_api, !of_logs_api, of_logs_api, of_logs_api]);
        }
    }

    #[track_caller]
    fn check(schema: Schema, structured: bool, line: &[u8], want: &str) {
        let got = schema.line(at(), LogOrigin::Function, line, structured);
        let want =
            format!(r#"{{"time":"2025-11-26T08:00:00.123Z","type":"function","record":{want}}}"#);
        assert_eq!(got, want);
        assert!(serde_json::from_str::<serde_json::Value>(&got).is_ok());
    }

    #[test]
    fn lines_are_texts_or_objects() {
        let new = Schema::Telemetry202212;
        check(
            new,
            true,
            br#" {"a":[1,{"b":"c\n"}]} "#,
            r#"{"a":[1,{"b":"c\n"}]}"#,
        );
        check(new, false, br#"{"a":1}"#, r#""{\"a\":1}""#);
        check(
            Schema::Telemetry202207,
            true,
            br#"{"a":1}"#,
            r#""{\"a\":1}""#,
        );
        check(Schema::Logs2021, true, br#"{"a":1}"#, r#""{\"a\":1}""#);
        check(new, true, br#"{"a":1"#, r#""{\"a\":1""#);
        check(new, true, br#"{"a":1} x"#, r#""{\"a\":1} x""#);
        check(new, true, b"[1]", r#""[1]""#);
        check(new, true, b"{\"a\":\"\xff\"}", "{\"a\":\"\u{fffd}\"}");
        check(new, true, b"\x00\xfe", "\"\\u0000\u{fffd}\"");
    }

    proptest::proptest! {
        /// Whatever a guest writes, a record is one line of JSON.
        #[test]
        fn any_line_is_one_line_of_json(line in proptest::collection::vec(0_u8.., 0..300)) {
            let line: Vec<u8> = line.into_iter().filter(|byte| *byte != b'\n').collect();
            for schema in ALL {
                let record = schema.line(at(), LogOrigin::Extension, &line, true);
                proptest::prop_assert!(!record.contains('\n'));
                proptest::prop_assert!(serde_json::from_str::<IgnoredAny>(&record).is_ok());
            }
        }

        #[test]
        fn any_object_is_one_line_of_json(line in r#"[ \r\t]*\{("[^"]*":[^,]{0,9},?)*\}"#) {
            let line = line.replace('\n', " ");
            let schema = Schema::Telemetry202212;
            let record = schema.line(at(), LogOrigin::Function, line.as_bytes(), true);
            proptest::prop_assert!(!record.contains('\n'));
            proptest::prop_assert!(serde_json::from_str::<IgnoredAny>(&record).is_ok());
        }
    }
}

//! The platform's own lines in a function's log, in AWS's text format.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::lifecycle::Phase;
use crate::platform_event::{End, Metrics, PlatformEvent, Status};

impl PlatformEvent<'_> {
    /// The line of this event with its line break; `None` for what text logs do not show.
    pub(crate) fn text(&self) -> Option<String> {
        let mut line = String::with_capacity(240);
        self.write(&mut line)?;
        line.push('\n');
        Some(line)
    }

    /// Writing to a string cannot fail.
    fn write(&self, line: &mut String) -> Option<()> {
        let _ = match self {
            Self::Start {
                request_id,
                version,
                ..
            } => write!(line, "START RequestId: {request_id} Version: {version}"),
            Self::End { request_id } => write!(line, "END RequestId: {request_id}"),
            Self::Report {
                request_id,
                end,
                metrics,
                ..
            } => {
                let _ = write!(line, "REPORT RequestId: {request_id}\t{metrics}");
                match end.error_type {
                    // An error that the function answered is the answer's matter.
                    Some(_) if end.answered => line.push('\t'),
                    _ => write_end(line, end, "\t"),
                }
                Ok(())
            }
            Self::InitReport {
                phase,
                end,
                metrics,
                ..
            } if end.status != Status::Success => {
                let phase = match phase {
                    Phase::Init => "init",
                    Phase::Invoke => "invoke",
                };
                let duration = Ms(metrics.duration);
                let _ = write!(
                    line,
                    "INIT_REPORT Init Duration: {duration} ms\tPhase: {phase}"
                );
                write_end(line, end, "");
                Ok(())
            }
            Self::Extension {
                name,
                state,
                events,
                error_type,
            } => {
                let events = events.join(", ");
                let _ = write!(
                    line,
                    "EXTENSION\tName: {name}\tState: {state}\tEvents: [{events}]"
                );
                match error_type {
                    Some(error_type) => write!(line, "\tError Type: {error_type}"),
                    None => Ok(()),
                }
            }
            Self::Subscription {
                name,
                state,
                types,
                of_logs_api,
            } => {
                let api = if *of_logs_api { "LOGS" } else { "TELEMETRY" };
                let types: Vec<String> = types.iter().map(|word| capitalized(word)).collect();
                let types = types.join(", ");
                write!(
                    line,
                    "{api}\tName: {name}\tState: {state}\tTypes: [{types}]"
                )
            }
            // INIT_START tells the runtime's version, which a custom runtime does not have here.
            Self::InitStart { .. }
            | Self::InitRuntimeDone { .. }
            | Self::InitReport { .. }
            | Self::RuntimeDone { .. }
            | Self::LogsDropped { .. }
            | Self::Fault(_) => return None,
        };
        Some(())
    }
}

/// `unless` is what stands there when all went well.
fn write_end(line: &mut String, end: &End<'_>, unless: &str) {
    match end.status {
        Status::Success => line.push_str(unless),
        Status::Timeout => line.push_str("\tStatus: timeout"),
        Status::Error | Status::Failure => {
            line.push_str("\tStatus: error\tError Type: ");
            line.push_str(end.error_type.unwrap_or_default());
        }
    }
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Duration: {} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB",
            Ms(self.duration),
            self.billed_ms,
            self.memory_mb,
            self.peak_mb,
        )?;
        match self.init {
            Some(init) => write!(f, "\tInit Duration: {} ms", Ms(init)),
            None => Ok(()),
        }
    }
}

/// Milliseconds with two decimals.
struct Ms(Duration);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = (self.0.as_nanos() + 5_000) / 10_000;
        write!(f, "{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

#[cfg(test)]
mod tests {
    use bootlace_types::{FunctionArn, RequestId, Scope};

    use super::*;
    use crate::failure::Failure;
    use crate::platform_event::{InitMetrics, InitializationType};

    const ID: &str = "5bbe1ae4-8b45-4ba7-b58e-9a6d6e4c3a11";

    fn id() -> RequestId {
        ID.parse().expect("an id")
    }

    fn report(end: End<'_>, init: Option<u64>, memory_mb: u32, peak_bytes: u64) -> String {
        let duration = Duration::from_micros(1_233_960);
        let init = init.map(Duration::from_micros);
        let event = PlatformEvent::Report {
            request_id: id(),
            end,
            metrics: Metrics::new(duration, init, memory_mb, peak_bytes),
            spans: Vec::new(),
            tracing: None,
        };
        event.text().expect("a line")
    }

    #[test]
    fn an_invocation_has_a_beginning_and_an_end() {
        let start = PlatformEvent::Start {
            request_id: id(),
            function_arn: &FunctionArn::new(&Scope::default(), "f", None),
            version: "$LATEST",
            tracing: None,
            tenant_id: None,
        };
        let want = format!("START RequestId: {ID} Version: $LATEST\n");
        assert_eq!(start.text().as_deref(), Some(&*want));
        let end = PlatformEvent::End { request_id: id() };
        assert_eq!(end.text(), Some(format!("END RequestId: {ID}\n")));
    }

    #[test]
    fn billed_is_duration_and_init_rounded_up() {
        assert_eq!(
            report(End::SUCCESS, Some(463_512), 128, 40 << 20),
            "REPORT RequestId: 5bbe1ae4-8b45-4ba7-b58e-9a6d6e4c3a11\tDuration: 1233.96 ms\t\
             Billed Duration: 1698 ms\tMemory Size: 128 MB\tMax Memory Used: 40 MB\t\
             Init Duration: 463.51 ms\t\n"
        );
        assert_eq!(
            report(End::SUCCESS, None, 512, (40 << 20) + 1),
            "REPORT RequestId: 5bbe1ae4-8b45-4ba7-b58e-9a6d6e4c3a11\tDuration: 1233.96 ms\t\
             Billed Duration: 1234 ms\tMemory Size: 512 MB\tMax Memory Used: 41 MB\t\n"
        );
        let answered = End::of_answer(Some("Runtime.Unknown"));
        assert!(report(answered, None, 128, 0).ends_with(" Used: 0 MB\t\n"));
    }

    #[test]
    fn failures_say_their_status() {
        let out_of_memory = Failure::OutOfMemory;
        let line = report(End::of(Some(&out_of_memory)), None, 128, 0);
        assert!(line.ends_with(
            "\tMax Memory Used: 0 MB\tStatus: error\tError Type: Runtime.OutOfMemory\n"
        ));
        let limit = Duration::from_secs(3);
        let timeout = Failure::TimedOut { limit };
        let line = report(End::of(Some(&timeout)), None, 128, 0);
        assert!(line.ends_with(" MB\tStatus: timeout\n"), "{line}");
        let init = |failure: Option<&Failure>| {
            let event = PlatformEvent::InitReport {
                initialization_type: InitializationType::OnDemand,
                phase: Phase::Init,
                end: End::of(failure),
                metrics: InitMetrics {
                    duration: Duration::from_micros(9_999_790),
                },
            };
            event.text()
        };
        assert_eq!(
            init(Some(&timeout)).as_deref(),
            Some("INIT_REPORT Init Duration: 9999.79 ms\tPhase: init\tStatus: timeout\n")
        );
        assert_eq!(init(None), None);
    }

    #[test]
    fn extensions_have_lines_of_their_own() {
        let event = PlatformEvent::Extension {
            name: "watcher",
            state: "Ready",
            events: vec!["INVOKE", "SHUTDOWN"],
            error_type: None,
        };
        assert_eq!(
            event.text().as_deref(),
            Some("EXTENSION\tName: watcher\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n")
        );
        let event = PlatformEvent::Subscription {
            name: "watcher",
            state: "Subscribed",
            types: vec!["platform", "function"],
            of_logs_api: false,
        };
        assert_eq!(
            event.text().as_deref(),
            Some("TELEMETRY\tName: watcher\tState: Subscribed\tTypes: [Platform, Function]\n")
        );
    }
}

//! The platform's own lines in a function's log, in AWS's text format.

use std::fmt::{self, Write};
use std::time::Duration;

use bootlace_types::RequestId;

use crate::failure::Failure;
use crate::lifecycle::{Phase, Report};

pub(crate) fn start_line(request_id: RequestId, version: &str) -> String {
    format!("START RequestId: {request_id} Version: {version}\n")
}

pub(crate) fn end_line(request_id: RequestId) -> String {
    format!("END RequestId: {request_id}\n")
}

/// `INIT_REPORT`, which on demand appears only when initialization failed.
pub(crate) fn init_report_line(phase: Phase, duration: Duration, failure: &Failure) -> String {
    let phase = match phase {
        Phase::Init => "init",
        Phase::Invoke => "invoke",
    };
    let mut line = format!(
        "INIT_REPORT Init Duration: {} ms\tPhase: {phase}",
        Ms(duration)
    );
    push_status(&mut line, failure);
    line.push('\n');
    line
}

/// `REPORT`. What is billed is the duration and the initialization, rounded up together.
pub(crate) fn report_line(report: &Report, memory_mb: u32, peak_bytes: u64) -> String {
    let billed = report.duration + report.init.unwrap_or_default();
    let billed_ms = billed.as_nanos().div_ceil(1_000_000);
    let peak_mb = peak_bytes.div_ceil(1 << 20);
    let mut line = String::with_capacity(240);
    // Writing to a string cannot fail.
    let _ = write!(
        line,
        "REPORT RequestId: {}\tDuration: {} ms\tBilled Duration: {billed_ms} ms\t\
         Memory Size: {memory_mb} MB\tMax Memory Used: {peak_mb} MB\t",
        report.request_id,
        Ms(report.duration),
    );
    if let Some(init) = report.init {
        let _ = write!(line, "Init Duration: {} ms\t", Ms(init));
    }
    if let Some(failure) = &report.failure {
        line.pop();
        push_status(&mut line, failure);
    }
    line.push('\n');
    line
}

fn push_status(line: &mut String, failure: &Failure) {
    if matches!(failure, Failure::TimedOut { .. }) {
        line.push_str("\tStatus: timeout");
    } else {
        line.push_str("\tStatus: error\tError Type: ");
        line.push_str(failure.report_type());
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
    use super::*;

    fn report(failure: Option<Failure>, init: Option<u64>) -> Report {
        Report {
            request_id: "5bbe1ae4-8b45-4ba7-b58e-9a6d6e4c3a11"
                .parse()
                .expect("an id"),
            duration: Duration::from_micros(1_233_960),
            init: init.map(Duration::from_micros),
            produced: None,
            extension_overhead: None,
            failure,
        }
    }

    #[test]
    fn billed_is_duration_and_init_rounded_up() {
        assert_eq!(
            report_line(&report(None, Some(463_512)), 128, 40 << 20),
            "REPORT RequestId: 5bbe1ae4-8b45-4ba7-b58e-9a6d6e4c3a11\tDuration: 1233.96 ms\t\
             Billed Duration: 1698 ms\tMemory Size: 128 MB\tMax Memory Used: 40 MB\t\
             Init Duration: 463.51 ms\t\n"
        );
        assert_eq!(
            report_line(&report(None, None), 512, (40 << 20) + 1),
            "REPORT RequestId: 5bbe1ae4-8b45-4ba7-b58e-9a6d6e4c3a11\tDuration: 1233.96 ms\t\
             Billed Duration: 1234 ms\tMemory Size: 512 MB\tMax Memory Used: 41 MB\t\n"
        );
    }

    #[test]
    fn failures_say_their_status() {
        let line = report_line(&report(Some(Failure::OutOfMemory), None), 128, 0);
        assert!(line.ends_with(
            "\tMax Memory Used: 0 MB\tStatus: error\tError Type: Runtime.OutOfMemory\n"
        ));
        let limit = Duration::from_secs(3);
        let line = report_line(&report(Some(Failure::TimedOut { limit }), None), 128, 0);
        assert!(line.ends_with(" MB\tStatus: timeout\n"), "{line}");
        assert_eq!(
            init_report_line(
                Phase::Init,
                Duration::from_micros(9_999_790),
                &Failure::TimedOut { limit }
            ),
            "INIT_REPORT Init Duration: 9999.79 ms\tPhase: init\tStatus: timeout\n"
        );
    }
}

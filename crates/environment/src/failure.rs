//! Why a runtime could not answer, and the documents AWS gives the caller for each reason.

use std::fmt;
use std::time::Duration;

use bootlace_sandbox::{End, ExitStatus};
use bootlace_types::RequestId;
use bytes::Bytes;
use serde::Serialize;

/// The code of an error that the runtime reported itself.
pub(crate) const UNHANDLED: &str = "Unhandled";

/// What ended an environment that should have answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The runtime reported that it cannot initialize; the caller gets its own document.
    InitError { error_type: Box<str>, body: Bytes },
    /// The function, or its initialization, ran longer than it may.
    TimedOut { limit: Duration },
    /// The runtime process ended.
    Exited(End),
    /// It used more memory than it was given.
    OutOfMemory,
    /// Neither the code nor a layer brings a `bootstrap`.
    NoBootstrap,
    /// A streamed answer could not be passed on to its end.
    BrokenStream(AnswerFault),
    /// An extension ended, could not start, or said that it cannot go on.
    Extension {
        fault: ExtensionFault,
        text: Box<str>,
    },
    /// The kernel refused to run the bootstrap.
    Exec { program: String, errno: i32 },
    /// The platform failed, not the function; the text is for operators.
    Platform { context: String },
}

/// What is wrong with an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtensionFault {
    /// Its process ended.
    Crash,
    /// It reported an error before its first `event/next`.
    Init,
    /// It reported an error.
    Exit,
    /// Its process could not start.
    Launch,
}

impl Failure {
    /// The runtime's process ended.
    pub(crate) fn of_exit(status: ExitStatus) -> Self {
        if status.out_of_memory {
            Self::OutOfMemory
        } else {
            Self::Exited(status.end)
        }
    }

    /// An extension's process ended.
    pub(crate) fn of_extension_exit(status: ExitStatus) -> Self {
        let text = match status.end {
            _ if status.out_of_memory => return Self::OutOfMemory,
            End::Lost => return Self::Exited(End::Lost),
            End::Exited(0) => "exit code 0".to_owned(),
            End::Exited(code) => format!("exit status {code}"),
            End::Signaled(signal) => format!("signal: {}", SignalName(signal)),
        };
        Self::extension(ExtensionFault::Crash, text)
    }

    pub(crate) fn extension(fault: ExtensionFault, text: impl Into<Box<str>>) -> Self {
        let text = text.into();
        Self::Extension { fault, text }
    }

    /// What the kernel said to a program that it did not run.
    pub(crate) fn exec_text(program: &str, errno: i32) -> String {
        format!("fork/exec {program}: {}", ErrnoText(errno))
    }

    /// The same failure when an extension had reported a fault before: the first one counts, and
    /// what followed is its text.
    pub(crate) fn because_of(self, fault: ExtensionFault) -> Self {
        match self {
            Self::Exited(_) | Self::Extension { .. } => Self::extension(fault, self.to_string()),
            other => other,
        }
    }

    /// Whether the sandbox itself is of no use any more.
    pub(crate) fn breaks_sandbox(&self) -> bool {
        matches!(self, Self::Exited(End::Lost) | Self::Platform { .. })
    }

    /// The error type in the log's REPORT line.
    #[must_use]
    pub fn report_type(&self) -> &str {
        match self {
            Self::InitError { error_type, .. } => error_type,
            Self::OutOfMemory => "Runtime.OutOfMemory",
            other => other.code(),
        }
    }

    /// The error type as the caller sees it. The type of an error that the runtime reported is in
    /// its own document.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::InitError { .. } => UNHANDLED,
            Self::TimedOut { .. } => "Sandbox.Timedout",
            Self::Exited(End::Lost) | Self::Platform { .. } => "Sandbox.Failure",
            // A runtime killed for its memory looks to the caller like any other killed one.
            Self::Exited(_) | Self::OutOfMemory => "Runtime.ExitError",
            Self::NoBootstrap | Self::Exec { .. } => "Runtime.InvalidEntrypoint",
            Self::BrokenStream(fault) => fault.error_type(),
            Self::Extension { fault, .. } => match fault {
                ExtensionFault::Crash => "Extension.Crash",
                ExtensionFault::Init => "Extension.InitError",
                ExtensionFault::Exit => "Extension.ExitError",
                ExtensionFault::Launch => "Extension.LaunchError",
            },
        }
    }

    /// The body of the answer to the caller of this request.
    #[must_use]
    pub fn document(&self, request_id: RequestId) -> Bytes {
        match self {
            Self::InitError { body, .. } => body.clone(),
            Self::BrokenStream(fault) => fault.document(request_id),
            other => document(
                other.code(),
                &format!("RequestId: {request_id} Error: {other}"),
            ),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InitError { error_type, .. } => write!(f, "{error_type}"),
            Self::TimedOut { limit } => {
                write!(f, "Task timed out after {:.2} seconds", limit.as_secs_f64())
            }
            Self::Exited(End::Exited(0)) => {
                f.write_str("Runtime exited without providing a reason")
            }
            Self::Exited(End::Exited(code)) => {
                write!(f, "Runtime exited with error: exit status {code}")
            }
            Self::Exited(End::Signaled(signal)) => {
                write!(
                    f,
                    "Runtime exited with error: signal: {}",
                    SignalName(*signal)
                )
            }
            Self::Exited(End::Lost) => f.write_str("the sandbox was lost"),
            Self::OutOfMemory => f.write_str("Runtime exited with error: signal: killed"),
            Self::NoBootstrap => f.write_str(
                "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
            ),
            Self::Exec { program, errno } => f.write_str(&Self::exec_text(program, *errno)),
            Self::Extension { text, .. } => f.write_str(text),
            Self::Platform { .. } => f.write_str("the environment could not be used"),
            Self::BrokenStream(fault) => f.write_str(fault.error_type()),
        }
    }
}

/// What is wrong with an answer that a runtime posted for its current request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerFault {
    TooLarge,
    /// A streamed answer grew longer than it may, bytes.
    StreamTooLarge {
        limit: u64,
    },
    /// The response mode header has a value that nobody defined.
    Mode,
    /// The body ended before its announced end.
    Truncated,
}

impl AnswerFault {
    pub(crate) fn error_type(self) -> &'static str {
        match self {
            Self::TooLarge | Self::StreamTooLarge { .. } => "Function.ResponseSizeTooLarge",
            Self::Mode => "Runtime.InvalidResponseModeHeader",
            Self::Truncated => "Runtime.TruncatedResponse",
        }
    }

    pub(crate) fn document(self, request_id: RequestId) -> Bytes {
        let too_large = |limit: u64| {
            format!("Response payload size exceeded maximum allowed payload size ({limit} bytes).")
        };
        let message = match self {
            Self::TooLarge => too_large(bootlace_types::limits::RESPONSE_BYTES as u64),
            Self::StreamTooLarge { limit } => too_large(limit),
            Self::Mode => format!("RequestId: {request_id} Error: Invalid function response mode"),
            Self::Truncated => {
                format!("RequestId: {request_id} Error: HTTP request detected as truncated")
            }
        };
        document(self.error_type(), &message)
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "errorType")]
    error_type: &'a str,
    #[serde(rename = "errorMessage")]
    error_message: &'a str,
}

pub(crate) fn document(error_type: &str, error_message: &str) -> Bytes {
    let document = Document {
        error_type,
        error_message,
    };
    // Two strings always serialize; an empty body is the honest rest.
    serde_json::to_vec(&document).map_or_else(|_| Bytes::new(), Bytes::from)
}

/// Signals as Go names them, because AWS's platform is written in it.
struct SignalName(i32);

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            1 => "hangup",
            2 => "interrupt",
            3 => "quit",
            4 => "illegal instruction",
            5 => "trace/breakpoint trap",
            6 => "aborted",
            7 => "bus error",
            8 => "floating point exception",
            9 => "killed",
            10 => "user defined signal 1",
            11 => "segmentation fault",
            12 => "user defined signal 2",
            13 => "broken pipe",
            14 => "alarm clock",
            15 => "terminated",
            other => return write!(f, "signal {other}"),
        })
    }
}

/// Errors of `execve` in the same language.
struct ErrnoText(i32);

impl fmt::Display for ErrnoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            1 => "operation not permitted",
            2 => "no such file or directory",
            7 => "argument list too long",
            8 => "exec format error",
            12 => "cannot allocate memory",
            13 => "permission denied",
            20 => "not a directory",
            26 => "text file busy",
            40 => "too many levels of symbolic links",
            other => return write!(f, "errno {other}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(failure: &Failure, error_type: &str, message: &str) {
        let id = RequestId::random();
        let document: serde_json::Value =
            serde_json::from_slice(&failure.document(id)).expect("JSON");
        assert_eq!(document["errorType"], error_type);
        assert_eq!(
            document["errorMessage"],
            format!("RequestId: {id} Error: {message}")
        );
    }

    #[test]
    fn callers_get_aws_documents() {
        let exited = |end| {
            Failure::of_exit(ExitStatus {
                end,
                out_of_memory: false,
            })
        };
        check(
            &Failure::TimedOut {
                limit: Duration::from_secs(3),
            },
            "Sandbox.Timedout",
            "Task timed out after 3.00 seconds",
        );
        check(
            &exited(End::Exited(0)),
            "Runtime.ExitError",
            "Runtime exited without providing a reason",
        );
        check(
            &exited(End::Exited(7)),
            "Runtime.ExitError",
            "Runtime exited with error: exit status 7",
        );
        check(
            &exited(End::Signaled(9)),
            "Runtime.ExitError",
            "Runtime exited with error: signal: killed",
        );
        check(
            &exited(End::Signaled(11)),
            "Runtime.ExitError",
            "Runtime exited with error: signal: segmentation fault",
        );
        check(
            &Failure::OutOfMemory,
            "Runtime.ExitError",
            "Runtime exited with error: signal: killed",
        );
        check(
            &Failure::NoBootstrap,
            "Runtime.InvalidEntrypoint",
            "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
        );
        let exec = |errno| Failure::Exec {
            program: "/var/task/bootstrap".into(),
            errno,
        };
        check(
            &exec(13),
            "Runtime.InvalidEntrypoint",
            "fork/exec /var/task/bootstrap: permission denied",
        );
        check(
            &exec(8),
            "Runtime.InvalidEntrypoint",
            "fork/exec /var/task/bootstrap: exec format error",
        );
        assert_eq!(Failure::OutOfMemory.report_type(), "Runtime.OutOfMemory");
    }

    #[test]
    fn an_extensions_end_is_told_in_other_words_than_a_runtimes() {
        let ended = |end| {
            Failure::of_extension_exit(ExitStatus {
                end,
                out_of_memory: false,
            })
        };
        check(&ended(End::Exited(0)), "Extension.Crash", "exit code 0");
        check(&ended(End::Exited(2)), "Extension.Crash", "exit status 2");
        check(
            &ended(End::Signaled(9)),
            "Extension.Crash",
            "signal: killed",
        );
        check(
            &ended(End::Exited(2)).because_of(ExtensionFault::Init),
            "Extension.InitError",
            "exit status 2",
        );
        let runtime = Failure::of_exit(ExitStatus::exited(1));
        check(
            &runtime.because_of(ExtensionFault::Exit),
            "Extension.ExitError",
            "Runtime exited with error: exit status 1",
        );
        let text = Failure::exec_text("/opt/extensions/x", 8);
        check(
            &Failure::extension(ExtensionFault::Launch, text),
            "Extension.LaunchError",
            "fork/exec /opt/extensions/x: exec format error",
        );
        let memory = ExitStatus {
            end: End::Signaled(9),
            out_of_memory: true,
        };
        assert_eq!(Failure::of_extension_exit(memory), Failure::OutOfMemory);
        assert!(ended(End::Lost).breaks_sandbox());
    }
}

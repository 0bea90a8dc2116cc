//! How the program ends: the exit codes, in one place. Scripts depend on them.

use std::process::ExitCode;

/// What a verb that did its work found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// 0: it is done.
    Well,
    /// 1: the function failed, or this host lacks something; the answer itself is complete.
    Badly,
}

/// Why a verb could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// 2: the command line or the configuration is wrong (clap ends with 2, too).
    #[error("{0}")]
    Usage(String),
    /// 3: no server answers there.
    #[error("{0}")]
    Unreachable(String),
    /// 4: the server answered with an error.
    #[error("{kind}: {message}")]
    Refused { kind: String, message: String },
    /// 5: anything else; the chain of causes is printed.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
    /// 130: interrupted by a signal before the end.
    #[error("interrupted")]
    Interrupted,
}

/// The table that `bootlace --help` ends with.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done
  1    the invoked function failed; for doctor: this host lacks something required
  2    the command line or the configuration is wrong
  3    no server answers at the endpoint
  4    the server answered with an error, printed as `ErrorType: message`
  5    anything else (a file, the data directory, the sandbox)
  130  interrupted";

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Refused { .. } => 4,
            Self::Other(_) => 5,
            Self::Interrupted => 130,
        }
    }
}

/// Says on stderr what went wrong and gives the code.
pub(crate) fn code(result: Result<Done, Failure>) -> ExitCode {
    match result {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::Badly) => ExitCode::from(1),
        Err(failure) => {
            crate::output::note(format_args!("bootlace: {failure}"));
            ExitCode::from(failure.code())
        }
    }
}

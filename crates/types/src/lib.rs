//! The vocabulary of Bootlace: ids, names, the ARN grammar, runtimes, limits and the one clock.
//!
//! Nothing here does I/O or knows about HTTP, stores or processes. Read [`FunctionRef`] first: it is
//! how a caller names what to act upon; [`FunctionArn`] is how we answer.

pub mod clock;
pub mod limits;

mod account;
mod arn;
mod digest;
mod function_ref;
mod id;
mod runtime;
mod trace;

pub use account::{AccountId, Region, Scope};
pub use arn::{FunctionArn, LayerArn, LayerVersionArn};
pub use digest::Digest;
pub use function_ref::{FunctionRef, Qualifier};
pub use id::{RequestId, RevisionId};
pub use runtime::{Architecture, Runtime};
pub use trace::{SpanId, TraceHeader, TraceId};

/// A string that does not follow the grammar of the noun it should become.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a valid {noun}")]
pub struct GrammarError {
    /// The noun that was expected, as AWS spells it.
    pub noun: &'static str,
    /// What was given instead.
    pub value: String,
}

impl GrammarError {
    pub(crate) fn new(noun: &'static str, value: &str) -> Self {
        Self {
            noun,
            value: value.chars().take(256).collect(),
        }
    }
}

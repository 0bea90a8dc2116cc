//! The operations on functions.

mod change;
mod create;
mod layers;
mod list;
mod read;
mod settings;
mod settle;

use std::collections::BTreeMap;

use bootlace_store::record::{FunctionConfig, FunctionRecord};
use bootlace_types::{FunctionArn, Qualifier, Scope};

pub use read::{InvokeQuery, check_invoke, check_invoke_with_response_stream};
pub(crate) use settle::{settle_all, to_the_end};

/// A version of a function as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionView {
    /// With the qualifier by which it was asked for.
    pub arn: FunctionArn,
    /// `$LATEST` or a number.
    pub version: String,
    pub config: FunctionConfig,
}

impl FunctionView {
    fn latest(
        scope: &Scope,
        name: &str,
        qualifier: Option<Qualifier>,
        config: FunctionConfig,
    ) -> Self {
        let arn = FunctionArn::new(scope, name, qualifier);
        Self {
            arn,
            version: "$LATEST".into(),
            config,
        }
    }
}

/// GetFunction: the configuration and what belongs to the whole function.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionDetails {
    pub function: FunctionView,
    pub tags: BTreeMap<String, String>,
    pub reserved_concurrency: Option<u32>,
}

impl FunctionDetails {
    fn new(function: FunctionView, record: FunctionRecord) -> Self {
        let FunctionRecord {
            tags,
            reserved_concurrency,
            ..
        } = record;
        Self {
            function,
            tags,
            reserved_concurrency,
        }
    }
}

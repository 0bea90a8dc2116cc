//! The control plane's use cases, named as AWS names its operations: functions, layers, account
//! settings.
//!
//! It takes plain command structs and gives plain values; it knows no HTTP and no client's JSON, and
//! nothing of how a function is run. Read [`ControlPlane`] first. What AWS refuses before it looks
//! at anything stored is in `validation`, which is synchronous and pure; the rest of each operation
//! is a compare-and-swap on one document.

mod account;
mod code;
mod command;
mod error;
mod function;
mod layer;
mod marker;
mod names;
mod plane;
mod s3;
mod usage;
mod validation;

pub use account::AccountSettings;
pub use bootlace_store::Rev;
pub use bootlace_store::record::{
    CodeRef, FunctionConfig, LastUpdate, LayerUse, LayerVersionRecord, Logging, PackageType, State,
    Vpc,
};
pub use command::{
    CodeSource, CreateFunction, EnvironmentSettings, FunctionQuery, LayerQuery, ListFunctions,
    LoggingSettings, PublishLayerVersion, S3Object, Settings, UpdateFunctionCode,
    UpdateFunctionConfiguration, VpcSettings,
};
pub use error::ControlError;
pub use function::{
    FunctionDetails, FunctionView, InvokeQuery, check_invoke, check_invoke_with_response_stream,
};
pub use layer::LayerVersionView;
pub use plane::{BlobStream, Committed, ControlOptions, ControlPlane, Listing};
pub use s3::S3Endpoint;
pub use validation::Violations;

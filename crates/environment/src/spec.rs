//! What an environment is made from, what it is asked, what it answers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bootlace_types::{FunctionArn, RequestId, limits};
use bytes::Bytes;

use crate::log_format::LogFormat;
use crate::stream::StreamLimits;

/// All that every environment of one function version has in common.
#[derive(Debug, Clone)]
pub struct EnvironmentSpec {
    /// Unqualified.
    pub function: FunctionArn,
    /// `$LATEST` or a number.
    pub version: Arc<str>,
    pub handler: String,
    pub memory_mb: u32,
    pub tmp_mb: u32,
    pub timeout: Duration,
    /// The user's variables.
    pub variables: BTreeMap<String, String>,
    pub log_group: String,
    pub log_format: LogFormat,
}

/// What the server decides for all its environments.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Initialization may take so long before it is tried again under an invocation.
    pub init_limit: Duration,
    /// An environment that has been idle for so long is frozen; `None` freezes none.
    pub freeze_grace: Option<Duration>,
    pub stream_limits: StreamLimits,
    /// Functions get their share of the processor by their memory size.
    pub cpu_share: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            init_limit: limits::INIT,
            freeze_grace: Some(limits::FREEZE_GRACE),
            stream_limits: StreamLimits::default(),
            cpu_share: false,
        }
    }
}

/// Host directories of the code and the layers, extracted and read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trees {
    pub code: PathBuf,
    /// Lowest first, as the function lists them.
    pub layers: Vec<PathBuf>,
}

/// One event for the function.
pub struct Invocation {
    pub request_id: RequestId,
    pub payload: Bytes,
    /// The ARN as the caller named it.
    pub invoked_arn: Bytes,
    pub trace_id: Option<String>,
    /// JSON text.
    pub client_context: Option<String>,
    /// JSON text.
    pub cognito_identity: Option<String>,
    pub tenant_id: Option<String>,
    /// The answer waits for the REPORT line and carries the log's tail.
    pub log_tail: bool,
    pub mode: ResponseMode,
}

/// How the caller wants the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResponseMode {
    /// In one piece, even if the runtime streams it.
    #[default]
    Buffered,
    /// Piece by piece, if the runtime streams it.
    Streaming,
}

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("request_id", &self.request_id)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// What the caller gets: the function's answer or AWS's error document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub payload: Bytes,
    /// The error's code, if the function failed: `Unhandled` for what the runtime reported
    /// itself, else the error's type.
    pub error: Option<Cow<'static, str>>,
    /// Raw; only when it was asked for.
    pub log_tail: Option<Bytes>,
}

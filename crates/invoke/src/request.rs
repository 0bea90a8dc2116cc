//! What a caller asks of the dispatcher and what it gets.

use std::fmt;
use std::sync::Arc;

use bootlace_types::{Architecture, FunctionArn, Qualifier, RequestId, Runtime, Scope};
use bytes::Bytes;

/// One synchronous invocation.
#[derive(Clone)]
pub struct InvokeRequest {
    pub request_id: RequestId,
    pub scope: Scope,
    pub name: Box<str>,
    pub qualifier: Option<Qualifier>,
    /// The event, handed to the runtime as it is.
    pub payload: Bytes,
    /// JSON text, already decoded from the caller's base64.
    pub client_context: Option<String>,
    /// JSON text about the caller's Cognito identity.
    pub cognito_identity: Option<String>,
    /// The tenant, of functions whose tenants are kept apart.
    pub tenant_id: Option<String>,
    /// `X-Amzn-Trace-Id` as it came; one is made when it is absent.
    pub trace_id: Option<String>,
    /// Whether the answer waits for the log's REPORT line and carries its tail.
    pub log_tail: bool,
}

impl fmt::Debug for InvokeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvokeRequest")
            .field("request_id", &self.request_id)
            .field("name", &self.name)
            .field("qualifier", &self.qualifier)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// What the function answered. A function that failed is an answer too.
#[derive(Debug, Clone)]
pub struct InvokeResponse {
    pub executed_version: Arc<str>,
    /// The function's bytes, or AWS's error document.
    pub payload: Bytes,
    /// `X-Amz-Function-Error`.
    pub function_error: Option<&'static str>,
    /// The last bytes of this invocation's log, raw, when they were asked for.
    pub log_tail: Option<Bytes>,
}

/// Why the platform could not run the function.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvokeError {
    #[error("function not found: {arn}")]
    NotFound { arn: FunctionArn },
    /// The function's state allows no invocation; AWS names the state in a 409.
    #[error("the function is in the state {state}")]
    NotReady { state: &'static str },
    /// AWS's 429; the reason is the text of its `Reason` member.
    #[error("throttled: {reason}")]
    Throttled { reason: &'static str },
    #[error("the runtime {runtime} is not installed")]
    RuntimeNotInstalled { runtime: Runtime },
    #[error("the function is built for {architecture}, which this machine cannot run")]
    WrongArchitecture { architecture: Architecture },
    #[error("{what} is not supported")]
    Unsupported { what: &'static str },
    #[error("the server is shutting down")]
    ShuttingDown,
    /// Our own failure, not the function's; logged where it happened.
    #[error("{context}")]
    Platform { context: String },
}

/// `Throttled` reasons, as AWS spells them.
pub mod throttle {
    /// The account's (or this server's) limit is reached.
    pub const ACCOUNT: &str = "ConcurrentInvocationLimitExceeded";
    /// The function's reserved concurrency is reached, or is zero.
    pub const RESERVED: &str = "ReservedFunctionConcurrentInvocationLimitExceeded";
}

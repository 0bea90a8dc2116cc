//! Refusals in the words and the shape of CloudWatch Logs.

use bootlace_invoke::logs::LogError;
use hyper::StatusCode;

use crate::body::BodyError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogsError {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl LogsError {
    fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind,
            message: message.into(),
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", message)
    }

    pub(super) fn no_group() -> Self {
        let message = "The specified log group does not exist.";
        Self::new("ResourceNotFoundException", message)
    }

    pub(super) fn limit(message: impl Into<String>) -> Self {
        Self::new("LimitExceededException", message)
    }

    pub(super) fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", message)
    }

    /// Part of an operation that is not there yet; `what` names it.
    pub(super) fn not_built(what: &str) -> Self {
        Self {
            status: StatusCode::NOT_IMPLEMENTED,
            kind: "NotImplementedException",
            message: format!("{what} is not built yet in Bootlace"),
        }
    }

    /// The region of the credential scope cannot be.
    pub(super) fn refused(message: &str) -> Self {
        Self::new("UnrecognizedClientException", message)
    }

    pub(super) fn of_body(error: &BodyError, limit: usize) -> Self {
        match error {
            BodyError::TooLarge(_) => Self {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                kind: "RequestEntityTooLargeException",
                message: format!("Request must be smaller than {limit} bytes"),
            },
            BodyError::Silent => Self {
                status: StatusCode::REQUEST_TIMEOUT,
                kind: "RequestTimeoutException",
                message: "The request's body did not arrive in time.".to_owned(),
            },
            BodyError::Broken => Self::serialization("The request's body ended early."),
        }
    }

    fn unavailable() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            kind: "ServiceUnavailableException",
            message: "The service cannot complete the request.".to_owned(),
        }
    }
}

impl From<LogError> for LogsError {
    fn from(error: LogError) -> Self {
        let exists = "ResourceAlreadyExistsException";
        match error {
            LogError::NoGroup => Self::no_group(),
            LogError::NoStream => {
                let message = "The specified log stream does not exist.";
                Self::new("ResourceNotFoundException", message)
            }
            LogError::GroupExists => Self::new(exists, "The specified log group already exists"),
            LogError::StreamExists => Self::new(exists, "The specified log stream already exists"),
            LogError::TooMany(_) => Self::limit("Resource limit exceeded."),
            LogError::Busy => Self::unavailable(),
            LogError::Failed(reason) => {
                tracing::error!(%reason, "a request for logs failed");
                Self::unavailable()
            }
        }
    }
}

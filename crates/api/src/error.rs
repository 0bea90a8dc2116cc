use bootlace_control::ControlError;
use hyper::StatusCode;
use serde::Serialize;

/// A refusal in AWS's words and shape.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    /// The exception's name, as in the service model.
    kind: &'static str,
    shape: Shape,
    message: String,
    /// Of a throttled request.
    reason: Option<&'static str>,
}

/// Which members the document has; exceptions differ.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// `Type` and `message`
    Typed,
    /// `Type` and `Message`
    TypedCapital,
    /// `message`
    Bare,
    /// `Message`
    BareCapital,
}

/// The document; its members are in AWS's order.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "Type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(rename = "Message", skip_serializing_if = "Option::is_none")]
    capital: Option<&'a str>,
    #[serde(rename = "message", skip_serializing_if = "Option::is_none")]
    plain: Option<&'a str>,
    #[serde(rename = "Reason", skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// A throttled caller may try again after this.
const RETRY_AFTER_S: u32 = 1;

impl ApiError {
    fn new(
        status: StatusCode,
        kind: &'static str,
        shape: Shape,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            kind,
            shape,
            message: message.into(),
            reason: None,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn retry_after_s(&self) -> Option<u32> {
        self.reason.map(|_| RETRY_AFTER_S)
    }

    pub(crate) fn document(&self) -> Vec<u8> {
        let by_us = self.status.is_server_error() && self.status != StatusCode::NOT_IMPLEMENTED;
        let kind = Some(if by_us { "Service" } else { "User" });
        let message = Some(self.message.as_str());
        let (kind, capital, plain) = match self.shape {
            Shape::Typed => (kind, None, message),
            Shape::TypedCapital => (kind, message, None),
            Shape::Bare => (None, None, message),
            Shape::BareCapital => (None, message, None),
        };
        let document = Document {
            kind,
            capital,
            plain,
            reason: self.reason,
        };
        serde_json::to_vec(&document).unwrap_or_default()
    }

    pub(crate) fn invalid_parameter(message: impl Into<String>) -> Self {
        let kind = "InvalidParameterValueException";
        Self::new(StatusCode::BAD_REQUEST, kind, Shape::Typed, message)
    }

    pub(crate) fn invalid_request_content(message: impl Into<String>) -> Self {
        let kind = "InvalidRequestContentException";
        Self::new(StatusCode::BAD_REQUEST, kind, Shape::Typed, message)
    }

    /// A body that is no JSON, or a member of another type.
    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        let kind = "SerializationException";
        Self::new(StatusCode::BAD_REQUEST, kind, Shape::BareCapital, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        let kind = "ResourceNotFoundException";
        Self::new(StatusCode::NOT_FOUND, kind, Shape::TypedCapital, message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "ResourceConflictException",
            Shape::Typed,
            message,
        )
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        let kind = "RequestEntityTooLargeException";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, kind, Shape::Bare, message)
    }

    pub(crate) fn access_denied(message: impl Into<String>) -> Self {
        let kind = "AccessDeniedException";
        Self::new(StatusCode::FORBIDDEN, kind, Shape::BareCapital, message)
    }

    pub(crate) fn no_such_region(region: &str) -> Self {
        let region: String = region.chars().take(64).collect();
        let message = format!("Credential should be scoped to a valid region, not '{region}'.");
        let kind = "InvalidSignatureException";
        Self::new(StatusCode::FORBIDDEN, kind, Shape::Bare, message)
    }

    pub(crate) fn unknown_operation(message: impl Into<String>) -> Self {
        let kind = "UnknownOperationException";
        Self::new(StatusCode::NOT_FOUND, kind, Shape::BareCapital, message)
    }

    pub(crate) fn timed_out() -> Self {
        let message = "The request's body did not arrive in time.";
        let kind = "RequestTimeoutException";
        Self::new(StatusCode::REQUEST_TIMEOUT, kind, Shape::Bare, message)
    }

    pub(crate) fn too_many_requests(message: &str, reason: &'static str) -> Self {
        let kind = "TooManyRequestsException";
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, kind, Shape::Typed, message);
        Self {
            reason: Some(reason),
            ..error
        }
    }

    /// Part of AWS's interface that is not there yet; `what` names it.
    pub(crate) fn not_built(what: &str) -> Self {
        let kind = "NotImplementedException";
        let message = format!("{what} is not built yet in Bootlace");
        Self::new(StatusCode::NOT_IMPLEMENTED, kind, Shape::Typed, message)
    }

    pub(crate) fn invalid_runtime(message: impl Into<String>) -> Self {
        let kind = "InvalidRuntimeException";
        Self::new(StatusCode::BAD_GATEWAY, kind, Shape::TypedCapital, message)
    }

    /// AWS knows no 503 for Invoke; clients try again after either.
    pub(crate) fn shutting_down() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let message = "The server is shutting down.";
        Self::new(status, "ServiceException", Shape::TypedCapital, message)
    }

    /// Our own failure: the log gets the reason, the caller does not.
    pub(crate) fn internal(reason: impl std::fmt::Display) -> Self {
        tracing::error!(%reason, "a request failed");
        let message = "An error occurred and the request cannot be processed.";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "ServiceException", Shape::TypedCapital, message)
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        let text = error.to_string();
        match error {
            ControlError::Validation(_) => Self::new(
                StatusCode::BAD_REQUEST,
                "ValidationException",
                Shape::Bare,
                text,
            ),
            ControlError::InvalidParameter(_) => Self::invalid_parameter(text),
            ControlError::NotFound(_) => Self::not_found(text),
            ControlError::Conflict(_) => Self::conflict(text),
            ControlError::StaleRevision => {
                let kind = "PreconditionFailedException";
                Self::new(StatusCode::PRECONDITION_FAILED, kind, Shape::Typed, text)
            }
            ControlError::AccessDenied(_) => Self::access_denied(text),
            ControlError::CodeSigningConfigNotFound(_) => {
                let kind = "CodeSigningConfigNotFoundException";
                Self::new(StatusCode::NOT_FOUND, kind, Shape::TypedCapital, text)
            }
            ControlError::CodeStorageExceeded => {
                let kind = "CodeStorageExceededException";
                Self::new(StatusCode::BAD_REQUEST, kind, Shape::Typed, text)
            }
            ControlError::TooLarge(_) => Self::too_large(text),
            ControlError::TooManyWriters => {
                Self::too_many_requests(&text, "CallerRateLimitExceeded")
            }
            ControlError::NotBuilt(what) => Self::not_built(what),
            ControlError::Store(source) => Self::internal(source),
            ControlError::Internal(reason) => Self::internal(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: &ApiError, expect: &str) {
        assert_eq!(String::from_utf8(error.document()).unwrap(), expect);
    }

    #[test]
    fn documents_have_the_members_that_aws_sends() {
        check(
            &ApiError::invalid_parameter("x"),
            r#"{"Type":"User","message":"x"}"#,
        );
        check(
            &ApiError::not_found("x"),
            r#"{"Type":"User","Message":"x"}"#,
        );
        check(&ApiError::too_large("x"), r#"{"message":"x"}"#);
        check(&ApiError::access_denied("x"), r#"{"Message":"x"}"#);
        check(
            &ApiError::too_many_requests("Rate Exceeded.", "CallerRateLimitExceeded"),
            r#"{"Type":"User","message":"Rate Exceeded.","Reason":"CallerRateLimitExceeded"}"#,
        );
        check(
            &ApiError::not_built("PublishVersion"),
            r#"{"Type":"User","message":"PublishVersion is not built yet in Bootlace"}"#,
        );
        check(
            &ApiError::internal("secret"),
            r#"{"Type":"Service","Message":"An error occurred and the request cannot be processed."}"#,
        );
    }
}

//! What Invoke and InvokeWithResponseStream have in common: how their requests are read, and how
//! the platform's refusals are told.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bootlace_control::InvokeQuery;
use bootlace_invoke::{InvokeError, InvokeRequest};
use bootlace_types::{Qualifier, RequestId, Scope, SpanId, clock, limits};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Body as HttpBody;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde::de::IgnoredAny;

use crate::answer::{self, REQUEST_ID};
use crate::body::BodyError;
use crate::call::Call;
use crate::error::ApiError;
use crate::routes::Answered;
use crate::service::Shared;

const INVOCATION_TYPE: HeaderName = HeaderName::from_static("x-amz-invocation-type");
const LOG_TYPE: HeaderName = HeaderName::from_static("x-amz-log-type");
const CLIENT_CONTEXT: HeaderName = HeaderName::from_static("x-amz-client-context");
const DURABLE_NAME: HeaderName = HeaderName::from_static("x-amz-durable-execution-name");
const TENANT_ID: HeaderName = HeaderName::from_static("x-amz-tenant-id");
const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
pub(crate) const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");
/// Length of a trace header that is passed on, bytes; AWS's are below 200.
const TRACE_BYTES: usize = 8192;

/// What the request says beside its body.
pub(crate) struct Asked<'a> {
    pub(crate) request_id: RequestId,
    pub(crate) scope: Scope,
    pub(crate) name: Cow<'a, str>,
    pub(crate) qualifier: Option<String>,
    pub(crate) headers: &'a HeaderMap,
}

impl<'a> Asked<'a> {
    /// Of a request that came by the router.
    pub(crate) fn of(call: &'a Call) -> Self {
        Self {
            request_id: call.request_id,
            scope: call.scope.clone(),
            name: call.param("FunctionName").into(),
            qualifier: call.query("Qualifier"),
            headers: &call.headers,
        }
    }

    pub(crate) fn invocation_type(&self) -> Option<&'a str> {
        self.header(&INVOCATION_TYPE)
    }

    pub(crate) fn query(&self) -> InvokeQuery<'_> {
        InvokeQuery {
            function_name: &self.name,
            qualifier: self.qualifier.as_deref(),
            invocation_type: self.invocation_type(),
            log_type: self.header(&LOG_TYPE),
        }
    }

    /// For the dispatcher; with the trace header that the answer carries.
    pub(crate) fn into_request(
        self,
        name: Box<str>,
        qualifier: Option<Qualifier>,
        payload: Bytes,
    ) -> Result<(InvokeRequest, Option<HeaderValue>), ApiError> {
        let trace_id = trace_id(self.headers, self.request_id);
        let trace_header = HeaderValue::from_str(&trace_id).ok();
        let request = InvokeRequest {
            request_id: self.request_id,
            client_context: client_context(self.headers)?,
            cognito_identity: None,
            tenant_id: None,
            log_tail: self.header(&LOG_TYPE) == Some("Tail"),
            scope: self.scope,
            name,
            qualifier,
            payload,
            trace_id: Some(trace_id),
        };
        Ok((request, trace_header))
    }

    fn header(&self, name: &HeaderName) -> Option<&'a str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap_or("?"))
    }
}

fn refuse_not_built(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers.contains_key(DURABLE_NAME) {
        return Err(ApiError::not_built(
            "X-Amz-Durable-Execution-Name (durable executions)",
        ));
    }
    if headers.contains_key(TENANT_ID) {
        return Err(ApiError::invalid_parameter(
            "X-Amz-Tenant-Id is for functions with tenant isolation, and this one has none.",
        ));
    }
    Ok(())
}

/// Reads the event and checks that it is JSON. No body is `{}`.
pub(crate) async fn read_event<B>(
    shared: &Shared,
    asked: &Asked<'_>,
    body: B,
) -> Result<Bytes, ApiError>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    refuse_not_built(asked.headers)?;
    let (kind, limit) = match asked.invocation_type() {
        Some("Event") => ("Event", limits::INVOKE_EVENT_PAYLOAD_BYTES),
        _ => ("RequestResponse", limits::INVOKE_PAYLOAD_BYTES),
    };
    let held = shared
        .events
        .read(asked.headers, body, limit)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge(length) => ApiError::too_large(format!(
                "{length} byte payload is too large for the {kind} invocation type (limit {limit} \
             bytes)"
            )),
            BodyError::Silent => ApiError::timed_out(),
            BodyError::Broken => {
                ApiError::invalid_request_content("The request's body ended early.")
            }
        })?;
    if held.bytes.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    check_json(&held.bytes)?;
    Ok(held.bytes)
}

fn check_json(payload: &[u8]) -> Result<(), ApiError> {
    let wrong = |reason: &dyn std::fmt::Display| {
        ApiError::invalid_request_content(format!(
            "Could not parse request body into json: Could not parse payload into json: {reason}"
        ))
    };
    let text = std::str::from_utf8(payload).map_err(|error| wrong(&error))?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| wrong(&error))?;
    Ok(())
}

/// Base64 of a JSON object, decoded.
fn client_context(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(CLIENT_CONTEXT) else {
        return Ok(None);
    };
    if value.len() > limits::CLIENT_CONTEXT_BYTES {
        return Err(ApiError::invalid_request_content(format!(
            "Client context must be at most {} bytes in base64.",
            limits::CLIENT_CONTEXT_BYTES
        )));
    }
    let decoded = STANDARD.decode(value.as_bytes()).ok();
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.filter(|text| text.trim_start().starts_with('{'));
    match text.filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok()) {
        Some(text) => Ok(Some(text)),
        None => Err(ApiError::invalid_request_content(
            "Client context must be a valid Base64-encoded JSON object.",
        )),
    }
}

/// The caller's trace header, or a new one that is not sampled. Its parent is the invocation, as
/// spans of it say that are exported.
fn trace_id(headers: &HeaderMap, request_id: RequestId) -> String {
    let given = headers.get(TRACE_ID).and_then(|value| value.to_str().ok());
    if let Some(text) = given.filter(|text| !text.is_empty() && text.len() <= TRACE_BYTES) {
        return text.to_owned();
    }
    let seconds = clock::epoch_ms(clock::wall()) / 1000;
    let random = RequestId::random().to_string();
    let mut id = String::with_capacity(80);
    let _ = write!(id, "Root=1-{seconds:08x}-");
    id.extend(random.chars().filter(|digit| *digit != '-').take(24));
    let _ = write!(id, ";Parent={};Sampled=0", SpanId::of(request_id));
    id
}

pub(crate) fn dry_run(
    shared: &Shared,
    asked: &Asked<'_>,
    name: &str,
    qualifier: Option<&Qualifier>,
) -> Answered {
    let checked = shared.dispatcher.check(&asked.scope, name, qualifier);
    checked.map_err(refusal)?;
    let mut response = answer::empty(StatusCode::NO_CONTENT);
    let trace_header = HeaderValue::from_str(&trace_id(asked.headers, asked.request_id)).ok();
    common_headers(response.headers_mut(), asked.request_id, trace_header);
    Ok(response)
}

pub(crate) fn common_headers(
    headers: &mut HeaderMap,
    request_id: RequestId,
    trace_id: Option<HeaderValue>,
) {
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
    if let Some(value) = trace_id {
        headers.insert(TRACE_ID, value);
    }
}

/// Why the platform did not run the function, in AWS's words.
pub(crate) fn refusal(error: InvokeError) -> ApiError {
    match error {
        InvokeError::NotFound { mut arn } => {
            arn.qualifier = arn.qualifier.or(Some(Qualifier::Latest));
            ApiError::not_found(format!("Function not found: {arn}"))
        }
        InvokeError::NotReady { state } => ApiError::conflict(format!(
            "The operation cannot be performed at this time. The function is currently in the \
             following state: {state}"
        )),
        InvokeError::Throttled { reason } => ApiError::too_many_requests("Rate Exceeded.", reason),
        InvokeError::RuntimeNotInstalled { runtime } => ApiError::invalid_runtime(format!(
            "The runtime {runtime} is not installed in Bootlace. Functions with the runtimes \
             provided, provided.al2 and provided.al2023 run without installing anything."
        )),
        InvokeError::WrongArchitecture { architecture } => ApiError::invalid_runtime(format!(
            "The function is built for {architecture}, and this machine cannot run that."
        )),
        InvokeError::Unsupported { what } => ApiError::not_built(what),
        InvokeError::ShuttingDown => ApiError::shutting_down(),
        InvokeError::Platform { context } => ApiError::internal(context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_json_of_any_depth() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        for good in ["null", "1", " {\"a\": [1, \"é\"]} ", deep.as_str()] {
            check_json(good.as_bytes()).unwrap();
        }
        for bad in ["", " ", "{", "{]", "'a'", "nul", "1 2", "\u{99}"] {
            let error = check_json(bad.as_bytes()).unwrap_err();
            let prefix = "Could not parse request body into json: Could not parse payload into \
                          json: ";
            assert!(error.message().starts_with(prefix), "{bad}");
        }
        assert!(check_json(b"\"\xff\"").is_err());
    }

    #[test]
    fn client_context_is_base64_of_an_object() {
        let with = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CLIENT_CONTEXT, HeaderValue::from_str(text).unwrap());
            client_context(&headers)
        };
        assert_eq!(with("eyJhIjoxfQ==").unwrap().as_deref(), Some("{\"a\":1}"));
        for bad in ["", "!", "bm90IGpzb24=", "MQ==", "eyJh"] {
            assert!(with(bad).is_err(), "{bad}");
        }
        let long = STANDARD.encode(format!("{{\"a\":\"{}\"}}", "x".repeat(3000)));
        assert!(with(&long).is_err());
    }

    #[test]
    fn a_trace_id_is_passed_on_or_made() {
        let mut headers = HeaderMap::new();
        let request_id = RequestId::random();
        let made = trace_id(&headers, request_id);
        let (root, rest) = made.split_once(';').unwrap();
        assert_eq!(
            (root.len(), root.starts_with("Root=1-")),
            (40, true),
            "{made}"
        );
        assert!(
            rest.starts_with("Parent=") && rest.ends_with(";Sampled=0"),
            "{made}"
        );
        headers.insert(TRACE_ID, HeaderValue::from_static("Root=1-a-b"));
        assert_eq!(trace_id(&headers, request_id), "Root=1-a-b");
    }
}

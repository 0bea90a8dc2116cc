//! An event on its way to a runtime.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bootlace_types::{RequestId, clock};
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Response, header};
use http_body_util::Full;

use crate::spec::{Invocation, ResponseMode};

const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
const DEADLINE_MS: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
pub(crate) const INVOCATION_ID: HeaderName =
    HeaderName::from_static("lambda-runtime-invocation-id");
const INVOKED_ARN: HeaderName = HeaderName::from_static("lambda-runtime-invoked-function-arn");
const TRACE_ID: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");
const CLIENT_CONTEXT: HeaderName = HeaderName::from_static("lambda-runtime-client-context");
const COGNITO_IDENTITY: HeaderName = HeaderName::from_static("lambda-runtime-cognito-identity");
const TENANT_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-tenant-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// One event as `next` renders it.
#[derive(Debug)]
pub(crate) struct RuntimeEvent {
    pub(crate) request_id: RequestId,
    pub(crate) log_tail: bool,
    /// Names this attempt: a request may be tried again in the same environment.
    pub(crate) invocation_id: Bytes,
    pub(crate) mode: ResponseMode,
    payload: Bytes,
    pub(crate) deadline_ms: u64,
    pub(crate) invoked_arn: Bytes,
    pub(crate) trace_id: Bytes,
    client_context: Option<Bytes>,
    cognito_identity: Option<Bytes>,
    tenant_id: Option<Bytes>,
}

impl RuntimeEvent {
    pub(crate) fn new(invocation: Invocation, limit: std::time::Duration) -> Self {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Self {
            request_id: invocation.request_id,
            log_tail: invocation.log_tail,
            invocation_id: new_invocation_id(),
            mode: invocation.mode,
            payload: invocation.payload,
            deadline_ms: clock::epoch_ms(clock::wall()).saturating_add(limit_ms),
            invoked_arn: invocation.invoked_arn,
            trace_id: invocation.trace_id.map_or_else(new_trace_id, Bytes::from),
            client_context: invocation.client_context.map(one_line),
            cognito_identity: invocation.cognito_identity.map(one_line),
            tenant_id: invocation.tenant_id.map(one_line),
        }
    }

    pub(crate) fn tenant_id(&self) -> Option<&str> {
        std::str::from_utf8(self.tenant_id.as_ref()?).ok()
    }

    pub(crate) fn to_response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.payload.clone()));
        let headers = response.headers_mut();
        headers.reserve(10);
        headers.insert(header::CONTENT_TYPE, JSON);
        if let Ok(id) = HeaderValue::from_maybe_shared(Bytes::from(self.request_id.to_string())) {
            headers.insert(REQUEST_ID, id);
        }
        headers.insert(DEADLINE_MS, HeaderValue::from(self.deadline_ms));
        let texts = [
            (INVOCATION_ID, Some(self.invocation_id.clone())),
            (INVOKED_ARN, Some(self.invoked_arn.clone())),
            (TRACE_ID, Some(self.trace_id.clone())),
            (CLIENT_CONTEXT, self.client_context.clone()),
            (COGNITO_IDENTITY, self.cognito_identity.clone()),
            (TENANT_ID, self.tenant_id.clone()),
        ];
        for (name, text) in texts {
            let Some(text) = text.filter(|text| !text.is_empty()) else {
                continue;
            };
            if let Ok(value) = HeaderValue::from_maybe_shared(text) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// JSON may hold line breaks between its tokens, a header may not; a space means the same.
fn one_line(text: String) -> Bytes {
    let mut bytes = text.into_bytes();
    for byte in &mut bytes {
        if byte.is_ascii_control() {
            *byte = b' ';
        }
    }
    Bytes::from(bytes)
}

/// Never the same twice in one life of the server, and of another server's by chance only.
fn new_invocation_id() -> Bytes {
    static FIRST: OnceLock<u128> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let first = *FIRST.get_or_init(|| uuid::Uuid::new_v4().as_u128());
    let count = u128::from(COUNT.fetch_add(1, Ordering::Relaxed));
    let mut text = uuid::Uuid::encode_buffer();
    let id = uuid::Uuid::from_u128(first.wrapping_add(count));
    Bytes::copy_from_slice(id.hyphenated().encode_lower(&mut text).as_bytes())
}

/// A trace that nobody samples.
fn new_trace_id() -> Bytes {
    let seconds = clock::epoch_ms(clock::wall()) / 1_000;
    let (root, parent) = (
        uuid::Uuid::new_v4().as_u128(),
        uuid::Uuid::new_v4().as_u128(),
    );
    let text = format!(
        "Root=1-{seconds:08x}-{:024x};Parent={:016x};Sampled=0",
        root & ((1 << 96) - 1),
        parent & u128::from(u64::MAX)
    );
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn invocation() -> Invocation {
        Invocation {
            request_id: RequestId::random(),
            payload: Bytes::from_static(b"{}"),
            invoked_arn: Bytes::from_static(b"arn:aws:lambda:us-east-1:000000000000:function:f"),
            trace_id: None,
            client_context: None,
            cognito_identity: None,
            tenant_id: None,
            log_tail: false,
            mode: ResponseMode::Buffered,
        }
    }

    fn rendered(invocation: Invocation) -> Response<Full<Bytes>> {
        RuntimeEvent::new(invocation, Duration::from_secs(3)).to_response()
    }

    fn event(trace_id: Option<&str>, client_context: Option<&str>) -> Response<Full<Bytes>> {
        rendered(Invocation {
            trace_id: trace_id.map(Into::into),
            client_context: client_context.map(Into::into),
            ..invocation()
        })
    }

    #[test]
    fn who_calls_stands_in_headers_only_when_it_is_known() {
        let response = rendered(Invocation {
            cognito_identity: Some("{\"cognitoIdentityId\":\"a\"}".into()),
            tenant_id: Some("blue".into()),
            ..invocation()
        });
        let headers = response.headers();
        assert_eq!(headers[COGNITO_IDENTITY], "{\"cognitoIdentityId\":\"a\"}");
        assert_eq!(headers[TENANT_ID], "blue");
        let response = event(None, None);
        for name in [COGNITO_IDENTITY, TENANT_ID, CLIENT_CONTEXT] {
            assert!(!response.headers().contains_key(name));
        }
    }

    #[test]
    fn each_attempt_has_an_identifier_of_its_own() {
        let (one, two) = (event(None, None), event(None, None));
        assert_ne!(one.headers()[INVOCATION_ID], two.headers()[INVOCATION_ID]);
    }

    #[test]
    fn a_trace_is_made_when_none_came() {
        let response = event(None, None);
        let trace = response.headers()[TRACE_ID].to_str().unwrap().to_owned();
        let parts: Vec<&str> = trace.split(';').collect();
        assert_eq!((parts.len(), parts[2]), (3, "Sampled=0"), "{trace}");
        assert_eq!(parts[0].len(), "Root=1-".len() + 8 + 1 + 24);
        assert_eq!(parts[1].len(), "Parent=".len() + 16);
        assert!(!response.headers().contains_key(CLIENT_CONTEXT));
        let given = event(Some("Root=1-a-b;Sampled=1"), None);
        assert_eq!(given.headers()[TRACE_ID], "Root=1-a-b;Sampled=1");
    }

    #[test]
    fn client_context_stays_one_header() {
        let response = event(None, Some("{\n\t\"custom\": \"ä\"}"));
        assert_eq!(
            response.headers()[CLIENT_CONTEXT].as_bytes(),
            "{  \"custom\": \"ä\"}".as_bytes()
        );
    }
}

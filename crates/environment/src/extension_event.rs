//! An event on its way to an extension.

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderName, HeaderValue};
use http_body_util::Full;
use serde::Serialize;
use uuid::Uuid;

use crate::lifecycle::ShutdownReason;
use crate::runtime_event::RuntimeEvent;

const EVENT_IDENTIFIER: HeaderName = HeaderName::from_static("lambda-extension-event-identifier");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// One event as `event/next` renders it. Clones are the same event for another extension.
#[derive(Debug, Clone)]
pub(crate) struct ExtensionEvent(Bytes);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invoke<'a> {
    event_type: &'static str,
    deadline_ms: u64,
    request_id: &'a str,
    invoked_function_arn: &'a str,
    tracing: Tracing<'a>,
}

#[derive(Serialize)]
struct Tracing<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shutdown {
    event_type: &'static str,
    shutdown_reason: &'static str,
    deadline_ms: u64,
}

impl ExtensionEvent {
    pub(crate) fn invoke(event: &RuntimeEvent) -> Self {
        Self::json(&Invoke {
            event_type: "INVOKE",
            deadline_ms: event.deadline_ms,
            request_id: &event.request_id.to_string(),
            invoked_function_arn: &String::from_utf8_lossy(&event.invoked_arn),
            tracing: Tracing {
                kind: "X-Amzn-Trace-Id",
                value: &String::from_utf8_lossy(&event.trace_id),
            },
        })
    }

    pub(crate) fn shutdown(reason: ShutdownReason, deadline_ms: u64) -> Self {
        Self::json(&Shutdown {
            event_type: "SHUTDOWN",
            shutdown_reason: reason.as_str(),
            deadline_ms,
        })
    }

    fn json(event: &impl Serialize) -> Self {
        // Strings and numbers always serialize; an empty body is the honest rest.
        Self(serde_json::to_vec(event).map_or_else(|_| Bytes::new(), Bytes::from))
    }

    /// Each extension gets an identifier of its own.
    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.0));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, JSON);
        let identifier = Bytes::from(Uuid::new_v4().to_string());
        if let Ok(identifier) = HeaderValue::from_maybe_shared(identifier) {
            headers.insert(EVENT_IDENTIFIER, identifier);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_in_lower_case() {
        let event = ExtensionEvent::shutdown(ShutdownReason::Timeout, 7);
        assert_eq!(
            &event.0[..],
            br#"{"eventType":"SHUTDOWN","shutdownReason":"timeout","deadlineMs":7}"#
        );
    }
}

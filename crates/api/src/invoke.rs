//! Invoke: the hot path. It is matched before any router, and reads of the request only what it
//! needs.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bootlace_control::check_invoke;
use bootlace_invoke::InvokeResponse;
use bootlace_types::RequestId;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use percent_encoding::percent_decode_str;

use crate::answer::{self, Body, JSON};
use crate::call::{Call, parse_query};
use crate::error::ApiError;
use crate::identity;
use crate::invocation::{self, Asked, EXECUTED_VERSION, common_headers, refusal};
use crate::routes::Answered;
use crate::service::Shared;

const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const LOG_RESULT: HeaderName = HeaderName::from_static("x-amz-log-result");
const REMAPPED_LENGTH: HeaderName = HeaderName::from_static("x-amzn-remapped-content-length");

/// The function's name in the path, if this is Invoke.
pub(crate) fn function_name<'a>(method: &Method, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix("/2015-03-31/functions/")?;
    let name = rest.strip_suffix("/invocations")?;
    (method == Method::POST && !name.is_empty() && !name.contains('/')).then_some(name)
}

/// Answers an Invoke that was recognized by [`function_name`].
pub(crate) async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    let request_id = RequestId::random();
    let (parts, body) = request.into_parts();
    let encoded = function_name(&parts.method, parts.uri.path()).unwrap_or_default();
    let name = percent_decode_str(encoded).decode_utf8_lossy();
    let query = parts.uri.query();
    let qualifier = query.and_then(|query| {
        parse_query(Some(query))
            .into_iter()
            .find(|(key, _)| key == "Qualifier")
    });
    let answered = match identity::scope(&parts.headers, &shared.options.default_region) {
        Ok(scope) => {
            let asked = Asked {
                request_id,
                scope,
                name,
                qualifier: qualifier.map(|(_, value)| value),
                headers: &parts.headers,
            };
            invoke(shared, asked, body).await
        }
        Err(error) => Err(error),
    };
    answered.unwrap_or_else(|error| {
        let (status, kind) = (error.status().as_u16(), error.kind());
        tracing::debug!(%request_id, status, kind, "refused");
        answer::refusal(&error, request_id)
    })
}

/// Invoke by a path that only the router recognizes, with a slash at its end.
pub(crate) async fn routed(mut call: Call) -> Answered {
    let body = call.take_body();
    let shared = Arc::clone(&call.shared);
    invoke(&shared, Asked::of(&call), body).await
}

async fn invoke<B>(shared: &Shared, asked: Asked<'_>, body: B) -> Answered
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let (name, qualifier) = check_invoke(&asked.scope, asked.query())?;
    let request_id = asked.request_id;
    let payload = invocation::read_event(shared, &asked, body).await?;
    match asked.invocation_type() {
        None | Some("RequestResponse") => {}
        Some("DryRun") => return invocation::dry_run(shared, &asked, &name, qualifier.as_ref()),
        _ => {
            return Err(ApiError::not_built(
                "InvocationType Event (asynchronous invocation)",
            ));
        }
    }
    let (request, trace) = asked.into_request(name, qualifier, payload)?;
    match shared.dispatcher.invoke(request).await {
        Ok(response) => Ok(success(response, request_id, trace)),
        Err(error) => Err(refusal(error)),
    }
}

fn success(
    done: InvokeResponse,
    request_id: RequestId,
    trace_id: Option<HeaderValue>,
) -> Response<Body> {
    let mut response = Response::new(Body::whole(done.payload));
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(CONTENT_TYPE, JSON);
    common_headers(headers, request_id, trace_id);
    headers.insert(REMAPPED_LENGTH, HeaderValue::from_static("0"));
    let mut set = |name: HeaderName, value: Result<HeaderValue, _>| {
        if let Ok(value) = value {
            headers.insert(name, value);
        }
    };
    set(
        EXECUTED_VERSION,
        HeaderValue::from_str(&done.executed_version),
    );
    if let Some(kind) = done.function_error {
        set(FUNCTION_ERROR, Ok(HeaderValue::from_static(kind)));
    }
    if let Some(tail) = done.log_tail {
        set(LOG_RESULT, HeaderValue::from_str(&STANDARD.encode(tail)));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_of_invoke_is_taken() {
        let path = "/2015-03-31/functions/f/invocations";
        assert_eq!(function_name(&Method::POST, path), Some("f"));
        assert_eq!(function_name(&Method::GET, path), None);
        for path in [
            "/2015-03-31/functions//invocations",
            "/2015-03-31/functions/f/g/invocations",
            "/2015-03-31/functions/invocations",
            "/2015-03-31/functions/f/invocations/",
            "/2021-11-15/functions/f/response-streaming-invocations",
        ] {
            assert_eq!(function_name(&Method::POST, path), None, "{path}");
        }
    }
}

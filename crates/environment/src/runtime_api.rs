//! The Runtime API, version 2018-06-01, as one sandbox's processes see it.
//!
//! Everything here was written by a guest and is hostile: it is bounded, and at worst refused.

use std::convert::Infallible;
use std::sync::Arc;

use bootlace_types::{RequestId, limits};
use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use crate::environment::Environment;
use crate::extensions_api;
use crate::failure::AnswerFault;
use crate::hands::{NextAnswer, StreamAnswer};
use crate::lifecycle::{Event, Lifecycle, Refusal, Verdict};
use crate::stream_pump::{self, Pump};
use crate::telemetry;

pub(crate) type Answer = Response<Full<Bytes>>;

const VERSION: &str = "/2018-06-01";
const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");
const RESPONSE_MODE: HeaderName = HeaderName::from_static("lambda-runtime-function-response-mode");
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Of a body that is too large anyway, so much is read before the connection is given up.
const DISCARD_BYTES: usize = 64 << 20;

/// Answers one call of a guest.
pub(crate) async fn serve(
    environment: Arc<Environment>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let path = request.uri().path();
    let Some(path) = path.strip_prefix(VERSION) else {
        if let Some(path) = path.strip_prefix(extensions_api::VERSION) {
            let path = path.to_owned();
            return Ok(Box::pin(extensions_api::serve(&environment, &path, request)).await);
        }
        if let Some(api) = telemetry::api::route(path) {
            return Ok(Box::pin(telemetry::api::serve(&environment, api, request)).await);
        }
        let ping = path == "/ping" && request.method() == Method::GET;
        return Ok(if ping {
            pong()
        } else {
            empty(StatusCode::NOT_FOUND)
        });
    };
    environment.release(request.headers());
    let (get, post) = (
        request.method() == Method::GET,
        request.method() == Method::POST,
    );
    Ok(match path {
        "/runtime/invocation/next" if get => next(&environment).await,
        "/runtime/init/error" if post => init_error(&environment, request).await,
        "/ping" if get => pong(),
        "/runtime/invocation/next" | "/runtime/init/error" | "/ping" => {
            empty(StatusCode::METHOD_NOT_ALLOWED)
        }
        _ => match reply_route(path) {
            Some(_) if !post => empty(StatusCode::METHOD_NOT_ALLOWED),
            Some((id, false)) => response(&environment, id, request).await,
            Some((id, true)) => error(&environment, id, request).await,
            None => empty(StatusCode::NOT_FOUND),
        },
    })
}

/// `/runtime/invocation/{id}/response` or `…/error`; an id that cannot be one of ours is `None`.
fn reply_route(path: &str) -> Option<(Option<RequestId>, bool)> {
    let (id, what) = path.strip_prefix("/runtime/invocation/")?.split_once('/')?;
    match what {
        "response" => Some((id.parse().ok(), false)),
        "error" => Some((id.parse().ok(), true)),
        _ => None,
    }
}

async fn next(environment: &Arc<Environment>) -> Answer {
    match environment.next() {
        NextAnswer::Event(event) => event.to_response(),
        NextAnswer::Parked(event) => match event.await {
            Ok(event) => event.to_response(),
            // Another call took its place, or the environment ended.
            Err(_) => refuse(Refusal::Transition {
                from: "Ready",
                to: "Ready",
            }),
        },
        NextAnswer::Refused(verdict) => accepted_or(verdict),
    }
}

async fn response(
    environment: &Arc<Environment>,
    id: Option<RequestId>,
    request: Request<Incoming>,
) -> Answer {
    let mode = request.headers().get(RESPONSE_MODE);
    let streams = mode.is_some_and(|mode| mode == "streaming");
    let known_mode = streams || mode.is_none_or(HeaderValue::is_empty);
    let stale = environment.is_stale(id, request.headers());
    let body = request.into_body();
    if stale {
        discard(body).await;
        return refuse(Refusal::InvokeTimeout);
    }
    let Some(_receiving) = environment.receive(|machine| machine.expects_answer(id)) else {
        discard(body).await;
        return accepted_or(environment.happen(unwanted()));
    };
    if let (true, Some(request_id)) = (streams, id) {
        match environment.begin_stream(request_id) {
            StreamAnswer::Begun(stream) => {
                let pump = Pump::new(Arc::clone(environment), request_id, stream);
                return accepted_or(Box::pin(pump.run(body)).await);
            }
            StreamAnswer::Refused(verdict) => {
                discard(body).await;
                return accepted_or(verdict);
            }
            StreamAnswer::Collect => {}
        }
    }
    let event = match collect(body).await {
        _ if !known_mode => Event::Faulty {
            id,
            fault: AnswerFault::Mode,
        },
        Ok((body, trailers)) => match trailers.as_ref().and_then(stream_pump::error_in) {
            Some(error) if streams => Event::Error {
                id,
                error_type: error.code,
                body: error.document,
            },
            _ => Event::Response { id, body },
        },
        Err(fault) => Event::Faulty { id, fault },
    };
    accepted_or(environment.happen(event))
}

async fn error(
    environment: &Arc<Environment>,
    id: Option<RequestId>,
    request: Request<Incoming>,
) -> Answer {
    let stale = environment.is_stale(id, request.headers());
    let error_type = error_type(request.headers()).into_string().into();
    let body = request.into_body();
    if stale {
        discard(body).await;
        return refuse(Refusal::InvokeTimeout);
    }
    let Some(_receiving) = environment.receive(|machine| machine.expects_answer(id)) else {
        discard(body).await;
        return accepted_or(environment.happen(unwanted()));
    };
    let event = match collect(body).await {
        Ok((body, _)) => Event::Error {
            id,
            error_type,
            body,
        },
        Err(fault) => Event::Faulty { id, fault },
    };
    accepted_or(environment.happen(event))
}

/// An answer that no running invocation can take: none runs, or another answer to it is arriving.
/// What nobody waits for is read and dropped as it comes, so that hoarded requests cost the server
/// nothing.
fn unwanted() -> Event {
    Event::Response {
        id: None,
        body: Bytes::new(),
    }
}

async fn init_error(environment: &Arc<Environment>, request: Request<Incoming>) -> Answer {
    let error_type = error_type(request.headers());
    let Some(_receiving) = environment.receive(Lifecycle::expects_init_error) else {
        let verdict = if environment.with_lifecycle(Lifecycle::expects_init_error) {
            // One report is arriving already.
            Verdict::Refused(Refusal::Transition {
                from: "InitError",
                to: "InitError",
            })
        } else {
            let body = Bytes::new();
            environment.happen(Event::InitError { error_type, body })
        };
        discard(request.into_body()).await;
        return accepted_or(verdict);
    };
    let body = match collect(request.into_body()).await {
        Ok((body, _)) => body,
        Err(fault) => return refuse(Refusal::Fault(fault)),
    };
    environment.log.drain();
    accepted_or(environment.happen(Event::InitError { error_type, body }))
}

/// Reads a whole body, at most as long as an answer may be, into one buffer, and its trailers; a
/// body that arrives in one piece is not copied.
async fn collect(mut body: Incoming) -> Result<(Bytes, Option<HeaderMap>), AnswerFault> {
    let announced = body.size_hint().exact().unwrap_or(0);
    let mut whole = Bytes::new();
    let mut buffer = BytesMut::new();
    let mut trailers = None;
    let mut discarded = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| AnswerFault::Truncated)?;
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                continue;
            }
        };
        let so_far = whole.len() + buffer.len();
        if discarded > 0 || so_far + data.len() > limits::RESPONSE_BYTES {
            discarded += so_far + data.len();
            (whole, buffer) = (Bytes::new(), BytesMut::new());
            if discarded > DISCARD_BYTES {
                break;
            }
        } else if so_far == 0 {
            whole = data;
        } else {
            if buffer.is_empty() {
                let announced = usize::try_from(announced).unwrap_or(usize::MAX);
                buffer.reserve(announced.clamp(so_far + data.len(), limits::RESPONSE_BYTES));
                buffer.extend_from_slice(&whole);
                whole = Bytes::new();
            }
            buffer.extend_from_slice(&data);
        }
    }
    if discarded > 0 {
        return Err(AnswerFault::TooLarge);
    }
    let body = if buffer.is_empty() {
        whole
    } else {
        buffer.freeze()
    };
    Ok((body, trailers))
}

/// Reads a body that nobody wants, as far as a connection is worth it.
pub(crate) async fn discard(mut body: Incoming) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > DISCARD_BYTES {
            return;
        }
    }
}

/// The type of an error as the log may show it: the header if it has AWS's form.
fn error_type(headers: &HeaderMap) -> Box<str> {
    let text = headers
        .get(ERROR_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    if has_known_form(text) {
        let graphic = text.chars().filter(char::is_ascii_graphic);
        return graphic
            .take(limits::ERROR_TYPE_CHARS)
            .collect::<String>()
            .into();
    }
    if text.starts_with("Function.") {
        "Function.Unknown"
    } else {
        "Runtime.Unknown"
    }
    .into()
}

/// Whether it contains a match of `(Runtime|Function)\.[A-Z][a-zA-Z]+`.
fn has_known_form(text: &str) -> bool {
    ["Runtime.", "Function."].iter().any(|category| {
        text.match_indices(category).any(|(at, _)| {
            let mut reason = text.as_bytes()[at + category.len()..].iter();
            reason.next().is_some_and(u8::is_ascii_uppercase)
                && reason.next().is_some_and(u8::is_ascii_alphabetic)
        })
    })
}

pub(crate) fn accepted_or(verdict: Verdict) -> Answer {
    match verdict {
        Verdict::Accepted => {
            let mut answer = Response::new(Full::new(Bytes::from_static(b"{\"status\":\"OK\"}\n")));
            *answer.status_mut() = StatusCode::ACCEPTED;
            answer.headers_mut().insert(header::CONTENT_TYPE, JSON);
            answer
        }
        Verdict::Refused(why) => refuse(why),
        Verdict::None | Verdict::Registered | Verdict::Park | Verdict::Deliver => {
            refuse(Refusal::Unusable)
        }
    }
}

pub(crate) fn refuse(why: Refusal) -> Answer {
    let (status, error_type, message) = match why {
        Refusal::Transition { from, to } => {
            let message = format!(
                "State transition from {from} to {to} failed for runtime. \
                 Error: State transition is not allowed"
            );
            return document(StatusCode::FORBIDDEN, "InvalidStateTransition", &message);
        }
        Refusal::InvalidRequestId => (
            StatusCode::BAD_REQUEST,
            "InvalidRequestID",
            "Invalid request ID",
        ),
        Refusal::Fault(AnswerFault::StreamTooLarge { limit }) => {
            let message = format!("Exceeded maximum allowed payload size ({limit} bytes).");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return document(status, "RequestEntityTooLarge", &message);
        }
        Refusal::Fault(AnswerFault::TooLarge) => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            "Exceeded maximum allowed payload size (6291556 bytes).",
        ),
        Refusal::Fault(AnswerFault::Mode) => (
            StatusCode::BAD_REQUEST,
            "InvalidFunctionResponseMode",
            "Invalid function response mode",
        ),
        Refusal::Fault(AnswerFault::Truncated) => (
            StatusCode::BAD_REQUEST,
            "TruncatedHTTPRequest",
            "HTTP request detected as truncated",
        ),
        Refusal::Extension(why) => return extensions_api::refusal(&why),
        Refusal::InvokeTimeout => (StatusCode::GONE, "InvokeTimeout", "Invoke timeout"),
        Refusal::Unusable => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "Internal Server Error",
        ),
    };
    document(status, error_type, message)
}

pub(crate) fn document(status: StatusCode, error_type: &str, message: &str) -> Answer {
    let body = serde_json::json!({ "errorMessage": message, "errorType": error_type });
    let mut answer = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, JSON);
    answer
}

fn pong() -> Answer {
    Response::new(Full::new(Bytes::from_static(b"pong")))
}

pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &'static str, want: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(ERROR_TYPE, HeaderValue::from_static(header));
        assert_eq!(&*error_type(&headers), want, "{header}");
    }

    #[test]
    fn error_types_follow_awss_pattern() {
        check("Runtime.ImportModuleError", "Runtime.ImportModuleError");
        check("Function.MyReason", "Function.MyReason");
        check("xFunction.Ab9", "xFunction.Ab9");
        check("unhandled", "Runtime.Unknown");
        check("Function.x", "Function.Unknown");
        check("Function.A", "Function.Unknown");
        check("Runtime.", "Runtime.Unknown");
        check("", "Runtime.Unknown");
        check("Runtime.Abc\tinjected", "Runtime.Abcinjected");
        assert_eq!(&*error_type(&HeaderMap::new()), "Runtime.Unknown");
    }

    #[test]
    fn reply_routes_carry_the_request_id() {
        let id = RequestId::random();
        let of = |text: String| reply_route(&text);
        assert_eq!(
            of(format!("/runtime/invocation/{id}/response")),
            Some((Some(id), false))
        );
        assert_eq!(
            of(format!("/runtime/invocation/{id}/error")),
            Some((Some(id), true))
        );
        assert_eq!(of("/runtime/invocation/x/error".into()), Some((None, true)));
        assert_eq!(
            of("/runtime/invocation//response".into()),
            Some((None, false))
        );
        assert_eq!(of("/runtime/invocation/x/y/response".into()), None);
        assert_eq!(of("/runtime/restore/next".into()), None);
    }
}

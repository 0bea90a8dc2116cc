use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body as StreamedBody;
use bootlace_types::RequestId;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::error::ApiError;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
pub(crate) const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// The body of an answer: whole, as nearly all are, or piece by piece.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Full<Bytes>),
    Streamed(StreamedBody),
}

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Full::new(bytes.into()))
    }

    pub(crate) fn empty() -> Self {
        Self::whole(Bytes::new())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => {
                let frame = Pin::new(body).poll_frame(cx);
                frame.map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
            Self::Streamed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Streamed(body) => body.size_hint(),
        }
    }
}

/// A JSON document with a status.
pub(crate) fn json(
    status: StatusCode,
    document: &impl Serialize,
) -> Result<Response<Body>, ApiError> {
    let text = serde_json::to_vec(document)
        .map_err(|error| ApiError::internal(format!("an answer cannot be written: {error}")))?;
    let mut response = Response::new(Body::whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    Ok(response)
}

/// A status and nothing else.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// An error as AWS sends it.
pub(crate) fn refusal(error: &ApiError, request_id: RequestId) -> Response<Body> {
    let mut response = Response::new(Body::whole(error.document()));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(ERROR_TYPE, HeaderValue::from_static(error.kind()));
    if let Some(seconds) = error.retry_after_s() {
        headers.insert(hyper::header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    with_request_id(response, request_id)
}

pub(crate) fn with_request_id(
    mut response: Response<Body>,
    request_id: RequestId,
) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

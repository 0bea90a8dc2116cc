//! InvokeWithResponseStream: the answer as AWS's event stream, frame by frame as the pieces come.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bootlace_control::check_invoke_with_response_stream;
use bootlace_invoke::{InvokeStream, StreamEnd, StreamEvent};
use bootlace_types::limits;
use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body as HttpBody, Frame};
use hyper::header::{CONTENT_TYPE, HeaderValue};

use crate::answer::Body;
use crate::call::Call;
use crate::event_stream::{self, EVENT_STREAM};
use crate::invocation::{self, Asked, EXECUTED_VERSION, common_headers, refusal};
use crate::routes::Answered;
use crate::wire::stream::InvokeComplete;

pub(crate) async fn answer(mut call: Call) -> Answered {
    let body = call.take_body();
    let shared = Arc::clone(&call.shared);
    let asked = Asked::of(&call);
    let (name, qualifier) = check_invoke_with_response_stream(&asked.scope, asked.query())?;
    let payload = invocation::read_event(&shared, &asked, body).await?;
    if asked.invocation_type() == Some("DryRun") {
        return invocation::dry_run(&shared, &asked, &name, qualifier.as_ref());
    }
    let request_id = asked.request_id;
    let (request, trace) = asked.into_request(name, qualifier, payload)?;
    let stream = shared.dispatcher.invoke_streaming(request).await;
    let stream = stream.map_err(refusal)?;
    let version = HeaderValue::from_str(stream.executed_version());
    let body = axum::body::Body::new(EventStream(stream));
    let mut response = Response::new(Body::Streamed(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENT_STREAM);
    common_headers(headers, request_id, trace);
    if let Ok(version) = version {
        headers.insert(EXECUTED_VERSION, version);
    }
    Ok(response)
}

/// The body: each event is one frame, and one chunk of the transfer.
struct EventStream(InvokeStream);

impl HttpBody for EventStream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_next(context).map(|event| {
            let frame = match event? {
                StreamEvent::Chunk(bytes) => {
                    event_stream::event("PayloadChunk", "application/octet-stream", bytes)
                }
                StreamEvent::Complete(end) => complete(end),
            };
            Some(frame.map(Frame::data))
        })
    }
}

fn complete(end: StreamEnd) -> io::Result<Bytes> {
    let details = end.error.as_ref().map(|error| {
        let kept = error.details.len().min(limits::STREAM_ERROR_BYTES);
        &error.details[..kept]
    });
    let document = InvokeComplete {
        error_code: end.error.as_ref().map(|error| error.code.as_ref()),
        error_details: details.map(String::from_utf8_lossy),
        log_result: end.log_tail.map(|tail| STANDARD.encode(tail)),
    };
    let text = serde_json::to_vec(&document)?;
    event_stream::event("InvokeComplete", "application/json", text.into())
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::read_message_from;
    use bootlace_invoke::StreamError;

    use super::*;

    #[test]
    fn the_last_frame_tells_how_it_ended() {
        let told = |end| {
            let message = read_message_from(complete(end).unwrap()).unwrap();
            String::from_utf8(message.payload().to_vec()).unwrap()
        };
        assert_eq!(told(StreamEnd::default()), "{}");
        let failed = StreamEnd {
            error: Some(StreamError {
                code: "Boom".into(),
                details: Bytes::from_static(b"{\"a\":1}\xff"),
            }),
            log_tail: Some(Bytes::from_static(b"log")),
        };
        let want = r#"{"ErrorCode":"Boom","ErrorDetails":"{\"a\":1}�","LogResult":"bG9n"}"#;
        assert_eq!(told(failed), want);
    }
}

//! InvokeWithResponseStream: the answer as AWS's event stream, frame by frame as the pieces come.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue as EventValue, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bootlace_control::check_invoke_with_response_stream;
use bootlace_invoke::{InvokeStream, StreamEnd, StreamEvent};
use bootlace_types::limits;
use bytes::{Bytes, BytesMut};
use hyper::Response;
use hyper::body::{Body as HttpBody, Frame};
use hyper::header::{CONTENT_TYPE, HeaderValue};

use crate::answer::Body;
use crate::call::Call;
use crate::invocation::{self, Asked, EXECUTED_VERSION, common_headers, refusal};
use crate::routes::Answered;
use crate::wire::stream::InvokeComplete;

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("application/vnd.amazon.eventstream");
/// What a frame needs beside its payload, bytes: prelude, checksums and the headers below.
const FRAME_OVERHEAD: usize = 160;

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
                    message("PayloadChunk", "application/octet-stream", bytes)
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
    message("InvokeComplete", "application/json", text.into())
}

fn message(
    event_type: &'static str,
    content_type: &'static str,
    payload: Bytes,
) -> io::Result<Bytes> {
    let mut frame = BytesMut::with_capacity(payload.len() + FRAME_OVERHEAD);
    let text = |value: &'static str| EventValue::String(value.into());
    let message = Message::new(payload)
        .add_header(Header::new(":message-type", text("event")))
        .add_header(Header::new(":event-type", text(event_type)))
        .add_header(Header::new(":content-type", text(content_type)));
    write_message_to(&message, &mut frame).map_err(io::Error::other)?;
    Ok(frame.freeze())
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::read_message_from;
    use bootlace_invoke::StreamError;

    use super::*;

    #[test]
    fn a_frame_is_as_aws_describes_it() {
        let frame = message("PayloadChunk", "application/octet-stream", "ab".into()).unwrap();
        let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        assert_eq!(number(0) as usize, frame.len());
        let headers = b"\x0d:message-type\x07\0\x05event\x0b:event-type\x07\0\x0cPayloadChunk\
                        \x0d:content-type\x07\0\x18application/octet-stream";
        assert_eq!(number(4) as usize, headers.len());
        assert_eq!(&frame[12..12 + headers.len()], headers);
        assert_eq!(&frame[12 + headers.len()..frame.len() - 4], b"ab");
        assert!(frame.len() <= 2 + FRAME_OVERHEAD);
    }

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

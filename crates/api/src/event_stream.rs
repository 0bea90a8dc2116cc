//! AWS's event-stream framing, for the operations whose answers never need to be whole.

use std::io;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue as EventValue, Message};
use bytes::{Bytes, BytesMut};
use hyper::header::HeaderValue;

pub(crate) const EVENT_STREAM: HeaderValue =
    HeaderValue::from_static("application/vnd.amazon.eventstream");
/// What a frame needs beside its payload, bytes: prelude, checksums and the headers below.
const FRAME_OVERHEAD: usize = 160;

/// An event in its frame.
pub(crate) fn event(
    event_type: &'static str,
    content_type: &'static str,
    payload: Bytes,
) -> io::Result<Bytes> {
    message("event", ":event-type", event_type, content_type, payload)
}

/// An error, which is the last that is sent.
pub(crate) fn exception(
    exception_type: &'static str,
    content_type: &'static str,
    payload: Bytes,
) -> io::Result<Bytes> {
    let header = ":exception-type";
    message("exception", header, exception_type, content_type, payload)
}

fn message(
    kind: &'static str,
    type_header: &'static str,
    event_type: &'static str,
    content_type: &'static str,
    payload: Bytes,
) -> io::Result<Bytes> {
    let mut frame = BytesMut::with_capacity(payload.len() + FRAME_OVERHEAD);
    let text = |value: &'static str| EventValue::String(value.into());
    let message = Message::new(payload)
        .add_header(Header::new(":message-type", text(kind)))
        .add_header(Header::new(type_header, text(event_type)))
        .add_header(Header::new(":content-type", text(content_type)));
    write_message_to(&message, &mut frame).map_err(io::Error::other)?;
    Ok(frame.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_aws_describes_it() {
        let frame = event("PayloadChunk", "application/octet-stream", "ab".into()).unwrap();
        let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        assert_eq!(number(0) as usize, frame.len());
        let headers = b"\x0d:message-type\x07\0\x05event\x0b:event-type\x07\0\x0cPayloadChunk\
                        \x0d:content-type\x07\0\x18application/octet-stream";
        assert_eq!(number(4) as usize, headers.len());
        assert_eq!(&frame[12..12 + headers.len()], headers);
        assert_eq!(&frame[12 + headers.len()..frame.len() - 4], b"ab");
        assert!(frame.len() <= 2 + FRAME_OVERHEAD);
    }
}

//! InvokeWithResponseStream on the wire.

use std::time::Duration;

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bootlace_api::ApiOptions;
use bootlace_control::ControlOptions;
use bootlace_invoke::{DispatcherOptions, StreamLimits};
use bootlace_testkit::guest::{Action, Body, Chunked, Guest, Piece};
use bytes::{Bytes, BytesMut};
use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::world::{World, arn};

const SOON: Duration = Duration::from_secs(20);

fn path(name: &str) -> String {
    format!("/2021-11-15/functions/{name}/response-streaming-invocations")
}

async fn world(answer: Chunked) -> World {
    let guest = Guest::new(vec![Action::Loop(vec![
        Action::Next,
        Action::RespondChunked(answer),
    ])]);
    // What is tested here is not the rate.
    let stream = StreamLimits {
        burst_bytes: 1 << 30,
        ..StreamLimits::default()
    };
    let options = DispatcherOptions {
        stream,
        ..DispatcherOptions::default()
    };
    let world = World::of_guest(guest, options).await;
    world.created("f").await;
    world
}

/// A frame: its event type, its content type and its payload.
type Event = (String, String, Vec<u8>);

fn events(body: &[u8]) -> Vec<Event> {
    let mut decoder = MessageFrameDecoder::new();
    let mut rest = BytesMut::from(body);
    let mut events = Vec::new();
    while let Some(event) = next(&mut decoder, &mut rest) {
        events.push(event);
    }
    assert!(rest.is_empty(), "a frame is not whole");
    events
}

fn next(decoder: &mut MessageFrameDecoder, bytes: &mut BytesMut) -> Option<Event> {
    let DecodedFrame::Complete(message) = decoder.decode_frame(bytes).unwrap() else {
        return None;
    };
    let header = |name: &str| {
        let mut headers = message.headers().iter();
        let header = headers.find(|header| header.name().as_str() == name);
        let value = header.unwrap_or_else(|| panic!("no {name}"));
        value.value().as_string().unwrap().as_str().to_owned()
    };
    assert_eq!(header(":message-type"), "event");
    Some((
        header(":event-type"),
        header(":content-type"),
        message.payload().to_vec(),
    ))
}

fn chunk(text: &str) -> Event {
    let (event, content) = ("PayloadChunk", "application/octet-stream");
    (event.into(), content.into(), text.into())
}

fn completion(event: &Event) -> Value {
    assert_eq!(event.0, "InvokeComplete");
    assert_eq!(event.1, "application/json");
    serde_json::from_slice(&event.2).unwrap()
}

/// A connection on which a test sees each frame when it comes.
struct Wire {
    stream: TcpStream,
    /// What came and is no whole frame yet, without the framing of the transfer.
    bytes: BytesMut,
    raw: BytesMut,
    decoder: MessageFrameDecoder,
}

impl Wire {
    async fn invoke(world: &World) -> Self {
        let mut stream = TcpStream::connect(&world.address).await.unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Length: 2\r\n\r\n{{}}",
            path("f"),
            world.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        Self {
            stream,
            bytes: BytesMut::new(),
            raw: BytesMut::new(),
            decoder: MessageFrameDecoder::new(),
        }
    }

    async fn head(&mut self) -> String {
        loop {
            if let Some(at) = find(&self.raw, b"\r\n\r\n") {
                let head = self.raw.split_to(at + 4);
                return String::from_utf8(head.to_vec()).unwrap();
            }
            self.read().await;
        }
    }

    async fn event(&mut self) -> Event {
        loop {
            if let Some(event) = next(&mut self.decoder, &mut self.bytes) {
                return event;
            }
            let Some((length, start)) = self.transfer_chunk() else {
                self.read().await;
                continue;
            };
            let _ = self.raw.split_to(start);
            self.bytes.extend_from_slice(&self.raw.split_to(length));
            let _ = self.raw.split_to(2);
        }
    }

    /// Length and beginning of the next chunk of the transfer, if it is there as a whole.
    fn transfer_chunk(&self) -> Option<(usize, usize)> {
        let end = find(&self.raw, b"\r\n")?;
        let digits = std::str::from_utf8(&self.raw[..end]).unwrap();
        let length = usize::from_str_radix(digits, 16).unwrap();
        (self.raw.len() >= end + 2 + length + 2).then_some((length, end + 2))
    }

    async fn read(&mut self) {
        let read = self.stream.read_buf(&mut self.raw);
        let count = tokio::time::timeout(SOON, read).await.expect("in time");
        assert!(count.unwrap() > 0, "the connection was closed");
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[tokio::test]
async fn a_stream_has_the_headers_and_frames_of_aws() {
    let world = world(Chunked::texts(&["{\"a\":", "1}"])).await;
    for path in [path("f"), path("f") + "/", path("f") + "?Qualifier=$LATEST"] {
        let answer = world.send(Method::POST, &path, &[], "{}").await.expect(200);
        assert_eq!(
            answer.header("content-type"),
            "application/vnd.amazon.eventstream"
        );
        assert_eq!(answer.header("x-amz-executed-version"), "$LATEST");
        assert_eq!(answer.header("transfer-encoding"), "chunked");
        assert!(answer.header("x-amzn-trace-id").starts_with("Root=1-"));
        for absent in ["x-amz-function-error", "x-amz-log-result", "content-length"] {
            assert!(!answer.headers.contains_key(absent), "{absent}");
        }
        let events = events(&answer.body);
        assert_eq!(events[..2], [chunk("{\"a\":"), chunk("1}")]);
        assert_eq!(completion(&events[2]), json!({}));
        assert_eq!(events.len(), 3);
    }
}

#[tokio::test]
async fn a_frame_is_sent_when_its_chunk_is_written() {
    let (open, gate) = watch::channel(false);
    let answer = Chunked {
        pieces: vec![
            Piece::Data(Body::Text("one")),
            Piece::Gate(gate),
            Piece::Data(Body::Text("two")),
        ],
        ..Chunked::default()
    };
    let world = world(answer).await;
    let mut wire = Wire::invoke(&world).await;
    assert!(wire.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(wire.event().await, chunk("one"));
    open.send_replace(true);
    assert_eq!(wire.event().await, chunk("two"));
    assert_eq!(completion(&wire.event().await), json!({}));
}

#[tokio::test]
async fn the_log_tail_and_errors_come_in_the_last_frame() {
    let failing = Chunked {
        trailers: "Lambda-Runtime-Function-Error-Type: Boom\r\n\
                   Lambda-Runtime-Function-Error-Body: eyJhIjoxfQ==\r\n",
        ..Chunked::texts(&["part"])
    };
    let world = world(failing).await;
    let tail = [("x-amz-log-type", "Tail")];
    let answer = world.send(Method::POST, &path("f"), &tail, "{}").await;
    let answer = answer.expect(200);
    let events = events(&answer.body);
    let end = completion(&events[1]);
    assert_eq!(
        (&end["ErrorCode"], &end["ErrorDetails"]),
        (&json!("Boom"), &json!("{\"a\":1}"))
    );
    let log = STANDARD.decode(end["LogResult"].as_str().unwrap()).unwrap();
    let log = String::from_utf8(log).unwrap();
    let id = answer.header("x-amzn-requestid");
    assert!(log.contains(&format!("REPORT RequestId: {id}\t")), "{log}");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_as_for_invoke() {
    let world = World::new().await;
    world.created("f").await;
    let send = async |name: &str, headers: &[(&str, &str)], body: &str| {
        let path = path(name);
        let body = Bytes::from(body.to_owned());
        world.send(Method::POST, &path, headers, body).await
    };
    let (status, kind, message) = send("g", &[], "{}").await.refusal();
    assert_eq!((status, kind.as_str()), (404, "ResourceNotFoundException"));
    assert_eq!(message, format!("Function not found: {}", arn("g:$LATEST")));
    let event = [("x-amz-invocation-type", "Event")];
    let (status, kind, message) = send("f", &event, "{}").await.refusal();
    assert_eq!((status, kind.as_str()), (400, "ValidationException"));
    assert_eq!(
        message,
        "1 validation error detected: Value 'Event' at 'invocationType' failed to satisfy \
         constraint: Member must satisfy enum value set: [RequestResponse, DryRun]"
    );
    let dry = [("x-amz-invocation-type", "DryRun")];
    assert!(send("f", &dry, "{}").await.expect(204).body.is_empty());
    assert_eq!(send("g", &dry, "{}").await.refusal().0, 404);
    let (status, kind, _) = send("f", &[], "{").await.refusal();
    assert_eq!(
        (status, kind.as_str()),
        (400, "InvalidRequestContentException")
    );
    let large = format!("\"{}\"", "x".repeat(6_291_455));
    let (status, kind, _) = send("f", &[], &large).await.refusal();
    assert_eq!(
        (status, kind.as_str()),
        (413, "RequestEntityTooLargeException")
    );
    assert_eq!(
        send("f", &[("x-amz-tenant-id", "t")], "{}")
            .await
            .refusal()
            .0,
        400
    );
}

#[tokio::test]
async fn a_buffered_answer_is_streamed_in_bounded_frames() {
    let world = World::new().await;
    world.created("f").await;
    let event = format!("\"{}\"", "x".repeat(6_291_454));
    let answer = world
        .send(Method::POST, &path("f"), &[], event.clone())
        .await;
    let events = events(&answer.expect(200).body);
    let (last, chunks) = events.split_last().unwrap();
    assert_eq!(chunks.len(), event.len().div_ceil(64 << 10));
    let all: Vec<u8> = chunks.iter().flat_map(|event| event.2.clone()).collect();
    assert_eq!(all, event.as_bytes());
    assert_eq!(completion(last), json!({}));
}

/// Waits until the function's environment is in a state.
async fn until(world: &World, state: &str) {
    let wait = async {
        loop {
            let shown = world.get("/bootlace/v1/environments").await.json();
            let mut all = shown["environments"].as_array().unwrap().iter();
            if all.any(|one| one["state"] == state) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(SOON, wait).await;
    waited.unwrap_or_else(|_| panic!("never {state}"));
}

#[tokio::test]
async fn a_client_that_hangs_up_loses_only_its_answer() {
    for half in [false, true] {
        let (open, gate) = watch::channel(false);
        let answer = Chunked {
            pieces: vec![
                Piece::Data(Body::Text("one")),
                Piece::Gate(gate),
                Piece::Many(2_000, 64 << 10),
            ],
            ..Chunked::default()
        };
        let world = world(answer).await;
        let mut wire = Wire::invoke(&world).await;
        wire.head().await;
        assert_eq!(wire.event().await, chunk("one"));
        if half {
            // It sends nothing more and reads nothing more.
            wire.stream.shutdown().await.unwrap();
        } else {
            drop(wire);
        }
        open.send_replace(true);
        until(&world, "idle").await;
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_slows_the_runtime_until_the_timeout() {
    const ALL: u64 = 128 << 20;
    let answer = Chunked {
        pieces: vec![Piece::Many(2_048, 64 << 10)],
        ..Chunked::default()
    };
    let mut written = answer.written.subscribe();
    let guest = Guest::new(vec![Action::Loop(vec![
        Action::Next,
        Action::RespondChunked(answer),
    ])]);
    let stream = StreamLimits {
        burst_bytes: 1 << 30,
        ..StreamLimits::default()
    };
    let options = DispatcherOptions {
        stream,
        ..DispatcherOptions::default()
    };
    let world = World::of_guest(guest, options).await;
    world.create("f", json!({"Timeout": 1})).await.expect(201);
    world.settled("f").await;
    let mut wire = Wire::invoke(&world).await;
    wire.head().await;
    until(&world, "running").await;
    // Nobody reads, and yet the invocation ends when its time is over.
    let over = async {
        loop {
            let shown = world.get("/bootlace/v1/environments").await.json();
            let mut all = shown["environments"].as_array().unwrap().iter();
            if all.all(|one| one["state"] != "running") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, over).await.expect("the timeout");
    let written = *written.borrow_and_update();
    assert!(written < ALL / 2, "{written} bytes were taken");
    // What was on its way still comes, and then how it ended.
    let end = loop {
        let event = wire.event().await;
        if event.0 == "InvokeComplete" {
            break completion(&event);
        }
    };
    assert_eq!(end["ErrorCode"], "Sandbox.Timedout");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up() {
    const ALL: u64 = 128 << 20;
    let answer = Chunked {
        pieces: vec![Piece::Many(2_048, 64 << 10)],
        ..Chunked::default()
    };
    let mut written = answer.written.subscribe();
    let guest = Guest::new(vec![Action::Next, Action::RespondChunked(answer)]);
    let stream = StreamLimits {
        burst_bytes: 1 << 30,
        ..StreamLimits::default()
    };
    let dispatcher = DispatcherOptions {
        stream,
        ..DispatcherOptions::default()
    };
    let options = ApiOptions {
        client_stall: Duration::from_millis(100),
        ..ApiOptions::default()
    };
    let world = World::running(guest, dispatcher, ControlOptions::default(), options).await;
    world.create("f", json!({"Timeout": 60})).await.expect(201);
    world.settled("f").await;
    let mut wire = Wire::invoke(&world).await;
    wire.head().await;
    // The runtime waits for the client until that is given up, and then for nobody.
    let all = written.wait_for(|bytes| *bytes >= ALL);
    tokio::time::timeout(SOON, all)
        .await
        .expect("in time")
        .unwrap();
}

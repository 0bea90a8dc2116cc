//! What functions write to their pipes: framed into lines, filtered, told to the sink and the tail.
#![no_main]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bootlace_fuzz::http::exchange;
use bootlace_fuzz::tokens::{expand, split};
use bootlace_fuzz::world::{Input, World};
use bootlace_invoke::LogSink;
use bootlace_sandbox::{ExitStatus, FakeGuest};
use bootlace_types::limits;
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Functions, by the lower bits of the first byte.
const FUNCTIONS: [&str; 4] = ["text", "json", "json-debug", "json-error"];

const PIECES: &[&[u8]] = &[
    b"{\"level\":\"INFO\",\"message\":\"",
    b"\"level\":\"",
    b"\"timestamp\":\"2026-11-26T08:00:00.000Z\"",
    b"\"}\n",
    b"{\"",
    b"\":{\"",
    b"TRACE",
    b"DEBUG",
    b"WARN",
    b"ERROR",
    b"FATAL",
    b"START RequestId: ",
    b"END RequestId: ",
    b"REPORT RequestId: ",
    b"\xf0\x9f\x98\x80",
    b"\xff\xfe",
    b"\xe2\x80\xa8",
    b"\r\n",
    b"\0",
    b"\\u0000",
    b"\\ud800",
    &[b'x'; 1_000],
    &[b'['; 200],
    &[b'y'; 70_000],
    &[b'{'; 5_000],
    b"\x1b[2J",
];

static WORLD: OnceLock<World> = OnceLock::new();
/// What the sink was told since the input came, bytes.
static TOLD: AtomicUsize = AtomicUsize::new(0);
static WRONG: Mutex<Option<String>> = Mutex::new(None);

fuzz_target!(|data: &[u8]| {
    let Some((choices, content)) = split::<2>(data) else {
        return;
    };
    let world = WORLD.get_or_init(start);
    let content = expand(content, PIECES);
    TOLD.store(0, Ordering::Relaxed);
    let written = content.len();
    let function = FUNCTIONS[usize::from(choices[0]) % FUNCTIONS.len()];
    world.invoke(function, Input { choices, content });
    let wrong = WRONG.lock().unwrap_or_else(PoisonError::into_inner).take();
    assert_eq!(wrong, None);
    // The platform's own lines, and what JSON makes of a control character, take room too.
    let told = TOLD.load(Ordering::Relaxed);
    assert!(
        told <= written * 8 + 64 * 1_024,
        "{told} bytes told of {written}"
    );
});

fn start() -> World {
    let sink = LogSink::Each(Arc::new(|event| {
        TOLD.fetch_add(event.line.len(), Ordering::Relaxed);
        if event.line.len() > limits::LOG_LINE_BYTES {
            let wrong = format!("a line of {} bytes", event.line.len());
            *WRONG.lock().unwrap_or_else(PoisonError::into_inner) = Some(wrong);
        }
    }));
    let world = World::start(sink, process);
    world.create(FUNCTIONS[0], json!({}));
    for (name, level) in [
        ("json", "INFO"),
        ("json-debug", "TRACE"),
        ("json-error", "ERROR"),
    ] {
        let logging = json!({
            "LogFormat": "JSON", "ApplicationLogLevel": level, "SystemLogLevel": "DEBUG",
        });
        world.create(name, json!({"LoggingConfig": logging}));
    }
    world
}

/// Writes the input in pieces, some before it takes the event and some after, and answers or ends.
async fn process(mut guest: FakeGuest, input: Arc<Input>) -> ExitStatus {
    let [_, how] = input.choices;
    let at = usize::from(how >> 4) * input.content.len() / 16;
    let (before, after) = input.content.split_at(at);
    let _ = guest.output.write_all(before).await;
    let Ok(mut stream) = TcpStream::connect(guest.address).await else {
        return ExitStatus::exited(1);
    };
    let next = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: runtime\r\n\r\n";
    let Ok(event) = exchange(&mut stream, next).await else {
        return ExitStatus::exited(1);
    };
    let piece = match how & 3 {
        0 => 1,
        1 => 7,
        2 => 4_096,
        _ => usize::MAX,
    };
    // One byte at a time only where that is quick.
    let piece = if after.len() > 4_096 {
        piece.max(512)
    } else {
        piece
    };
    for piece in after.chunks(piece) {
        let _ = guest.output.write_all(piece).await;
    }
    if how & 4 == 0 {
        let id = event
            .header("Lambda-Runtime-Aws-Request-Id")
            .unwrap_or_default();
        let answer = format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: runtime\r\n\
             Content-Length: 2\r\n\r\n{{}}"
        );
        let _ = exchange(&mut stream, answer.as_bytes()).await;
        let _ = guest.output.write_all(before).await;
    }
    ExitStatus::exited(i32::from(how & 8))
}

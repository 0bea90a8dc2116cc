//! Answers that are streamed by the runtime, the caller, both or neither.

use std::time::Duration;

use bootlace_invoke::{
    DispatcherOptions, InvokeRequest, InvokeStream, StreamEnd, StreamEvent, StreamLimits,
};
use bootlace_testkit::guest::{Action, Body, Chunked, End, Guest, Piece};
use bootlace_types::limits;
use tokio::sync::watch;

use crate::world::{World, error, patient, text};

const SOON: Duration = Duration::from_secs(20);

fn streaming(answer: Chunked) -> Guest {
    Guest::new(vec![Action::Loop(vec![
        Action::Next,
        Action::RespondChunked(answer),
    ])])
}

async fn world(guest: Guest) -> World {
    limited(guest, StreamLimits::default()).await
}

async fn limited(guest: Guest, stream: StreamLimits) -> World {
    let options = DispatcherOptions {
        stream,
        ..patient()
    };
    let world = World::with(options, vec![guest]).await;
    world.put("f", &world.record()).await;
    world
}

async fn open(world: &World, log_tail: bool) -> InvokeStream {
    let request = InvokeRequest {
        log_tail,
        ..world.request("f", "{\"n\":1}")
    };
    let stream = world.dispatcher.invoke_streaming(request);
    let stream = tokio::time::timeout(SOON, stream).await;
    stream.expect("an answer in time").expect("an answer")
}

async fn event(stream: &mut InvokeStream) -> Option<StreamEvent> {
    let event = tokio::time::timeout(SOON, stream.next()).await;
    event.expect("an event in time")
}

async fn chunk(stream: &mut InvokeStream) -> String {
    match event(stream).await {
        Some(StreamEvent::Chunk(bytes)) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("no chunk but {other:?}"),
    }
}

/// Everything that still comes: the lengths of the chunks, their bytes, the end.
async fn rest(stream: &mut InvokeStream) -> (Vec<usize>, Vec<u8>, StreamEnd) {
    let (mut lengths, mut all) = (Vec::new(), Vec::new());
    loop {
        match event(stream).await.expect("an end") {
            StreamEvent::Chunk(bytes) => {
                lengths.push(bytes.len());
                all.extend_from_slice(&bytes);
            }
            StreamEvent::Complete(end) => {
                assert_eq!(event(stream).await, None, "nothing after the end");
                return (lengths, all, end);
            }
        }
    }
}

/// The end of a stream that failed: its code, and the members of its document.
fn failed(end: &StreamEnd) -> (String, String, String) {
    let error = end.error.as_ref().expect("an error");
    let document: serde_json::Value = serde_json::from_slice(&error.details).expect("JSON");
    let member = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    let (error_type, message) = (member("errorType"), member("errorMessage"));
    (error.code.clone().into_owned(), error_type, message)
}

#[tokio::test]
async fn a_chunk_arrives_before_the_next_is_written() {
    let gates: Vec<_> = (0..3).map(|_| watch::channel(false)).collect();
    let mut pieces = Vec::new();
    for ((_, gate), text) in gates.iter().zip(["two", "three", "four"]) {
        pieces.push(Piece::Gate(gate.clone()));
        pieces.push(Piece::Data(Body::Text(text)));
    }
    pieces.insert(0, Piece::Data(Body::Text("one")));
    let guest = streaming(Chunked {
        pieces,
        ..Chunked::default()
    });
    let world = world(guest).await;
    let mut stream = open(&world, false).await;
    assert_eq!(stream.executed_version(), "$LATEST");
    assert_eq!(chunk(&mut stream).await, "one");
    for ((gate, _), text) in gates.iter().zip(["two", "three", "four"]) {
        gate.send_replace(true);
        assert_eq!(chunk(&mut stream).await, text);
    }
    let (lengths, _, end) = rest(&mut stream).await;
    assert_eq!((lengths, end), (vec![], StreamEnd::default()));
    // The environment is used again.
    let mut again = open(&world, false).await;
    assert_eq!(rest(&mut again).await.1, b"onetwothreefour");
    assert_eq!(world.processes(), 1);
}

#[tokio::test]
async fn a_streamed_answer_is_collected_for_a_buffered_caller() {
    let world = world(streaming(Chunked::texts(&["{\"a\":", "1}"]))).await;
    let answer = world.invoke("f", "{}").await.expect("an answer");
    assert_eq!(
        (text(&answer).as_str(), answer.function_error),
        ("{\"a\":1}", None)
    );
}

#[tokio::test]
async fn a_collected_answer_has_the_buffered_limit_and_its_trailers_count() {
    let big = streaming(Chunked {
        pieces: vec![Piece::Many(1, limits::RESPONSE_BYTES), Piece::Many(1, 1)],
        ..Chunked::default()
    });
    let world = world(big).await;
    let answer = world.invoke("f", "{}").await.expect("an answer");
    assert_eq!(
        error(&answer),
        (
            "Function.ResponseSizeTooLarge".into(),
            "Response payload size exceeded maximum allowed payload size (6291556 bytes).".into()
        )
    );
    let failing = Chunked {
        trailers: "Lambda-Runtime-Function-Error-Type: Boom\r\n\
                   Lambda-Runtime-Function-Error-Body: eyJlcnJvclR5cGUiOiJCb29tIiwiZXJyb3JNZXNz\
                   YWdlIjoibm8ifQ==\r\n",
        ..Chunked::texts(&["part"])
    };
    let world = self::world(streaming(failing)).await;
    let answer = world.invoke("f", "{}").await.expect("an answer");
    assert_eq!(error(&answer), ("Boom".into(), "no".into()));
}

#[tokio::test]
async fn a_buffered_answer_comes_as_frames_of_bounded_size() {
    let world = world(Guest::echo()).await;
    let mut stream = open(&world, false).await;
    let (lengths, all, end) = rest(&mut stream).await;
    assert_eq!((lengths, all.as_slice()), (vec![7], &b"{\"n\":1}"[..]));
    assert_eq!(end, StreamEnd::default());

    let size = 2 * limits::STREAM_CHUNK_BYTES + 1;
    let big = Guest::new(vec![Action::Next, Action::Respond(Body::Filler(size))]);
    let world = self::world(big).await;
    let (lengths, _, _) = rest(&mut open(&world, false).await).await;
    let whole = limits::STREAM_CHUNK_BYTES;
    assert_eq!(lengths, [whole, whole, 1]);
}

#[tokio::test]
async fn an_error_instead_of_an_answer_is_told_at_the_end() {
    let body = "{\"errorType\":\"E\",\"errorMessage\":\"m\"}";
    let guest = Guest::new(vec![Action::Loop(vec![Action::Next, Action::Error(body)])]);
    let world = world(guest).await;
    let (lengths, _, end) = rest(&mut open(&world, false).await).await;
    assert!(lengths.is_empty());
    assert_eq!(failed(&end), ("Unhandled".into(), "E".into(), "m".into()));
}

#[tokio::test]
async fn trailers_tell_of_an_error_in_mid_stream() {
    let failing = Chunked {
        headers: "Trailer: Lambda-Runtime-Function-Error-Type, \
                  Lambda-Runtime-Function-Error-Body\r\n",
        trailers: "Lambda-Runtime-Function-Error-Type: Boom\r\n\
                   Lambda-Runtime-Function-Error-Body: eyJlcnJvclR5cGUiOiJCb29tIiwiZXJyb3JNZXNz\
                   YWdlIjoibm8ifQ==\r\n",
        ..Chunked::texts(&["part"])
    };
    let world = world(streaming(failing)).await;
    let mut stream = open(&world, true).await;
    let (_, all, end) = rest(&mut stream).await;
    assert_eq!(all, b"part");
    assert_eq!(failed(&end), ("Boom".into(), "Boom".into(), "no".into()));
    let tail = String::from_utf8(end.log_tail.expect("a tail").to_vec()).unwrap();
    assert!(tail.starts_with("START RequestId: "), "{tail}");
    assert!(tail.contains("\nREPORT RequestId: "), "{tail}");
    // Such an error does not end the environment.
    rest(&mut open(&world, false).await).await;
    assert_eq!(world.processes(), 1);
}

#[tokio::test]
async fn a_truncated_stream_ends_with_an_error() {
    let cut = Chunked {
        end: End::Truncated,
        ..Chunked::texts(&["part"])
    };
    let guest = Guest::new(vec![
        Action::Next,
        Action::RespondChunked(cut),
        Action::Hang,
    ]);
    let world = world(guest).await;
    let (_, all, end) = rest(&mut open(&world, true).await).await;
    assert_eq!(all, b"part");
    let (code, error_type, message) = failed(&end);
    assert_eq!(
        (code.as_str(), error_type.as_str()),
        ("Runtime.TruncatedResponse", "Runtime.TruncatedResponse")
    );
    assert!(
        message.ends_with("HTTP request detected as truncated"),
        "{message}"
    );
    let tail = String::from_utf8(end.log_tail.expect("a tail").to_vec()).unwrap();
    let status = "\tStatus: error\tError Type: Runtime.TruncatedResponse\n";
    assert!(tail.ends_with(status), "{tail}");
}

#[tokio::test]
async fn a_crash_in_mid_stream_is_told_as_a_crash() {
    let (begun, gate) = watch::channel(false);
    let crash = Chunked {
        pieces: vec![
            Piece::Data(Body::Text("one")),
            Piece::Gate(gate),
            Piece::Data(Body::Text("two")),
        ],
        end: End::Exit(7),
        ..Chunked::default()
    };
    let world = world(streaming(crash)).await;
    let mut stream = open(&world, false).await;
    assert_eq!(chunk(&mut stream).await, "one");
    begun.send_replace(true);
    // What was written before the end still comes.
    let (_, all, end) = rest(&mut stream).await;
    assert_eq!(all, b"two");
    let (code, _, message) = failed(&end);
    assert_eq!(code, "Runtime.ExitError");
    assert!(message.ends_with("exit status 7"), "{message}");
}

#[tokio::test]
async fn a_timeout_in_mid_stream_ends_it() {
    let (_never, gate) = watch::channel(false);
    let stuck = Chunked {
        pieces: vec![Piece::Data(Body::Text("part")), Piece::Gate(gate)],
        ..Chunked::default()
    };
    let world = World::with(patient(), vec![streaming(stuck)]).await;
    let mut record = world.record();
    record.latest.timeout_s = 1;
    world.put("f", &record).await;
    let (_, all, end) = rest(&mut open(&world, true).await).await;
    assert_eq!(all, b"part");
    let (code, _, message) = failed(&end);
    assert_eq!(code, "Sandbox.Timedout");
    assert!(
        message.ends_with("Task timed out after 1.00 seconds"),
        "{message}"
    );
    let tail = String::from_utf8(end.log_tail.expect("a tail").to_vec()).unwrap();
    assert!(tail.ends_with("\tStatus: timeout\n"), "{tail}");
}

#[tokio::test]
async fn a_stream_may_be_so_long_and_no_longer() {
    let bounds = StreamLimits {
        limit_bytes: 100_000,
        ..StreamLimits::default()
    };
    let exactly = streaming(Chunked {
        pieces: vec![Piece::Many(10, 10_000)],
        ..Chunked::default()
    });
    let world = limited(exactly, bounds).await;
    let (_, all, end) = rest(&mut open(&world, false).await).await;
    assert_eq!((all.len(), end), (100_000, StreamEnd::default()));

    let longer = streaming(Chunked {
        pieces: vec![Piece::Many(10, 10_000), Piece::Many(1, 1)],
        ..Chunked::default()
    });
    let world = limited(longer, bounds).await;
    let (_, all, end) = rest(&mut open(&world, false).await).await;
    assert_eq!(all.len(), 100_000);
    let (code, _, message) = failed(&end);
    assert_eq!(code, "Function.ResponseSizeTooLarge");
    assert!(message.ends_with("(100000 bytes)."), "{message}");
}

#[tokio::test]
async fn a_slow_caller_slows_the_runtime() {
    const ALL: u64 = 64 << 20;
    let answer = Chunked {
        pieces: vec![Piece::Many(1_024, 64 << 10)],
        ..Chunked::default()
    };
    let mut written = answer.written.subscribe();
    let fast = StreamLimits {
        burst_bytes: ALL,
        ..StreamLimits::default()
    };
    let world = limited(streaming(answer), fast).await;
    let mut stream = open(&world, false).await;
    // What the caller has not taken stands in the channel, the connection's buffer and the
    // kernel's; then the runtime's writes wait.
    let mut before = 0;
    while tokio::time::timeout(Duration::from_millis(300), written.changed())
        .await
        .is_ok()
    {
        before = *written.borrow_and_update();
    }
    assert!(
        before < ALL / 2,
        "{before} bytes were taken from the runtime"
    );
    let (_, all, end) = rest(&mut stream).await;
    assert_eq!((all.len() as u64, end), (ALL, StreamEnd::default()));
}

#[tokio::test]
async fn without_its_caller_a_stream_goes_on_to_its_end() {
    let (open_gate, gate) = watch::channel(false);
    let answer = Chunked {
        pieces: vec![
            Piece::Data(Body::Text("part")),
            Piece::Gate(gate),
            Piece::Many(1_024, 64 << 10),
        ],
        ..Chunked::default()
    };
    let fast = StreamLimits {
        burst_bytes: 1 << 30,
        ..StreamLimits::default()
    };
    let mut written = answer.written.subscribe();
    let world = limited(streaming(answer), fast).await;
    let mut stream = open(&world, false).await;
    assert_eq!(chunk(&mut stream).await, "part");
    assert_eq!(world.dispatcher.running(&world.scope), 1);
    drop(stream);
    open_gate.send_replace(true);
    let all = written.wait_for(|written| *written > 64 << 20);
    tokio::time::timeout(SOON, all)
        .await
        .expect("in time")
        .unwrap();
    world
        .until("the end", |world| {
            world.dispatcher.running(&world.scope) == 0
        })
        .await;
    assert_eq!(world.processes(), 1);
}

/// With delayed acknowledgements each answer would take 40 ms at least.
#[tokio::test]
async fn small_pieces_are_acknowledged_at_once() {
    let world = world(streaming(Chunked {
        nagle: true,
        ..Chunked::texts(&["one", "two", "three"])
    }))
    .await;
    let mut shortest = SOON;
    for _ in 0..20 {
        let began = bootlace_types::clock::now();
        rest(&mut open(&world, false).await).await;
        shortest = shortest.min(began.elapsed());
    }
    assert!(shortest < Duration::from_millis(35), "{shortest:?}");
}

#[tokio::test]
async fn the_rate_of_a_stream_is_kept() {
    let slow = StreamLimits {
        burst_bytes: 1_000,
        rate_bytes_per_s: 8_000,
        ..StreamLimits::default()
    };
    let answer = Chunked {
        pieces: vec![Piece::Many(1, 4_000)],
        ..Chunked::default()
    };
    let world = limited(streaming(answer), slow).await;
    let began = bootlace_types::clock::now();
    let (_, all, _) = rest(&mut open(&world, false).await).await;
    assert_eq!(all.len(), 4_000);
    // A step brings 1,000 bytes, so the last one comes with the third.
    assert!(began.elapsed() >= Duration::from_millis(375));
}

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bootlace_types::FunctionArn;

use super::*;
use crate::log_format::{ApplicationLevel, SystemLevel};

type Seen = Arc<Mutex<Vec<(LogOrigin, Vec<u8>)>>>;

fn collecting() -> (LogSink, Seen) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    let sink = LogSink::Each(Arc::new(move |event: &LogEvent<'_>| {
        into.lock()
            .unwrap()
            .push((event.origin, event.line.to_vec()));
    }));
    (sink, seen)
}

fn log(sink: LogSink) -> Log {
    with_format(LogFormat::Text, sink)
}

fn with_format(format: LogFormat, sink: LogSink) -> Log {
    let group = "/aws/lambda/f".into();
    Log::new(Scope::default(), group, "s".into(), format, sink)
}

const ID: &str = "5bbe1ae4-8b45-4ba7-b58e-9a6d6e4c3a11";

fn id() -> RequestId {
    ID.parse().unwrap()
}

static ARN: LazyLock<FunctionArn> =
    LazyLock::new(|| FunctionArn::new(&Scope::default(), "f", None));

fn start() -> PlatformEvent<'static> {
    PlatformEvent::Start {
        request_id: id(),
        function_arn: &ARN,
        version: "1",
        tracing: None,
        tenant_id: None,
    }
}

fn end() -> [PlatformEvent<'static>; 2] {
    let request_id = id();
    let report = PlatformEvent::Report {
        request_id,
        end: crate::platform_event::End::SUCCESS,
        metrics: crate::platform_event::Metrics::new(Duration::ZERO, None, 128, 0),
        spans: Vec::new(),
        tracing: None,
    };
    [PlatformEvent::End { request_id }, report]
}

/// A log with one process, and the end of its pipe that the process has.
fn with_process(sink: LogSink) -> (Log, OwnedFd) {
    process_of(log(sink))
}

fn process_of(log: Log) -> (Log, OwnedFd) {
    let (output, input) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    rustix::io::ioctl_fionbio(&output, true).unwrap();
    log.attach(LogOrigin::Function, output).unwrap();
    (log, input)
}

#[tokio::test]
async fn lines_are_framed_and_the_tail_is_raw() {
    let (sink, seen) = collecting();
    let (log, _input) = with_process(sink);
    log.begin(id(), true, start);
    log.written(&mut log.lock(), 0, b"one\ntw");
    log.written(&mut log.lock(), 0, b"o\nno end");
    let tail = log.finish(end).expect("a tail");
    let tail = std::str::from_utf8(&tail).unwrap();
    let want =
        format!("START RequestId: {ID} Version: 1\none\ntwo\nno end\nEND RequestId: {ID}\nREPORT ");
    assert!(tail.starts_with(&want), "{tail}");
    let seen: Vec<_> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|(_, line)| line.clone())
        .collect();
    let seen: Vec<&[u8]> = seen.iter().map(|line| &line[..line.len().min(4)]).collect();
    let want: [&[u8]; 6] = [b"STAR", b"one", b"two", b"no e", b"END ", b"REPO"];
    assert_eq!(seen, want);
}

#[tokio::test]
async fn a_flood_without_line_breaks_is_split_and_bounded() {
    let (sink, seen) = collecting();
    let (log, _input) = with_process(sink);
    log.begin(id(), true, start);
    let chunk = vec![b'x'; 100_000];
    for _ in 0..20 {
        log.written(&mut log.lock(), 0, &chunk);
        let lines = log.lock();
        assert!(lines.outputs[0].pending.len() <= limits::LOG_LINE_BYTES);
        assert!(lines.readers.tail.as_ref().unwrap().bytes.len() <= 2 * limits::LOG_TAIL_BYTES);
    }
    let tail = log.finish(end).expect("a tail");
    assert_eq!(tail.len(), limits::LOG_TAIL_BYTES);
    let seen = seen.lock().unwrap();
    let function = seen
        .iter()
        .filter(|(origin, _)| *origin == LogOrigin::Function);
    let lengths: Vec<usize> = function.map(|(_, line)| line.len()).collect();
    assert_eq!(lengths.iter().sum::<usize>(), 2_000_000);
    assert!(
        lengths
            .iter()
            .all(|length| *length <= limits::LOG_LINE_BYTES)
    );
}

#[tokio::test]
async fn a_line_is_split_at_exactly_the_limit() {
    let (sink, seen) = collecting();
    let (log, _input) = with_process(sink);
    let mut long = vec![b'a'; limits::LOG_LINE_BYTES + 1];
    long.push(b'\n');
    log.written(&mut log.lock(), 0, &long);
    let lengths: Vec<usize> = seen.lock().unwrap().iter().map(|(_, l)| l.len()).collect();
    assert_eq!(lengths, [limits::LOG_LINE_BYTES, 1]);
}

#[tokio::test]
async fn a_writer_that_never_pauses_leaves_others_their_turn() {
    const LINE: &[u8] = b"and another one\n";
    const LAST: u32 = 1_000_000;
    let (output, input) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    rustix::io::ioctl_fionbio(&output, true).unwrap();
    rustix::io::write(&input, LINE).unwrap();
    let written = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&written);
    // Whenever a line is read the next is there already.
    let log = log(LogSink::Each(Arc::new(move |_: &LogEvent<'_>| {
        if count.fetch_add(1, Ordering::Relaxed) < LAST {
            rustix::io::write(&input, LINE).unwrap();
        }
    })));
    log.attach(LogOrigin::Function, output).unwrap();
    tokio::select! {
        biased;
        _ = log.follow() => unreachable!(),
        () = tokio::task::yield_now() => {}
    }
    assert!(written.load(Ordering::Relaxed) < LAST, "nobody else ran");
}

#[test]
fn without_a_reader_no_line_is_made() {
    let log = log(LogSink::None);
    log.begin(RequestId::random(), false, || {
        unreachable!("nobody would see it")
    });
    log.written(&mut log.lock(), 0, b"dropped");
    let never = || -> [PlatformEvent<'static>; 2] { unreachable!("nobody would see it") };
    assert_eq!(log.finish(never), None);
}

const WARN: LogFormat = LogFormat::Json {
    application: ApplicationLevel::Warn,
    system: SystemLevel::Info,
};

#[tokio::test]
async fn json_shows_what_the_levels_let_through() {
    let (sink, seen) = collecting();
    let (log, _input) = process_of(with_format(WARN, sink));
    log.platform(|| PlatformEvent::LogsDropped {
        dropped_bytes: 1,
        dropped_records: 1,
        reason: "x",
    });
    log.begin(id(), true, start);
    let error = br#"{"level":"ERROR","message":"seen"}"#;
    let lines = [
        &b"plain text is INFO"[..],
        error,
        br#"{"level":"INFO"}"#,
        b"[\"ERROR\"]",
        b"no end",
    ];
    log.written(&mut log.lock(), 0, &lines.join(&b'\n'));
    log.platform(|| PlatformEvent::RuntimeDone {
        request_id: id(),
        end: crate::platform_event::End::SUCCESS,
        metrics: None,
        spans: Vec::new(),
        tracing: None,
    });
    let tail = log.finish(end).expect("a tail");
    let tail = String::from_utf8(tail.to_vec()).unwrap();
    let seen = seen.lock().unwrap();
    let seen: Vec<&str> = seen
        .iter()
        .map(|(_, line)| std::str::from_utf8(line).unwrap())
        .collect();
    let kinds: Vec<serde_json::Value> = seen
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["type"].take())
        .collect();
    let want = [
        "platform.logsDropped".into(),
        "platform.start".into(),
        serde_json::Value::Null,
        "platform.report".into(),
    ];
    assert_eq!(kinds, want);
    // The tail begins with the invocation and is the same text.
    assert_eq!(tail, seen[1..].join("\n") + "\n");
    assert_eq!(seen[2].as_bytes(), error);
}

#[tokio::test]
async fn the_levels_of_a_function_do_not_filter_extensions() {
    let (sink, seen) = collecting();
    let log = with_format(WARN, sink);
    let (output, input) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    rustix::io::ioctl_fionbio(&output, true).unwrap();
    log.attach(LogOrigin::Extension, output).unwrap();
    rustix::io::write(&input, b"plain\n").unwrap();
    log.drain();
    assert_eq!(seen.lock().unwrap()[0].1, b"plain");
}

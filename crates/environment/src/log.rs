//! The log of one environment: what its processes write, cut into lines, and the platform's lines.
//!
//! One pipe per process comes in. Out go events to the [`LogSink`], and the tail of one invocation
//! if its caller asked for it. Memory is bounded by one line and one tail, whatever is written.

use std::convert::Infallible;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bootlace_types::{RequestId, Scope, clock, limits};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::unix::pipe;
use tokio::sync::Notify;

/// Where log events go. A seam: the log store will be one more variant.
#[derive(Clone, Default)]
pub enum LogSink {
    /// Nobody keeps logs.
    #[default]
    None,
    /// Called with each event, on the path of the invocation: it must be quick and never block.
    Each(Arc<dyn Fn(&LogEvent<'_>) + Send + Sync>),
}

impl std::fmt::Debug for LogSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Each(_) => "Each(..)",
        })
    }
}

/// One line, without its line break.
#[derive(Debug)]
pub struct LogEvent<'a> {
    /// Of the function.
    pub scope: &'a Scope,
    pub log_group: &'a str,
    pub log_stream: &'a str,
    pub time: SystemTime,
    pub origin: LogOrigin,
    /// The invocation during which it was read, if there was one.
    pub request_id: Option<RequestId>,
    pub line: &'a [u8],
}

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogOrigin {
    Platform,
    Function,
    Extension,
}

/// Bytes read in one system call.
const CHUNK_BYTES: usize = 16 * 1024;
/// Reads before other tasks get their turn, count.
const READS_AT_ONCE: usize = 16;
/// Most that is read when an invocation ends: a pipe cannot hold more, unless its writer goes on.
const DRAIN_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Log {
    scope: Scope,
    group: String,
    stream: String,
    sink: LogSink,
    /// Tells of a new pipe.
    attached: Notify,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    current: Option<RequestId>,
    tail: Option<Tail>,
    /// One for each process whose pipe is open.
    outputs: Vec<Output>,
}

/// What one process writes.
#[derive(Debug)]
struct Output {
    pipe: Arc<pipe::Receiver>,
    origin: LogOrigin,
    /// The beginning of a line whose end has not come.
    pending: Vec<u8>,
}

impl Log {
    pub(crate) fn new(scope: Scope, group: String, stream: String, sink: LogSink) -> Self {
        Self {
            scope,
            group,
            stream,
            sink,
            attached: Notify::new(),
            lines: Mutex::default(),
        }
    }

    pub(crate) fn stream(&self) -> &str {
        &self.stream
    }

    /// Takes over the pipe of a process.
    pub(crate) fn attach(&self, origin: LogOrigin, output: OwnedFd) -> std::io::Result<()> {
        let output = Output {
            pipe: Arc::new(pipe::Receiver::from_owned_fd(output)?),
            origin,
            pending: Vec::new(),
        };
        self.lock().outputs.push(output);
        self.attached.notify_one();
        Ok(())
    }

    /// Reads what comes from all processes, for ever.
    pub(crate) async fn follow(&self) -> Infallible {
        let mut following = FuturesUnordered::new();
        let mut known: Vec<Arc<pipe::Receiver>> = Vec::new();
        loop {
            for output in &self.lock().outputs {
                if !known.iter().any(|pipe| Arc::ptr_eq(pipe, &output.pipe)) {
                    known.push(Arc::clone(&output.pipe));
                    following.push(self.follow_one(Arc::clone(&output.pipe)));
                }
            }
            tokio::select! {
                Some(ended) = following.next() => known.retain(|pipe| !Arc::ptr_eq(pipe, &ended)),
                () = self.attached.notified() => {}
            }
        }
    }

    /// Reads until every writer is gone.
    async fn follow_one(&self, pipe: Arc<pipe::Receiver>) -> Arc<pipe::Receiver> {
        let mut reads = 0_usize;
        while pipe.readable().await.is_ok() {
            if self.read_ready(&pipe).is_break() {
                break;
            }
            reads += 1;
            // As long as there is something to read, nothing above ever waits.
            if reads.is_multiple_of(READS_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
        self.close(&pipe);
        pipe
    }

    fn read_ready(&self, pipe: &pipe::Receiver) -> ControlFlow<()> {
        let mut chunk = [0_u8; CHUNK_BYTES];
        // Under the lock, so that two readers cannot swap what they read.
        let mut lines = self.lock();
        match pipe.try_read(&mut chunk) {
            Ok(0) => return ControlFlow::Break(()),
            Ok(count) => {
                let place = lines.outputs.iter().position(|one| is(&one.pipe, pipe));
                if let Some(place) = place {
                    self.written(&mut lines, place, &chunk[..count]);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// Its writers are gone; a line that they did not end ends here.
    fn close(&self, pipe: &pipe::Receiver) {
        let mut lines = self.lock();
        let current = lines.current;
        for output in lines.outputs.extract_if(.., |one| is(&one.pipe, pipe)) {
            if !output.pending.is_empty() {
                self.emit(current, output.origin, &output.pending);
            }
        }
    }

    /// Reads what has been written so far, so that it precedes what the platform writes next.
    pub(crate) fn drain(&self) {
        let mut lines = self.lock();
        for place in 0..lines.outputs.len() {
            let mut left = DRAIN_BYTES;
            while let Some(count) = self.read_now(&mut lines, place) {
                left = left.saturating_sub(count);
                // A short read emptied the pipe.
                if count < CHUNK_BYTES || left == 0 {
                    break;
                }
            }
        }
    }

    /// What is written from now on belongs to this invocation; its tail is kept if it is wanted.
    pub(crate) fn open(&self, id: RequestId, tail: bool) {
        self.lock().open(id, tail);
    }

    /// An invocation begins. `line` is made only when somebody will see it.
    pub(crate) fn begin(&self, id: RequestId, tail: bool, line: impl FnOnce() -> String) {
        let mut lines = self.lock();
        if lines.current != Some(id) {
            lines.open(id, tail);
        }
        if self.is_watched(&lines) {
            self.platform(&mut lines, &line());
        }
    }

    /// Its end: the last lines, and the tail if one was kept.
    pub(crate) fn finish(&self, line: impl FnOnce() -> String) -> Option<Bytes> {
        let mut lines = self.lock();
        if self.is_watched(&lines) {
            self.platform(&mut lines, &line());
        }
        lines.current = None;
        lines.tail.take().map(Tail::into_bytes)
    }

    /// A line of the platform's that belongs to no invocation's beginning or end.
    pub(crate) fn write(&self, line: impl FnOnce() -> String) {
        let mut lines = self.lock();
        if self.is_watched(&lines) {
            self.platform(&mut lines, &line());
        }
    }

    fn is_watched(&self, lines: &Lines) -> bool {
        lines.tail.is_some() || !matches!(self.sink, LogSink::None)
    }

    /// Asks the kernel, not the reactor, which may not have heard of the last bytes yet.
    fn read_now(&self, lines: &mut Lines, place: usize) -> Option<usize> {
        let mut chunk = [const { MaybeUninit::<u8>::uninit() }; CHUNK_BYTES];
        let pipe = lines.outputs.get(place)?.pipe.as_fd();
        let (bytes, _) = rustix::io::read(pipe, &mut chunk).ok()?;
        self.written(lines, place, bytes);
        Some(bytes.len())
    }

    fn written(&self, lines: &mut Lines, place: usize, bytes: &[u8]) {
        if let Some(tail) = &mut lines.tail {
            tail.push(bytes);
        }
        if matches!(self.sink, LogSink::None) {
            return;
        }
        let current = lines.current;
        let Some(output) = lines.outputs.get_mut(place) else {
            return;
        };
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line(current, output, &rest[..end]);
            rest = &rest[end + 1..];
        }
        self.keep(current, output, rest);
    }

    /// A line came to its end.
    fn line(&self, current: Option<RequestId>, output: &mut Output, end: &[u8]) {
        if output.pending.is_empty() && end.len() <= limits::LOG_LINE_BYTES {
            self.emit(current, output.origin, end);
            return;
        }
        self.keep(current, output, end);
        let pending = std::mem::take(&mut output.pending);
        self.emit(current, output.origin, &pending);
    }

    /// Keeps a line without its end; one that grows too long goes out in pieces.
    fn keep(&self, current: Option<RequestId>, output: &mut Output, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = limits::LOG_LINE_BYTES - output.pending.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            output.pending.extend_from_slice(now);
            if !later.is_empty() {
                let piece = std::mem::take(&mut output.pending);
                self.emit(current, output.origin, &piece);
            }
            bytes = later;
        }
    }

    /// Platform text stands on lines of its own.
    fn platform(&self, lines: &mut Lines, text: &str) {
        if let Some(tail) = &mut lines.tail {
            tail.end_line();
            tail.push(text.as_bytes());
        }
        let current = lines.current;
        for output in &mut lines.outputs {
            if !output.pending.is_empty() {
                let pending = std::mem::take(&mut output.pending);
                self.emit(current, output.origin, &pending);
            }
        }
        for line in text.lines() {
            self.emit(current, LogOrigin::Platform, line.as_bytes());
        }
    }

    fn emit(&self, request_id: Option<RequestId>, origin: LogOrigin, line: &[u8]) {
        if let LogSink::Each(sink) = &self.sink {
            sink(&LogEvent {
                scope: &self.scope,
                log_group: &self.group,
                log_stream: &self.stream,
                time: clock::wall(),
                origin,
                request_id,
                line,
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn open(&mut self, id: RequestId, tail: bool) {
        self.current = Some(id);
        self.tail = tail.then(Tail::default);
    }
}

fn is(one: &Arc<pipe::Receiver>, other: &pipe::Receiver) -> bool {
    std::ptr::eq(Arc::as_ptr(one), other)
}

/// The last bytes of what passed by.
#[derive(Debug, Default)]
struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        let keep = limits::LOG_TAIL_BYTES;
        if bytes.len() >= keep {
            self.bytes.clear();
        } else if self.bytes.len() + bytes.len() > 2 * keep {
            self.bytes.drain(..self.bytes.len() - keep);
        }
        self.bytes
            .extend_from_slice(&bytes[bytes.len().saturating_sub(keep)..]);
    }

    fn end_line(&mut self) {
        if self.bytes.last().is_some_and(|last| *last != b'\n') {
            self.bytes.push(b'\n');
        }
    }

    fn into_bytes(mut self) -> Bytes {
        let excess = self.bytes.len().saturating_sub(limits::LOG_TAIL_BYTES);
        self.bytes.drain(..excess);
        Bytes::from(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

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
        Log::new(Scope::default(), "/aws/lambda/f".into(), "s".into(), sink)
    }

    /// A log with one process, and the end of its pipe that the process has.
    fn with_process(sink: LogSink) -> (Log, OwnedFd) {
        let (output, input) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        rustix::io::ioctl_fionbio(&output, true).unwrap();
        let log = log(sink);
        log.attach(LogOrigin::Function, output).unwrap();
        (log, input)
    }

    #[tokio::test]
    async fn lines_are_framed_and_the_tail_is_raw() {
        let (sink, seen) = collecting();
        let (log, _input) = with_process(sink);
        let id = RequestId::random();
        log.begin(id, true, || "START x\n".into());
        log.written(&mut log.lock(), 0, b"one\ntw");
        log.written(&mut log.lock(), 0, b"o\nno end");
        let tail = log.finish(|| "END x\nREPORT x\n".into()).expect("a tail");
        assert_eq!(&tail[..], b"START x\none\ntwo\nno end\nEND x\nREPORT x\n");
        let seen: Vec<_> = seen
            .lock()
            .unwrap()
            .iter()
            .map(|(_, line)| line.clone())
            .collect();
        let want: [&[u8]; 6] = [b"START x", b"one", b"two", b"no end", b"END x", b"REPORT x"];
        assert_eq!(seen, want);
    }

    #[tokio::test]
    async fn a_flood_without_line_breaks_is_split_and_bounded() {
        let (sink, seen) = collecting();
        let (log, _input) = with_process(sink);
        log.begin(RequestId::random(), true, || "START\n".into());
        let chunk = vec![b'x'; 100_000];
        for _ in 0..20 {
            log.written(&mut log.lock(), 0, &chunk);
            let lines = log.lock();
            assert!(lines.outputs[0].pending.len() <= limits::LOG_LINE_BYTES);
            assert!(lines.tail.as_ref().unwrap().bytes.len() <= 2 * limits::LOG_TAIL_BYTES);
        }
        let tail = log.finish(|| "END\n".into()).expect("a tail");
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
        assert_eq!(log.finish(|| unreachable!("nobody would see it")), None);
    }
}

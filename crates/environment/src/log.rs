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

use crate::log_format::LogFormat;
use crate::platform_event::PlatformEvent;
use crate::telemetry::{Early, Queue, Subscriber};

mod tail;

use tail::Tail;

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
    format: LogFormat,
    sink: LogSink,
    /// Tells of a new pipe.
    attached: Notify,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    /// One for each process whose pipe is open.
    outputs: Vec<Output>,
    readers: Readers,
}

/// Who gets the lines besides the sink.
#[derive(Debug, Default)]
struct Readers {
    current: Option<RequestId>,
    tail: Option<Tail>,
    subscribers: Vec<Subscriber>,
    /// During initialization: for those who are going to subscribe.
    early: Option<Early>,
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
    pub(crate) fn new(
        scope: Scope,
        group: String,
        stream: String,
        format: LogFormat,
        sink: LogSink,
    ) -> Self {
        Self {
            scope,
            group,
            stream,
            format,
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
        let Lines { outputs, readers } = &mut *lines;
        for output in outputs.extract_if(.., |one| is(&one.pipe, pipe)) {
            if !output.pending.is_empty() {
                self.emit(readers, output.origin, &output.pending);
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
        self.lock().readers.open(id, tail);
    }

    /// An invocation begins. The event is made only when somebody will see it.
    pub(crate) fn begin<'a>(
        &self,
        id: RequestId,
        tail: bool,
        event: impl FnOnce() -> PlatformEvent<'a>,
    ) {
        let mut lines = self.lock();
        if lines.readers.current != Some(id) {
            lines.readers.open(id, tail);
        }
        if self.is_watched(&lines.readers) {
            self.event(&mut lines, &event());
        }
    }

    /// Its end: the last events, and the tail if one was kept.
    pub(crate) fn finish<'a, const COUNT: usize>(
        &self,
        events: impl FnOnce() -> [PlatformEvent<'a>; COUNT],
    ) -> Option<Bytes> {
        let mut lines = self.lock();
        if self.is_watched(&lines.readers) {
            for event in &events() {
                self.event(&mut lines, event);
            }
        }
        lines.readers.current = None;
        lines.readers.tail.take().map(Tail::into_bytes)
    }

    /// Something that the platform says beside an invocation's beginning and end.
    pub(crate) fn platform<'a>(&self, event: impl FnOnce() -> PlatformEvent<'a>) {
        let mut lines = self.lock();
        if self.is_watched(&lines.readers) {
            self.event(&mut lines, &event());
        }
    }

    /// Initialization begins: from now on processes may subscribe.
    pub(crate) fn open_subscriptions(&self) {
        self.lock().readers.early = Some(Early::default());
    }

    /// It is over: nobody new may subscribe.
    pub(crate) fn close_subscriptions(&self) {
        self.lock().readers.early = None;
    }

    /// Adds a subscriber in place of an earlier one of the same extension, unless it is too late.
    pub(crate) fn subscribe(&self, subscriber: Subscriber, id: uuid::Uuid) -> bool {
        let mut lines = self.lock();
        let readers = &mut lines.readers;
        let Some(early) = &readers.early else {
            return false;
        };
        subscriber.catch_up(early, self.is_structured());
        readers.subscribers.retain(|one| !one.is_of(id));
        readers.subscribers.push(subscriber);
        true
    }

    /// Nobody is subscribed any more; what was not delivered is lost.
    pub(crate) fn unsubscribe_all(&self) {
        let subscribers = std::mem::take(&mut self.lock().readers.subscribers);
        drop(subscribers);
    }

    /// Delivers what waits for subscribers, and from now on at once; waits for it.
    pub(crate) async fn flush_subscribers(&self) {
        let queues: Vec<Arc<Queue>> = {
            let lines = self.lock();
            let subscribers = lines.readers.subscribers.iter();
            subscribers.map(|one| Arc::clone(one.queue())).collect()
        };
        queues.iter().for_each(|queue| queue.hurry());
        let settled = queues.iter().map(|queue| queue.settled());
        futures_util::future::join_all(settled).await;
    }

    fn is_watched(&self, readers: &Readers) -> bool {
        readers.tail.is_some() || !matches!(self.sink, LogSink::None) || readers.subscribes()
    }

    /// Whether lines may be JSON.
    fn is_structured(&self) -> bool {
        matches!(self.format, LogFormat::Json { .. })
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
        let Lines { outputs, readers } = lines;
        if let (LogFormat::Text, Some(tail)) = (self.format, &mut readers.tail) {
            tail.push(bytes);
        }
        if !self.reads_lines(readers) {
            return;
        }
        let Some(output) = outputs.get_mut(place) else {
            return;
        };
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line(readers, output, &rest[..end]);
            rest = &rest[end + 1..];
        }
        self.keep(readers, output, rest);
    }

    /// Whether anybody wants whole lines; a tail in text does not.
    fn reads_lines(&self, readers: &Readers) -> bool {
        let filters = self.is_structured() && readers.tail.is_some();
        !matches!(self.sink, LogSink::None) || filters || readers.subscribes()
    }

    /// A line came to its end.
    fn line(&self, readers: &mut Readers, output: &mut Output, end: &[u8]) {
        if output.pending.is_empty() && end.len() <= limits::LOG_LINE_BYTES {
            self.emit(readers, output.origin, end);
            return;
        }
        self.keep(readers, output, end);
        let pending = std::mem::take(&mut output.pending);
        self.emit(readers, output.origin, &pending);
    }

    /// Keeps a line without its end; one that grows too long goes out in pieces.
    fn keep(&self, readers: &mut Readers, output: &mut Output, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = limits::LOG_LINE_BYTES - output.pending.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            output.pending.extend_from_slice(now);
            if !later.is_empty() {
                let piece = std::mem::take(&mut output.pending);
                self.emit(readers, output.origin, &piece);
            }
            bytes = later;
        }
    }

    /// What the platform says stands on a line of its own.
    fn event(&self, lines: &mut Lines, event: &PlatformEvent<'_>) {
        let at = clock::wall();
        let line = match self.format {
            LogFormat::Text => event.text(),
            LogFormat::Json { system, .. } => {
                let shown = event.level().is_some_and(|level| level >= system);
                shown.then(|| event.json(at) + "\n")
            }
        };
        let Lines { outputs, readers } = lines;
        if line.is_none() && !readers.subscribes() {
            return;
        }
        for output in outputs {
            if !output.pending.is_empty() {
                let pending = std::mem::take(&mut output.pending);
                self.emit(readers, output.origin, &pending);
            }
        }
        readers.platform(at, event);
        let Some(line) = line else { return };
        if let Some(tail) = &mut readers.tail {
            tail.end_line();
            tail.push(line.as_bytes());
        }
        self.store(
            readers.current,
            LogOrigin::Platform,
            at,
            line.trim_ascii_end().as_bytes(),
        );
    }

    /// Hands a line of a process to whoever wants lines.
    fn emit(&self, readers: &mut Readers, origin: LogOrigin, line: &[u8]) {
        let at = clock::wall();
        readers.line(at, origin, line, self.is_structured());
        if origin == LogOrigin::Function && !self.format.keeps(line) {
            return;
        }
        if let (LogFormat::Json { .. }, Some(tail)) = (self.format, &mut readers.tail) {
            tail.push(line);
            tail.push(b"\n");
        }
        self.store(readers.current, origin, at, line);
    }

    fn store(
        &self,
        request_id: Option<RequestId>,
        origin: LogOrigin,
        time: SystemTime,
        line: &[u8],
    ) {
        if let LogSink::Each(sink) = &self.sink {
            sink(&LogEvent {
                scope: &self.scope,
                log_group: &self.group,
                log_stream: &self.stream,
                time,
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

impl Readers {
    /// Whether somebody subscribed, or may do so soon.
    fn subscribes(&self) -> bool {
        !self.subscribers.is_empty() || self.early.is_some()
    }

    fn platform(&mut self, at: SystemTime, event: &PlatformEvent<'_>) {
        for subscriber in &self.subscribers {
            subscriber.platform(at, event);
        }
        if let Some(early) = &mut self.early {
            early.platform(at, event);
        }
    }

    fn line(&mut self, at: SystemTime, origin: LogOrigin, line: &[u8], structured: bool) {
        for subscriber in &self.subscribers {
            subscriber.line(at, origin, line, structured);
        }
        if let Some(early) = &mut self.early {
            early.line(at, origin, line);
        }
    }

    fn open(&mut self, id: RequestId, tail: bool) {
        self.current = Some(id);
        self.tail = tail.then(Tail::default);
    }
}

fn is(one: &Arc<pipe::Receiver>, other: &pipe::Receiver) -> bool {
    std::ptr::eq(Arc::as_ptr(one), other)
}

#[cfg(test)]
mod tests;

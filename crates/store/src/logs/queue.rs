//! What waits to be written. Those who log only copy their line into it; when there is no room, the
//! line is counted instead.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bootlace_types::{Scope, clock, limits};
use tokio::sync::oneshot;

use super::{LogError, StreamName};

/// What a line costs beside its text, bytes.
const LINE_BYTES: usize = 64;
/// What a stream costs beside its name, bytes.
const SOURCE_BYTES: usize = 256;
/// The writer looks so many times in vain before it waits to be woken: nobody who logs every now
/// and then pays for waking it.
const IDLE_LOOKS: u32 = 20;

/// A stream that lines wait for.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) scope: Scope,
    pub(super) group: String,
    pub(super) stream: String,
    pub(super) lost: Lost,
}

/// Lines of a stream that found no room.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lost {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

#[derive(Debug)]
struct Line {
    source: usize,
    time_ms: u64,
    end: usize,
}

pub(super) type Waiter = oneshot::Sender<Result<(), LogError>>;

/// Lines in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Batch {
    text: Vec<u8>,
    lines: Vec<Line>,
    pub(super) sources: Vec<Source>,
    by_hash: HashMap<u64, usize>,
    source_bytes: usize,
    /// Lines of streams that are not even known, because there was no room for their names.
    pub(super) nameless: Lost,
    pub(super) waiters: Vec<Waiter>,
}

#[derive(Debug)]
pub(super) struct Queue {
    interval: Duration,
    hasher: RandomState,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    /// The writer sleeps until it is woken.
    parked: bool,
    /// Somebody waits for what is in the batch.
    urgent: bool,
    closed: bool,
}

/// What the writer finds.
pub(super) enum Found {
    Batch(Batch),
    /// Nothing for some time.
    Idle,
    Closed,
}

impl Batch {
    /// The lines with the index of their source.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, u64, &[u8])> {
        let mut start = 0;
        self.lines.iter().map(move |line| {
            let text = &self.text[start..line.end];
            start = line.end;
            (line.source, line.time_ms, text)
        })
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.lines.len() * LINE_BYTES + self.source_bytes
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty()
            && self.waiters.is_empty()
            && self.sources.is_empty()
            && self.nameless.lines == 0
    }

    fn source(&mut self, hasher: &RandomState, name: StreamName<'_>) -> usize {
        let is = |source: &Source| {
            source.stream == name.stream
                && source.group == name.group
                && source.scope == *name.scope
        };
        let hash = hasher.hash_one((name.scope, name.group, name.stream));
        match self.by_hash.get(&hash) {
            Some(index) if self.sources.get(*index).is_some_and(is) => return *index,
            _ => {}
        }
        let index = self.sources.len();
        self.source_bytes += SOURCE_BYTES + name.group.len() + name.stream.len();
        self.sources.push(Source {
            scope: name.scope.clone(),
            group: name.group.to_owned(),
            stream: name.stream.to_owned(),
            lost: Lost::default(),
        });
        self.by_hash.insert(hash, index);
        index
    }

    fn push(&mut self, source: usize, time_ms: u64, line: &[u8], end: &[u8]) {
        self.text.extend_from_slice(line);
        self.text.extend_from_slice(end);
        self.lines.push(Line {
            source,
            time_ms,
            end: self.text.len(),
        });
    }
}

impl Lost {
    pub(super) fn add(&mut self, lines: u64, bytes: usize) {
        self.lines = self.lines.saturating_add(lines);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl Queue {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            hasher: RandomState::new(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Takes a line, or counts it as lost. Never waits for the disk.
    pub(super) fn push(&self, name: StreamName<'_>, time_ms: u64, line: &[u8]) {
        let mut state = self.lock();
        let batch = &mut state.batch;
        if batch.source_bytes > limits::LOG_QUEUE_BYTES / 2 {
            batch.nameless.add(1, line.len());
            return;
        }
        let source = batch.source(&self.hasher, name);
        if batch.bytes() + line.len() + LINE_BYTES > limits::LOG_QUEUE_BYTES {
            batch.sources[source].lost.add(1, line.len());
            return;
        }
        batch.push(source, time_ms, line, b"\n");
        let half_full = batch.bytes() > limits::LOG_QUEUE_BYTES / 2;
        if half_full && !state.urgent {
            state.urgent = true;
            self.changed.notify_one();
        } else if state.parked {
            state.parked = false;
            self.changed.notify_one();
        }
    }

    /// Takes all events or none; they are written when the answer comes.
    pub(super) fn put<'a>(
        &self,
        name: StreamName<'_>,
        events: impl Iterator<Item = (u64, &'a [u8])> + Clone,
    ) -> Result<oneshot::Receiver<Result<(), LogError>>, LogError> {
        let bytes = |(_, message): (u64, &[u8])| message.len() + LINE_BYTES;
        let bytes: usize = events.clone().map(bytes).sum();
        let mut state = self.lock();
        if state.closed || state.batch.bytes() + bytes > limits::LOG_QUEUE_BYTES {
            return Err(LogError::Busy);
        }
        let source = state.batch.source(&self.hasher, name);
        for (time_ms, message) in events {
            state.batch.push(source, time_ms, message, b"");
        }
        Ok(self.hurry(&mut state))
    }

    /// Answers when all that was taken before is written.
    pub(super) fn flush(&self) -> oneshot::Receiver<Result<(), LogError>> {
        self.hurry(&mut self.lock())
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn hurry(&self, state: &mut State) -> oneshot::Receiver<Result<(), LogError>> {
        let (answer, receiver) = oneshot::channel();
        // After the end nobody answers, and the receiver learns it.
        if !state.closed {
            state.batch.waiters.push(answer);
            state.urgent = true;
            self.changed.notify_one();
        }
        receiver
    }

    /// Waits for lines, and then for as long as the interval for more, unless somebody is in a
    /// hurry. `idle` is how long to wait for the first.
    pub(super) fn take(&self, idle: Duration) -> Found {
        let mut state = self.lock();
        let mut looks = 0;
        let start = clock::now();
        loop {
            let mut left = match (state.batch.is_empty(), state.closed) {
                (true, true) => return Found::Closed,
                (false, true) => return Found::Batch(self.swap(&mut state)),
                _ => self.interval,
            };
            if state.batch.is_empty() && looks >= IDLE_LOOKS {
                left = idle.saturating_sub(clock::now().saturating_duration_since(start));
                if left.is_zero() {
                    return Found::Idle;
                }
                state.parked = true;
            }
            let parked = state.parked;
            if !state.urgent {
                state = self.rest(state, left);
            }
            state.parked = false;
            // A parked writer was woken by the first line, and others may follow.
            if state.urgent || (!parked && !state.batch.is_empty()) {
                return Found::Batch(self.swap(&mut state));
            }
            looks += 1;
        }
    }

    /// Until `left` has passed or something is urgent, or, when parked, until woken.
    fn rest<'a>(&self, mut state: MutexGuard<'a, State>, left: Duration) -> MutexGuard<'a, State> {
        let end: Option<Instant> = clock::now().checked_add(left);
        let parked = state.parked;
        while !state.urgent && !state.closed && state.parked == parked {
            let now = clock::now();
            let left = end.map_or(left, |end| end.saturating_duration_since(now));
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    fn swap(&self, state: &mut State) -> Batch {
        state.urgent = false;
        std::mem::take(&mut state.batch)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

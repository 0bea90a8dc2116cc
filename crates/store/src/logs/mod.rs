//! The log store: what functions and clients log, in append-only files, with limits by age and size.
//!
//! Lines go into a queue ([`LogStore::push`]), from which one thread writes them every few
//! milliseconds; those who log never wait for the disk. In memory are the names of groups and
//! streams, and for each run of some 64 KiB of a file its range of times. Read [`LogStore`] first.
//!
//! ```text
//! push ─► queue ─► writer ─► 00000000000000000001.log  frames: length, checksum, event
//!                        └─► catalog                   frames: groups and streams, by number
//!                                00000000000000000001.index when a file is full
//! ```

mod admin;
mod catalog;
mod codec;
mod media;
mod query;
mod queue;
mod segment;
mod state;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bootlace_types::{Scope, limits};
use tokio::sync::{Semaphore, watch};

use crate::{StoreClock, StoreError};
use media::Place;
use queue::Queue;
use state::State;

pub use admin::{GroupInfo, StreamInfo};
pub use query::{Direction, LogLine, LogPage, LogPosition, LogQuery, Matches, TailQuery, Which};

/// When what is written is made to survive a loss of power; a crash of the server alone loses
/// nothing that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fsync {
    Never,
    /// Every [`limits::LOG_FSYNC`].
    #[default]
    Interval,
    /// Before the next lines are written.
    Always,
}

/// How logs are kept.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Lines wait so long for others, [`limits::LOG_FLUSH_MAX`] at most.
    pub flush: Duration,
    pub fsync: Fsync,
    /// All logs together.
    pub max_bytes: u64,
    /// Of groups that say nothing else; none: until the size is reached.
    pub retention_days: Option<u32>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            flush: limits::LOG_FLUSH,
            fsync: Fsync::default(),
            max_bytes: limits::LOG_STORE_BYTES,
            retention_days: None,
        }
    }
}

/// A log stream by its names.
#[derive(Debug, Clone, Copy)]
pub struct StreamName<'a> {
    pub scope: &'a Scope,
    pub group: &'a str,
    pub stream: &'a str,
}

/// Why the log store did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    #[error("there is no such log group")]
    NoGroup,
    #[error("there is no such log stream")]
    NoStream,
    #[error("there is such a log group already")]
    GroupExists,
    #[error("there is such a log stream already")]
    StreamExists,
    #[error("there are too many {0}")]
    TooMany(&'static str),
    #[error("more waits to be written than may")]
    Busy,
    #[error("the log store failed: {0}")]
    Failed(Arc<str>),
}

impl LogError {
    fn failed(error: &dyn std::fmt::Display) -> Self {
        Self::Failed(error.to_string().into())
    }
}

/// The logs of one server. Clones share them.
#[derive(Debug, Clone)]
pub struct LogStore {
    shared: Arc<Shared>,
    /// The last clone ends the writer.
    _end: Arc<End>,
}

/// What the writer and the readers have in common.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    state: Mutex<State>,
    clock: StoreClock,
    fsync: Fsync,
    /// The number of the last event that readers see.
    written: watch::Sender<u64>,
    readers: Semaphore,
}

#[derive(Debug)]
struct End {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl LogStore {
    /// Opens the logs of a directory, and cuts off what a crash has left half written.
    ///
    /// # Errors
    ///
    /// The directory cannot be read or written.
    pub fn open(
        directory: &Path,
        options: LogOptions,
        clock: StoreClock,
    ) -> Result<Self, StoreError> {
        let opened = Self::start(Place::Directory(directory.to_owned()), options, clock);
        opened.map_err(|error| StoreError::new("opening the logs", error))
    }

    /// Logs that go with the process; for tests.
    ///
    /// # Panics
    ///
    /// No thread can be started.
    #[must_use]
    pub fn memory(options: LogOptions, clock: StoreClock) -> Self {
        let options = LogOptions {
            fsync: Fsync::Never,
            ..options
        };
        Self::start(Place::Memory, options, clock).expect("memory has no errors, threads start")
    }

    fn start(place: Place, options: LogOptions, clock: StoreClock) -> std::io::Result<Self> {
        let fsync = options.fsync;
        let queue = Queue::new(options.flush.min(limits::LOG_FLUSH_MAX));
        let state = State::open(place, &options, clock.now_ms())?;
        let shared = Arc::new(Shared {
            queue,
            written: watch::Sender::new(state.last_seq()),
            state: Mutex::new(state),
            clock,
            fsync,
            readers: Semaphore::new(limits::LOG_SCANS),
        });
        let writer = writer::start(Arc::clone(&shared))?;
        let end = End {
            shared: Arc::clone(&shared),
            writer: Mutex::new(Some(writer)),
        };
        Ok(Self {
            shared,
            _end: Arc::new(end),
        })
    }

    /// Takes a line, whose group and stream are made if need be; the event has its line break, as
    /// AWS has it. It copies it and returns; a line for which there is no room is counted, and the
    /// count written into the stream.
    pub fn push(&self, name: StreamName<'_>, time_ms: u64, line: &[u8]) {
        let line = &line[..line.len().min(limits::LOG_EVENT_BYTES - 1)];
        self.shared.queue.push(name, time_ms, line);
    }

    /// Writes events to a stream that is there: all of them, or none. They are written when this
    /// returns.
    ///
    /// # Errors
    ///
    /// There is no such stream, there is no room at the moment, or they cannot be written.
    pub async fn put(
        &self,
        name: StreamName<'_>,
        events: &[(u64, String)],
    ) -> Result<(), LogError> {
        self.lock().find_stream(name)?;
        let events = events
            .iter()
            .map(|(time_ms, text)| (*time_ms, text.as_bytes()));
        let written = self.shared.queue.put(name, events)?;
        written.await.unwrap_or(Err(LogError::Busy))
    }

    /// Returns when readers see what was logged before.
    pub async fn flush(&self) {
        // That it could not be written is told in the log.
        let _ = self.shared.queue.flush().await;
    }

    /// Tells of new events: the value is the number of the last.
    #[must_use]
    pub fn written(&self) -> watch::Receiver<u64> {
        self.shared.written.subscribe()
    }

    /// Writes what waits and ends the writer; what is logged later is lost.
    pub async fn close(&self) {
        let end = Arc::clone(&self._end);
        let _ = tokio::task::spawn_blocking(move || end.join()).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl End {
    fn join(&self) {
        self.shared.queue.close();
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = writer.take() {
            let _ = writer.join();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

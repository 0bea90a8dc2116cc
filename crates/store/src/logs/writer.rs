//! The one thread that writes logs: everything that waits goes into the newest file at once.

use std::collections::HashMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use bootlace_types::{Scope, clock, limits};

use super::codec::Event;
use super::media::Media;
use super::queue::{Batch, Found, Lost, Source};
use super::{Fsync, LogError, Shared};

#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    next_seq: u64,
    /// Streams of which lines could not be written, told as soon as anything can.
    unwritten: Vec<Source>,
    failing: bool,
    swept: Instant,
    synced: Instant,
    /// Files for another thread to sync, so that lines do not wait for the disk's slowest moment.
    sync: Option<SyncSender<Written>>,
    unsynced: Option<Written>,
}

/// The catalog's journal and a log file.
type Written = [Arc<Media>; 2];

pub(super) fn start(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let sync = match shared.fsync {
        Fsync::Never | Fsync::Always => None,
        Fsync::Interval => {
            let (sender, files) = sync_channel::<Written>(1);
            thread("log-sync").spawn(move || files.iter().for_each(|files| sync(&files)))?;
            Some(sender)
        }
    };
    let now = clock::now();
    let next_seq = shared.lock().last_seq() + 1;
    let writer = Writer {
        next_seq,
        shared,
        unwritten: Vec::new(),
        failing: false,
        swept: now,
        synced: now,
        sync,
        unsynced: None,
    };
    thread("log-writer").spawn(move || {
        // Nobody would ever be answered again.
        if std::panic::catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
            tracing::error!("the log writer panicked; the server stops");
            std::process::abort();
        }
    })
}

fn sync(files: &Written) {
    for file in files {
        if let Err(error) = file.sync() {
            tracing::warn!(%error, "logs may not survive a loss of power");
        }
    }
}

impl Writer {
    fn run(mut self) {
        loop {
            let idle = match self.unsynced {
                Some(_) => limits::LOG_FSYNC,
                None => limits::LOG_SWEEP,
            };
            match self.shared.queue.take(idle) {
                Found::Batch(batch) => self.write(batch),
                Found::Idle => {}
                Found::Closed => break,
            }
            self.sync_later();
            self.sweep();
        }
        if let Some(files) = &self.unsynced {
            sync(files);
        }
    }

    /// Removes what is too much after each batch, and what is too old every now and then.
    fn sweep(&mut self) {
        let now = clock::now();
        if now.saturating_duration_since(self.swept) >= limits::LOG_SWEEP {
            self.swept = now;
            let now_ms = self.shared.clock.now_ms();
            self.shared.lock().enforce(now_ms);
        }
    }

    fn write(&mut self, mut batch: Batch) {
        let waiters = std::mem::take(&mut batch.waiters);
        if batch.nameless.lines > 0 {
            let lines = batch.nameless.lines;
            tracing::warn!(lines, "log lines of too many streams at once were dropped");
        }
        batch.sources.append(&mut self.unwritten);
        let written = match batch.sources.is_empty() {
            true => Ok(()),
            false => self.append(&batch),
        };
        let answer = match written {
            Ok(()) => {
                self.failing = false;
                Ok(())
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "logs cannot be written; they are counted and dropped");
                }
                self.remember(batch);
                Err(LogError::failed(&error))
            }
        };
        for waiter in waiters {
            // One that went away does not care.
            let _ = waiter.send(answer.clone());
        }
    }

    fn append(&mut self, batch: &Batch) -> io::Result<()> {
        let now_ms = self.shared.clock.now_ms();
        let (tip, streams, journal) = {
            let mut state = self.shared.lock();
            let resolve = |source| state.resolve(source, now_ms);
            let streams: io::Result<Vec<_>> = batch.sources.iter().map(resolve).collect();
            (state.tip(now_ms)?, streams?, state.catalog.journal())
        };
        let losses = losses(&batch.sources);
        let lines = batch.lines().chain(
            losses
                .iter()
                .map(|(source, text)| (*source, now_ms, text.as_bytes())),
        );
        let mut events = Vec::new();
        let mut bytes = Vec::new();
        for (source, time_ms, message) in lines {
            let Some(stream) = streams.get(source).copied().flatten() else {
                tracing::warn!("there are too many log groups; lines of a new one are dropped");
                continue;
            };
            let event = Event {
                seq: self.next_seq,
                stream,
                time_ms,
                ingested_ms: now_ms,
                message,
            };
            self.next_seq += 1;
            event.encode(&mut bytes);
            events.push(event);
        }
        if let Err(error) = tip.media.write(tip.at, &bytes) {
            // What follows must not be taken for part of what was half written.
            if tip.media.cut(tip.at).is_err() {
                self.shared.lock().abandon(tip.segment);
            }
            return Err(error);
        }
        if self.shared.fsync == Fsync::Always {
            journal.sync()?;
            tip.media.sync()?;
        }
        let mut state = self.shared.lock();
        state.note(tip.segment, events.into_iter());
        state.enforce_size();
        let last_seq = state.last_seq();
        drop(state);
        self.shared.written.send_replace(last_seq);
        if self.sync.is_some() {
            self.unsynced = Some([journal, tip.media]);
        }
        Ok(())
    }

    fn sync_later(&mut self) {
        let (Some(sync), Some(files)) = (&self.sync, &self.unsynced) else {
            return;
        };
        let now = clock::now();
        if now.saturating_duration_since(self.synced) < limits::LOG_FSYNC {
            return;
        }
        // A disk that is still busy with the last ones gets these later.
        if sync.try_send(files.clone()).is_ok() {
            self.unsynced = None;
            self.synced = now;
        }
    }

    /// What could not be written is told in its streams later.
    fn remember(&mut self, mut batch: Batch) {
        let mut lost = vec![Lost::default(); batch.sources.len()];
        for (source, _, line) in batch.lines() {
            lost[source].add(1, line.len());
        }
        for (source, lost) in batch.sources.iter_mut().zip(lost) {
            source.lost.lines = source.lost.lines.saturating_add(lost.lines);
            source.lost.bytes = source.lost.bytes.saturating_add(lost.bytes);
        }
        let mut known: HashMap<(Scope, String, String), Lost> = HashMap::new();
        for source in batch.sources {
            let Source { lost, .. } = source;
            let name = (source.scope, source.group, source.stream);
            if known.len() < limits::LOG_LOST_STREAMS || known.contains_key(&name) {
                let all = known.entry(name).or_default();
                all.lines = all.lines.saturating_add(lost.lines);
                all.bytes = all.bytes.saturating_add(lost.bytes);
            }
        }
        let source = |((scope, group, stream), lost)| Source {
            scope,
            group,
            stream,
            lost,
        };
        self.unwritten = known.into_iter().map(source).collect();
    }
}

/// What a stream says in the place of lines that were lost.
fn losses(sources: &[Source]) -> Vec<(usize, String)> {
    let lost = sources.iter().enumerate();
    let lost = lost.filter(|(_, source)| source.lost.lines > 0);
    let text = |(index, source): (usize, &Source)| {
        let Lost { lines, bytes } = source.lost;
        let text = format!(
            "[bootlace] {lines} lines ({bytes} bytes) of this stream were lost here: the log store \
             could not take them"
        );
        (index, text)
    };
    lost.map(text).collect()
}

//! Reading: a page of events in the order of their times, or what came since, in the order in which
//! it came.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use bootlace_types::{Scope, limits};

use super::codec::{Event, Frames};
use super::media::Media;
use super::state::State;
use super::{LogError, LogStore, StreamName};

/// A place in the order of time. Events of the same millisecond are in the order of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    pub time_ms: u64,
    pub seq: u64,
}

/// Which streams of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Which {
    #[default]
    All,
    /// Each must be there.
    Named(Vec<String>),
    Prefix(String),
}

/// From which end a page is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// With the oldest.
    Forward,
    /// With the newest.
    Backward,
}

/// Looks at a message.
pub type Matches = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// What is asked for.
#[derive(Clone)]
pub struct LogQuery {
    pub scope: Scope,
    pub group: String,
    pub streams: Which,
    /// Events of this time or later.
    pub from_ms: u64,
    /// Events before this time.
    pub before_ms: u64,
    /// In the direction of reading, itself not included.
    pub after: Option<LogPosition>,
    pub direction: Direction,
    /// Events on the page, [`limits::LOG_PAGE_EVENTS`] at most.
    pub limit: usize,
    pub matches: Option<Matches>,
}

/// What live tail asks for: what came after an event, of several groups.
#[derive(Clone)]
pub struct TailQuery {
    pub scope: Scope,
    /// A group may be there several times; of streams named together none is seen before all exist.
    pub groups: Vec<(String, Which)>,
    pub after_seq: u64,
    pub limit: usize,
    pub matches: Option<Matches>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub group: Arc<str>,
    pub stream: Arc<str>,
    pub position: LogPosition,
    pub ingested_ms: u64,
    pub message: Vec<u8>,
}

/// Events in the order of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPage {
    pub events: Vec<LogLine>,
    /// Where to go on, if there may be more. A page without events may have it.
    pub next: Option<LogPosition>,
}

impl fmt::Debug for LogQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogQuery")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TailQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TailQuery")
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

impl LogStore {
    /// One page of events. All that was logged before the call is seen.
    ///
    /// # Errors
    ///
    /// There is no such group or stream, or the files cannot be read.
    pub async fn read(&self, query: LogQuery) -> Result<LogPage, LogError> {
        self.flush().await;
        let now_ms = self.shared.clock.now_ms();
        self.with_state_off_thread(move |state| {
            let name = StreamName {
                scope: &query.scope,
                group: &query.group,
                stream: "",
            };
            let group = state.find_group(name)?;
            let from_ms = query.from_ms.max(state.expired_before(group, now_ms));
            let mut streams = Streams::new();
            choose(
                state,
                &query.scope,
                &query.group,
                &query.streams,
                0,
                &mut streams,
            )?;
            let blocks = blocks(state, &streams, |first_ms, last_ms, _| {
                last_ms >= from_ms && first_ms < query.before_ms
            });
            Ok(move || Scan::new(query, from_ms, streams).run(blocks))
        })
        .await
    }

    /// What was written after an event, in that order, and the number of the last event looked at.
    ///
    /// # Errors
    ///
    /// There is no such group or stream, or the files cannot be read.
    pub async fn tail(&self, query: TailQuery) -> Result<(Vec<LogLine>, u64), LogError> {
        let now_ms = self.shared.clock.now_ms();
        self.with_state_off_thread(move |state| {
            let mut streams = Streams::new();
            for (group, which) in &query.groups {
                let name = StreamName {
                    scope: &query.scope,
                    group,
                    stream: "",
                };
                let found = state.find_group(name)?;
                let from_ms = state.expired_before(found, now_ms);
                // A stream that is asked for may come later.
                match choose(state, &query.scope, group, which, from_ms, &mut streams) {
                    Err(LogError::NoStream) => {}
                    result => result?,
                }
            }
            let last_seq = state.last_seq();
            let blocks = blocks(state, &streams, |_, _, seq| seq > query.after_seq);
            Ok(move || tail(&query, &streams, blocks, last_seq))
        })
        .await
    }

    /// Looks at what there is, and reads it, on a thread that may wait for the disk.
    async fn with_state_off_thread<T, R>(
        &self,
        look: impl FnOnce(&State) -> Result<R, LogError> + Send + 'static,
    ) -> Result<T, LogError>
    where
        T: Send + 'static,
        R: FnOnce() -> std::io::Result<T>,
    {
        let place = self.shared.readers.acquire().await;
        let _place = place.map_err(|error| LogError::failed(&error))?;
        let shared = Arc::clone(&self.shared);
        let task = move || {
            let state = shared.lock();
            let read = look(&state)?;
            drop(state);
            read().map_err(|error| LogError::failed(&error))
        };
        let done = tokio::task::spawn_blocking(task).await;
        done.unwrap_or_else(|error| Err(LogError::failed(&error)))
    }
}

/// The streams that are wanted, by number.
type Streams = HashMap<u64, Chosen>;

struct Chosen {
    group: Arc<str>,
    stream: Arc<str>,
    from_ms: u64,
}

fn choose(
    state: &State,
    scope: &Scope,
    group: &str,
    which: &Which,
    from_ms: u64,
    into: &mut Streams,
) -> Result<(), LogError> {
    let name = StreamName {
        scope,
        group,
        stream: "",
    };
    let group = state.find_group(name)?;
    let mut add = |name: &Arc<str>, id: u64| {
        let chosen = Chosen {
            group: Arc::clone(&group.name),
            stream: Arc::clone(name),
            from_ms,
        };
        into.insert(id, chosen);
    };
    match which {
        Which::All => group.streams.iter().for_each(|(name, id)| add(name, *id)),
        Which::Prefix(prefix) => {
            let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
            let named = group.streams.range::<str, _>(from);
            named
                .take_while(|(name, _)| name.starts_with(prefix.as_str()))
                .for_each(|(name, id)| add(name, *id));
        }
        Which::Named(names) => {
            for name in names {
                let found = group.streams.get_key_value(name.as_str());
                let (name, id) = found.ok_or(LogError::NoStream)?;
                add(name, *id);
            }
        }
    }
    Ok(())
}

/// Part of a file that may hold what is wanted.
struct Part {
    media: Arc<Media>,
    at: u64,
    length: usize,
    first_ms: u64,
    last_ms: u64,
}

/// `wanted` gets the first and the last time of a block and its last number.
fn blocks(state: &State, streams: &Streams, wanted: impl Fn(u64, u64, u64) -> bool) -> Vec<Part> {
    let mut parts = Vec::new();
    for segment in state.segments.values() {
        let blocks = segment.index.blocks.iter();
        let found = blocks
            .filter(|block| wanted(block.first_ms, block.last_ms, block.last_seq))
            .filter(|block| block.may_hold(|stream| streams.contains_key(&stream)));
        parts.extend(found.map(|block| Part {
            media: Arc::clone(&segment.media),
            at: block.at,
            length: block.length,
            first_ms: block.first_ms,
            last_ms: block.last_ms,
        }));
    }
    parts
}

/// Calls `see` for each event of a block.
fn events_of(part: &Part, mut see: impl FnMut(&Event<'_>)) -> std::io::Result<()> {
    let bytes = part.media.read(part.at, part.length)?;
    let mut frames = Frames::new(&bytes);
    for event in frames.by_ref().filter_map(Event::decode) {
        see(&event);
    }
    if frames.taken < part.length {
        tracing::warn!("part of a log file cannot be read any more");
    }
    Ok(())
}

/// A search for the first events of a page.
struct Scan {
    query: LogQuery,
    from_ms: u64,
    streams: Streams,
    /// The best so far, worst on top.
    best: BinaryHeap<Candidate>,
    bytes: usize,
    /// Whether something was found that is not on the page.
    more: bool,
}

struct Candidate {
    rank: Rank,
    line: LogLine,
}

/// Positions in the direction of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Forward(LogPosition),
    Backward(Reverse<LogPosition>),
}

impl Rank {
    fn of(direction: Direction, position: LogPosition) -> Self {
        match direction {
            Direction::Forward => Self::Forward(position),
            Direction::Backward => Self::Backward(Reverse(position)),
        }
    }
}

impl Scan {
    fn new(query: LogQuery, from_ms: u64, streams: Streams) -> Self {
        Self {
            query,
            from_ms,
            streams,
            best: BinaryHeap::new(),
            bytes: 0,
            more: false,
        }
    }

    fn run(mut self, mut parts: Vec<Part>) -> std::io::Result<LogPage> {
        let after = self.query.after.map(|after| self.rank(after));
        parts.retain(|part| after.is_none_or(|after| after < self.end_of(part)));
        parts.sort_by_key(|part| self.start_of(part));
        let mut read = 0_usize;
        let mut cut = None;
        for part in &parts {
            let start = self.start_of(part);
            let full = self.best.peek().filter(|_| self.more);
            if full.is_some_and(|worst| worst.rank < start) {
                break;
            }
            // Enough for one page, if the next begins with something that this one has not seen.
            if read >= limits::LOG_SCAN_BYTES && after.is_none_or(|after| after < start) {
                cut = Some(start);
                break;
            }
            read += part.length;
            self.look_at(part, after)?;
        }
        Ok(self.into_page(cut))
    }

    fn look_at(&mut self, part: &Part, after: Option<Rank>) -> std::io::Result<()> {
        let full = self.query.limit.clamp(1, limits::LOG_PAGE_EVENTS);
        events_of(part, |event| {
            let position = LogPosition {
                time_ms: event.time_ms,
                seq: event.seq,
            };
            let rank = self.rank(position);
            let in_time = event.time_ms >= self.from_ms && event.time_ms < self.query.before_ms;
            if !in_time || after.is_some_and(|after| rank <= after) {
                return;
            }
            let Some(stream) = self.streams.get(&event.stream) else {
                return;
            };
            let worst = self.best.peek().filter(|_| self.more);
            if worst.is_some_and(|worst| worst.rank < rank) {
                return;
            }
            let matches = self.query.matches.as_ref();
            if matches.is_some_and(|matches| !matches(event.message)) {
                return;
            }
            let line = line(stream, event);
            self.bytes += line.message.len();
            self.best.push(Candidate { rank, line });
            while self.best.len() > full
                || (self.bytes > limits::LOG_PAGE_BYTES && self.best.len() > 1)
            {
                if let Some(worst) = self.best.pop() {
                    self.bytes -= worst.line.message.len();
                    self.more = true;
                }
            }
        })
    }

    fn into_page(self, cut: Option<Rank>) -> LogPage {
        let mut best = self.best.into_sorted_vec();
        if let Some(cut) = cut {
            // Parts that were not read may have what belongs in between.
            best.retain(|candidate| candidate.rank <= cut);
        }
        let next = match best.last() {
            Some(last) if self.more => Some(last.rank),
            _ => cut,
        };
        let mut events: Vec<_> = best.into_iter().map(|candidate| candidate.line).collect();
        if self.query.direction == Direction::Backward {
            events.reverse();
        }
        let next = next.map(|rank| match rank {
            Rank::Forward(position) | Rank::Backward(Reverse(position)) => position,
        });
        LogPage { events, next }
    }

    fn rank(&self, position: LogPosition) -> Rank {
        Rank::of(self.query.direction, position)
    }

    /// Before every event of the part, in the direction of reading.
    fn start_of(&self, part: &Part) -> Rank {
        self.rank(match self.query.direction {
            Direction::Forward => LogPosition {
                time_ms: part.first_ms,
                seq: 0,
            },
            Direction::Backward => LogPosition {
                time_ms: part.last_ms,
                seq: u64::MAX,
            },
        })
    }

    /// Behind every event of the part.
    fn end_of(&self, part: &Part) -> Rank {
        self.rank(match self.query.direction {
            Direction::Forward => LogPosition {
                time_ms: part.last_ms,
                seq: u64::MAX,
            },
            Direction::Backward => LogPosition {
                time_ms: part.first_ms,
                seq: 0,
            },
        })
    }
}

fn tail(
    query: &TailQuery,
    streams: &Streams,
    parts: Vec<Part>,
    last_seq: u64,
) -> std::io::Result<(Vec<LogLine>, u64)> {
    let mut lines = Vec::new();
    let mut bytes = 0;
    let mut looked = query.after_seq;
    for part in &parts {
        let mut full = false;
        events_of(part, |event| {
            full |= lines.len() >= query.limit || bytes >= limits::LOG_PAGE_BYTES;
            if full || event.seq <= looked || event.seq > last_seq {
                return;
            }
            looked = event.seq;
            let stream = streams.get(&event.stream);
            let stream = stream.filter(|stream| event.time_ms >= stream.from_ms);
            let matches = query.matches.as_ref();
            if let Some(stream) = stream
                && matches.is_none_or(|matches| matches(event.message))
            {
                bytes += event.message.len();
                lines.push(line(stream, event));
            }
        })?;
        if full {
            return Ok((lines, looked));
        }
    }
    Ok((lines, last_seq))
}

fn line(stream: &Chosen, event: &Event<'_>) -> LogLine {
    LogLine {
        group: Arc::clone(&stream.group),
        stream: Arc::clone(&stream.stream),
        position: LogPosition {
            time_ms: event.time_ms,
            seq: event.seq,
        },
        ingested_ms: event.ingested_ms,
        message: event.message.to_vec(),
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

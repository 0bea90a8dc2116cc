//! What is known of all log files: the catalog of names and the segments, oldest first.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bootlace_types::limits;

use super::catalog::{Catalog, Group, Stream};
use super::codec::Event;
use super::media::{Media, Place};
use super::queue::Source;
use super::segment::{self, Segment, Summary};
use super::{LogError, LogOptions, StreamName};

const MS_PER_DAY: u64 = 86_400_000;

#[derive(Debug)]
pub(super) struct State {
    place: Place,
    pub(super) catalog: Catalog,
    pub(super) segments: BTreeMap<u64, Segment>,
    next_segment: u64,
    max_bytes: u64,
    segment_bytes: u64,
    retention_days: Option<u32>,
    last_seq: u64,
}

/// Where the writer writes next.
#[derive(Debug)]
pub(super) struct Tip {
    pub(super) segment: u64,
    pub(super) media: Arc<Media>,
    pub(super) at: u64,
}

impl State {
    pub(super) fn open(place: Place, options: &LogOptions, now_ms: u64) -> io::Result<Self> {
        for name in place.names()? {
            if name.ends_with(crate::files::TEMPORARY) {
                place.remove(&name)?;
            }
        }
        let mut state = Self {
            catalog: Catalog::open(&place)?,
            segments: BTreeMap::new(),
            next_segment: 1,
            max_bytes: options.max_bytes,
            segment_bytes: (options.max_bytes / 8).clamp(64 * 1_024, limits::LOG_SEGMENT_BYTES),
            retention_days: options.retention_days,
            last_seq: 0,
            place,
        };
        let names = state.place.names()?;
        let mut numbers: Vec<u64> = names
            .iter()
            .filter_map(|name| segment::number(name))
            .collect();
        numbers.sort_unstable();
        for number in &numbers {
            state.next_segment = number.saturating_add(1);
            let newest = Some(number) == numbers.last();
            match Segment::open(&state.place, *number, newest, now_ms)? {
                Some(segment) => state.adopt(segment),
                None => tracing::warn!(segment = number, "a file among the logs is no log file"),
            }
        }
        state.enforce(now_ms);
        Ok(state)
    }

    fn adopt(&mut self, segment: Segment) {
        for (id, summary) in &segment.index.streams {
            self.catalog.reserve(*id);
            if let Some(stream) = self.catalog.stream_mut(*id) {
                merge(&mut stream.summary, summary);
            }
        }
        self.last_seq = self.last_seq.max(segment.index.last_seq);
        self.segments.insert(segment.number, segment);
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    pub(super) fn find_group(&self, name: StreamName<'_>) -> Result<&Group, LogError> {
        let group = self.catalog.group(name.scope, name.group);
        group.ok_or(LogError::NoGroup)
    }

    pub(super) fn find_stream(&self, name: StreamName<'_>) -> Result<&Stream, LogError> {
        let group = self.find_group(name)?;
        let id = group.streams.get(name.stream).ok_or(LogError::NoStream)?;
        self.catalog.stream(*id).ok_or(LogError::NoStream)
    }

    /// The number of a stream, which is made if need be; none when there are too many groups.
    pub(super) fn resolve(&mut self, source: &Source, now_ms: u64) -> io::Result<Option<u64>> {
        let known = self.catalog.group(&source.scope, &source.group);
        let group = match known {
            Some(group) => match group.streams.get(source.stream.as_str()) {
                Some(stream) => return Ok(Some(*stream)),
                None => group.id,
            },
            None if self.catalog.group_count() >= limits::LOG_GROUPS => return Ok(None),
            None => {
                let (scope, name) = (&source.scope, &source.group);
                self.catalog.add_group(scope, name, now_ms)?
            }
        };
        if self.catalog.stream_count() >= limits::LOG_STREAMS
            && let Some(oldest) = self.catalog.oldest_stream()
        {
            self.catalog.remove_stream(oldest)?;
        }
        self.catalog
            .add_stream(group, &source.stream, now_ms)
            .map(Some)
    }

    /// Where to write; a new segment when the last is full or old.
    pub(super) fn tip(&mut self, now_ms: u64) -> io::Result<Tip> {
        let max_age = u64::try_from(limits::LOG_SEGMENT_AGE.as_millis()).unwrap_or(u64::MAX);
        let fits = |segment: &Segment| {
            segment.index.length < self.segment_bytes
                && now_ms.saturating_sub(segment.since_ms) < max_age
        };
        let last = self.segments.last_key_value().map(|(_, segment)| segment);
        if !last.is_some_and(fits) {
            self.seal();
            let segment = Segment::begin(&self.place, self.next_segment, now_ms)?;
            self.next_segment += 1;
            self.segments.insert(segment.number, segment);
        }
        let last = self.segments.last_key_value().map(|(_, segment)| segment);
        let last = last.ok_or_else(|| io::Error::other("no segment"))?;
        Ok(Tip {
            segment: last.number,
            media: Arc::clone(&last.media),
            at: last.index.length,
        })
    }

    /// The last segment takes no more, because it cannot be known what is in it behind its end.
    pub(super) fn abandon(&mut self, number: u64) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.since_ms = 0;
        }
        self.seal();
    }

    fn seal(&self) {
        if let Some((_, last)) = self.segments.last_key_value()
            && let Err(error) = last.seal(&self.place)
        {
            tracing::warn!(%error, "the index of a log file cannot be written; a start reads the file");
        }
    }

    /// Events were written to the end of a segment, in this order.
    pub(super) fn note<'a>(&mut self, segment: u64, events: impl Iterator<Item = Event<'a>>) {
        // It is gone when everything was deleted meanwhile.
        let Some(segment) = self.segments.get_mut(&segment) else {
            return;
        };
        for event in events {
            segment.index.note(&event);
            self.last_seq = self.last_seq.max(event.seq);
            if let Some(stream) = self.catalog.stream_mut(event.stream) {
                merge(&mut stream.summary, &Summary::of(&event));
            }
        }
    }

    /// Events of a group before this are too old to be read.
    pub(super) fn expired_before(&self, group: &Group, now_ms: u64) -> u64 {
        let days = group.retention_days.or(self.retention_days);
        days.map_or(0, |days| {
            now_ms.saturating_sub(u64::from(days) * MS_PER_DAY)
        })
    }

    /// Removes files that hold only what is deleted or too old, and what is too much.
    pub(super) fn enforce(&mut self, now_ms: u64) {
        let last = self.segments.last_key_value().map(|(number, _)| *number);
        let dead: Vec<u64> = self
            .segments
            .values()
            .filter(|segment| Some(segment.number) != last && self.is_dead(segment, now_ms))
            .map(|segment| segment.number)
            .collect();
        for number in dead {
            self.remove(number);
        }
        self.enforce_size();
    }

    /// Removes the oldest files until all fit.
    pub(super) fn enforce_size(&mut self) {
        while self.bytes() > self.max_bytes && self.segments.len() > 1 {
            let Some((oldest, _)) = self.segments.first_key_value() else {
                return;
            };
            self.remove(*oldest);
        }
    }

    /// Deletes everything.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.catalog.clear()?;
        let numbers: Vec<u64> = self.segments.keys().copied().collect();
        for number in numbers {
            self.remove(number);
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let lengths = self.segments.values().map(|segment| segment.index.length);
        lengths.fold(0, u64::saturating_add)
    }

    fn is_dead(&self, segment: &Segment, now_ms: u64) -> bool {
        segment.index.streams.iter().all(|(id, summary)| {
            let stream = self.catalog.stream(*id);
            let group = stream.and_then(|stream| self.catalog.group_by_id(stream.group));
            group.is_none_or(|group| summary.last_ms < self.expired_before(group, now_ms))
        })
    }

    fn remove(&mut self, number: u64) {
        let Some(segment) = self.segments.remove(&number) else {
            return;
        };
        if let Err(error) = segment.remove(&self.place) {
            tracing::warn!(%error, "a log file cannot be removed");
        }
        for id in segment.index.streams.keys() {
            let mut left = None;
            for other in self.segments.values() {
                if let Some(summary) = other.index.streams.get(id) {
                    merge(&mut left, summary);
                }
            }
            let Some(stream) = self.catalog.stream_mut(*id) else {
                continue;
            };
            stream.summary = left;
            if left.is_none()
                && let Err(error) = self.catalog.remove_stream(*id)
            {
                tracing::warn!(%error, "a log stream without events cannot be removed");
            }
        }
    }
}

fn merge(known: &mut Option<Summary>, more: &Summary) {
    match known {
        Some(known) => known.merge(more),
        None => *known = Some(*more),
    }
}

//! One file of events with what is known of it without reading it: blocks with their range of
//! times, and a summary for each stream.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bootlace_types::limits;
use serde::{Deserialize, Serialize};

use super::codec::{EVENT_BYTES, Event, FRAME_BYTES, Frames};
use super::media::{Media, Place};

/// What a segment begins with, so that nobody takes another file for one.
const MAGIC: &[u8; 16] = b"bootlace logs 1\n";
/// What AWS counts for an event beside its message, bytes.
const OVERHEAD_BYTES: u64 = 26;
/// Streams that a block names; one with more may hold any.
const BLOCK_STREAMS: usize = 8;

/// A run of whole frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Block {
    pub(super) at: u64,
    pub(super) length: usize,
    pub(super) first_ms: u64,
    pub(super) last_ms: u64,
    pub(super) last_seq: u64,
    /// In no order; empty: any.
    streams: Vec<u64>,
}

/// What a segment holds of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Summary {
    pub(super) first_ms: u64,
    pub(super) last_ms: u64,
    pub(super) ingested_ms: u64,
    pub(super) bytes: u64,
}

/// What is known of a segment; what its index file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Index {
    /// Where the next frame goes.
    pub(super) length: u64,
    pub(super) last_seq: u64,
    pub(super) blocks: Vec<Block>,
    pub(super) streams: BTreeMap<u64, Summary>,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) media: Arc<Media>,
    pub(super) index: Index,
    /// When it was begun, or opened.
    pub(super) since_ms: u64,
}

impl Block {
    pub(super) fn may_hold(&self, wanted: impl Fn(u64) -> bool) -> bool {
        self.streams.is_empty() || self.streams.iter().any(|stream| wanted(*stream))
    }

    fn note(&mut self, event: &Event<'_>) {
        self.first_ms = self.first_ms.min(event.time_ms);
        self.last_ms = self.last_ms.max(event.time_ms);
        self.last_seq = event.seq;
        if self.streams.is_empty() || self.streams.contains(&event.stream) {
            return;
        }
        if self.streams.len() < BLOCK_STREAMS {
            self.streams.push(event.stream);
        } else {
            self.streams.clear();
        }
    }
}

impl Summary {
    pub(super) fn merge(&mut self, other: &Self) {
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
        self.ingested_ms = self.ingested_ms.max(other.ingested_ms);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    pub(super) fn of(event: &Event<'_>) -> Self {
        let message = u64::try_from(event.message.len()).unwrap_or(u64::MAX);
        Self {
            first_ms: event.time_ms,
            last_ms: event.time_ms,
            ingested_ms: event.ingested_ms,
            bytes: message.saturating_add(OVERHEAD_BYTES),
        }
    }
}

impl Index {
    /// An event was written behind all others.
    pub(super) fn note(&mut self, event: &Event<'_>) {
        let length = FRAME_BYTES + EVENT_BYTES + event.message.len();
        match self.blocks.last_mut() {
            Some(block) if block.length < limits::LOG_BLOCK_BYTES => {
                block.length += length;
                block.note(event);
            }
            _ => self.blocks.push(Block {
                at: self.length,
                length,
                first_ms: event.time_ms,
                last_ms: event.time_ms,
                last_seq: event.seq,
                streams: vec![event.stream],
            }),
        }
        self.length = self
            .length
            .saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        self.last_seq = event.seq;
        let summary = Summary::of(event);
        let known = self.streams.entry(event.stream);
        known
            .and_modify(|known| known.merge(&summary))
            .or_insert(summary);
    }
}

impl Segment {
    /// Makes an empty one.
    pub(super) fn begin(place: &Place, number: u64, now_ms: u64) -> io::Result<Self> {
        let media = place.open(&name(number))?;
        media.cut(0)?;
        media.write(0, MAGIC)?;
        Ok(Self {
            number,
            media: Arc::new(media),
            index: Index {
                length: MAGIC.len() as u64,
                ..Index::default()
            },
            since_ms: now_ms,
        })
    }

    /// Opens one that is there: by its index file, or by reading it. What a crash left of a frame
    /// at the end of the `newest` is cut off.
    pub(super) fn open(
        place: &Place,
        number: u64,
        newest: bool,
        now_ms: u64,
    ) -> io::Result<Option<Self>> {
        let media = place.open(&name(number))?;
        let length = media.len()?;
        if newest {
            // More will be written to it.
            place.remove(&index_name(number))?;
        }
        let known = place.read(&index_name(number))?;
        let known = known
            .and_then(|text| parse_index(&text))
            .filter(|index| index.length <= length);
        let index = match known {
            Some(index) => index,
            None if media.read(0, MAGIC.len())? != MAGIC => return Ok(None),
            None => scan(&media, length)?,
        };
        if index.length < length {
            let bytes = length - index.length;
            tracing::warn!(
                segment = number,
                bytes,
                "a log file ends in a broken record"
            );
            if newest {
                media.cut(index.length)?;
            }
        }
        Ok(Some(Self {
            number,
            media: Arc::new(media),
            index,
            since_ms: now_ms,
        }))
    }

    /// Nothing more is written to it: the next start need not read it.
    pub(super) fn seal(&self, place: &Place) -> io::Result<()> {
        let text = serde_json::to_vec(&self.index)?;
        let mut contents = crc32fast::hash(&text).to_le_bytes().to_vec();
        contents.extend_from_slice(&text);
        place.write(&index_name(self.number), &contents)
    }

    pub(super) fn remove(&self, place: &Place) -> io::Result<()> {
        place.remove(&name(self.number))?;
        place.remove(&index_name(self.number))
    }
}

/// The number in a segment's name.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

fn name(number: u64) -> String {
    format!("{number:020}.log")
}

fn index_name(number: u64) -> String {
    format!("{number:020}.index")
}

fn parse_index(contents: &[u8]) -> Option<Index> {
    let (checksum, text) = contents.split_first_chunk::<4>()?;
    if crc32fast::hash(text) != u32::from_le_bytes(*checksum) {
        return None;
    }
    serde_json::from_slice(text).ok()
}

/// Learns what a file holds, up to its first broken frame.
fn scan(media: &Media, length: u64) -> io::Result<Index> {
    let mut index = Index {
        length: MAGIC.len() as u64,
        ..Index::default()
    };
    let mut window = limits::LOG_BLOCK_BYTES;
    while index.length < length {
        let bytes = media.read(index.length, window)?;
        let mut taken = 0;
        let mut frames = Frames::new(&bytes);
        while let Some(payload) = frames.next() {
            let Some(event) = Event::decode(payload) else {
                return Ok(index);
            };
            index.note(&event);
            taken = frames.taken;
        }
        if taken > 0 {
            window = limits::LOG_BLOCK_BYTES;
        } else if window > LONGEST_FRAME || bytes.len() < window {
            return Ok(index);
        } else {
            // A frame longer than the window, or none.
            window = LONGEST_FRAME + 1;
        }
    }
    Ok(index)
}

const LONGEST_FRAME: usize = limits::LOG_EVENT_BYTES + EVENT_BYTES + FRAME_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(segment: &mut Segment, count: u64) {
        let mut bytes = Vec::new();
        let at = segment.index.length;
        for seq in 1..=count {
            let event = Event {
                seq,
                stream: seq % 20,
                time_ms: seq * 10,
                ingested_ms: seq * 10,
                message: &[b'x'; 3_000],
            };
            event.encode(&mut bytes);
            segment.index.note(&event);
        }
        segment.media.write(at, &bytes).unwrap();
    }

    #[test]
    fn a_segment_is_known_again_with_and_without_its_index_file() {
        let temp = tempfile::tempdir().unwrap();
        let place = Place::Directory(temp.path().to_owned());
        let mut segment = Segment::begin(&place, 3, 0).unwrap();
        fill(&mut segment, 300);
        assert!(segment.index.blocks.len() > 5);
        let read = Segment::open(&place, 3, false, 0).unwrap().unwrap();
        assert_eq!(read.index, segment.index);
        segment.seal(&place).unwrap();
        let sealed = Segment::open(&place, 3, false, 0).unwrap().unwrap();
        assert_eq!(sealed.index, segment.index);
        let index = temp.path().join(index_name(3));
        std::fs::write(&index, b"no index at all").unwrap();
        let read = Segment::open(&place, 3, false, 0).unwrap().unwrap();
        assert_eq!(read.index, segment.index);
    }

    #[test]
    fn a_torn_end_is_cut_off_and_written_over() {
        let temp = tempfile::tempdir().unwrap();
        let place = Place::Directory(temp.path().to_owned());
        let mut segment = Segment::begin(&place, 1, 0).unwrap();
        fill(&mut segment, 3);
        let whole = segment.index.length;
        for end in [&b"\x10\0\0\0torn"[..], &[0_u8; 100_000], &[0xff; 9]] {
            segment.media.write(whole, end).unwrap();
            let opened = Segment::open(&place, 1, true, 0).unwrap().unwrap();
            assert_eq!(opened.index, segment.index);
            assert_eq!(opened.media.len().unwrap(), whole);
        }
    }

    #[test]
    fn a_stranger_is_no_segment() {
        let temp = tempfile::tempdir().unwrap();
        let place = Place::Directory(temp.path().to_owned());
        std::fs::write(temp.path().join(name(1)), b"something else altogether").unwrap();
        assert!(Segment::open(&place, 1, true, 0).unwrap().is_none());
        assert_eq!(number("00000000000000000007.log"), Some(7));
        for no in ["7.log", "catalog", "00000000000000000007.index"] {
            assert_eq!(number(no), None);
        }
    }
}

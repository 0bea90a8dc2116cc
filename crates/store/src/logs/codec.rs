//! The form of the log files: frames with a length and a checksum, so that a file that was torn by
//! a crash is known up to its last whole frame, and the event in a frame.

use bootlace_types::limits;

/// Length and checksum.
pub(super) const FRAME_BYTES: usize = 8;
/// What precedes the message of an event.
pub(super) const EVENT_BYTES: usize = 32;
/// Nothing longer is written, so a longer length is no length.
const PAYLOAD_BYTES: usize = limits::LOG_EVENT_BYTES + EVENT_BYTES;

/// One event as it is stored; the names are in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event<'a> {
    /// Unique and ascending in the order of writing.
    pub(super) seq: u64,
    pub(super) stream: u64,
    pub(super) time_ms: u64,
    pub(super) ingested_ms: u64,
    pub(super) message: &'a [u8],
}

impl<'a> Event<'a> {
    /// Appends the event in its frame.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = begin_frame(out);
        for number in [self.seq, self.stream, self.time_ms, self.ingested_ms] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(self.message);
        end_frame(out, start);
    }

    pub(super) fn decode(payload: &'a [u8]) -> Option<Self> {
        let (numbers, message) = payload.split_first_chunk::<EVENT_BYTES>()?;
        let number = |at: usize| {
            let bytes = numbers.get(at * 8..at * 8 + 8)?;
            bytes.try_into().ok().map(u64::from_le_bytes)
        };
        Some(Self {
            seq: number(0)?,
            stream: number(1)?,
            time_ms: number(2)?,
            ingested_ms: number(3)?,
            message,
        })
    }
}

/// Appends any payload in its frame.
pub(super) fn encode_frame(payload: &[u8], out: &mut Vec<u8>) {
    let start = begin_frame(out);
    out.extend_from_slice(payload);
    end_frame(out, start);
}

fn begin_frame(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; FRAME_BYTES]);
    out.len()
}

fn end_frame(out: &mut [u8], start: usize) {
    let (head, payload) = out.split_at_mut(start);
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let checksum = crc32fast::hash(payload);
    let at = start - FRAME_BYTES;
    head[at..at + 4].copy_from_slice(&length.to_le_bytes());
    head[at + 4..].copy_from_slice(&checksum.to_le_bytes());
}

/// Takes frames off some bytes, up to the first that is not whole.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    rest: &'a [u8],
    /// Bytes of the frames given so far.
    pub(super) taken: usize,
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            taken: 0,
        }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let (checksum, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        // A file that the disk filled with zeros ends here.
        if length == 0 || length > PAYLOAD_BYTES {
            return None;
        }
        let (payload, rest) = rest.split_at_checked(length)?;
        if crc32fast::hash(payload) != u32::from_le_bytes(*checksum) {
            return None;
        }
        self.rest = rest;
        self.taken += FRAME_BYTES + length;
        Some(payload)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for (seq, message) in (1_u64..).zip(messages) {
            let event = Event {
                seq,
                stream: 7,
                time_ms: seq * 10,
                ingested_ms: seq * 11,
                message,
            };
            event.encode(&mut out);
        }
        out
    }

    fn read(bytes: &[u8]) -> Vec<Vec<u8>> {
        let events = Frames::new(bytes).map(|payload| Event::decode(payload).expect("an event"));
        events.map(|event| event.message.to_vec()).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(messages: Vec<Vec<u8>>) {
            prop_assert_eq!(read(&written(&messages)), messages);
        }

        #[test]
        fn arbitrary_bytes_are_no_events_and_no_panic(bytes: Vec<u8>) {
            let mut frames = Frames::new(&bytes);
            for payload in frames.by_ref() {
                let _ = Event::decode(payload);
            }
            prop_assert!(frames.taken <= bytes.len());
        }

        #[test]
        fn a_torn_file_is_known_up_to_its_last_whole_frame(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20),
            cut: prop::sample::Index,
            noise: Vec<u8>,
        ) {
            let whole = written(&messages);
            let cut = cut.index(whole.len());
            let mut torn = whole[..cut].to_vec();
            torn.extend_from_slice(&noise);
            let mut frames = Frames::new(&torn);
            let mut kept = 0;
            let mut bytes = 0;
            for message in &messages {
                bytes += FRAME_BYTES + EVENT_BYTES + message.len();
                kept += usize::from(bytes <= cut);
            }
            let read: Vec<_> = frames.by_ref().take(kept).collect();
            prop_assert_eq!(read.len(), kept);
            for (payload, message) in read.iter().zip(&messages) {
                prop_assert_eq!(Event::decode(payload).expect("an event").message, &message[..]);
            }
        }

        #[test]
        fn a_flipped_bit_ends_the_reading(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..10),
            at: prop::sample::Index,
            bit in 0..8_u8,
        ) {
            let mut bytes = written(&messages);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let read = read(&bytes);
            prop_assert!(read.len() < messages.len());
            prop_assert_eq!(&read[..], &messages[..read.len()]);
        }
    }
}

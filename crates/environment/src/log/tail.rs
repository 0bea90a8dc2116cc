//! The tail of one invocation's log.

use bootlace_types::limits;
use bytes::Bytes;

/// The last bytes of what passed by.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) bytes: Vec<u8>,
}

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let keep = limits::LOG_TAIL_BYTES;
        if bytes.len() >= keep {
            self.bytes.clear();
        } else if self.bytes.len() + bytes.len() > 2 * keep {
            self.bytes.drain(..self.bytes.len() - keep);
        }
        self.bytes
            .extend_from_slice(&bytes[bytes.len().saturating_sub(keep)..]);
    }

    pub(super) fn end_line(&mut self) {
        if self.bytes.last().is_some_and(|last| *last != b'\n') {
            self.bytes.push(b'\n');
        }
    }

    pub(super) fn into_bytes(mut self) -> Bytes {
        let excess = self.bytes.len().saturating_sub(limits::LOG_TAIL_BYTES);
        self.bytes.drain(..excess);
        Bytes::from(self.bytes)
    }
}

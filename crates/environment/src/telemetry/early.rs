//! What is said and written during initialization, kept for those who subscribe in its course.

use std::time::SystemTime;

use bootlace_types::{clock, limits};

use super::Subscriber;
use super::queue::Loss;
use super::schema::Schema;
use crate::log::LogOrigin;
use crate::platform_event::PlatformEvent;

/// Bounded; what has no room is counted.
#[derive(Debug, Default)]
pub(crate) struct Early {
    records: Vec<Record>,
    bytes: usize,
    dropped: Loss,
}

#[derive(Debug)]
enum Record {
    /// In the words of the two APIs; versions do not differ during initialization.
    Platform {
        telemetry: Option<String>,
        logs: Option<String>,
    },
    Line {
        at: SystemTime,
        origin: LogOrigin,
        line: Box<[u8]>,
    },
}

impl Early {
    pub(crate) fn platform(&mut self, at: SystemTime, event: &PlatformEvent<'_>) {
        let telemetry = Schema::Telemetry202212.platform(at, event);
        let logs = Schema::Logs2021.platform(at, event);
        let length = |record: &Option<String>| record.as_ref().map_or(0, String::len);
        let bytes = length(&telemetry) + length(&logs);
        self.keep(bytes, || Record::Platform { telemetry, logs });
    }

    pub(crate) fn line(&mut self, at: SystemTime, origin: LogOrigin, line: &[u8]) {
        self.keep(line.len(), || Record::Line {
            at,
            origin,
            line: line.into(),
        });
    }

    fn keep(&mut self, bytes: usize, record: impl FnOnce() -> Record) {
        let size = bytes + limits::TELEMETRY_RECORD_BYTES;
        if self.bytes + size > limits::TELEMETRY_EARLY_BYTES {
            self.dropped.add(1, bytes);
            return;
        }
        self.bytes += size;
        self.records.push(record());
    }

    pub(super) fn replay(&self, subscriber: &Subscriber, structured: bool) {
        for record in &self.records {
            match record {
                Record::Platform { telemetry, logs } => {
                    let record = match subscriber.schema.is_of_logs_api() {
                        true => logs,
                        false => telemetry,
                    };
                    if let (true, Some(record)) = (subscriber.types.platform, record) {
                        subscriber.queue.push(record.clone());
                    }
                }
                Record::Line { at, origin, line } => {
                    subscriber.line(*at, *origin, line, structured);
                }
            }
        }
        if self.dropped != Loss::default() {
            let event = PlatformEvent::LogsDropped {
                dropped_bytes: self.dropped.bytes,
                dropped_records: self.dropped.records,
                reason: "they came before the subscription",
            };
            subscriber.platform(clock::wall(), &event);
        }
    }
}

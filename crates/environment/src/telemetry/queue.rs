//! The records that wait for one subscriber. Whoever adds one never waits; when there is no room
//! the oldest are dropped, and the subscriber is told how many when it is there again.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bootlace_types::{clock, limits};
use tokio::sync::{Notify, watch};

use super::schema::Schema;
use super::subscription::Buffering;
use crate::platform_event::PlatformEvent;

#[derive(Debug)]
pub(crate) struct Queue {
    schema: Schema,
    buffering: Buffering,
    waiting: Mutex<Waiting>,
    /// Something is due, or there is a first record. Its one listener is the delivery.
    changed: Notify,
    /// Nothing waits and nothing is being delivered.
    settled: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Waiting {
    records: VecDeque<String>,
    bytes: usize,
    /// Since the last report of it.
    dropped: Loss,
    /// Deliver now and from now on.
    hurry: bool,
}

/// Records that a subscriber will never get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

fn weight(record: &str) -> usize {
    record.len() + limits::TELEMETRY_RECORD_BYTES
}

impl Queue {
    pub(super) fn new(schema: Schema, buffering: Buffering) -> Self {
        Self {
            schema,
            buffering,
            waiting: Mutex::default(),
            changed: Notify::new(),
            settled: watch::Sender::new(true),
        }
    }

    pub(super) fn buffering(&self) -> Buffering {
        self.buffering
    }

    pub(super) fn push(&self, record: String) {
        let mut waiting = self.lock();
        let size = weight(&record);
        while waiting.bytes + size > limits::TELEMETRY_QUEUE_BYTES {
            let Some(oldest) = waiting.records.pop_front() else {
                break;
            };
            waiting.bytes -= weight(&oldest);
            waiting.dropped.add(1, oldest.len());
        }
        waiting.bytes += size;
        waiting.records.push_back(record);
        let news = waiting.records.len() == 1 || self.is_due(&waiting);
        self.settled.send_if_modified(std::mem::take);
        drop(waiting);
        if news {
            self.changed.notify_one();
        }
    }

    /// Waits for the first record.
    pub(super) async fn filled(&self) {
        self.until(|waiting| !waiting.records.is_empty()).await;
    }

    /// Waits until there is enough for a delivery, or nothing shall wait any more.
    pub(super) async fn due(&self) {
        self.until(|waiting| self.is_due(waiting)).await;
    }

    async fn until(&self, ready: impl Fn(&Waiting) -> bool) {
        loop {
            if ready(&self.lock()) {
                return;
            }
            self.changed.notified().await;
        }
    }

    fn is_due(&self, waiting: &Waiting) -> bool {
        waiting.hurry
            || waiting.bytes >= self.buffering.max_bytes
            || waiting.records.len() >= self.buffering.max_items
    }

    /// The records of one delivery, at least one if there is any; first of all what was lost
    /// before them.
    pub(super) fn take(&self) -> Vec<String> {
        let mut waiting = self.lock();
        let mut taken = Vec::new();
        let mut bytes = 0;
        let lost = std::mem::take(&mut waiting.dropped);
        if lost != Loss::default() {
            let event = PlatformEvent::LogsDropped {
                dropped_bytes: lost.bytes,
                dropped_records: lost.records,
                reason: "the subscriber takes records more slowly than they come",
            };
            let record = self.schema.platform(clock::wall(), &event);
            taken.extend(record.inspect(|record| bytes += record.len() + 1));
        }
        while let Some(record) = waiting.records.front() {
            let grown = bytes + record.len() + 1;
            let fits = grown <= self.buffering.max_bytes && taken.len() < self.buffering.max_items;
            if !taken.is_empty() && !fits {
                break;
            }
            bytes = grown;
            waiting.bytes -= weight(record);
            taken.extend(waiting.records.pop_front());
        }
        taken
    }

    /// What was taken is delivered, or lost.
    pub(super) fn done(&self, lost: Option<Loss>) {
        let mut waiting = self.lock();
        if let Some(lost) = lost {
            waiting.dropped.records += lost.records;
            waiting.dropped.bytes += lost.bytes;
        }
        if waiting.records.is_empty() {
            self.settled.send_replace(true);
        }
    }

    /// From now on nothing waits to be delivered with more.
    pub(crate) fn hurry(&self) {
        self.lock().hurry = true;
        self.changed.notify_one();
    }

    /// Waits until everything is delivered, or lost.
    pub(crate) async fn settled(&self) {
        // The sender is here.
        let _ = self.settled.subscribe().wait_for(|settled| *settled).await;
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loss {
    pub(super) fn add(&mut self, records: u64, bytes: usize) {
        self.records += records;
        self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn queue() -> Queue {
        let buffering = Buffering {
            max_bytes: limits::TELEMETRY_DEFAULT_BYTES,
            max_items: 1_000,
            timeout: Duration::from_millis(25),
        };
        Queue::new(Schema::Telemetry202212, buffering)
    }

    #[test]
    fn a_flood_is_bounded_and_the_loss_is_told_before_the_rest() {
        let queue = queue();
        let record = "x".repeat(10_000);
        for _ in 0..1_000 {
            queue.push(record.clone());
            assert!(queue.lock().bytes <= limits::TELEMETRY_QUEUE_BYTES);
        }
        let kept = limits::TELEMETRY_QUEUE_BYTES / weight(&record);
        assert_eq!(queue.lock().records.len(), kept);
        let first = queue.take();
        let told: serde_json::Value = serde_json::from_str(&first[0]).unwrap();
        assert_eq!(told["type"], "platform.logsDropped");
        assert_eq!(told["record"]["droppedRecords"], 1_000 - kept);
        assert_eq!(told["record"]["droppedBytes"], (1_000 - kept) * 10_000);
        let bytes: usize = first.iter().map(|record| record.len() + 1).sum();
        assert!(bytes <= limits::TELEMETRY_DEFAULT_BYTES && bytes > 240_000);
        queue.done(None);
        let mut rest = first.len() - 1;
        loop {
            let taken = queue.take();
            if taken.is_empty() {
                break;
            }
            assert!(!taken[0].contains("logsDropped"), "told once");
            rest += taken.len();
            queue.done(None);
        }
        assert_eq!((rest, queue.lock().bytes), (kept, 0));
        assert!(*queue.settled.borrow());
    }

    #[test]
    fn many_small_records_are_bounded_too() {
        let queue = queue();
        for _ in 0..200_000 {
            queue.push(String::new());
        }
        let most = limits::TELEMETRY_QUEUE_BYTES / limits::TELEMETRY_RECORD_BYTES;
        assert_eq!(queue.lock().records.len(), most);
        assert_eq!(
            queue.take().len(),
            1_000,
            "no more than the subscriber asked for"
        );
    }

    #[test]
    fn the_longest_line_has_room_whatever_is_in_it() {
        let queue = queue();
        let line = vec![0_u8; limits::LOG_LINE_BYTES];
        let origin = crate::log::LogOrigin::Function;
        let record = queue.schema.line(clock::wall(), origin, &line, false);
        let length = record.len();
        queue.push("first".into());
        queue.push(record);
        assert!(queue.lock().bytes <= limits::TELEMETRY_QUEUE_BYTES);
        assert_eq!(queue.take(), ["first"]);
        assert_eq!(
            queue.take()[0].len(),
            length,
            "alone, though longer than a delivery"
        );
    }

    #[tokio::test]
    async fn what_is_due_does_not_wait() {
        let queue = queue();
        for _ in 0..1_000 {
            queue.push("x".into());
        }
        queue.due().await;
        queue.take();
        queue.done(None);
        queue.settled().await;
        queue.push("y".into());
        queue.hurry();
        queue.due().await;
        let lost = Loss {
            records: 1,
            bytes: 1,
        };
        assert_eq!(queue.take(), ["y"]);
        queue.done(Some(lost));
        queue.push("z".into());
        assert!(queue.take()[0].contains(r#""droppedRecords":1"#));
    }
}

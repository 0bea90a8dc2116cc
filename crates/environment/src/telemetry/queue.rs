//! The records that wait for one subscriber. Whoever adds one never waits; when there is no room
//! the oldest are dropped, and the subscriber is told how many when it is there again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bootlace_types::{clock, limits};
use tokio::sync::{Notify, watch};

use super::room::Room;
use super::schema::Schema;
use super::subscription::Buffering;
use crate::platform_event::PlatformEvent;

#[derive(Debug)]
pub(crate) struct Queue {
    schema: Schema,
    buffering: Buffering,
    room: Arc<Room>,
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
    /// Bytes that are being delivered.
    under_way: usize,
    /// Bytes of the common room that both have together, beyond the queue's share.
    borrowed: usize,
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
    pub(super) fn new(schema: Schema, buffering: Buffering, room: Arc<Room>) -> Self {
        Self {
            schema,
            buffering,
            room,
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
        while waiting.bytes + size > limits::TELEMETRY_QUEUE_BYTES
            || !waiting.borrow(&self.room, size)
        {
            let Some(oldest) = waiting.records.pop_front() else {
                waiting.dropped.add(1, record.len());
                return;
            };
            waiting.bytes -= weight(&oldest);
            waiting.dropped.add(1, oldest.len());
            waiting.give_back(&self.room);
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
            let size = weight(record);
            waiting.bytes -= size;
            waiting.under_way += size;
            taken.extend(waiting.records.pop_front());
        }
        taken
    }

    /// What was taken is delivered, or lost.
    pub(super) fn done(&self, lost: Option<Loss>) {
        let mut waiting = self.lock();
        waiting.under_way = 0;
        waiting.give_back(&self.room);
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

impl Drop for Queue {
    fn drop(&mut self) {
        self.room.give(self.lock().borrowed);
    }
}

impl Waiting {
    fn beyond_share(&self, more: usize) -> usize {
        let all = self.bytes + self.under_way + more;
        all.saturating_sub(limits::TELEMETRY_SHARE_BYTES)
    }

    /// Takes what a record of this size needs of the room; `false` when there is not so much.
    fn borrow(&mut self, room: &Room, size: usize) -> bool {
        let wanted = self.beyond_share(size);
        let more = wanted.saturating_sub(self.borrowed);
        if more > 0 && !room.take(more) {
            return false;
        }
        self.borrowed += more;
        true
    }

    fn give_back(&mut self, room: &Room) {
        let needed = self.beyond_share(0);
        if self.borrowed > needed {
            room.give(self.borrowed - needed);
            self.borrowed = needed;
        }
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
        let room = Arc::new(Room::new(limits::TELEMETRY_ROOM_BYTES));
        Queue::new(Schema::Telemetry202212, buffering, room)
    }

    #[test]
    fn all_queues_together_are_bounded_and_each_has_its_share() {
        const ROOM: usize = 1 << 20;
        let room = Arc::new(Room::new(ROOM));
        let buffering = queue().buffering;
        let [greedy, other] =
            [(), ()].map(|()| Queue::new(Schema::Telemetry202212, buffering, Arc::clone(&room)));
        let record = "x".repeat(1_000);
        for _ in 0..2_000 {
            greedy.push(record.clone());
        }
        assert!(room.left() < weight(&record));
        assert!(greedy.bytes() <= ROOM + limits::TELEMETRY_SHARE_BYTES);
        for _ in 0..2_000 {
            other.push(record.clone());
        }
        let share = limits::TELEMETRY_SHARE_BYTES / weight(&record);
        let kept = other.lock().records.len();
        assert!((share..=share + 1).contains(&kept), "{kept}");
        assert!(other.take()[0].contains("logsDropped"));
        other.done(None);
        // What is being delivered counts until it is.
        let left = room.left();
        assert!(!greedy.take().is_empty());
        assert_eq!(room.left(), left);
        greedy.done(None);
        assert!(room.left() > left);
        drop(greedy);
        assert_eq!(room.left(), ROOM);
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

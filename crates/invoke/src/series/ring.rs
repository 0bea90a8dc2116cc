//! What happened to one function in each of the last minutes.

use std::time::Duration;

use bootlace_types::limits;

use super::histogram::{Histogram, micros};

const BUCKETS: usize = limits::METRICS_BUCKETS;

/// What happened within one bucket of time, or several of them together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    pub(super) invocations: u64,
    pub(super) errors: u64,
    pub(super) throttles: u64,
    pub(super) cold_starts: u64,
    pub(super) concurrency_max: u32,
    pub(super) sum_us: u64,
    pub(super) min_us: u64,
    pub(super) max_us: u64,
    pub(super) durations: Histogram,
}

impl Bucket {
    pub(super) const EMPTY: Self = Self {
        invocations: 0,
        errors: 0,
        throttles: 0,
        cold_starts: 0,
        concurrency_max: 0,
        sum_us: 0,
        min_us: u64::MAX,
        max_us: 0,
        durations: Histogram::EMPTY,
    };

    pub(super) fn add_duration(&mut self, duration: Duration) {
        let micros = micros(duration);
        self.sum_us = self.sum_us.saturating_add(micros);
        self.min_us = self.min_us.min(micros);
        self.max_us = self.max_us.max(micros);
        self.durations.add(duration);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.invocations += other.invocations;
        self.errors += other.errors;
        self.throttles += other.throttles;
        self.cold_starts += other.cold_starts;
        self.concurrency_max = self.concurrency_max.max(other.concurrency_max);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.min_us = self.min_us.min(other.min_us);
        self.max_us = self.max_us.max(other.max_us);
        self.durations.merge(&other.durations);
    }
}

/// The last buckets; a bucket's number is its time since the epoch divided by its length.
#[derive(Debug)]
pub(super) struct Ring {
    buckets: Box<[Bucket]>,
    /// Number of the newest bucket.
    head: u64,
    /// Number of the first bucket about which everything is known.
    since: u64,
}

impl Ring {
    /// A ring of a function to which nothing happened from `since` on.
    pub(super) fn new(now: u64, since: u64) -> Self {
        Self {
            buckets: vec![Bucket::EMPTY; BUCKETS].into_boxed_slice(),
            head: now,
            since: since.min(now),
        }
    }

    /// When it was last written to.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// Number of the oldest bucket that is kept.
    pub(super) fn kept_from(&self) -> u64 {
        self.since.max(self.head.saturating_sub(BUCKETS as u64 - 1))
    }

    /// The bucket of now. Those that were skipped saw `running` invocations and nothing else.
    ///
    /// A clock that was set back by a little goes on in the newest bucket; one that was set back by
    /// more starts anew, since what is kept lies in its future.
    pub(super) fn at(&mut self, now: u64, running: u32) -> &mut Bucket {
        if now + BUCKETS as u64 <= self.head {
            self.buckets.fill(Bucket::EMPTY);
            self.head = now;
            self.since = now;
        }
        let skipped = now.saturating_sub(self.head).min(BUCKETS as u64);
        for number in now + 1 - skipped..=now {
            *self.slot(number) = Bucket {
                concurrency_max: running,
                ..Bucket::EMPTY
            };
        }
        self.head = self.head.max(now);
        self.slot(self.head)
    }

    /// All of `from..to` that is kept, together.
    pub(super) fn sum(&self, from: u64, to: u64) -> Bucket {
        let mut sum = Bucket::EMPTY;
        for number in from.max(self.kept_from())..to.min(self.head + 1) {
            sum.merge(&self.buckets[index(number)]);
        }
        sum
    }

    fn slot(&mut self, number: u64) -> &mut Bucket {
        &mut self.buckets[index(number)]
    }
}

fn index(number: u64) -> usize {
    // The remainder is below BUCKETS.
    usize::try_from(number % BUCKETS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 29_000_000;
    const LENGTH: u64 = BUCKETS as u64;

    fn counted(ring: &Ring, from: u64, to: u64) -> u64 {
        ring.sum(from, to).invocations
    }

    #[test]
    fn old_buckets_make_room_for_new_ones() {
        let mut ring = Ring::new(DAY, DAY);
        for minute in 0..LENGTH + 10 {
            ring.at(DAY + minute, 0).invocations += 1;
        }
        let end = DAY + LENGTH + 10;
        assert_eq!(ring.kept_from(), DAY + 10);
        assert_eq!(counted(&ring, DAY, end), LENGTH);
        assert_eq!(counted(&ring, DAY, DAY + 11), 1);
        assert_eq!(counted(&ring, end - 1, end + 5), 1);
        assert_eq!(counted(&ring, end, end + 5), 0);
    }

    #[test]
    fn silence_is_zero_and_what_ran_through_it_is_seen() {
        let mut ring = Ring::new(DAY, DAY);
        ring.at(DAY, 0).invocations += 1;
        let bucket = ring.at(DAY + 5, 2);
        assert_eq!((bucket.invocations, bucket.concurrency_max), (0, 2));
        assert_eq!(ring.sum(DAY + 1, DAY + 2).concurrency_max, 2);
        assert_eq!(ring.sum(DAY, DAY + 1).concurrency_max, 0);
        ring.at(DAY + 5 * LENGTH, 0);
        assert_eq!(counted(&ring, 0, u64::MAX), 0);
    }

    #[test]
    fn a_clock_set_back_loses_no_count_unless_by_far() {
        let mut ring = Ring::new(DAY, DAY);
        ring.at(DAY + 3, 0).invocations += 1;
        ring.at(DAY + 1, 0).invocations += 1;
        assert_eq!(counted(&ring, DAY + 3, DAY + 4), 2);
        ring.at(DAY - 10_000, 0).invocations += 1;
        assert_eq!(counted(&ring, 0, u64::MAX), 1);
        assert_eq!(ring.kept_from(), DAY - 10_000);
    }
}

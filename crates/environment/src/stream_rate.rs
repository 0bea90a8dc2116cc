//! How fast a streamed answer may come: AWS's token bucket, as a pure machine.

use std::time::{Duration, Instant};

use bootlace_types::limits;

use crate::stream::StreamLimits;

const STEP: Duration = limits::STREAM_RATE_STEP;

/// One token lets one byte pass. It starts full, and every step brings its share of the rate.
#[derive(Debug)]
pub(crate) struct Bucket {
    began: Instant,
    /// Steps whose share is in already.
    steps: u128,
    tokens: u64,
    capacity: u64,
    rate_per_s: u64,
}

impl Bucket {
    pub(crate) fn new(now: Instant, limits: StreamLimits) -> Self {
        Self {
            began: now,
            steps: 0,
            tokens: limits.burst_bytes,
            // Room for a step's share at least, however small the burst: the rate is reached.
            capacity: limits.burst_bytes.max(limits.rate_bytes_per_s).max(1),
            rate_per_s: limits.rate_bytes_per_s.max(1),
        }
    }

    /// Takes up to `wanted` tokens; if there is none, tells when to ask again.
    pub(crate) fn take(&mut self, now: Instant, wanted: u64) -> Result<u64, Instant> {
        self.refill(now);
        let taken = wanted.min(self.tokens);
        if taken == 0 && wanted > 0 {
            return Err(self.next_token());
        }
        self.tokens -= taken;
        Ok(taken)
    }

    fn refill(&mut self, now: Instant) {
        let steps = now.saturating_duration_since(self.began).as_nanos() / STEP.as_nanos();
        let share = self.brought_by(steps) - self.brought_by(self.steps);
        self.steps = steps;
        self.tokens = self
            .tokens
            .saturating_add(u64::try_from(share).unwrap_or(u64::MAX))
            .min(self.capacity);
    }

    /// What so many steps bring from the beginning on; no fraction of a byte is lost over time.
    fn brought_by(&self, steps: u128) -> u128 {
        steps.saturating_mul(u128::from(self.rate_per_s)) * STEP.as_nanos() / 1_000_000_000
    }

    /// When the bucket, empty now, gets its next token.
    fn next_token(&self) -> Instant {
        let want = self.brought_by(self.steps) + 1;
        let per_step = u128::from(self.rate_per_s) * STEP.as_nanos();
        let steps = (want * 1_000_000_000).div_ceil(per_step);
        self.began + STEP.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(burst_bytes: u64, rate_bytes_per_s: u64) -> StreamLimits {
        StreamLimits {
            burst_bytes,
            rate_bytes_per_s,
            ..StreamLimits::default()
        }
    }

    #[test]
    fn six_mebibytes_at_once_then_a_quarter_every_eighth_of_a_second() {
        let begin = bootlace_types::clock::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let mut bucket = Bucket::new(begin, StreamLimits::default());
        assert_eq!(bucket.take(begin, 4 << 20), Ok(4 << 20));
        assert_eq!(bucket.take(begin, 4 << 20), Ok(2 << 20));
        assert_eq!(bucket.take(begin, 1), Err(at(125)));
        assert_eq!(bucket.take(at(124), 1), Err(at(125)));
        assert_eq!(bucket.take(at(125), u64::MAX), Ok(256 << 10));
        assert_eq!(bucket.take(at(125), 1), Err(at(250)));
        assert_eq!(bucket.take(at(1_125), u64::MAX), Ok(2 << 20));
        // A stream that was silent for long has its burst again, and no more.
        assert_eq!(bucket.take(at(600_000), u64::MAX), Ok(6 << 20));
        assert_eq!(bucket.take(at(600_000), 0), Ok(0));
    }

    #[test]
    fn without_a_burst_the_rate_is_reached() {
        let begin = bootlace_types::clock::now();
        let mut bucket = Bucket::new(begin, limits(0, 800));
        let later = begin + Duration::from_millis(125);
        assert_eq!(bucket.take(begin, 5), Err(later));
        assert_eq!(bucket.take(later, 500), Ok(100));
    }

    proptest! {
        /// Whatever is asked when: never more than burst and rate allow; and whoever waits as long
        /// as he is told gets something.
        #[test]
        fn the_rate_is_kept_and_reached(
            burst in 0_u64..10_000,
            rate in 1_u64..100_000,
            asks in proptest::collection::vec((0_u64..400, 0_u64..5_000), 1..200),
        ) {
            let begin = bootlace_types::clock::now();
            let mut now = begin;
            let mut bucket = Bucket::new(begin, limits(burst, rate));
            let mut total = 0_u128;
            for (pause_ms, wanted) in asks {
                now += Duration::from_millis(pause_ms);
                match bucket.take(now, wanted) {
                    Ok(taken) => {
                        prop_assert!(taken <= wanted);
                        prop_assert!(taken > 0 || wanted == 0);
                        total += u128::from(taken);
                    }
                    Err(when) => {
                        prop_assert!(when > now);
                        now = when;
                        let taken = bucket.take(now, wanted);
                        prop_assert!(taken.is_ok_and(|taken| taken > 0));
                        total += u128::from(taken.unwrap_or_default());
                    }
                }
                let ms = (now - begin).as_millis();
                let allowed = u128::from(burst) + u128::from(rate) * ms / 1_000;
                prop_assert!(total <= allowed, "{total} > {allowed} after {ms} ms");
            }
        }
    }
}

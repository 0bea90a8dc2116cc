//! A histogram of fixed size on a logarithmic scale: four steps for each doubling.

use std::time::Duration;

/// Everything shorter is in the first step, microseconds.
const SHORTEST_US: u64 = 64;
const SHORTEST_EXPONENT: usize = 6;
const STEPS_PER_DOUBLING: usize = 4;
/// Up to 2^30 microseconds, 18 minutes: longer than the longest timeout.
const DOUBLINGS: usize = 24;
const STEPS: usize = 1 + DOUBLINGS * STEPS_PER_DOUBLING;

/// How many durations fell into each step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Histogram([u32; STEPS]);

impl Histogram {
    pub(super) const EMPTY: Self = Self([0; STEPS]);

    pub(super) fn add(&mut self, duration: Duration) {
        let step = &mut self.0[step(micros(duration))];
        *step = step.saturating_add(1);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (into, from) in self.0.iter_mut().zip(other.0) {
            *into = into.saturating_add(from);
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    /// The duration that `percent` of all are not longer than, exact to an eighth of itself.
    pub(super) fn percentile(&self, percent: u64) -> Duration {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.0.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        });
        Duration::from_micros(middle(found.unwrap_or(STEPS - 1)))
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn step(micros: u64) -> usize {
    if micros < SHORTEST_US {
        return 0;
    }
    let exponent = micros.ilog2();
    // Two bits after the highest: below four.
    let quarter = usize::try_from((micros >> (exponent - 2)) & 3).unwrap_or_default();
    let doubling = usize::try_from(exponent).unwrap_or_default() - SHORTEST_EXPONENT;
    (1 + doubling * STEPS_PER_DOUBLING + quarter).min(STEPS - 1)
}

/// The middle of a step, microseconds.
fn middle(step: usize) -> u64 {
    let Some(above) = step.checked_sub(1) else {
        return SHORTEST_US / 2;
    };
    let quarter = (SHORTEST_US << (above / STEPS_PER_DOUBLING)) / STEPS_PER_DOUBLING as u64;
    let nth = (above % STEPS_PER_DOUBLING) as u64;
    (STEPS_PER_DOUBLING as u64 + nth) * quarter + quarter / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_its_durations_to_an_eighth() {
        for micros in (64..100_000).chain((100_000..900_000_000).step_by(999_983)) {
            let told = middle(step(micros));
            assert!(
                told.abs_diff(micros) * 8 <= micros,
                "{micros} told as {told}"
            );
        }
        assert_eq!(step(0), 0);
        assert_eq!(step(u64::MAX), STEPS - 1);
        for step in 1..STEPS {
            assert!(middle(step - 1) < middle(step));
        }
    }

    #[test]
    fn percentiles_count_durations() {
        let mut histogram = Histogram::EMPTY;
        for _ in 0..98 {
            histogram.add(Duration::from_millis(1));
        }
        histogram.add(Duration::from_millis(100));
        histogram.add(Duration::from_secs(2));
        let near = |percent, expect: Duration| {
            let told = histogram.percentile(percent);
            assert!(
                told.abs_diff(expect) * 8 <= expect,
                "p{percent} is {told:?}"
            );
        };
        near(50, Duration::from_millis(1));
        near(98, Duration::from_millis(1));
        near(99, Duration::from_millis(100));
        near(100, Duration::from_secs(2));
        let mut twice = histogram;
        twice.merge(&histogram);
        assert_eq!(twice.count(), 200);
    }
}

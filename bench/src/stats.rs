//! Medians. Means would tell of the slowest moment of the machine, not of the server.

use std::time::Duration;

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "the median of nothing");
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// What two servers did in the rounds of one measurement.
#[derive(Debug, Default)]
pub(crate) struct Pair {
    ours: Vec<f64>,
    floor: Vec<f64>,
}

impl Pair {
    pub(crate) fn push(&mut self, ours: f64, floor: f64) {
        self.ours.push(ours);
        self.floor.push(floor);
    }

    pub(crate) fn ours(&self) -> f64 {
        median(self.ours.clone())
    }

    pub(crate) fn floor(&self) -> f64 {
        median(self.floor.clone())
    }

    /// The median of the rounds' ratios: both sides of a ratio saw the same moment.
    pub(crate) fn ratio(&self) -> f64 {
        median(
            self.ours
                .iter()
                .zip(&self.floor)
                .map(|(ours, floor)| ours / floor)
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Pair, median};

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn the_ratio_is_taken_round_by_round() {
        let mut pair = Pair::default();
        pair.push(2.0, 1.0);
        pair.push(20.0, 10.0);
        pair.push(90.0, 10.0);
        assert!((pair.ratio() - 2.0).abs() < 1e-9);
    }
}

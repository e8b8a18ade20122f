//! A histogram over fixed bounds, exact to the microsecond.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Counts durations by upper bounds in whole seconds. Sums are whole microseconds, so that they do not depend on
/// the order of observation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    bounds: Cow<'static, [u32]>,
    counts: Box<[u64]>,
    sum_micros: u64,
}

impl Histogram {
    /// An empty histogram with these upper bounds, in seconds and ascending.
    pub fn new(bounds: &'static [u32]) -> Self {
        Self { bounds: Cow::Borrowed(bounds), counts: vec![0; bounds.len() + 1].into(), sum_micros: 0 }
    }

    /// Counts a duration.
    pub fn observe(&mut self, duration: Duration) {
        let bucket = self.bounds.partition_point(|bound| Duration::from_secs(u64::from(*bound)) < duration);
        self.counts[bucket] += 1;
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    /// The upper bounds in seconds, each with the number of durations up to it.
    pub fn buckets(&self) -> impl Iterator<Item = (u32, u64)> {
        let cumulative = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        self.bounds.iter().copied().zip(cumulative)
    }

    /// The number of durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all durations, in microseconds.
    pub fn sum_micros(&self) -> u64 {
        self.sum_micros
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_equal_to_a_bound_counts_in_its_bucket() {
        let mut histogram = Histogram::new(&[1, 5]);
        for millis in [0, 1000, 1001, 5000, 9000] {
            histogram.observe(Duration::from_millis(millis));
        }
        assert_eq!(histogram.buckets().collect::<Vec<_>>(), [(1, 2), (5, 4)]);
        assert_eq!((histogram.count(), histogram.sum_micros()), (5, 16_001_000));
    }
}

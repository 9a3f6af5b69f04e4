//! Latencies of one sample, or of all samples of a contestant: nanoseconds, to three digits.

use hdrhistogram::Histogram;

/// The percentiles of every table and plot.
pub const PERCENTILES: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 99.99];

/// A latency above this is recorded as this.
const LONGEST: u64 = 100_000_000_000;

/// A histogram from 1 ns to 100 s.
#[derive(Clone, Debug)]
pub struct Recorder {
    histogram: Histogram<u64>,
}

impl Recorder {
    /// An empty histogram, allocated once and for all.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 3);
        Self { histogram: histogram.expect("bounds and digits are within what the crate accepts") }
    }

    /// Adds one latency.
    pub fn record(&mut self, nanoseconds: u64) {
        self.histogram.saturating_record(nanoseconds.max(1));
    }

    /// Adds the same latency `times` times.
    pub fn record_many(&mut self, nanoseconds: u64, times: u64) {
        if times > 0 {
            self.histogram.saturating_record_n(nanoseconds.max(1), times);
        }
    }

    /// Adds all latencies of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all recorders have the same bounds");
    }

    /// How many latencies there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency that `percentile` percent do not exceed; 0 when there is none.
    pub fn percentile(&self, percentile: f64) -> u64 {
        self.histogram.value_at_percentile(percentile)
    }

    /// Whether a percentile rests on at least ten latencies above it.
    pub fn supports(&self, percentile: f64) -> bool {
        (self.count() as f64 * (100.0 - percentile) / 100.0).round() >= 10.0
    }

    /// The longest latency.
    pub fn max(&self) -> u64 {
        self.histogram.max()
    }

    /// Points (nanoseconds, fraction not above) of the cumulative distribution, ascending.
    pub fn cdf(&self) -> Vec<(u64, f64)> {
        let total = self.count().max(1) as f64;
        let mut below = 0u64;
        let points = self.histogram.iter_recorded().map(|step| {
            below += step.count_since_last_iteration();
            (step.value_iterated_to(), below as f64 / total)
        });
        points.collect()
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_to_three_digits() {
        let mut recorder = Recorder::new();
        for microseconds in 1..=10_000 {
            recorder.record(microseconds * 1_000);
        }
        for (percentile, due) in [(50.0, 5_000_000.0), (99.0, 9_900_000.0), (99.99, 9_999_000.0)] {
            let seen = recorder.percentile(percentile) as f64;
            assert!((seen / due - 1.0).abs() < 0.001, "p{percentile}: {seen}, not {due}");
        }
        assert!(recorder.supports(99.9));
        assert!(!recorder.supports(99.99));
    }

    #[test]
    fn the_distribution_ends_at_one_and_never_falls() {
        let mut recorder = Recorder::new();
        for value in [5, 5, 9, 1_000, 0, u64::MAX] {
            recorder.record(value);
        }
        let points = recorder.cdf();
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
        assert!((points.last().expect("six values").1 - 1.0).abs() < 1e-9);
        assert_eq!(recorder.count(), 6);
    }

    #[test]
    fn many_at_once_are_as_many() {
        let (mut one_by_one, mut at_once) = (Recorder::new(), Recorder::new());
        (0..16).for_each(|_| one_by_one.record(1_234));
        at_once.record_many(1_234, 16);
        at_once.record_many(u64::MAX, 0);
        assert_eq!((at_once.count(), at_once.max()), (16, one_by_one.max()));
        assert_eq!(at_once.cdf(), one_by_one.cdf());
    }

    #[test]
    fn merging_adds() {
        let (mut a, mut b) = (Recorder::new(), Recorder::new());
        a.record(10);
        b.record(30);
        b.record(20);
        a.merge(&b);
        assert_eq!((a.count(), a.max(), a.percentile(50.0)), (3, 30, 20));
    }
}

//! What came of an experiment, and the ratios in it.

use crate::client::Driven;
use crate::probe::NEAR;
use crate::recorder::Recorder;
use crate::scenario::Scenario;

/// All contestants of one scenario.
#[derive(Debug)]
pub struct Experiment {
    /// What was asked of them.
    pub scenario: Scenario,
    /// One per contestant, in the order they took turns.
    pub entries: Vec<Entry>,
    /// The index of the one that the others are measured against.
    pub floor: Option<usize>,
}

/// All samples of one contestant.
#[derive(Debug)]
pub struct Entry {
    /// What the contestant is called.
    pub name: String,
    /// One per round.
    pub samples: Vec<Sample>,
    /// The latencies of all rounds.
    pub merged: Recorder,
}

/// One sample: what the client saw, and what the machine was like.
#[derive(Debug)]
pub struct Sample {
    /// What the client saw.
    pub driven: Driven,
    /// Nanoseconds per bare cache-line round trip, before.
    pub probe_before: f64,
    /// The same after.
    pub probe_after: f64,
}

impl Sample {
    pub(crate) fn new(driven: Driven, probe_before: f64, probe_after: f64) -> Self {
        Self { driven, probe_before, probe_after }
    }

    /// The mean of both probes.
    pub fn probe(&self) -> f64 {
        f64::midpoint(self.probe_before, self.probe_after)
    }

    /// Whether the cores were near each other at one end of the sample and far at the other.
    pub fn moved(&self) -> bool {
        (self.probe_before < NEAR) != (self.probe_after < NEAR)
    }
}

impl Entry {
    pub(crate) fn new(name: String) -> Self {
        Self { name, samples: Vec::new(), merged: Recorder::new() }
    }

    pub(crate) fn add(&mut self, sample: Sample) {
        self.merged.merge(&sample.driven.latencies);
        self.samples.push(sample);
    }

    /// Median over the rounds of one percentile, in nanoseconds.
    pub fn percentile(&self, percentile: f64) -> f64 {
        median(self.samples.iter().map(|sample| sample.driven.latencies.percentile(percentile) as f64))
    }

    /// Median over the rounds of messages per second.
    pub fn rate(&self) -> f64 {
        median(self.samples.iter().map(|sample| sample.driven.rate))
    }

    /// Median over the rounds of what the client could have driven.
    pub fn ceiling(&self) -> Option<f64> {
        let ceilings: Vec<f64> = self.samples.iter().filter_map(|sample| sample.driven.ceiling).collect();
        (!ceilings.is_empty()).then(|| median(ceilings.into_iter()))
    }

    /// Median over the rounds of the cache-line probe.
    pub fn probe(&self) -> f64 {
        median(self.samples.iter().map(Sample::probe))
    }

    /// Rounds in which the machine changed under the sample.
    pub fn moved(&self) -> usize {
        self.samples.iter().filter(|sample| sample.moved()).count()
    }

    /// Datagrams lost in all rounds.
    pub fn lost(&self) -> u64 {
        self.samples.iter().map(|sample| sample.driven.lost).sum()
    }
}

impl Experiment {
    /// How many times the floor's latency an entry has at a percentile: formed within each round,
    /// then the median over the rounds. None without a floor.
    pub fn ratio(&self, entry: &Entry, percentile: f64) -> Option<f64> {
        self.against_floor(entry, |sample| sample.driven.latencies.percentile(percentile) as f64)
    }

    /// The same for messages per second: above 1 is better than the floor.
    pub fn rate_ratio(&self, entry: &Entry) -> Option<f64> {
        self.against_floor(entry, |sample| sample.driven.rate)
    }

    fn against_floor(&self, entry: &Entry, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        let floor = &self.entries[self.floor?];
        let rounds = entry.samples.iter().zip(&floor.samples);
        Some(median(rounds.map(|(sample, floor)| figure(sample) / figure(floor))))
    }
}

/// The middle value, or the mean of both middle values; 0 of none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.get(sorted.len() / 2)) {
        (_, None) => 0.0,
        (n, Some(&upper)) if n % 2 == 1 => upper,
        (n, Some(&upper)) => f64::midpoint(sorted[n / 2 - 1], upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Pace, Transport};
    use std::time::Duration;

    fn sample(latency: u64, probe: f64) -> Sample {
        let mut latencies = Recorder::new();
        latencies.record(latency);
        Sample::new(Driven { latencies, rate: 1e9 / latency as f64, lost: 1, ceiling: None }, probe, probe)
    }

    fn entry(name: &str, samples: &[(u64, f64)]) -> Entry {
        let mut entry = Entry::new(name.to_owned());
        for &(latency, probe) in samples {
            entry.add(sample(latency, probe));
        }
        entry
    }

    fn experiment() -> Experiment {
        // In the second round the cores are far apart, for both.
        let floor = entry("floor", &[(100, 130.0), (400, 400.0), (100, 130.0)]);
        let other = entry("other", &[(150, 130.0), (480, 400.0), (110, 130.0)]);
        let scenario = Scenario {
            transport: Transport::Tcp,
            size: 64,
            connections: 1,
            depth: 1,
            pace: Pace::Closed,
            warm_up: Duration::ZERO,
            measure: Duration::ZERO,
        };
        Experiment { scenario, entries: vec![floor, other], floor: Some(0) }
    }

    #[test]
    fn ratios_are_formed_within_a_round() {
        let experiment = experiment();
        let ratio = experiment.ratio(&experiment.entries[1], 50.0).expect("there is a floor");
        assert!((ratio - 1.2).abs() < 0.01, "{ratio}: the median of 1.5, 1.2 and 1.1");
        let rate = experiment.rate_ratio(&experiment.entries[1]).expect("there is a floor");
        assert!((rate - 1.0 / 1.2).abs() < 0.01);
        assert_eq!(experiment.entries[1].lost(), 3);
    }

    #[test]
    fn a_sample_under_which_the_machine_moved_is_marked() {
        let mut entry = entry("x", &[(100, 130.0)]);
        assert_eq!(entry.moved(), 0);
        let driven = sample(100, 130.0).driven;
        entry.add(Sample::new(driven, 130.0, 400.0));
        assert_eq!(entry.moved(), 1);
    }

    #[test]
    fn a_median_of_an_even_number_is_between() {
        assert!((median([4.0, 1.0, 3.0, 2.0].into_iter()) - 2.5).abs() < 1e-9);
        assert!(median([].into_iter()).abs() < 1e-9);
    }
}

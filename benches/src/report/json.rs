//! The experiment for other programs: every sample's figures, the merged percentiles, the ratios.

use serde::Serialize;

use crate::cores::Cores;
use crate::recorder::{PERCENTILES, Recorder};
use crate::results::{Entry, Experiment, Sample};
use crate::scenario::Scenario;

/// All experiments of one run; durations in nanoseconds, rates in messages per second.
#[derive(Serialize)]
struct Report<'a> {
    cores: Cores,
    experiments: Vec<ExperimentReport<'a>>,
}

#[derive(Serialize)]
struct ExperimentReport<'a> {
    scenario: &'a Scenario,
    contestants: Vec<EntryReport<'a>>,
}

#[derive(Serialize)]
struct EntryReport<'a> {
    name: &'a str,
    p50_to_floor: Option<f64>,
    p99_to_floor: Option<f64>,
    rate_to_floor: Option<f64>,
    all_rounds: Figures,
    rounds: Vec<SampleReport>,
}

#[derive(Serialize)]
struct SampleReport {
    probe_before: f64,
    probe_after: f64,
    rate: f64,
    lost: u64,
    client_ceiling: Option<f64>,
    latency: Figures,
}

#[derive(Serialize)]
struct Figures {
    messages: u64,
    /// Pairs (percentile, nanoseconds).
    percentiles: Vec<(f64, u64)>,
    max: u64,
}

/// The whole run as indented JSON.
pub fn render(cores: Cores, experiments: &[Experiment]) -> String {
    let report = Report { cores, experiments: experiments.iter().map(experiment_report).collect() };
    // Numbers, names and lists: nothing that JSON cannot say.
    serde_json::to_string_pretty(&report).unwrap_or_default()
}

fn experiment_report(experiment: &Experiment) -> ExperimentReport<'_> {
    let contestants = experiment.entries.iter().map(|entry| entry_report(experiment, entry)).collect();
    ExperimentReport { scenario: &experiment.scenario, contestants }
}

fn entry_report<'a>(experiment: &Experiment, entry: &'a Entry) -> EntryReport<'a> {
    EntryReport {
        name: &entry.name,
        p50_to_floor: experiment.ratio(entry, 50.0),
        p99_to_floor: experiment.ratio(entry, 99.0),
        rate_to_floor: experiment.rate_ratio(entry),
        all_rounds: figures(&entry.merged),
        rounds: entry.samples.iter().map(sample_report).collect(),
    }
}

fn sample_report(sample: &Sample) -> SampleReport {
    SampleReport {
        probe_before: sample.probe_before,
        probe_after: sample.probe_after,
        rate: sample.driven.rate,
        lost: sample.driven.lost,
        client_ceiling: sample.driven.ceiling,
        latency: figures(&sample.driven.latencies),
    }
}

fn figures(latencies: &Recorder) -> Figures {
    Figures {
        messages: latencies.count(),
        percentiles: PERCENTILES.iter().map(|&p| (p, latencies.percentile(p))).collect(),
        max: latencies.max(),
    }
}

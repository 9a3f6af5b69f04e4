//! The table on the terminal, and the sentence with the ratios.

use std::fmt::Write as _;

use super::{microseconds, thousands};
use crate::contestants::FLOOR;
use crate::probe::NEAR;
use crate::recorder::PERCENTILES;
use crate::results::{Entry, Experiment};
use crate::scenario::Pace;

/// The load generator must be able to do this much more than the best contestant.
const CEILING_MARGIN: f64 = 1.3;

/// One experiment as aligned text, notes and ratios below.
pub fn render(experiment: &Experiment) -> String {
    let mut lines = vec![head(experiment)];
    lines.extend(experiment.entries.iter().map(|entry| line(experiment, entry)));
    let mut text = format!("{}\n", experiment.scenario);
    align(&mut text, &lines);
    for note in notes(experiment) {
        let _ = writeln!(text, "  {note}");
    }
    text
}

fn head(experiment: &Experiment) -> Vec<String> {
    let mut head = vec![String::new()];
    head.extend(PERCENTILES.iter().map(|percentile| format!("p{percentile}")));
    head.extend(["max".to_owned(), "k msg/s".to_owned()]);
    if experiment.floor.is_some() {
        head.extend(["p50 / floor".to_owned(), "p99 / floor".to_owned(), "rate / floor".to_owned()]);
    }
    head.push("cache line".to_owned());
    head
}

fn line(experiment: &Experiment, entry: &Entry) -> Vec<String> {
    let mut line = vec![entry.name.clone()];
    for percentile in PERCENTILES {
        // Too few messages for this percentile: the figure would be the maximum under another name.
        let figure = microseconds(entry.percentile(percentile));
        line.push(if entry.merged.supports(percentile) { figure } else { "-".to_owned() });
    }
    line.extend([microseconds(entry.merged.max() as f64), thousands(entry.rate())]);
    let ratios = [experiment.ratio(entry, 50.0), experiment.ratio(entry, 99.0), experiment.rate_ratio(entry)];
    line.extend(ratios.into_iter().flatten().map(|ratio| format!("{ratio:.2}")));
    line.push(cache_line(entry));
    line
}

fn cache_line(entry: &Entry) -> String {
    let probe = entry.probe();
    let place = if probe < NEAR { "near" } else { "far" };
    match entry.moved() {
        0 => format!("{probe:.0} ns {place}"),
        moved => format!("{probe:.0} ns {place}, moved {moved}x"),
    }
}

fn notes(experiment: &Experiment) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(floor) = experiment.floor {
        let ratios = experiment.entries.iter().enumerate().filter(|(index, _)| *index != floor);
        let ratios: Vec<String> = ratios
            .filter_map(|(_, entry)| {
                Some(match experiment.scenario.pace {
                    Pace::Closed if experiment.scenario.connections * experiment.scenario.depth > 1 => {
                        format!("{} {:.2} x its rate", entry.name, experiment.rate_ratio(entry)?)
                    }
                    _ => format!("{} {:.2} x its median", entry.name, experiment.ratio(entry, 50.0)?),
                })
            })
            .collect();
        if !ratios.is_empty() {
            notes.push(format!("against the {FLOOR}: {}", ratios.join(", ")));
        }
    }
    let best = experiment.entries.iter().map(Entry::rate).max_by(f64::total_cmp);
    let ceiling = experiment.entries.iter().filter_map(Entry::ceiling).max_by(f64::total_cmp);
    if let (Some(best), Some(ceiling), Pace::Closed) = (best, ceiling, experiment.scenario.pace) {
        let bound = if ceiling < CEILING_MARGIN * best { "; CLIENT-BOUND" } else { "" };
        notes.push(format!(
            "the client could drive {} k msg/s, {:.2} x the best contestant{bound}",
            thousands(ceiling),
            ceiling / best
        ));
    }
    for entry in experiment.entries.iter().filter(|entry| entry.lost() > 0) {
        notes.push(format!("{}: {} datagrams did not come back", entry.name, entry.lost()));
    }
    notes
}

/// First column left, the others right.
fn align(text: &mut String, lines: &[Vec<String>]) {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|field| field.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for line in lines {
        for (column, (field, &width)) in line.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(text, "  {field:<width$}"),
                _ => write!(text, "  {field:>width$}"),
            };
        }
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Driven;
    use crate::recorder::Recorder;
    use crate::results::Sample;
    use crate::scenario::{Scenario, Transport};
    use std::time::Duration;

    fn experiment(depth: usize, ceiling: Option<f64>) -> Experiment {
        let entry = |name: &str, latency: u64| {
            let mut latencies = Recorder::new();
            (0..1_000).for_each(|_| latencies.record(latency));
            let mut entry = Entry::new(name.to_owned());
            entry.add(Sample::new(Driven { latencies, rate: 50_000.0, lost: 2, ceiling }, 140.0, 150.0));
            entry
        };
        let scenario = Scenario {
            transport: Transport::Udp,
            size: 64,
            connections: 2,
            depth,
            pace: Pace::Closed,
            warm_up: Duration::ZERO,
            measure: Duration::ZERO,
        };
        Experiment { scenario, entries: vec![entry("floor", 10_000), entry("other", 12_500)], floor: Some(0) }
    }

    #[test]
    fn latencies_ratios_and_losses_are_shown() {
        let text = render(&experiment(1, None));
        assert!(text.contains("UDP 64 B, 2 connections"), "{text}");
        assert!(text.contains("12.5") && text.contains("1.25"), "{text}");
        assert!(text.contains("145 ns near"), "{text}");
        assert!(text.contains("other: 2 datagrams did not come back"), "{text}");
    }

    #[test]
    fn a_percentile_that_the_sample_does_not_carry_is_left_out() {
        let text = render(&experiment(1, None));
        let other = text.lines().find(|line| line.contains("12.5")).expect("the contestant's line");
        assert_eq!(other.matches(" -").count(), 2, "p99.9 and p99.99 of 1,000 messages: {other}");
    }

    #[test]
    fn a_client_near_its_limit_is_marked() {
        assert!(render(&experiment(16, Some(60_000.0))).contains("CLIENT-BOUND"));
        assert!(!render(&experiment(16, Some(90_000.0))).contains("CLIENT-BOUND"));
    }
}

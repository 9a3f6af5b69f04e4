//! The table: one line per row and measure, one column per contestant, and hemi's ratio to the best.

use crate::compare::Cell;
use crate::plan::{Needs, Row, Runtime};

/// The load generator must be able to do this much more than the best row, or the row is marked.
const CEILING_MARGIN: f64 = 1.3;

/// What one line of the table is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    Time,
    Instructions,
}

/// Renders all cells, aligned for a terminal or as Markdown.
pub fn table(cells: &[Cell], rows: &[Row], runtimes: &[Runtime], markdown: bool) -> String {
    let columns: Vec<Runtime> = runtimes
        .iter()
        .copied()
        .filter(|&runtime| {
            let has_figures = |cell: &Cell| cell.figure().is_some() || cell.instructions.is_some();
            runtime != Runtime::Harness
                && cells.iter().any(|cell| cell.runtime == runtime && has_figures(cell))
        })
        .collect();
    let mut head = vec!["".to_owned(), "unit".to_owned()];
    head.extend(columns.iter().map(|runtime| runtime.title().to_owned()));
    head.push("to the best peer".to_owned());
    let mut lines = vec![head];
    let mut notes = Vec::new();
    for &row in rows {
        let of_row: Vec<&Cell> = cells.iter().filter(|cell| cell.row == row).collect();
        for measure in [Measure::Time, Measure::Instructions] {
            lines.extend(line(row, measure, &of_row, &columns));
        }
        notes.extend(client_note(row, &of_row));
    }
    let mut text = if markdown { as_markdown(&lines) } else { aligned(&lines) };
    for note in notes {
        text.push('\n');
        text.push_str(&note);
    }
    text
}

fn line(row: Row, measure: Measure, cells: &[&Cell], columns: &[Runtime]) -> Option<Vec<String>> {
    let of =
        |runtime| cells.iter().find(|cell| cell.runtime == runtime).and_then(|cell| value(cell, measure));
    if !columns.iter().any(|&runtime| of(runtime).is_some()) {
        return None;
    }
    let harness = of(Runtime::Harness).filter(|_| measure == Measure::Instructions);
    let mut line = vec![row.title().to_owned(), unit(row, measure).to_owned()];
    for &runtime in columns {
        line.push(of(runtime).map_or("-".to_owned(), |value| figure(row, measure, value, harness)));
    }
    let best = columns
        .iter()
        .filter(|runtime| !runtime.is_hemi() && !runtime.is_floor())
        .filter_map(|&runtime| Some((runtime, of(runtime)?)))
        .min_by(|a, b| rank(row, a.1).total_cmp(&rank(row, b.1)));
    let ratios = columns.iter().filter(|runtime| runtime.is_hemi()).filter_map(|&runtime| {
        let (_, best) = best?;
        Some(format!("{:.2}", of(runtime)? / best))
    });
    let ratios: Vec<String> = ratios.collect();
    line.push(match (best, ratios.is_empty()) {
        (None, _) => "-".to_owned(),
        (Some((runtime, _)), true) => format!("(best: {})", runtime.title()),
        (Some((runtime, _)), false) => format!("{} x {}", ratios.join(", "), runtime.title()),
    });
    Some(line)
}

fn value(cell: &Cell, measure: Measure) -> Option<f64> {
    match measure {
        Measure::Time => cell.figure(),
        Measure::Instructions => cell.instructions,
    }
}

fn unit(row: Row, measure: Measure) -> &'static str {
    match (measure, row) {
        (Measure::Instructions, _) => "instr.",
        (_, Row::TcpPingPong) => "us, p50",
        (_, Row::Tcp64x16) => "M/s",
        _ => "ns",
    }
}

fn figure(row: Row, measure: Measure, value: f64, harness: Option<f64>) -> String {
    match (measure, row, harness) {
        (Measure::Instructions, _, Some(harness)) => format!("{value:.0} ({:.0})", value - harness),
        (Measure::Instructions, _, None) => format!("{value:.0}"),
        (_, Row::TcpPingPong, _) => format!("{:.1}", value / 1e3),
        (_, Row::Tcp64x16, _) => format!("{:.2}", value / 1e6),
        _ => format!("{value:.1}"),
    }
}

/// Less is better, except for a rate.
fn rank(row: Row, value: f64) -> f64 {
    if row == Row::Tcp64x16 { -value } else { value }
}

/// Says what the load generator could have driven, and whether the row was bound by it.
fn client_note(row: Row, cells: &[&Cell]) -> Option<String> {
    if row.needs() != Needs::Echo {
        return None;
    }
    let ceiling = cells.iter().filter_map(|cell| cell.ceiling()).max_by(f64::total_cmp)?;
    let best = cells.iter().filter_map(|cell| cell.figure()).max_by(f64::total_cmp)?;
    let verdict = if ceiling < CEILING_MARGIN * best { "CLIENT-BOUND: under" } else { "at least" };
    Some(format!(
        "{}: the load generator's ceiling is {:.2} M/s, {:.2} x the best row ({verdict} {CEILING_MARGIN})",
        row.title(),
        ceiling / 1e6,
        ceiling / best,
    ))
}

fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        for (column, (field, &width)) in line.iter().zip(&widths).enumerate() {
            if column == 0 || column == columns - 1 {
                text.push_str(&format!("{field:<width$}  "));
            } else {
                text.push_str(&format!("{field:>width$}  "));
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn as_markdown(lines: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (i, line) in lines.iter().enumerate() {
        text.push_str(&format!("| {} |\n", line.join(" | ")));
        if i == 0 {
            text.push_str(&format!("|---|---|{}\n", "---:|".repeat(line.len() - 2)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(row: Row, runtime: Runtime, samples: &[f64], instructions: Option<f64>) -> Cell {
        Cell { row, runtime, samples: samples.to_vec(), ceilings: Vec::new(), instructions }
    }

    #[test]
    fn a_micro_row_takes_its_fastest_sample_and_subtracts_the_harness() {
        let cells = [
            cell(Row::Yield, Runtime::Tokio, &[30.0, 20.0, 40.0], Some(300.0)),
            cell(Row::Yield, Runtime::Monoio, &[10.0, 50.0], Some(180.0)),
            cell(Row::Yield, Runtime::Harness, &[], Some(60.0)),
        ];
        let runtimes = [Runtime::Tokio, Runtime::Monoio, Runtime::Harness];
        let text = table(&cells, &[Row::Yield], &runtimes, true);
        assert!(text.contains("| yield | ns | 20.0 | 10.0 | (best: monoio) |"), "{text}");
        assert!(text.contains("| yield | instr. | 300 (240) | 180 (120) | (best: monoio) |"), "{text}");
    }

    #[test]
    fn a_rate_is_better_when_higher_and_a_near_ceiling_is_marked() {
        let mut tokio = cell(Row::Tcp64x16, Runtime::Tokio, &[1e6, 3e6, 2e6], None);
        tokio.ceilings = vec![2.2e6];
        let compio = cell(Row::Tcp64x16, Runtime::Compio, &[1e6], None);
        let text = table(&[tokio, compio], &[Row::Tcp64x16], &[Runtime::Tokio, Runtime::Compio], false);
        assert!(text.contains("(best: tokio)"), "{text}");
        assert!(text.contains("CLIENT-BOUND"), "{text}");
    }

    #[test]
    fn what_does_not_meet_is_a_dash() {
        let cells = [cell(Row::Timer, Runtime::Tokio, &[5.0], None)];
        let elsewhere = [cell(Row::Yield, Runtime::LocalPool, &[5.0], None)];
        let cells = [cells, elsewhere].concat();
        let runtimes = [Runtime::Tokio, Runtime::LocalPool];
        let text = table(&cells, &[Row::Timer, Row::Yield], &runtimes, true);
        assert!(text.contains("| timer insert + cancel | ns | 5.0 | - |"), "{text}");
    }
}

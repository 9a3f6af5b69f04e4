//! The rows, and what is hoped for.

use std::fmt::{self, Write as _};

use clap::ValueEnum;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Row {
    /// Durable append of 4 KiB, one at a time: the median's ratio to fio's.
    Append,
    /// The same with `fdatasync` at both.
    AppendFlush,
    /// Durable appends of 256 B, 64 waiting: units per second to fio's sync writes at depth 1.
    Group,
    /// Relaxed appends of 64 KiB: bandwidth to fio's.
    Relaxed,
    /// Sequential pops: bandwidth to fio's.
    Pop,
    /// Instructions per appended unit.
    Instructions,
    /// Durable appends of 256 B, 64 waiting: units per second to each peer's.
    Peers,
    /// Opening logs of different sizes.
    Recovery,
    /// TCP echo behind a durable append, 64 connections: messages per second to each peer's.
    Echo,
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reach {
    /// At most.
    AtMost(f64),
    /// At least.
    AtLeast(f64),
}

impl Reach {
    /// Whether `value` does.
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "≤ {limit}"),
            Self::AtLeast(limit) => write!(f, "≥ {limit}"),
        }
    }
}

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Line {
    /// What was measured.
    pub what: String,
    /// The figure that counts.
    pub value: f64,
    /// What was hoped for, if anything was.
    pub reach: Option<Reach>,
    /// What it was made of.
    pub of: String,
}

/// The table.
pub fn render(lines: &[Line], markdown: bool) -> String {
    let mut text = String::new();
    if markdown {
        text.push_str("| what | figure | reach | of |\n|---|---:|---|---|\n");
    }
    for Line { what, value, reach, of } in lines {
        let met = reach.is_none_or(|reach| reach.is_met(*value));
        let reach = reach.map_or_else(|| "–".to_owned(), |reach| reach.to_string());
        let value = if *value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        if markdown {
            let value = if met { format!("**{value}**") } else { value };
            let _ = writeln!(text, "| {what} | {value} | {reach} | {of} |"); // a String takes all
        } else {
            let mark = if met { ' ' } else { '!' };
            let _ = writeln!(text, "{mark} {value:>8}  {reach:<8} {what}: {of}");
        }
    }
    text
}

/// The middle one; the mean of the two in the middle of an even number.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_was_met() {
        let line = |value, reach| Line { what: "w".into(), value, reach: Some(reach), of: "o".into() };
        let lines = [
            line(1.0, Reach::AtMost(1.05)),
            line(1.2, Reach::AtMost(1.05)),
            line(120.0, Reach::AtLeast(40.0)),
        ];
        let text = render(&lines, true);
        assert!(text.contains("| w | **1.00** | ≤ 1.05 | o |"), "{text}");
        assert!(text.contains("| w | 1.20 | ≤ 1.05 | o |") && text.contains("**120**"), "{text}");
        assert!(render(&lines, false).contains('!'));
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9 && (median(&[1.0, 2.0]) - 1.5).abs() < 1e-9);
    }
}

//! The terminal: the suites' own lines, and below them one line of progress where somebody watches.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Prints lines as they are; with a terminal on standard output, and without `CI` in the environment, a
/// progress line (suite, time, counts) stays below them.
pub(crate) struct Screen {
    bar: Option<ProgressBar>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let watched = io::stdout().is_terminal() && env::var_os("CI").is_none_or(|value| value.is_empty());
        Self { bar: watched.then(progress_line) }
    }

    /// Prints one line above the progress line.
    pub(crate) fn line(&self, line: &str) {
        let print = || {
            // A closed standard output (`| head`) is no reason to stop testing: the exit status still tells.
            let _ = writeln!(io::stdout().lock(), "{line}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// A headline of the test command's own.
    pub(crate) fn heading(&self, text: &str) {
        self.line(&format!("\n==== {text}"));
    }

    /// What the progress line says.
    pub(crate) fn progress(&self, text: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(text);
        }
    }

    /// Takes the progress line away, for the closing report.
    pub(crate) fn close(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn progress_line() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

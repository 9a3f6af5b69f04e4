//! [`Excerpt`]: what is repeated of a failure's output in the closing report, where only the end of a log is looked at.
//!
//! The first lines (the panic's message, a sanitizer's headline) and the last ones are kept, whatever lies between is
//! counted. Left out from the start: the frames of back traces, which are in the output above.

use std::collections::VecDeque;

/// Lines kept from the beginning and from the end.
const HEAD: usize = 16;
const TAIL: usize = 32;

/// A bounded part of some output.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Excerpt {
    head: Vec<String>,
    tail: VecDeque<String>,
    left_out: usize,
    has_report: bool,
}

impl Excerpt {
    pub(crate) fn push(&mut self, line: &str) {
        self.has_report |= line.contains("Sanitizer: ");
        if is_frame(line) || (line.is_empty() && self.head.is_empty()) {
            return;
        }
        if self.head.len() < HEAD {
            self.head.push(line.to_owned());
            return;
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
            self.left_out += 1;
        }
        self.tail.push_back(line.to_owned());
    }

    /// Whether a sanitizer has reported something, kept here or left out: its report is longer than what is kept of an end.
    pub(crate) fn has_report(&self) -> bool {
        self.has_report
    }

    /// Begin anew.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Its first line, with the second where the first only says where (`thread 'a' panicked at x.rs:1:2:`).
    pub(crate) fn headline(&self) -> String {
        let most = 1 + usize::from(self.head.first().is_some_and(|line| line.ends_with(':')));
        self.head.iter().take(most).map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    /// What was kept, with a line that tells of what was not.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let gap = (self.left_out > 0).then(|| format!("[{} lines left out]", self.left_out));
        self.head.iter().cloned().chain(gap).chain(self.tail.iter().cloned())
    }
}

/// `  12: core::panicking::panic` or `          at /rustc/...`.
fn is_frame(line: &str) -> bool {
    let text = line.trim_start();
    let indented = line.len() > text.len();
    let numbered = || {
        let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
        rest.len() < text.len() && rest.starts_with(": ")
    };
    indented && (text.starts_with("at ") || numbered()) || text == "stack backtrace:"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(lines: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut excerpt = Excerpt::default();
        lines.into_iter().for_each(|line| excerpt.push(&line));
        excerpt.lines().collect()
    }

    #[test]
    fn a_long_output_keeps_both_ends() {
        let kept = excerpt((0..1000).map(|n| format!("line {n}")));
        assert_eq!(kept.len(), HEAD + 1 + TAIL);
        assert_eq!((&*kept[0], &*kept[HEAD]), ("line 0", "[952 lines left out]"));
        assert_eq!(kept.last().unwrap(), "line 999");
    }

    #[test]
    fn frames_of_back_traces_are_not_repeated() {
        let text = "\nthread 'a' panicked at x.rs:1:2:\nleft: 1\nstack backtrace:\n   0: std::panicking::begin\n             \
                    at /rustc/x.rs:5:6\n  10: main\nnote: Some details are omitted";
        let kept = excerpt(text.lines().map(str::to_owned));
        assert_eq!(kept, ["thread 'a' panicked at x.rs:1:2:", "left: 1", "note: Some details are omitted"]);
    }
}

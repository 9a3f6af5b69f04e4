//! Counts, and the reasons behind those that are not `passed`.

use std::fmt;

use crate::excerpt::Excerpt;

/// One failure.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The test's name, or what happened to a program as a whole.
    pub(crate) what: String,
    /// What it said.
    pub(crate) output: Excerpt,
}

/// What a suite, or all of them, came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failures: Vec<Failure>,
    /// One line for each skip: what was skipped, and why.
    pub(crate) skips: Vec<String>,
}

impl Tally {
    pub(crate) fn fail(&mut self, what: impl Into<String>, output: Excerpt) {
        self.failures.push(Failure { what: what.into(), output });
    }

    pub(crate) fn skip(&mut self, why: impl Into<String>) {
        self.skips.push(why.into());
    }

    /// Adds another tally's counts and reasons, each reason marked with the suite it comes from.
    pub(crate) fn absorb(&mut self, suite: &str, other: &Tally) {
        self.passed += other.passed;
        self.failures.extend(other.failures.iter().map(|Failure { what, output }| Failure {
            what: format!("{suite}: {what}"),
            output: output.clone(),
        }));
        self.skips.extend(other.skips.iter().map(|line| format!("{suite}: {line}")));
    }

    /// True when nothing ran and nothing was even skipped.
    pub(crate) fn is_empty(&self) -> bool {
        self.passed == 0 && self.failures.is_empty() && self.skips.is_empty()
    }
}

/// `N passed, N failed, N skipped`: the plain closing line that people and machines read.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failures.len(), self.skips.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_line_has_the_plain_form() {
        let mut tally = Tally { passed: 123, ..Tally::default() };
        tally.skip("a: b");
        assert_eq!(tally.to_string(), "123 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn absorbing_keeps_every_reason_and_names_its_suite() {
        let mut suite = Tally { passed: 2, ..Tally::default() };
        suite.fail("x", Excerpt::default());
        suite.skip("y");
        let mut all = Tally { passed: 1, ..Tally::default() };
        all.absorb("unit", &suite);
        assert_eq!(all.passed, 3);
        assert_eq!(all.failures[0].what, "unit: x");
        assert_eq!(all.skips, ["unit: y"]);
    }
}

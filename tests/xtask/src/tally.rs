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
    /// How to run it again; for what is no test, or cargo does not say how, there is no way.
    pub(crate) again: Option<Again>,
}

/// How to run what failed once more.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Again {
    /// Its program, as cargo says it: `-p NAME --test NAME`.
    pub(crate) program: String,
    /// Its name in there; none: the program died.
    pub(crate) test: Option<String>,
    /// The program's tests are among those that were counted.
    pub(crate) was_counted: bool,
}

impl Failure {
    /// The test that failed, if it is one.
    pub(crate) fn test(&self) -> Option<&str> {
        self.again.as_ref()?.test.as_deref()
    }

    /// What is said of it when it passed the second time.
    pub(crate) fn as_flaky(&self) -> String {
        format!("{}: failed once, passed when run again: {}", self.what, self.output.headline())
    }
}

/// What a suite, or all of them, came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failures: Vec<Failure>,
    /// What failed once and passed when it was run again; the tests among them are among those that passed.
    pub(crate) flaky: Vec<Failure>,
    /// One line for each skip: what was skipped, and why.
    pub(crate) skips: Vec<String>,
}

impl Tally {
    pub(crate) fn fail(&mut self, what: impl Into<String>, output: Excerpt) {
        self.failures.push(Failure { what: what.into(), output, again: None });
    }

    pub(crate) fn skip(&mut self, why: impl Into<String>) {
        self.skips.push(why.into());
    }

    /// Adds another tally's counts and reasons, each reason marked with the suite it comes from.
    pub(crate) fn absorb(&mut self, suite: &str, other: &Tally) {
        self.passed += other.passed;
        let marked =
            |failure: &Failure| Failure { what: format!("{suite}: {}", failure.what), ..failure.clone() };
        self.failures.extend(other.failures.iter().map(marked));
        self.flaky.extend(other.flaky.iter().map(marked));
        self.skips.extend(other.skips.iter().map(|line| format!("{suite}: {line}")));
    }

    /// True when nothing ran and nothing was even skipped.
    pub(crate) fn is_empty(&self) -> bool {
        self.passed == 0 && self.failures.is_empty() && self.skips.is_empty()
    }
}

/// `N passed, N failed, N skipped`: the plain closing line that people and machines read; and `, N flaky`, if there are any.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failures.len(), self.skips.len())?;
        if self.flaky.is_empty() { Ok(()) } else { write!(f, ", {} flaky", self.flaky.len()) }
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

//! One run of the test command, from the choice of suites to the closing line.

use std::time::{Duration, Instant};

use crate::cli;
use crate::error::Result;
use crate::machine::Workspace;
use crate::packages::{self, Tool};
use crate::process;
use crate::runner::Runner;
use crate::screen::Screen;
use crate::suites::{self, Suite};
use crate::tally::{Failure, Tally};

/// Runs the checks, and the suites that the options choose; true when nothing failed.
pub(crate) fn run(options: &cli::Test, checks: &'static [Suite]) -> Result<bool> {
    let suites = suites::ALL.iter().filter(|suite| is_chosen(suite, options));
    let chosen: Vec<&Suite> = checks.iter().chain(suites).collect();
    if options.list {
        list(&chosen);
        return Ok(true);
    }
    process::kill_on_interrupt()?;
    let workspace = Workspace::find()?;
    let screen = Screen::new();

    let missing = packages::missing(&tools(&chosen));
    if !missing.is_empty() && !options.no_install {
        packages::install(&missing, &screen)?;
    }

    let mut rows = Vec::new();
    let mut total = Tally::default();
    for (index, suite) in chosen.iter().enumerate() {
        screen.heading(&format!("{} ({}/{}): {}", suite.name, index + 1, chosen.len(), suite.about));
        screen.progress(suite.name.to_owned());
        let started = Instant::now();
        let tally = run_suite(suite, &workspace, &screen, !options.no_install);
        total.absorb(suite.name, &tally);
        rows.push((suite.name, tally, started.elapsed()));
    }
    screen.close();
    report(&screen, &rows, &total);
    Ok(total.failures.is_empty())
}

fn is_chosen(suite: &Suite, options: &cli::Test) -> bool {
    if options.only.is_empty() {
        !options.quick || suite.quick
    } else {
        options.only.iter().any(|name| name == suite.name)
    }
}

fn tools(suites: &[&Suite]) -> Vec<Tool> {
    let mut tools: Vec<Tool> = Vec::new();
    for tool in suites.iter().flat_map(|suite| suite.tools) {
        if !tools.contains(tool) {
            tools.push(*tool);
        }
    }
    tools
}

fn run_suite(suite: &'static Suite, workspace: &Workspace, screen: &Screen, may_install: bool) -> Tally {
    let mut runner = Runner::new(workspace, screen, suite.name, suite.limit, may_install);
    if let Err(error) = (suite.run)(&mut runner) {
        runner.say(&format!("xtask: {error}"));
        runner.fail(format!("could not be run: {error}"));
    }
    runner.into_tally()
}

fn list(suites: &[&Suite]) {
    for suite in suites {
        println!("{:14} {}", suite.name, suite.about);
        if !suite.tools.is_empty() {
            let missing = packages::missing(suite.tools);
            let packages: Vec<_> = suite.tools.iter().map(|tool| tool.package).collect();
            let state = if missing.is_empty() {
                "all here".to_owned()
            } else {
                format!("missing: {}", packages::by_hand(&missing))
            };
            println!("{:14} Debian packages: {} ({state})", "", packages.join(" "));
        }
    }
}

/// The counts last, what failed right above them, with what it said above that: the end of the output is what people
/// look at, and often all that is kept.
fn report(screen: &Screen, rows: &[(&str, Tally, Duration)], total: &Tally) {
    screen.heading("summary");
    for skip in &total.skips {
        screen.line(&format!("SKIPPED  {skip}"));
    }
    let section = |title: &str, failure: &Failure| {
        screen.line(&format!("\n---- {title}{}", failure.what));
        for line in failure.output.lines() {
            screen.line(&format!("     {line}"));
        }
    };
    total.flaky.iter().for_each(|failure| section("FLAKY ", failure));
    total.failures.iter().for_each(|failure| section("", failure));
    screen.line("");
    for (name, tally, took) in rows {
        screen.line(&format!("{name:14} {tally} in {:.1} s", took.as_secs_f64()));
    }
    for failure in &total.flaky {
        screen.line(&format!("FLAKY    {}", failure.as_flaky()));
    }
    for failure in &total.failures {
        screen.line(&format!("FAILED   {}", failure.what));
    }
    screen.line(&total.to_string());
}

//! Look into a log: dump it, check it, follow it. Changes nothing; a log that is being written can be read.
//!
//! ```text
//! cargo run --example logcat -- /var/lib/my.log --verify
//! ```

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use hemi::Lsn;
use hemi_examples::{
    cli::{Common, exit, log},
    logcat::{Show, dump, follow},
};

/// Look into a log: dump it, check it, follow it.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    /// The log: a path, or a URI such as `log:/var/lib/my.log`
    log: String,
    /// Begin at this record
    #[arg(long, value_name = "LSN", default_value_t = 0)]
    from: u64,
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = u64::MAX)]
    limit: u64,
    /// Show nothing but what is whole and what is not; fails if anything is damaged
    #[arg(long)]
    verify: bool,
    /// Go on showing what is appended
    #[arg(long)]
    follow: bool,
    /// The units as they are, a line each
    #[arg(long)]
    raw: bool,
}

fn main() -> ExitCode {
    log();
    exit("logcat", run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let show = Show { from: Lsn(cli.from), limit: cli.limit, quiet: cli.verify, raw: cli.raw };
    let mut out = io::BufWriter::new(io::stdout().lock());
    cli.common.builder().build()?.block_on(async {
        if cli.follow {
            return Ok(follow(&cli.log, show, &mut out).await?);
        }
        let report = dump(&cli.log, show, &mut out).await?;
        if cli.verify {
            writeln!(out, "{}", report.recovery)?;
            writeln!(out, "{} records, {} bytes are whole", report.records, report.bytes)?;
        }
        out.flush()?;
        if report.damage.is_empty() {
            return Ok(());
        }
        Err(format!("the log is damaged: {}", report.damage.join("; ")).into())
    })
}

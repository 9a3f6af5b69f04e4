//! The log lab: durable appends, bandwidth and recovery of a hemi log beside `fio` on the same device.
//!
//! ```text
//! cargo run --release --example log-lab
//! cargo run --release --example log-lab -- --dir /mnt/disk --on file --rows append,group --markdown
//! ```
//!
//! With tokio and glommio as well, and optimised as the tables in `benches/README.md` are:
//! `cargo run --release --manifest-path benches/peers/Cargo.toml --bin log-lab`. Wants the packages `fio` and `valgrind`.

use std::process::ExitCode;

use clap::Parser;
use hemi_bench::log::{self, cli::Options};

/// The log lab: a hemi log beside fio.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    match log::run(&Cli::parse().options, &[]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("log-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

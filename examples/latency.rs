//! The latency lab: how long an echo takes, over hemi and over the bare kernel.
//!
//! Without arguments it compares, in one run, a hand-written busy-polling server (the kernel's floor)
//! with hemi in busy mode and hemi as it comes, over TCP and UDP, and says the ratios:
//!
//! ```text
//! cargo run --release --example latency
//! cargo run --release --example latency -- --svg latency.svg --html latency.html
//! cargo run --release --example latency -- --connections 64 --depth 16 --transport tcp
//! cargo run --release --example latency -- --rate 20000            # open loop
//! cargo run --release --example latency -- --peer 127.0.0.1:7000   # somebody else's echo server
//! ```

use std::process::ExitCode;

use clap::Parser;

/// The latency lab: how long an echo takes, over hemi and over the bare kernel.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    options: hemi_bench::cli::Options,
}

fn main() -> ExitCode {
    match hemi_bench::run(&Cli::parse().options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("latency: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

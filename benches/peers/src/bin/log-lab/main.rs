//! The log lab with peers: hemi's log beside `fio`, tokio and glommio, in one table.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml --bin log-lab -- --markdown
//! ```

#![forbid(unsafe_code)]

mod glommio;
mod tokio;

use std::process::ExitCode;

use clap::Parser;
use hemi_bench::log::{self, cli::Options, contestant::Contestant};

/// The log lab: a hemi log beside fio, tokio and glommio.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let peers: Vec<Box<dyn Contestant>> = vec![
        Box::new(tokio::Tokio { group: false }),
        Box::new(tokio::Tokio { group: true }),
        Box::new(glommio::Glommio),
    ];
    match log::run(&Cli::parse().options, &peers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("log-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

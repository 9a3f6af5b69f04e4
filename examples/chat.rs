//! A chat room for `nc`: every line goes to all others; who does not read is disconnected.
//!
//! ```text
//! cargo run --example chat &
//! nc 127.0.0.1 7001          # twice
//! ```

use std::{error::Error, process::ExitCode};

use clap::Parser;
use futures::{FutureExt, select_biased};
use hemi::{Listener, signal};
use hemi_examples::{
    chat,
    cli::{Common, exit, log, say},
};

/// A chat room for `nc`: every line goes to all others; who does not read is disconnected.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    /// Listen here
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7001")]
    tcp: String,
    /// Lines that may wait for a client whose connection is full, before it is disconnected
    #[arg(long, value_name = "N", default_value_t = 256)]
    keep: usize,
}

fn main() -> ExitCode {
    log();
    let cli = Cli::parse();
    exit("chat", run(&cli))
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    Ok(cli.common.builder().build()?.block_on(async {
        let listener = Listener::bind(&cli.tcp).await?;
        say(format_args!("listening tcp {}", listener.local_addr()?));
        select_biased! {
            asked = signal::shutdown().fuse() => asked,
            ended = chat::serve(listener, cli.keep).fuse() => ended,
        }
    })?)
}

//! Counts the words of all datagrams and answers with the totals.
//!
//! ```text
//! cargo run --example wordcount-udp &
//! echo "to be or not to be" | nc -u -w1 127.0.0.1 7004
//! echo "?" | nc -u -w1 127.0.0.1 7004
//! ```

use std::{error::Error, process::ExitCode};

use clap::Parser;
use futures::{FutureExt, select_biased};
use hemi::{UdpQueue, signal};
use hemi_examples::{
    cli::{Common, exit, log, say},
    wordcount,
};

/// Counts the words of all datagrams and answers with the totals, or, to `?`, with the most frequent words.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    /// Take datagrams here
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7004")]
    udp: String,
}

fn main() -> ExitCode {
    log();
    let cli = Cli::parse();
    exit("wordcount-udp", run(&cli))
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    Ok(cli.common.builder().build()?.block_on(async {
        let socket = UdpQueue::bind(&cli.udp).await?;
        say(format_args!("listening udp {}", socket.local_addr()?));
        select_biased! {
            asked = signal::shutdown().fuse() => asked,
            ended = wordcount::serve(socket).fuse() => ended,
        }
    })?)
}

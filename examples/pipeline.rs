//! Sensor readings over UDP, filtered, put in order and parsed by a pipeline of queues.
//!
//! ```text
//! cargo run --example pipeline &
//! printf '\1\0\0\0\2\0\0\0\7' | nc -u -w1 127.0.0.1 7003     # kind 1, reading 2, value 7
//! ```

use std::{error::Error, process::ExitCode, time::Duration};

use clap::Parser;
use futures::{FutureExt, select_biased};
use hemi::{UdpQueue, signal};
use hemi_examples::{
    cli::{Common, exit, log, say},
    pipeline::{readings, serve},
};

/// Sensor readings over UDP, filtered, put in order and parsed by a pipeline of queues.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    /// Take datagrams here: kind (1 byte), sequence number (4), value (4), big-endian
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7003")]
    udp: String,
    /// The kind of reading that is wanted
    #[arg(long, value_name = "N", default_value_t = 1)]
    kind: u8,
    /// Put up to this many readings in order
    #[arg(long, value_name = "N", default_value_t = 64)]
    window: usize,
    /// Hold a reading at most this long for earlier ones to arrive, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 20)]
    hold: u64,
}

fn main() -> ExitCode {
    log();
    let cli = Cli::parse();
    exit("pipeline", run(&cli))
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    Ok(cli.common.builder().build()?.block_on(async {
        let socket = UdpQueue::bind(&cli.udp).await?;
        say(format_args!("listening udp {}", socket.local_addr()?));
        let readings = readings(socket, cli.kind, cli.window, Duration::from_millis(cli.hold));
        select_biased! {
            asked = signal::shutdown().fuse() => asked,
            ended = serve(readings, say).fuse() => ended,
        }
    })?)
}

//! Relay connections to another address, which may be on another transport.
//!
//! ```text
//! cargo run --example relay -- --tcp 127.0.0.1:7002 --to 127.0.0.1:7000
//! ```

use std::{error::Error, process::ExitCode};

use clap::Parser;
use futures::{FutureExt, select_biased};
use hemi::{Options, signal};
use hemi_examples::{
    cli::{Common, exit, log, say},
    relay,
};

/// Relay connections to another address, which may be on another transport.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    /// Listen here
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7002")]
    tcp: String,
    /// Connect to this address for every connection, such as `localhost:7000` or `unix:/run/echo.sock`
    #[arg(long, value_name = "ADDR")]
    to: String,
    /// The transport towards `--to`, as a URI [default: the same as --net]
    #[arg(long, value_name = "URI")]
    to_net: Option<String>,
}

fn main() -> ExitCode {
    log();
    let cli = Cli::parse();
    exit("relay", run(&cli))
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let mut builder = cli.common.builder();
    let mut towards = Options::new().raw();
    if let Some(uri) = &cli.to_net {
        if cli.common.net.is_none() {
            builder = builder.net("kernel:");
        }
        builder = builder.net_as("to", uri);
        towards = towards.on("to");
    }
    Ok(builder.build()?.block_on(async {
        let listener = Options::new().raw().listen(&cli.tcp).await?;
        say(format_args!("listening tcp {}", listener.local_addr()?));
        select_biased! {
            asked = signal::shutdown().fuse() => asked,
            ended = relay::serve(listener, (&cli.to).into(), towards).fuse() => ended,
        }
    })?)
}

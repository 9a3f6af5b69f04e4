//! A key-value store in memory for `redis-cli`, or for `nc`, which may type commands as lines.
//!
//! ```text
//! cargo run --example kv &
//! printf 'SET greeting "hello world"\r\nGET greeting\r\nQUIT\r\n' | nc 127.0.0.1 6380
//! ```

use std::{error::Error, process::ExitCode, rc::Rc};

use clap::Parser;
use futures::{FutureExt, select_biased};
use hemi::{Listener, signal};
use hemi_examples::{
    cli::{Common, exit, log, say},
    kv,
};

/// A key-value store in memory for `redis-cli`: PING, ECHO, SET, GET, DEL, EXISTS, INCR, DBSIZE, HELLO, QUIT.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    /// Listen here
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6380")]
    tcp: String,
}

fn main() -> ExitCode {
    log();
    let cli = Cli::parse();
    exit("kv", run(&cli))
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    Ok(cli.common.builder().build()?.block_on(async {
        let listener = Listener::bind(&cli.tcp).await?;
        say(format_args!("listening tcp {}", listener.local_addr()?));
        select_biased! {
            asked = signal::shutdown().fuse() => asked,
            ended = kv::serve(listener, Rc::default()).fuse() => ended,
        }
    })?)
}

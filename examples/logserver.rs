//! A small broker on a durable log: units in, acknowledged when they are on the device, and out to whoever subscribes.
//!
//! ```text
//! cargo run --example logserver -- serve --tcp 127.0.0.1:7007 --log log:/tmp/my.log
//! cargo run --example logserver -- prove --kills 20
//! ```

use std::{error::Error, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use futures::{FutureExt, select_biased};
use hemi::{Listener, LogQueue, signal};
use hemi_examples::{
    cli::{Common, exit, log, say},
    logserver, prove,
};

/// A small broker on a durable log.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Serve a log, made if it is not there
    Serve {
        /// Listen here
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7007")]
        tcp: String,
        /// The log's URI: `log:PATH`, with any of its parameters
        #[arg(long, value_name = "URI")]
        log: String,
    },
    /// Kill a server under load again and again, and look for everything that it had acknowledged
    Prove {
        /// How often
        #[arg(long, value_name = "N", default_value_t = 20)]
        kills: u32,
        /// The longest that a server lives, in milliseconds
        #[arg(long, value_name = "MS", default_value_t = 400)]
        life: u64,
        /// Where its log is made [default: a new file in this folder, removed afterwards]
        #[arg(long, value_name = "PATH")]
        path: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    log();
    let cli = Cli::parse();
    exit("logserver", run(&cli))
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let runtime = cli.common.builder().build()?;
    match &cli.what {
        What::Serve { tcp, log } => runtime.block_on(serve(tcp, log)),
        What::Prove { kills, life, path } => {
            let kept = path.is_some();
            let own = PathBuf::from(format!("logserver-proof-{}.log", std::process::id()));
            let path = path.clone().unwrap_or(own);
            let uri = format!("log:{}?segment=4MiB", path.display());
            let program = std::env::current_exe()?;
            let life = Duration::from_millis(*life);
            let outcome = runtime.block_on(prove::prove(&program, &uri, *kills, life, |so_far| {
                say(format_args!(
                    "killed {} times: {} appends acknowledged, all of them among {} records",
                    so_far.kills, so_far.acknowledged, so_far.found
                ));
            }));
            if !kept && outcome.is_ok() {
                std::fs::remove_file(&path)?;
            }
            outcome.map(|_| say("nothing that was acknowledged was lost"))
        }
    }
}

async fn serve(tcp: &str, uri: &str) -> Result<(), Box<dyn Error>> {
    let log = LogQueue::open_or_create(uri).await?;
    let listener = Listener::bind(tcp).await?;
    say(format_args!("log {}: {}", log.describe(), log.recovery()));
    say(format_args!("listening tcp {}", listener.local_addr()?));
    let served = log.another()?;
    select_biased! {
        asked = signal::shutdown().fuse() => asked?,
        ended = logserver::serve(listener, served).fuse() => ended?,
    }
    Ok(log.close().await?)
}

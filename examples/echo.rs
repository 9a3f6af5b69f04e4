//! Echo over TCP and UDP, on any transport, until SIGINT or SIGTERM.
//!
//! ```text
//! cargo run --release --example echo -- --tcp 127.0.0.1:7000 --udp 127.0.0.1:7000
//! nc 127.0.0.1 7000
//! ```

use std::{cell::Cell, error::Error, process::ExitCode, rc::Rc};

use clap::Parser;
use futures::{FutureExt, select_biased};
use hemi::{Options, Result, signal};
use hemi_examples::{
    cli::{Common, exit, log, say},
    echo::{Totals, serve, serve_datagrams},
};

/// Echo over TCP and UDP, on any transport, until SIGINT or SIGTERM.
///
/// Prints `listening tcp ADDR` and `listening udp ADDR` when ready, and at the end what was echoed. Without `--tcp` and
/// `--udp` it serves both at 127.0.0.1:7000.
#[derive(Parser, Clone)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    /// Listen for streams here; port 0 chooses a port
    #[arg(long, value_name = "ADDR")]
    tcp: Option<String>,
    /// Take datagrams here; port 0 chooses a port
    #[arg(long, value_name = "ADDR")]
    udp: Option<String>,
    /// Echo whole units behind a 32-bit length, as hemi's Conn sends them, not bytes as they come
    #[arg(long)]
    framed: bool,
    /// Serve on this many cores, which share the addresses
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    cores: u16,
}

fn main() -> ExitCode {
    log();
    exit("echo", run(Cli::parse()))
}

fn run(mut cli: Cli) -> Result<(), Box<dyn Error>> {
    if cli.tcp.is_none() && cli.udp.is_none() {
        (cli.tcp, cli.udp) = (Some("127.0.0.1:7000".into()), Some("127.0.0.1:7000".into()));
    }
    let any_port = [&cli.tcp, &cli.udp].into_iter().flatten().any(|addr| addr.ends_with(":0"));
    if cli.cores > 1 && any_port {
        return Err("with several cores all of them listen on one port: name it, not 0".into());
    }
    let builder = cli.common.builder().cores(cli.cores.into());
    let totals = builder.run(move || core(cli.clone()))?.into_iter().sum::<Result<Totals>>()?;
    say(totals);
    Ok(())
}

/// What one core does.
async fn core(cli: Cli) -> Result<Totals> {
    let asked = signal::shutdown(); // taken over before "listening" is said: whoever reads that may end us
    let totals = Rc::new(Cell::new(Totals::default()));
    let mut options = Options::new();
    if !cli.framed {
        options = options.raw();
    }
    let first = hemi::core_index() == 0;
    let streams = match &cli.tcp {
        None => std::future::pending().right_future(),
        Some(addr) => {
            let listener = options.listen(addr).await?;
            if first {
                say(format_args!("listening tcp {}", listener.local_addr()?));
            }
            serve(listener, Rc::clone(&totals)).left_future()
        }
    };
    let datagrams = match &cli.udp {
        None => std::future::pending().right_future(),
        Some(addr) => {
            let socket = options.bind_udp(addr).await?;
            if first {
                say(format_args!("listening udp {}", socket.local_addr()?));
            }
            serve_datagrams(socket, Rc::clone(&totals)).left_future()
        }
    };
    select_biased! {
        ended = asked.fuse() => ended?,
        ended = streams.fuse() => ended?,
        ended = datagrams.fuse() => ended?,
    };
    Ok(totals.get())
}

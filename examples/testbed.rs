//! A host for conformance suites to test: echo over TCP and UDP on four ports, IPv4 and IPv6, on any transport.
//!
//! ```text
//! cargo run --release --example testbed -- --net 'tap:hemi0?ip=10.99.0.1/16&ip=fd99::1/64' --port 7
//! ```

use std::{error::Error, process::ExitCode};

use clap::Parser;
use futures::{FutureExt, select_biased};
use hemi::{Result, signal};
use hemi_examples::{
    cli::{Common, exit, log, say},
    testbed::{Testbed, as_on_a_wire},
};

/// A host for conformance suites to test, until SIGINT or SIGTERM.
///
/// Port P: TCP echo with Nagle off, and UDP echo. P+1: TCP echo with Nagle on. P+2: TCP echo with keep-alive after two idle seconds. P+3: UDP
/// control: the datagram `C ADDRESS PORT` has it connect there and echo on that connection. A read that ends with `QUIT\n` is echoed, then the
/// testbed closes first. Prints `ready` once it serves.
///
/// Over `tap:` and `packet:` its frames are as on a wire, checksums finished and no longer than the MTU; `csum=offload` and `offload=on` leave both
/// to the kernel, as elsewhere.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    /// The first of four ports
    #[arg(long, value_name = "P", default_value_t = 7000, value_parser = clap::value_parser!(u16).range(1..=65_532))]
    port: u16,
}

fn main() -> ExitCode {
    log();
    exit("testbed", run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let mut common = cli.common.clone();
    // `HEMI_NET` is what the runtime looks at when nothing is said.
    common.net = common.net.or_else(|| std::env::var("HEMI_NET").ok()).map(|uri| as_on_a_wire(&uri));
    let runtime = common.builder().build()?;
    runtime.block_on(async {
        let asked = signal::shutdown(); // taken over before "ready" is said: whoever reads that may end us
        let testbed = Testbed::bind(cli.port).await?;
        say("ready");
        select_biased! {
            ended = asked.fuse() => ended,
            ended = testbed.serve().fuse() => ended,
        }
    })?;
    Ok(())
}

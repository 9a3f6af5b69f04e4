//! hemi beside its peers, in one command and one table.
//!
//! The program starts itself once per sample (see [`cli::Role`]), so that no runtime's threads, rings
//! or allocator state meet another's, and so that valgrind sees one contestant at a time. The rows are
//! generic functions ([`rows`]) over what a contestant offers ([`peer`]); a contestant is one file in
//! [`peers`].

#![forbid(unsafe_code)]

mod callgrind;
mod child;
mod cli;
mod compare;
mod error;
mod peer;
mod peers;
mod plan;
mod report;
mod rows;

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use hemi_bench::contestants::{Contestant, epoll::Epoll, floor::Floor, hemi::Hemi};
use hemi_bench::cores::pin;
use hemi_bench::scenario::{Pace, Scenario, Transport};
use hemi_bench::stop::Stop;

use crate::child::Load;
use crate::cli::{Cli, Compare, Role};
use crate::error::{Doing, Error};
use crate::peer::Echo;
use crate::plan::{Row, Runtime};

/// How long the load generator runs before it counts.
const WARM_UP: Duration = Duration::from_millis(150);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.role {
        None => compare_all(&cli.compare),
        Some(Role::Sample { row, runtime, ops, cpu }) => sample(row, runtime, ops, cpu),
        Some(Role::Serve { runtime, cpu, bind }) => serve(runtime, cpu, bind),
        Some(Role::Load { server, cpu, connections, depth, seconds }) => {
            drive(server, cpu, connections, depth, seconds)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut source: Option<&dyn std::error::Error> = Some(&error);
            let mut separator = "error: ";
            while let Some(cause) = source {
                eprint!("{separator}{cause}");
                (separator, source) = (": ", cause.source());
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

fn compare_all(options: &Compare) -> Result<(), Error> {
    let rows = if options.rows.is_empty() { Row::value_variants() } else { &options.rows };
    let mut runtimes = if options.runtimes.is_empty() {
        Runtime::value_variants().to_vec()
    } else {
        options.runtimes.clone()
    };
    if !runtimes.contains(&Runtime::Harness) {
        runtimes.push(Runtime::Harness);
    }
    let cells = compare::run(options, rows, &runtimes)?;
    print!("{}", report::table(&cells, rows, &runtimes, options.markdown));
    println!();
    if let Some(path) = &options.json {
        let file = File::create(path).doing("creating the JSON file")?;
        serde_json::to_writer_pretty(file, &cells)?;
    }
    Ok(())
}

fn sample(row: Row, runtime: Runtime, ops: u64, cpu: usize) -> Result<(), Error> {
    pin(cpu)?;
    let elapsed = plan::run_micro(row, runtime, ops).ok_or(Error::NotOffered { row, runtime })?;
    println!("{}", elapsed.as_nanos());
    Ok(())
}

fn serve(runtime: Runtime, cpu: usize, bind: SocketAddr) -> Result<(), Error> {
    pin(cpu)?;
    let ready = |address: SocketAddr| {
        println!("{address}");
        let _ = std::io::stdout().flush();
    };
    // The servers of the latency lab.
    let lab = |server: &dyn Contestant| {
        let served = server.serve(Transport::Tcp, bind, &mut { ready }, &Stop::default());
        served.map_err(|source| Error::Server { runtime, source })
    };
    match runtime {
        Runtime::Tokio => peers::tokio::Tokio::serve(bind, ready),
        Runtime::Monoio => peers::monoio::Monoio::serve(bind, ready),
        Runtime::Glommio => peers::glommio::Glommio::serve(bind, ready),
        Runtime::Compio => peers::compio::Compio::serve(bind, ready),
        Runtime::Smol => peers::smol::Smol::serve(bind, ready),
        Runtime::Epoll => return lab(&Epoll),
        Runtime::Spin => return lab(&Floor),
        Runtime::Hemi => return lab(&Hemi::adaptive(None)),
        Runtime::HemiBusy => return lab(&Hemi::busy(None)),
        Runtime::LocalPool | Runtime::Harness | Runtime::Smoltcp | Runtime::Memory => {
            return Err(Error::NoServer { runtime });
        }
    }
    .doing("serving")
}

/// The one load generator: the latency lab's client.
fn drive(
    server: SocketAddr,
    cpu: usize,
    connections: usize,
    depth: usize,
    seconds: f64,
) -> Result<(), Error> {
    pin(cpu)?;
    let scenario = Scenario {
        transport: Transport::Tcp,
        size: 64,
        connections,
        depth,
        pace: Pace::Closed,
        warm_up: WARM_UP,
        measure: Duration::from_secs_f64(seconds),
    };
    let driven = hemi_bench::client::drive(server, &scenario)?;
    let seen = Load { p50: driven.latencies.percentile(50.0), rate: driven.rate, ceiling: driven.ceiling };
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::plan::{Row, Runtime};

/// hemi beside its peers: spawn, yield, wake, queues, timers and TCP echo, one harness for all.
///
/// Every sample is a process of its own; samples of the contestants are interleaved (A B C A B C ...).
/// Nanoseconds of micro rows are the fastest sample, because interference only adds; TCP rows are
/// medians of the rounds. With --callgrind the instructions per operation are counted too, as
/// (Ir(3N) - Ir(N)) / 2N, and in brackets without the harness's own.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub compare: Compare,
    #[command(subcommand)]
    pub role: Option<Role>,
}

/// What to compare, and how long.
#[derive(Debug, Args)]
pub struct Compare {
    /// Rows to run, separated by commas; all by default.
    #[arg(long, value_delimiter = ',', value_enum)]
    pub rows: Vec<Row>,

    /// Contestants, separated by commas; all by default.
    #[arg(long, value_delimiter = ',', value_enum)]
    pub runtimes: Vec<Runtime>,

    /// Count instructions too (needs valgrind; some minutes).
    #[arg(long)]
    pub callgrind: bool,

    /// Count instructions only.
    #[arg(long)]
    pub callgrind_only: bool,

    /// Interleaved rounds.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,

    /// Measured seconds per TCP sample.
    #[arg(long, default_value_t = 0.5)]
    pub seconds: f64,

    /// The core of the micro rows and of the servers.
    #[arg(long, default_value_t = 0)]
    pub cpu: usize,

    /// The core of the load generator.
    #[arg(long, default_value_t = 1)]
    pub client_cpu: usize,

    /// Print the table as Markdown.
    #[arg(long)]
    pub markdown: bool,

    /// Write every sample to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What the processes started by a comparison do.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// One sample of one micro row: prints nanoseconds.
    #[command(hide = true)]
    Sample {
        #[arg(long)]
        row: Row,
        #[arg(long)]
        runtime: Runtime,
        #[arg(long)]
        ops: u64,
        #[arg(long)]
        cpu: usize,
    },
    /// A TCP echo server of one runtime: prints its address, then serves until it is killed.
    Serve {
        #[arg(long)]
        runtime: Runtime,
        #[arg(long, default_value_t = 0)]
        cpu: usize,
        #[arg(long, default_value = "127.0.0.1:0")]
        bind: SocketAddr,
    },
    /// The load generator against any TCP echo server: prints what it saw as JSON.
    Load {
        #[arg(long)]
        server: SocketAddr,
        #[arg(long, default_value_t = 1)]
        cpu: usize,
        #[arg(long, default_value_t = 1)]
        connections: usize,
        #[arg(long, default_value_t = 1)]
        depth: usize,
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
    },
}

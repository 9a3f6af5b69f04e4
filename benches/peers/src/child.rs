//! Samples are processes: this one, started again in another role.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::cli::Compare;
use crate::error::{Doing, Error};
use crate::plan::{Row, Runtime};

/// What the load generator saw, as it prints it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Median round trip in nanoseconds.
    pub p50: u64,
    /// Messages per second.
    pub rate: f64,
    /// Messages per second of the time it was not waiting: the most it could have driven.
    pub ceiling: Option<f64>,
}

/// What clap calls a row or a contestant on the command line.
pub fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// This program, to be started again.
pub fn myself() -> Result<std::path::PathBuf, Error> {
    std::env::current_exe().doing("finding this program's own file")
}

/// The arguments that make this program run one sample.
pub fn sample_args(row: Row, runtime: Runtime, ops: u64, cpu: usize) -> Vec<String> {
    let (ops, cpu) = (ops.to_string(), cpu.to_string());
    ["sample", "--row", &name(&row), "--runtime", &name(&runtime), "--ops", &ops, "--cpu", &cpu]
        .map(String::from)
        .to_vec()
}

/// One timed sample of a micro row: nanoseconds per operation.
pub fn time(row: Row, runtime: Runtime, cpu: usize) -> Result<f64, Error> {
    let ops = row.timed_ops();
    let output = Command::new(myself()?)
        .args(sample_args(row, runtime, ops, cpu))
        .output()
        .doing("starting a sample")?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Sample { row, runtime, status: output.status, stderr });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let nanoseconds: u64 = text.trim().parse().map_err(|_| Error::Output(text.to_string()))?;
    Ok(nanoseconds as f64 / ops as f64)
}

/// One sample of a TCP row: a server, the load generator, and the server's end.
pub fn drive(row: Row, runtime: Runtime, options: &Compare) -> Result<Load, Error> {
    let (connections, depth) = if row == Row::Tcp64x16 { ("64", "16") } else { ("1", "1") };
    let server = Server::start(runtime, options.cpu)?;
    let output = Command::new(myself()?)
        .args(["load", "--server", &server.address.to_string(), "--cpu", &options.client_cpu.to_string()])
        .args(["--connections", connections, "--depth", depth, "--seconds", &options.seconds.to_string()])
        .output()
        .doing("starting the load generator")?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Load { runtime, status: output.status, stderr });
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A running echo server, killed when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(runtime: Runtime, cpu: usize) -> Result<Self, Error> {
        let mut child = Command::new(myself()?)
            .args(["serve", "--runtime", &name(&runtime), "--cpu", &cpu.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .doing("starting a server")?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.as_mut() {
            BufReader::new(stdout).read_line(&mut line).doing("reading the server's address")?;
        }
        if let Ok(address) = line.trim().parse() {
            return Ok(Self { child, address });
        }
        let mut stderr = String::new();
        let _ = child.kill();
        let status = child.wait().doing("waiting for a server's end")?;
        if let Some(pipe) = child.stderr.as_mut() {
            pipe.read_to_string(&mut stderr).doing("reading a server's errors")?;
        }
        if stderr.is_empty() {
            return Err(Error::NotReady { runtime });
        }
        Err(Error::Sample { row: Row::TcpPingPong, runtime, status, stderr })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

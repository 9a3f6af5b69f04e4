//! `fio` as the floor: the same pattern without a log.

use std::{path::Path, process::Command, time::Duration};

use serde_json::Value;

use super::Failure;

/// How `fio` makes writes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// `RWF_DSYNC`.
    Dsync,
    /// `fdatasync` after each write.
    Fdatasync,
    /// Not at all, but once at the end.
    Once,
}

/// What it does. Always `io_uring` and `O_DIRECT`.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// On this file or device.
    pub path: &'a Path,
    /// Reads, not writes.
    pub read: bool,
    /// Bytes per operation.
    pub block: usize,
    /// In flight.
    pub depth: usize,
    /// How writes are made durable.
    pub sync: Sync,
    /// Bytes of the file.
    pub size: u64,
    /// Go round for so long; else once through.
    pub time: Option<Duration>,
    /// Into space that was allocated and never written, as a growing log does.
    pub fresh: bool,
}

/// What it measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Operations per second; with `fdatasync`, those that are durable.
    pub rate: f64,
    /// Bytes per second.
    pub bandwidth: f64,
    /// Median latency of a durable operation from its submission on, in nanoseconds.
    pub p50: f64,
}

impl Job<'_> {
    /// Run it.
    ///
    /// # Errors
    /// No `fio` (a package of that name), or it failed; with what it said.
    pub fn run(&self) -> Result<Measured, Failure> {
        let mut fio = Command::new("fio");
        fio.args([
            "--name=lab",
            "--ioengine=io_uring",
            "--direct=1",
            "--output-format=json",
            "--thread",
            "--lat_percentiles=1",
        ])
        .arg(format!("--filename={}", self.path.display()))
        .arg(format!("--rw={}", if self.read { "read" } else { "write" }))
        .arg(format!("--bs={}", self.block))
        .arg(format!("--iodepth={}", self.depth))
        .arg(format!("--size={}", self.size));
        if self.fresh {
            fio.args(["--fallocate=posix", "--overwrite=0", "--unlink=1"]);
        } else {
            fio.args(["--fallocate=none", "--overwrite=1"]);
        }
        match self.sync {
            Sync::Dsync => fio.arg("--sync=dsync"),
            Sync::Fdatasync => fio.arg("--fdatasync=1"),
            Sync::Once => fio.arg("--end_fsync=1"),
        };
        if let Some(time) = self.time {
            fio.arg("--time_based").arg(format!("--runtime={}ms", time.as_millis()));
        }
        let output =
            fio.output().map_err(|e| format!("fio cannot be started ({e}); install the package `fio`"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("fio ended with {}: {said}", output.status).into());
        }
        // It may say something before the JSON.
        let text = String::from_utf8_lossy(&output.stdout);
        let json: Value = serde_json::from_str(&text[text.find('{').unwrap_or(0)..])?;
        let job = &json["jobs"][0];
        let side = &job[if self.read { "read" } else { "write" }];
        let number = |value: &Value| value.as_f64().ok_or("fio's report lacks a number");
        let mut p50 = number(&side["lat_ns"]["percentile"]["50.000000"])?;
        if self.sync == Sync::Fdatasync {
            p50 += number(&job["sync"]["lat_ns"]["percentile"]["50.000000"])?;
        }
        Ok(Measured { rate: number(&side["iops"])?, bandwidth: number(&side["bw_bytes"])?, p50 })
    }
}

/// A file that was written from one end to the other, so that writes to it change no metadata.
///
/// # Errors
/// No space.
pub fn lay_out(path: &Path, size: u64) -> Result<(), Failure> {
    let mut file = std::fs::File::create(path)?;
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0x5a), size), &mut file)?;
    Ok(file.sync_all()?)
}

//! Instructions per operation: this program under callgrind, one row of one contestant at a time.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::child;
use crate::error::{Doing, Error};
use crate::plan::{Row, Runtime};

/// `(Ir(3N) - Ir(N)) / 2N`: set-up, warm-up and tear-down are in both and cancel out.
pub fn instructions(row: Row, runtime: Runtime, cpu: usize) -> Result<f64, Error> {
    let n = row.counted_ops();
    let once = count(row, runtime, n, cpu)?;
    let thrice = count(row, runtime, 3 * n, cpu)?;
    Ok(thrice.saturating_sub(once) as f64 / (2 * n) as f64)
}

fn count(row: Row, runtime: Runtime, ops: u64, cpu: usize) -> Result<u64, Error> {
    let out = std::env::temp_dir().join(format!(
        "hemi-peers-{}-{}-{}-{ops}.callgrind",
        std::process::id(),
        child::name(&row),
        child::name(&runtime),
    ));
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg("--quiet")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(child::myself()?)
        .args(child::sample_args(row, runtime, ops, cpu))
        .stdin(Stdio::null())
        .output()
        .map_err(Error::NoValgrind)?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Sample { row, runtime, status: output.status, stderr });
    }
    let text = fs::read_to_string(&out).doing("reading callgrind's output")?;
    fs::remove_file(&out).doing("removing callgrind's output")?;
    total(&text).ok_or_else(|| Error::NoTotal(Path::new(&out).to_path_buf()))
}

/// The instructions of all threads, as callgrind sums them up in its last lines.
fn total(text: &str) -> Option<u64> {
    text.lines().rev().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found() {
        let text = "events: Ir\nsummary: 17\nfn=(1) main\n12 5\n\ntotals: 123456\n";
        assert_eq!(total(text), Some(123_456));
        assert_eq!(total("events: Ir\nsummary: 17\n"), None);
    }
}

//! Look into a log, also a damaged one, without changing it.

use std::io::{self, Write};

use hemi::{
    Error, LogQueue, Lsn, Pop, Result,
    storage::{LogError, Record},
    time::sleep,
};

/// How often a followed log is looked at.
const INTERVAL: std::time::Duration = std::time::Duration::from_millis(200);

/// What to show.
#[derive(Clone, Copy, Debug)]
pub struct Show {
    /// From this record on.
    pub from: Lsn,
    /// At most so many.
    pub limit: u64,
    /// Only check.
    pub quiet: bool,
    /// The payload as it is and nothing else, a line each.
    pub raw: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whole records read.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first record and the one behind the last.
    pub span: (u64, u64),
    /// What recovery said.
    pub recovery: String,
    /// What is damaged, in words.
    pub damage: Vec<String>,
}

/// The URI of `log` for reading only.
fn read_only(log: &str) -> String {
    let uri = if log.contains(':') { log.to_owned() } else { format!("log:{log}") };
    let join = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{join}mode=ro")
}

/// Read the log at `log` (a path or a URI), show its records on `out`, and tell what is whole and what is not.
pub async fn dump(log: &str, show: Show, out: &mut impl Write) -> Result<Report> {
    let mut log = LogQueue::open(read_only(log)).await?;
    let found = log.recovery().clone();
    let mut report =
        Report { span: (found.head.0, found.tail.0), recovery: found.to_string(), ..Report::default() };
    if let Some(missing) = found.cut.as_ref().and_then(|cut| cut.missing.as_ref()) {
        report.damage.push(missing.to_string());
    }
    let acknowledged = found.cut.as_ref().map_or(Lsn(0), |cut| cut.behind.durable);
    if acknowledged > found.tail {
        report
            .damage
            .push(format!("records {} to {acknowledged} (not included) were durable once", found.tail));
    }
    let mut reader = log.cursor(show.from.max(found.head));
    while report.records < show.limit {
        match reader.pop().await {
            Ok(Some(record)) => {
                report.records += 1;
                report.bytes += record.unit.len() as u64;
                if !show.quiet {
                    print(&record, show.raw, out)?;
                }
            }
            Ok(None) => break,
            Err(Error::Other(e)) if matches!(e.downcast_ref(), Some(LogError::Unreadable { .. })) => {
                report.damage.push(e.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    log.seek(Lsn(0));
    drop(reader);
    log.close().await?;
    Ok(report)
}

/// Show records as they are appended by another process; never ends by itself.
pub async fn follow(log: &str, mut show: Show, out: &mut impl Write) -> Result<()> {
    loop {
        let report = dump(log, show, out).await?;
        out.flush()?;
        show.from = Lsn(report.span.1.max(show.from.0));
        sleep(INTERVAL).await;
    }
}

fn print(record: &Record, raw: bool, out: &mut impl Write) -> io::Result<()> {
    let unit = record.unit.to_vec();
    if raw {
        out.write_all(&unit)?;
        return out.write_all(b"\n");
    }
    let (seconds, nanos) = (record.time / 1_000_000_000, record.time % 1_000_000_000);
    writeln!(out, "{} {seconds}.{nanos:09} {} {}", record.lsn, unit.len(), unit.escape_ascii())
}

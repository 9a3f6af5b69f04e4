//! How long it takes to open logs of any size.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use hemi::{Error, LogQueue, Runtime};
use hemi_storage::{DATA_START, Lsn, SegmentHeader, Superblock};

use super::{Failure, hemi::unit};

/// Records in each of the segments that are not there in full.
const RECORDS: u64 = 200_000;

/// The time to open a log of `size` bytes whose last segment is half full of records of a block each, after a crash.
///
/// Segments before the last have a header and nothing else, because recovery reads nothing else of them: so a sparse file of some
/// megabytes stands for a log of any size.
///
/// # Errors
/// No space, or the log's.
pub fn time_to_open(path: &Path, size: u64) -> Result<Duration, Failure> {
    let runtime = Runtime::builder().build()?;
    let uri = format!("log:{}", path.display());
    runtime.block_on(async { LogQueue::create(format!("{uri}?overwrite=true")).await?.close().await })?;
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut area = vec![0; DATA_START as usize];
    file.read_exact_at(&mut area, 0)?;
    let (superblock, _) = Superblock::find(&area)?;
    let geometry = superblock.geometry;
    let segments = geometry.slots_in(size).max(2);
    file.set_len(geometry.slot_offset(segments + 1))?;
    for sequence in 0..segments {
        let (first, epoch, time) = (Lsn(sequence * RECORDS), superblock.epoch, superblock.created);
        let header = SegmentHeader { sequence, first, continues: false, epoch, time };
        let mut block = header.encode(superblock.salt).to_vec();
        block.resize(geometry.block() as usize, 0);
        file.write_all_at(&block, geometry.slot_offset(sequence))?;
    }
    file.sync_all()?;
    drop(file);
    // Half of the last segment is written for real, and the log never closed.
    runtime.block_on(async {
        let mut log = LogQueue::open(&uri).await?;
        // A block each.
        let unit = unit(geometry.block() as usize - 40)?;
        let mut last = Lsn(0);
        for _ in 0..geometry.segment() / geometry.block() / 2 {
            last = Lsn(log.tail().0 + 1);
            log.push_relaxed(unit.clone()).await?;
        }
        log.flush().await?;
        assert!(log.durable() >= last);
        std::mem::forget(log);
        Ok::<(), Error>(())
    })?;
    drop(runtime);
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let begun = Instant::now();
        Runtime::builder().build()?.block_on(async {
            let log = LogQueue::open(format!("{uri}?mode=ro")).await?;
            if log.recovery().segments != segments {
                return Err(Error::malformed("log lab", "the forged log has other segments"));
            }
            best = best.min(begun.elapsed());
            log.close().await
        })?;
    }
    std::fs::remove_file(path)?;
    Ok(best)
}

//! Plain files at any offset: alignment, ends, many operations at a time, errors.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures::future::{join_all, try_join_all};
use hemi::{Error, FileQueue, Result, Runtime, Sga, time::timeout};

/// A file that nobody else uses, gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        // Not /tmp, where that is memory: the build's own folder is on a disk.
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        Self(folder.join(format!("hemi-file-{}-{n}", std::process::id())))
    }

    fn uri(&self, more: &str) -> String {
        format!("file:{}{more}", self.0.display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn real<T>(test: impl Future<Output = Result<T>>) -> T {
    let runtime = Runtime::builder().build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(300), test).await.expect("no hang") }).unwrap()
}

/// Bytes that tell where they belong.
fn pattern(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

#[test]
fn reads_of_any_place_and_length_give_what_is_there() {
    for how in ["", "?direct=false"] {
        let file = Scratch::new();
        let len = 100_001;
        std::fs::write(&file.0, pattern(0, len)).unwrap();
        real(async {
            let queue = FileQueue::open_read(file.uri(how)).await?;
            for (at, n) in [
                (0, 1),
                (0, len),
                (511, 2),
                (4095, 4098),
                (99_999, 2),
                (65_535, 3),
                (70_000, 0),
                (0, 200_000),     // more than there is
                (99_000, 10_000), // over the end
                (100_001, 5),     // at the end
                (100_500, 5),     // behind it, in the last sector
                (1 << 30, 4096),  // far behind it
            ] {
                let there = len.saturating_sub(at).min(n);
                let got = queue.read_at(at as u64, n).await?.to_vec();
                assert!(got == pattern(at, there), "{how}: {n} at {at}: {} bytes, not {there}", got.len());
            }
            Ok(())
        });
    }
}

#[test]
fn direct_writes_are_whole_sectors_and_others_are_refused_with_the_cure() {
    let file = Scratch::new();
    real(async {
        let queue = FileQueue::create(file.uri("")).await?;
        let sector = queue.sector() as usize;
        if sector == 1 {
            hemi_skip_direct(&queue);
            return Ok(());
        }
        for (at, len) in [(1, sector), (sector, 1), (0, sector + 1), (sector / 2, sector)] {
            let error = queue.write_at(at as u64, vec![1; len]).await.unwrap_err();
            assert!(error.to_string().contains("direct=false"), "{error}");
        }
        assert_eq!(std::fs::metadata(&file.0).unwrap().len(), 0, "nothing was written");
        // From memory that is aligned, and from memory that is not; in one part, and in many.
        let mut unit = Sga::new();
        for n in 0..3 * sector / 8 {
            unit.push(hemi::Buf::from(pattern(n * 8, 8)));
        }
        queue.write_at(0, unit).await?;
        let odd = hemi::Buf::from(pattern(3 * sector - 3, sector + 3)).slice(3..);
        queue.write_at(3 * sector as u64, odd).await?;
        queue.fsync().await?;
        assert_eq!(queue.read_at(0, 5 * sector).await?.to_vec(), pattern(0, 4 * sector));
        Ok(())
    });
    let len = std::fs::metadata(&file.0).unwrap().len() as usize;
    assert!(std::fs::read(&file.0).unwrap() == pattern(0, len));
}

/// Said where it is seen.
fn hemi_skip_direct(queue: &FileQueue) {
    eprintln!("SKIPPED IN PART: direct I/O: not here: {}", queue.describe());
}

#[test]
fn many_operations_at_a_time_each_get_their_own() {
    const BLOCK: usize = 4096;
    for how in ["", "?direct=false"] {
        let file = Scratch::new();
        real(async {
            let queue = FileQueue::create(file.uri(how)).await?;
            let block = |n: usize| pattern(n * BLOCK, BLOCK);
            // Out of order, so that the file has holes for a while.
            try_join_all((0..64).rev().map(|n| queue.write_at((n * BLOCK) as u64, block(n)))).await?;
            queue.fsync().await?;
            let reads = (0..200).map(|n| {
                let (at, len) = (n * 1311 % (60 * BLOCK), 1 + n * 97 % 9000);
                let queue = &queue;
                async move {
                    let got = queue.read_at(at as u64, len).await?.to_vec();
                    assert!(got == pattern(at, len), "{len} at {at}");
                    Ok::<(), Error>(())
                }
            });
            try_join_all(reads).await?;
            // Those that nobody waits for any more disturb nobody.
            for n in 0..32 {
                drop(timeout(Duration::ZERO, queue.read_at(n * 512, 5000)).await);
            }
            assert_eq!(queue.read_at(0, BLOCK).await?.to_vec(), block(0));
            Ok(())
        });
        assert!(std::fs::read(&file.0).unwrap() == pattern(0, 64 * BLOCK), "{how}");
    }
}

#[test]
fn errors_name_the_file_and_the_next_operation_is_served() {
    let file = Scratch::new();
    real(async {
        let text = FileQueue::open(file.uri("")).await.unwrap_err().to_string();
        assert!(text.contains("hemi-file-"), "{text}");
        let folder = file.0.parent().unwrap().display().to_string();
        let text = FileQueue::open(format!("file:{folder}")).await.unwrap_err().to_string();
        assert!(text.contains("a directory"), "{text}");
        let text = FileQueue::create("file:/no/such/folder/file").await.unwrap_err().to_string();
        assert!(text.contains("/no/such/folder/file"), "{text}");
        let text = FileQueue::open("tape:x").await.unwrap_err().to_string();
        assert!(text.contains("file:PATH"), "{text}");

        std::fs::write(&file.0, pattern(0, 8192)).unwrap();
        let text = FileQueue::create(file.uri("")).await.unwrap_err().to_string();
        assert!(text.contains("is there already"), "{text}");
        let queue = FileQueue::open_read(file.uri("")).await?;
        let error = queue.write_at(0, pattern(0, 4096)).await.unwrap_err();
        assert!(matches!(&error, Error::Io(_)) && error.to_string().contains("hemi-file-"), "{error}");
        // Far more than any memory, and a place that no file has.
        assert!(queue.read_at(0, usize::MAX >> 8).await.is_err());
        assert!(queue.read_at(1 << 63, 4096).await.is_err());
        assert_eq!(queue.read_at(4096, 4096).await?.to_vec(), pattern(4096, 4096));
        let queues: Vec<_> = join_all((0..8).map(|_| FileQueue::open_read(file.uri("")))).await;
        assert!(queues.iter().all(Result::is_ok), "a file may be open many times");
        Ok(())
    });
}

//! `logserver` killed under load, and `logcat` on what is left: real processes on a real file, read by an independent reader.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use hemi::{LogQueue, Lsn, Push, Runtime, time::timeout};
use hemi_examples::{
    logcat::{self, Show},
    prove,
};

/// How often the server is killed here; `logserver prove --kills 300` takes two minutes.
const KILLS: u32 = 25;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("hemi-{name}-{}.log", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The example `name`, built.
fn example(name: &str) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "hemi-examples", "--example", name])
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the example `{name}` builds");
    // Beside this program's folder: target/debug/deps/THIS.
    let here = std::env::current_exe().unwrap();
    let folder = here.parent().and_then(Path::parent).unwrap();
    folder.join("examples").join(name)
}

/// The records of a log file as `storage/FORMAT.md` says, read by nothing of hemi. Stops at the first that is not whole.
fn read_by_the_book(file: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let u64_at = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!(&file[..8], b"hemi-log");
    let block = 1_usize << file[10];
    let copies = [0, block];
    let newest = copies.into_iter().max_by_key(|at| u64_at(at + 32)).unwrap();
    let (segment, salt) = (u64_at(newest + 16) as usize, u64_at(newest + 24));
    let mut segments = Vec::new();
    let mut at = 64 << 10;
    while at + segment <= file.len() {
        let header = &file[at..at + 56];
        let crc = u32::from_le_bytes(header[52..].try_into().unwrap());
        if &header[..8] == b"hemi-seg" && u64_at(at + 8) == salt && crc == crc32c(0, &header[..52]) {
            segments.push((u64_at(at + 16), u32_at(at + 36), at));
        }
        at += segment;
    }
    segments.sort_unstable();
    let (mut records, mut part) = (Vec::<(u64, Vec<u8>)>::new(), Vec::new());
    for (n, (sequence, epoch, begin)) in segments.iter().enumerate() {
        let mut epoch = *epoch;
        let seed = crc32c(crc32c(0, &salt.to_le_bytes()), &sequence.to_le_bytes());
        let end = begin + segment;
        let mut at = begin + block;
        let mut probed = false;
        let mut expected = records.len() as u64;
        while at < end {
            if block - at % block < 40 {
                at = at / block * block + block;
                continue;
            }
            let length = u32_at(at + 4) as usize;
            let covered = if file[at + 36] == 1 { 40 + length } else { 40 };
            let whole = at + 40 + length <= end
                && matches!(file[at + 36], 1 | 2)
                && u64_at(at + 8) == expected
                && u32_at(at + 24) >= epoch + u32::from(probed)
                && crc32c(seed, &file[at + 4..at + covered]) == u32_at(at);
            if !whole {
                // Once, at the next block.
                if probed || at.is_multiple_of(block) {
                    break;
                }
                probed = true;
                at = at / block * block + block;
                continue;
            }
            probed = false;
            epoch = u32_at(at + 24);
            if file[at + 36] == 1 {
                if u32_at(at + 32) == 0 {
                    part.clear();
                }
                part.extend_from_slice(&file[at + 40..at + 40 + length]);
                if file[at + 37] == 0 {
                    records.push((expected, std::mem::take(&mut part)));
                    expected += 1;
                }
            }
            at += 40 + length.next_multiple_of(8);
        }
        assert!(at <= end || n + 1 == segments.len());
    }
    records
}

fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!crc, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn killed_again_and_again_it_loses_nothing_that_it_acknowledged() {
    let (server, file) = (example("logserver"), Scratch::new("kills"));
    let uri = format!("log:{}?segment=1MiB", file.0.display());
    let runtime = Runtime::builder().build().unwrap();
    let proof = runtime
        .block_on(prove::prove(&server, &uri, KILLS, Duration::from_millis(300), |_| {}))
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(proof.kills, KILLS);
    assert!(proof.acknowledged > 0 && proof.found >= proof.acknowledged, "{proof:?}");
    // Its last server is gone: by the book there are the same records, and `logcat` finds nothing wrong.
    let records = read_by_the_book(&std::fs::read(&file.0).unwrap());
    assert_eq!(records.len() as u64, proof.found);
    assert!(records.iter().enumerate().all(|(n, (lsn, _))| *lsn == n as u64));
    let seen = Command::new(example("logcat")).arg(&file.0).arg("--verify").output().unwrap();
    let text = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.status.success() && text.contains(&format!("{} records", proof.found)), "{text}");
}

#[test]
fn logcat_shows_what_is_whole_and_tells_what_is_not() {
    let file = Scratch::new("logcat");
    let uri = format!("log:{}?segment=64k", file.0.display());
    let runtime = Runtime::builder().build().unwrap();
    let look = |quiet| {
        let show = Show { from: Lsn(0), limit: u64::MAX, quiet, raw: true };
        let mut out = Vec::new();
        let path = file.0.display().to_string();
        let limit = Duration::from_secs(120);
        let report = runtime
            .block_on(async { timeout(limit, logcat::dump(&path, show, &mut out)).await.expect("no hang") });
        (report, String::from_utf8_lossy(&out).into_owned())
    };
    runtime
        .block_on(async {
            let mut log = LogQueue::create(&uri).await?;
            for n in 0..40 {
                log.push(format!("line {n}")).await?;
            }
            log.close().await
        })
        .unwrap();
    let (report, text) = look(false);
    let report = report.unwrap();
    assert_eq!((report.records, report.damage.len()), (40, 0));
    assert_eq!(text.lines().nth(39), Some("line 39"));

    // A bit of record 3, which is in the first of three segments: 15 records of a block behind its header.
    let mut bytes = std::fs::read(&file.0).unwrap();
    assert_eq!(read_by_the_book(&bytes).len(), 40);
    bytes[(64 << 10) + 4 * 4096 + 42] ^= 4;
    std::fs::write(&file.0, &bytes).unwrap();
    let (report, text) = look(false);
    let report = report.unwrap();
    assert_eq!(report.damage, ["records 3 to 15 (not included) are damaged; reading goes on at 15"]);
    assert_eq!((report.records, text.lines().nth(3)), (28, Some("line 15")));

    // Both superblocks.
    bytes[9] ^= 1;
    bytes[4096 + 9] ^= 1;
    std::fs::write(&file.0, &bytes).unwrap();
    let error = look(true).0.unwrap_err().to_string();
    assert!(error.contains("both superblocks are damaged"), "{error}");
}

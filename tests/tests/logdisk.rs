//! Logs where disks end: a file system that is full, one that is read-only, a loop device, `logcat --follow`.
//!
//! What needs root (mounts, loop devices) says so where there is none.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use hemi::{
    Error, LogQueue, Lsn, Pop, Push, Result, Runtime,
    storage::LogError,
    time::{sleep, timeout},
};
use hemi_examples::prove;

const PATIENCE: Duration = Duration::from_secs(300);

/// A folder of our own; unmounted, detached and removed with the test.
struct Scratch {
    folder: PathBuf,
    mounted: bool,
    device: Option<String>,
}

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hemi-logdisk-{}-{n}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir(&folder).unwrap();
        Self { folder, mounted: false, device: None }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn run(program: &str, args: &[&str]) -> std::result::Result<String, String> {
        let output = Command::new(program).args(args).output().map_err(|e| format!("{program}: {e}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(format!("{program} {}: {}", args.join(" "), text(&output.stderr)))
        }
    }

    /// A file system of four megabytes in the folder `on`.
    fn mount(&mut self, kind: &str) -> std::result::Result<(), String> {
        let on = self.path("on");
        std::fs::create_dir(&on).unwrap();
        if kind == "tmpfs" {
            Self::run("mount", &["-t", "tmpfs", "-o", "size=4M", "none", &on])?;
        } else {
            let image = self.path("image");
            std::fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
            Self::run("mkfs.ext4", &["-q", "-O", "^has_journal", &image])?;
            Self::run("mount", &["-o", "loop", &image, &on])?;
        }
        self.mounted = true;
        Ok(())
    }

    /// A loop device of `size` bytes.
    fn loop_device(&mut self, size: u64) -> std::result::Result<String, String> {
        let image = self.path("disk");
        std::fs::File::create(&image).unwrap().set_len(size).unwrap();
        let device = Self::run("losetup", &["-f", "--show", &image])?;
        self.device = Some(device.clone());
        Ok(device)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Self::run("umount", &["-l", &self.path("on")]);
        }
        if let Some(device) = &self.device {
            let _ = Self::run("losetup", &["-d", device]);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn real<T>(test: impl Future<Output = Result<T>>) -> T {
    let runtime = Runtime::builder().build().unwrap();
    runtime.block_on(async { timeout(PATIENCE, test).await.expect("no hang") }).unwrap()
}

fn is_full(error: &Error) -> bool {
    matches!(error, Error::Other(e) if matches!(e.downcast_ref(), Some(LogError::Full { cause: Some(_), .. })))
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

#[test]
fn a_full_file_system_is_told_and_loses_nothing() {
    for kind in ["tmpfs", "ext4"] {
        let mut scratch = Scratch::new();
        if let Err(why) = scratch.mount(kind) {
            hemi_skip::skip_part!(kind, "{why}");
            continue;
        }
        let (path, ballast) = (scratch.path("on/full.log"), scratch.path("on/ballast"));
        std::fs::write(&ballast, vec![7; 1 << 20]).unwrap();
        let uri = format!("log:{path}?segment=256k");
        let durable = real(async {
            let mut log = LogQueue::create(&uri).await?;
            let mut durable = 0_u64;
            let error = loop {
                match timeout(Duration::from_secs(5), log.push(vec![durable as u8; 50_000])).await {
                    Ok(Ok(lsn)) => {
                        assert_eq!(lsn, Lsn(durable));
                        durable += 1;
                    }
                    Ok(Err(error)) => break error,
                    // Accepted before it was known that there is no room: it waits, and has its number.
                    Err(_) => durable = log.tail().0,
                }
                assert!(durable < 2_000, "{kind}: this disk has no end");
            };
            assert!(is_full(&error), "{kind}: {error}");
            let text = error.to_string();
            assert!(text.contains("truncate_head gives space back"), "{text}");
            // What was acknowledged is there.
            let safe = log.durable().0;
            assert!(safe >= 5, "{kind}: {safe} units fitted");
            let mut reader = log.cursor(Lsn(0));
            for n in 0..safe {
                assert_eq!(reader.pop().await?.unwrap().unit.to_vec(), vec![n as u8; 50_000]);
            }
            drop(reader);
            // Somebody makes room: pushes go on by themselves.
            std::fs::remove_file(&ballast)?;
            let lsn = loop {
                match log.push("room again").await {
                    Ok(lsn) => break lsn,
                    Err(error) => assert!(is_full(&error), "{kind}: {error}"),
                }
                sleep(Duration::from_millis(100)).await;
            };
            log.close().await?;
            Ok(lsn.0 + 1)
        });
        real(async {
            let mut log = LogQueue::open(&uri).await?;
            assert_eq!((log.tail().0, log.recovery().cut.clone()), (durable, None), "{kind}");
            log.seek(Lsn(durable - 1));
            assert_eq!(log.pop().await?.unwrap().to_vec(), b"room again");
            log.close().await
        });
        // Where nothing may be written, that is said, and reading goes.
        Scratch::run("mount", &["-o", "remount,ro", &scratch.path("on")]).unwrap();
        real(async {
            for outcome in
                [LogQueue::open(&uri).await, LogQueue::create(format!("{uri}&overwrite=true")).await]
            {
                let text = outcome.expect_err("nothing can be written").to_string();
                assert!(text.contains("mode=ro") && text.contains("full.log"), "{text}");
            }
            let mut log = LogQueue::open(format!("{uri}&mode=ro")).await?;
            assert_eq!(log.tail().0, durable);
            assert_eq!(log.pop().await?.unwrap().to_vec(), vec![0; 50_000]);
            let text = log.push("no").await.unwrap_err().to_string();
            assert!(text.contains("reading only"), "{text}");
            Ok(())
        });
    }
}

#[test]
fn a_block_device_is_a_log_as_a_file_is() {
    let mut scratch = Scratch::new();
    let device = match scratch.loop_device(16 << 20) {
        Ok(device) => device,
        Err(why) => hemi_skip::skip!("{why}"),
    };
    let uri = format!("log:{device}?segment=1MiB");
    real(async {
        let mut log = LogQueue::create(&uri).await?;
        let text = LogQueue::create(&uri).await.unwrap_err().to_string();
        assert!(text.contains("another process (or another queue"), "{text}");
        // Many times its size: truncation gives segments back, and the device is told.
        for n in 0..800_u64 {
            let lsn = log.push(vec![n as u8; 30_000]).await?;
            if n % 50 == 49 {
                log.truncate_head(Lsn(lsn.0 - 20)).await?;
            }
        }
        let (head, tail) = (log.head(), log.tail());
        assert!(tail == Lsn(800) && head == Lsn(779), "{head} {tail}");
        log.close().await?;
        let text = LogQueue::create(&uri).await.unwrap_err().to_string();
        assert!(text.contains("a log is here already"), "{text}");
        let mut log = LogQueue::open(&uri).await?;
        for n in head.0..tail.0 {
            assert_eq!(log.pop().await?.unwrap().to_vec(), vec![n as u8; 30_000]);
        }
        log.close().await
    });
    // And what a server on it acknowledged is there after it was killed.
    let uri = format!("{uri}&overwrite=true");
    real(async { LogQueue::create(&uri).await?.close().await });
    let uri = format!("log:{device}");
    let runtime = Runtime::builder().build().unwrap();
    let server = example("logserver");
    let proof = runtime
        .block_on(prove::prove(&server, &uri, 4, Duration::from_millis(200), |_| {}))
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(proof.kills == 4 && proof.acknowledged > 0, "{proof:?}");
}

#[test]
fn a_second_process_is_refused_while_the_first_serves() {
    let scratch = Scratch::new();
    let (server, uri) = (example("logserver"), format!("log:{}", scratch.path("one.log")));
    let first = prove::Server::start(&server, &uri).unwrap();
    let second =
        Command::new(&server).args(["serve", "--tcp", "127.0.0.1:0", "--log", &uri]).output().unwrap();
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && text.contains("another process"), "{text}");
    first.kill().unwrap();
    // A moment later it may.
    prove::Server::start(&server, &uri).unwrap().kill().unwrap();
}

#[test]
fn logcat_follows_a_log_that_another_process_writes() {
    let scratch = Scratch::new();
    let path = scratch.path("followed.log");
    let uri = format!("log:{path}?segment=64k");
    let lines = |range: std::ops::Range<usize>| range.map(|n| format!("line {n}")).collect::<Vec<_>>();
    real(async {
        let mut log = LogQueue::create(&uri).await?;
        for line in lines(0..10) {
            log.push(line).await?;
        }
        log.close().await
    });
    let mut child = Command::new(example("logcat"))
        .args([&path, "--follow", "--raw", "--from", "5"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (tell, told) = mpsc::channel();
    let out = child.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(std::result::Result::ok) {
            if tell.send(line).is_err() {
                break;
            }
        }
    });
    let next = |n: usize| -> Vec<String> { (0..n).map(|_| told.recv_timeout(PATIENCE).unwrap()).collect() };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert_eq!(next(5), lines(5..10));
        // Over several segments, in several openings.
        for from in [10, 60] {
            real(async {
                let mut log = LogQueue::open(&uri).await?;
                for line in lines(from..from + 50) {
                    log.push(line).await?;
                }
                log.close().await
            });
            assert_eq!(next(50), lines(from..from + 50));
        }
    }));
    child.kill().unwrap();
    child.wait().unwrap();
    reading.join().unwrap();
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

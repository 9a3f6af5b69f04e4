//! Logs as queues: in simulation, and on real files.

use std::{
    cell::RefCell,
    path::PathBuf,
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures::{future::join_all, join};
use hemi::{
    Buf, Error, LogQueue, Lsn, Pop, Push, Result, Runtime, Sga, TcpListener, TcpQueue,
    algebra::{Verdict, filter, map, merge, qconnect},
    spawn,
    storage::LogError,
    time::{sleep, timeout},
};
use proptest::prelude::*;

fn simulated<T>(seed: u64, test: impl Future<Output = Result<T>>) -> T {
    let runtime = Runtime::builder().net("mem:").simulated(seed).build().unwrap();
    runtime.block_on(test).unwrap()
}

fn real<T>(test: impl Future<Output = Result<T>>) -> T {
    let runtime = Runtime::builder().build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(300), test).await.expect("no hang") }).unwrap()
}

/// A file that nobody else uses, gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        // Not /tmp, where that is memory: the build's own folder is on a disk.
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        Self(folder.join(format!("hemi-log-{}-{n}.log", std::process::id())))
    }

    fn uri(&self, more: &str) -> String {
        format!("log:{}?segment=256k{more}", self.0.display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn log_error(error: &Error) -> Option<&LogError> {
    match error {
        Error::Other(e) => e.downcast_ref(),
        _ => None,
    }
}

async fn drain(log: &mut LogQueue) -> Result<Vec<Vec<u8>>> {
    let mut units = Vec::new();
    while log.position() < log.durable() {
        units.push(log.pop().await?.expect("there are more").to_vec());
    }
    Ok(units)
}

#[test]
fn what_was_pushed_is_there_after_reopening() {
    let file = Scratch::new();
    for how in ["", "&direct=false", "&sync=flush", "&block=512"] {
        let uri = file.uri(how);
        let units: Vec<Vec<u8>> = (0..50_usize).map(|n| vec![n as u8; n * n * 7]).collect();
        real(async {
            let mut log = LogQueue::create(&uri).await?;
            for (n, unit) in units.iter().enumerate() {
                assert_eq!(log.push(unit.clone()).await?, Lsn(n as u64));
            }
            log.push(vec![9; 600_000]).await?; // larger than a segment
            let total = units.iter().map(|unit| unit.len() as u64).sum::<u64>() + 600_000;
            let copied = log.stats().copied_bytes;
            assert_eq!(copied == total, !log.describe().contains("page cache"), "{copied} of {total} copied");
            log.close().await
        });
        real(async {
            let mut log = LogQueue::open(&uri).await?;
            assert_eq!((log.len(), log.recovery().cut.clone()), (51, None));
            let mut found = drain(&mut log).await?;
            assert_eq!(found.pop().unwrap(), vec![9; 600_000]);
            assert_eq!(found, units, "{how}");
            // It goes on where it was.
            assert_eq!(log.push("more").await?, Lsn(51));
            assert_eq!(log.pop().await?.unwrap().to_vec(), b"more");
            log.close().await
        });
        std::fs::remove_file(&file.0).unwrap();
    }
}

#[test]
fn pushes_that_wait_share_a_write_and_each_is_durable() {
    simulated(1, async {
        let log = LogQueue::create("mem:group?latency=80us&cache=true").await?;
        let pushers = (0..64).map(|n| {
            let mut log = log.another().unwrap();
            async move {
                for round in 0..20 {
                    let lsn = log.push(format!("{n}/{round}")).await?;
                    assert!(log.durable() > lsn, "told before it was durable");
                }
                Ok::<(), Error>(())
            }
        });
        futures::future::try_join_all(pushers).await?;
        let stats = log.stats();
        assert_eq!(stats.pushed, 1280);
        assert!(stats.writes <= 60, "{} writes for 20 rounds", stats.writes);
        Ok(())
    });
}

#[test]
fn a_lone_push_is_not_delayed() {
    let took = simulated(2, async {
        let mut log = LogQueue::create("mem:lone?latency=80us&cache=true").await?;
        log.push("the first also begins a segment").await?;
        let before = hemi::time::now();
        log.push("x").await?;
        Ok(hemi::time::now() - before)
    });
    assert_eq!(took, Duration::from_micros(80), "one write, and nothing waited for");
}

#[test]
fn readers_at_the_tail_wait_and_see_only_what_is_durable() {
    simulated(3, async {
        let mut log = LogQueue::create("mem:tail?latency=100us&cache=true").await?;
        let mut reader = log.cursor(Lsn(0));
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (other, told) = (log.another()?, Rc::clone(&seen));
        let task = spawn(async move {
            while let Ok(Some(record)) = reader.pop().await {
                assert!(other.durable() > record.lsn);
                told.borrow_mut().push(record.unit.to_vec());
                if record.unit.is_empty() {
                    break;
                }
            }
        });
        for n in 1..100_u8 {
            log.push(vec![n; 100]).await?;
        }
        log.push(Sga::new()).await?;
        task.await.unwrap();
        assert_eq!(seen.borrow().len(), 100);
        assert!(seen.borrow().iter().take(99).enumerate().all(|(n, unit)| unit[..] == [n as u8 + 1; 100]));
        Ok(())
    });
}

#[test]
fn many_readers_each_at_its_own_place_from_memory_and_from_the_device() {
    simulated(4, async {
        let mut log = LogQueue::create("mem:many?latency=20us&segment=64k&recent=4k").await?;
        for n in 0..2000_u64 {
            log.push_relaxed(n.to_le_bytes().repeat(8)).await?;
        }
        log.flush().await?;
        let readers = (0..20).map(|k| {
            let mut reader = log.cursor(Lsn(k * 100));
            async move {
                for n in k * 100..2000 {
                    let record = reader.pop().await?.unwrap();
                    assert_eq!((record.lsn, record.unit.to_vec()), (Lsn(n), n.to_le_bytes().repeat(8)));
                }
                Ok::<(), Error>(())
            }
        });
        futures::future::try_join_all(readers).await?;
        Ok(())
    });
}

#[test]
fn seek_by_number_and_by_time() {
    simulated(5, async {
        let mut log = LogQueue::create("mem:seek?segment=32k").await?;
        for n in 0..300_u32 {
            sleep(Duration::from_millis(1)).await;
            log.push(vec![n as u8; 500]).await?;
        }
        log.seek(Lsn(250));
        assert_eq!(log.pop().await?.unwrap().to_vec(), [250; 500]);
        let mut reader = log.cursor(Lsn(0));
        reader.seek_time(150_500_000); // 150.5 ms after the simulation's epoch
        let record = reader.pop().await?.unwrap();
        assert_eq!(record.lsn, Lsn(150));
        assert!(record.time >= 150_500_000);
        log.seek_time(u64::MAX);
        let late = timeout(Duration::from_secs(1), log.pop()).await;
        assert!(late.is_err(), "nothing is that late: the pop waits");
        Ok(())
    });
}

#[test]
fn truncation_gives_space_back_and_readers_are_told() {
    simulated(6, async {
        let mut log = LogQueue::create("mem:space?size=1MiB&segment=64k").await?;
        let mut slow = log.cursor(Lsn(0));
        for round in 0..20_u64 {
            for _ in 0..10 {
                log.push(vec![7; 30_000]).await?; // 6 MB through a log of 1 MiB
            }
            assert_eq!(log.truncate_head(log.tail()).await?, Lsn((round + 1) * 10));
        }
        assert_eq!((log.head(), log.len()), (Lsn(200), 0));
        let error = slow.pop().await.unwrap_err();
        assert!(
            matches!(log_error(&error), Some(LogError::Truncated { wanted: Lsn(0), head: Lsn(200) })),
            "{error}"
        );
        log.push("after").await?;
        assert_eq!(slow.pop().await?.unwrap().lsn, Lsn(200), "reading goes on at the head");
        Ok(())
    });
}

#[test]
fn a_full_log_makes_pushes_wait_until_there_is_space() {
    simulated(7, async {
        let mut log = LogQueue::create("mem:full?size=600k&segment=64k").await?;
        let other = log.another()?;
        let filling = async {
            for n in 0..40_u64 {
                log.push(vec![n as u8; 50_000]).await?; // two megabytes
            }
            Ok::<(), Error>(())
        };
        let emptying = async {
            while other.tail() < Lsn(40) || other.durable() < Lsn(40) {
                sleep(Duration::from_millis(10)).await;
                other.truncate_head(other.durable()).await?;
            }
            Ok::<(), Error>(())
        };
        let (a, b) = join!(filling, emptying);
        a.and(b)
    });
    simulated(8, async {
        let mut log = LogQueue::create("mem:fail?size=600k&segment=64k&full=fail").await?;
        let mut pushed = 0;
        let error = loop {
            match timeout(Duration::from_secs(1), log.push(vec![1; 50_000])).await {
                Ok(Ok(_)) => pushed += 1,
                Ok(Err(error)) => break error,
                Err(_) => {} // accepted before it was known that there is no room: it waits
            }
        };
        assert!((5..12).contains(&pushed), "{pushed}");
        assert!(error.to_string().contains("truncate_head gives space back"), "{error}");
        log.truncate_head(log.durable()).await?;
        log.push("room again").await?;
        Ok(())
    });
}

#[test]
fn submitted_pushes_are_told_that_the_log_is_full() {
    simulated(19, async {
        let log = LogQueue::create("mem:told?size=600k&segment=64k&full=fail").await?;
        // Far more than it may hold, and more than may wait.
        let tokens: Vec<_> = (0..200).map(|_| log.submit_push(vec![1; 50_000])).collect::<Result<_>>()?;
        let (mut told, mut durable) = (0, 0);
        for token in tokens.into_iter().rev() {
            match timeout(Duration::from_secs(1), token).await {
                Ok(Ok(_)) => durable += 1,
                Ok(Err(error)) => {
                    assert!(matches!(log_error(&error), Some(LogError::Full { .. })), "{error}");
                    told += 1;
                }
                Err(_) => {} // accepted before it was known that there is no room: it waits
            }
        }
        assert!(told > 50 && (5..12).contains(&durable), "{told} told, {durable} durable");
        Ok(())
    });
}

#[test]
fn a_unit_that_no_log_can_hold_is_refused_and_the_next_is_not() {
    simulated(9, async {
        let mut log = LogQueue::create("mem:limit?unit=64k").await?;
        let error = log.push(vec![0; 65 << 10]).await.unwrap_err();
        assert!(matches!(error, Error::UnitTooLarge { got: 66_560, limit: 65_536 }), "{error}");
        assert_eq!(log.push("fits").await?, Lsn(0));
        Ok(())
    });
}

#[test]
fn after_a_failed_write_nothing_is_acknowledged_and_reopening_mends_it() {
    simulated(10, async {
        let mut log = LogQueue::create("mem:poison?latency=10us&cache=true").await?;
        log.push("safe").await?;
        let disk = hemi_log_mem::remove("poison").unwrap();
        disk.set_faults(hemi_log_mem::Faults { write: Some(0), ..Default::default() });
        let pushers = (0..10).map(|n| {
            let mut log = log.another().unwrap();
            async move { log.push(vec![n; 10]).await }
        });
        for outcome in join_all(pushers).await {
            let error = outcome.unwrap_err();
            assert!(matches!(log_error(&error), Some(LogError::Poisoned { durable: Lsn(1), .. })), "{error}");
            assert!(error.to_string().contains("open it again"), "{error}");
        }
        let error = log.push("later").await.unwrap_err();
        assert!(log_error(&error).is_some(), "{error}");
        assert!(log.flush().await.is_err() && log.truncate_head(Lsn(1)).await.is_err());
        assert!(log.close().await.is_err());
        Ok(())
    });
}

#[test]
fn the_algebra_works_on_a_log() {
    simulated(11, async {
        let (left, right) = (LogQueue::create("mem:left").await?, LogQueue::create("mem:right").await?);
        let mut both = merge(left.another()?, right.another()?);
        both.push("to both").await?;
        assert_eq!((left.len(), right.len()), (1, 1));

        let mut even = filter(left.another()?, |unit: &Sga| unit.len().is_multiple_of(2));
        assert!(matches!(even.push("odd").await?, Verdict::Filtered(_)));
        assert!(matches!(even.push("even").await?, Verdict::Pushed(Lsn(1))));
        assert_eq!(left.len(), 2, "one was filtered");

        let mut lengths = map(left.another()?, |unit: Sga| unit.len());
        assert_eq!((lengths.pop().await?, lengths.pop().await?), (Some(7), Some(4)));
        Ok(())
    });
}

#[test]
fn tcp_flows_into_a_log_without_a_copy_where_the_device_can() {
    simulated(12, async {
        let mut listener = TcpListener::bind("127.0.0.1:0").await?;
        let at = listener.local_addr()?;
        let sender = spawn(async move {
            let mut client = TcpQueue::connect(at).await?;
            for n in 0..20_u8 {
                client.push(Buf::from(vec![n; 10_000])).await?;
            }
            client.finish().await
        });
        let conn = listener.pop().await?.unwrap();
        let mut log = LogQueue::create("mem:tcp").await?;
        let (_, bytes) = qconnect(conn, &mut log).await.into_result()?;
        sender.await.unwrap()?;
        assert_eq!(bytes, 200_000);
        let stored: Vec<u8> = drain(&mut log).await?.concat();
        assert!((0..20_u8).all(|n| stored[usize::from(n) * 10_000..][..10_000] == [n; 10_000]));
        assert_eq!(log.stats().copied_bytes, 0, "payloads were written from where they were");
        Ok(())
    });
}

#[test]
fn tokens_and_bare_descriptors() {
    simulated(13, async {
        let log = LogQueue::create("mem:tokens?latency=50us&cache=true").await?;
        let tokens: Vec<_> = (0..100_u8).map(|n| log.submit_push(vec![n]).unwrap()).collect();
        hemi::qd::wait_all(&tokens, None).await?;
        assert!(log.stats().writes < 10, "submitted pushes share writes: {}", log.stats().writes);
        let hemi::Completion::Popped(Some(unit)) = log.submit_pop()?.await? else { panic!("a unit") };
        assert_eq!(unit.to_vec(), [0]);
        log.close().await?;

        let qd = hemi::qd::open("mem:tokens").await?;
        hemi::qd::push(qd, "by descriptor")?.await?;
        for n in 0..100_u8 {
            let hemi::Completion::Popped(Some(unit)) = hemi::qd::pop(qd)?.await? else { panic!("a unit") };
            assert_eq!(unit.to_vec(), [n]);
        }
        hemi::qd::close(qd)?;
        let made = hemi::qd::creat("mem:made").await?;
        hemi::qd::push(made, "x")?.await?;
        hemi::qd::close(made)
    });
}

#[test]
fn a_dropped_pop_loses_nothing_and_a_dropped_push_is_not_retracted() {
    simulated(14, async {
        let mut log = LogQueue::create("mem:drops?latency=1ms&cache=true").await?;
        assert!(timeout(Duration::from_micros(10), log.push("begun")).await.is_err());
        assert!(timeout(Duration::from_micros(10), log.pop()).await.is_err());
        assert_eq!(log.pop().await?.unwrap().to_vec(), b"begun");
        Ok(())
    });
}

#[test]
fn bad_places_are_refused_with_a_reason_and_nothing_is_touched() {
    let file = Scratch::new();
    let refused = |uri: String, create: bool| {
        real(async move {
            let outcome = if create { LogQueue::create(&uri).await } else { LogQueue::open(&uri).await };
            Ok(outcome.expect_err("refused").to_string())
        })
    };
    let text = refused(file.uri(""), false);
    assert!(text.contains("no such log; create it first") && text.contains("hemi-log-"), "{text}");
    let folder = file.0.parent().unwrap().display().to_string();
    let text = refused(format!("log:{folder}"), false);
    assert!(text.contains("a directory; give the name of a file in it"), "{text}");
    assert!(refused(format!("log:{folder}"), true).contains("a directory"));
    assert!(refused("log:/dev/null".into(), false).contains("neither a file nor a block device"));
    assert!(refused("log:".into(), true).contains("write `log:PATH`"));
    assert!(refused("tape:x".into(), true).contains("mem:NAME"));
    assert!(refused(file.uri("&sgement=1"), true).contains("unknown parameter"));
    assert!(refused(file.uri("&block=100"), true).contains("power of two"));
    assert!(refused(file.uri("&full=never"), true).contains("`wait` or `fail`"));

    // A foreign file, an empty one, and one that is there already.
    for content in [b"a letter to a friend".to_vec(), Vec::new(), vec![0; 100_000]] {
        std::fs::write(&file.0, &content).unwrap();
        let text = refused(file.uri(""), false);
        assert!(text.contains("not a hemi log"), "{text}");
        let text = refused(file.uri(""), true);
        assert!(text.contains("is there already and was not touched"), "{text}");
        assert_eq!(std::fs::read(&file.0).unwrap(), content, "nothing was overwritten");
    }
}

#[test]
fn a_second_process_or_queue_is_refused_and_a_reader_is_not() {
    let file = Scratch::new();
    real(async {
        let mut log = LogQueue::create(file.uri("")).await?;
        log.push("mine").await?;
        let text = LogQueue::open(file.uri("")).await.unwrap_err().to_string();
        assert!(text.contains("writes this log") && text.contains("mode=ro"), "{text}");
        let mut reader = LogQueue::open(file.uri("&mode=ro")).await?;
        assert_eq!(reader.pop().await?.unwrap().to_vec(), b"mine");
        assert!(reader.pop().await?.is_none(), "the end of what was there");
        let error = reader.push("no").await.unwrap_err();
        assert!(error.to_string().contains("for reading only"), "{error}");
        reader.close().await?;
        log.push("still mine").await?;
        log.close().await?;
        LogQueue::open(file.uri("")).await?.close().await
    });
}

#[test]
fn damage_is_told_from_a_torn_tail() {
    let file = Scratch::new();
    real(async {
        let mut log = LogQueue::create(file.uri("")).await?;
        for n in 0..100_u8 {
            log.push(vec![n; 1000]).await?;
        }
        log.close().await
    });
    let good = std::fs::read(&file.0).unwrap();
    // A segment has a block of header and 63 records of a block each: number 80 is in the second, the last.
    let block_of = |lsn: usize| (64 << 10) + lsn / 63 * (256 << 10) + (lsn % 63 + 1) * 4096;
    let mut bad = good.clone();
    bad[block_of(80) + 500] ^= 1;
    std::fs::write(&file.0, &bad).unwrap();
    real(async {
        let error = LogQueue::open(file.uri("")).await.unwrap_err();
        assert!(matches!(log_error(&error), Some(LogError::Damaged { from: Lsn(80), .. })), "{error}");
        assert!(error.to_string().contains("logcat"), "{error}");
        assert_eq!(std::fs::read(&file.0).unwrap(), bad, "nothing was changed");
        // What is before it can be read.
        let mut log = LogQueue::open(file.uri("&mode=ro")).await?;
        assert_eq!(drain(&mut log).await?.len(), 80);
        log.close().await?;
        // And what is behind it given up, when told to.
        let mut log = LogQueue::open(file.uri("&cut=true")).await?;
        assert_eq!(log.recovery().cut.as_ref().map(|c| (c.lsn, c.behind.records)), Some((Lsn(80), 19)));
        assert_eq!(log.push("instead").await?, Lsn(80));
        log.close().await?;
        let mut log = LogQueue::open(file.uri("")).await?;
        let found = drain(&mut log).await?;
        assert_eq!((found.len(), &found[80][..]), (81, &b"instead"[..]));
        log.close().await
    });
    // In an earlier segment it is found when it is read, and reading goes on behind that segment.
    let mut bad = good.clone();
    bad[block_of(50) + 500] ^= 1;
    std::fs::write(&file.0, &bad).unwrap();
    real(async {
        let mut log = LogQueue::open(file.uri("")).await?;
        for n in 0..50_u8 {
            assert_eq!(log.pop().await?.unwrap().to_vec(), [n; 1000]);
        }
        let error = log.pop().await.unwrap_err();
        let told = log_error(&error);
        assert!(matches!(told, Some(LogError::Unreadable { from: Lsn(50), to: Lsn(63) })), "{error}");
        for n in 63..100_u8 {
            assert_eq!(log.pop().await?.unwrap().to_vec(), [n; 1000]);
        }
        log.close().await
    });
    // A truncated file.
    std::fs::write(&file.0, &good[..(64 << 10) + (256 << 10)]).unwrap();
    let text = real(async { Ok(LogQueue::open(file.uri("")).await.unwrap_err().to_string()) });
    assert!(text.contains("acknowledged"), "{text}");
    // Another version.
    let mut other = good;
    for copy in [0, 4096] {
        other[copy + 8] = 1;
        let crc = crc32c(&other[copy..copy + 76]);
        other[copy + 76..copy + 80].copy_from_slice(&crc.to_le_bytes());
    }
    std::fs::write(&file.0, &other).unwrap();
    let text = real(async { Ok(LogQueue::open(file.uri("")).await.unwrap_err().to_string()) });
    assert!(text.contains("format version 1, this build reads version 2"), "{text}");
}

/// An independent implementation, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

#[derive(Clone, Debug)]
enum Call {
    Push(u8, u16),
    Relaxed(u8, u16),
    Flush,
    Pop,
    Seek(u8),
    Truncate(u8),
    Reopen,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        6 => (any::<u8>(), 0..6000_u16).prop_map(|(byte, len)| Call::Push(byte, len)),
        3 => (any::<u8>(), 0..6000_u16).prop_map(|(byte, len)| Call::Relaxed(byte, len)),
        1 => Just(Call::Flush),
        8 => Just(Call::Pop),
        1 => any::<u8>().prop_map(Call::Seek),
        1 => any::<u8>().prop_map(Call::Truncate),
        1 => Just(Call::Reopen),
    ];
    prop::collection::vec(call, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The whole API against a `Vec`.
    #[test]
    fn behaves_as_a_vec(calls in calls(), seed in any::<u64>()) {
        simulated(seed, async {
            let _ = hemi_log_mem::remove("model");
            let uri = "mem:model?latency=30us&jitter=100us&cache=true&segment=16k&block=512&recent=2k";
            let mut log = LogQueue::create(uri).await?;
            let (mut model, mut head, mut at) = (Vec::<Vec<u8>>::new(), 0_usize, 0_usize);
            log.seek(Lsn(0)); // until it pops or seeks, a handle follows the head
            for call in calls {
                match call {
                    Call::Push(byte, len) => {
                        let unit = vec![byte; len.into()];
                        assert_eq!(log.push(unit.clone()).await?, Lsn(model.len() as u64));
                        model.push(unit);
                    }
                    Call::Relaxed(byte, len) => {
                        let unit = vec![byte; len.into()];
                        assert_eq!(log.push_relaxed(unit.clone()).await?, Lsn(model.len() as u64));
                        model.push(unit);
                    }
                    Call::Flush => {
                        log.flush().await?;
                        assert_eq!(log.durable(), Lsn(model.len() as u64));
                    }
                    Call::Pop if at >= model.len() => {
                        let waits = timeout(Duration::from_millis(5), log.pop()).await;
                        assert!(waits.is_err(), "a pop at the tail waits");
                    }
                    Call::Pop if at < head => {
                        assert!(log.pop().await.is_err(), "told that it was truncated");
                        at = head;
                    }
                    Call::Pop => {
                        assert_eq!(log.pop().await?.unwrap().to_vec(), model[at]);
                        at += 1;
                    }
                    Call::Seek(to) => {
                        at = usize::from(to) % (model.len() + 1);
                        log.seek(Lsn(at as u64));
                    }
                    Call::Truncate(to) => {
                        log.flush().await?;
                        let to = usize::from(to) % (model.len() + 1);
                        head = head.max(to);
                        assert_eq!(log.truncate_head(Lsn(to as u64)).await?, Lsn(head as u64));
                    }
                    Call::Reopen => {
                        log.close().await?;
                        log = LogQueue::open("mem:model").await?;
                        at = head;
                        log.seek(Lsn(at as u64));
                    }
                }
                assert_eq!((log.head(), log.tail()), (Lsn(head as u64), Lsn(model.len() as u64)));
            }
            Ok(())
        });
    }
}

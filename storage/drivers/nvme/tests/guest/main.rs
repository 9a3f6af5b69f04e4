//! Logs on real NVMe namespaces, in a guest: `cargo xtask test --only guest`.

mod flushes;
mod recorder;

mod in_guest {
    use hemi::{Error, LogQueue, Lsn, Pop, Push, Runtime};

    /// Namespaces of the guest.
    const BLOCKS_4K: &str = "/dev/hemi-blocks";
    const ZONES: &str = "/dev/hemi-zones";
    const BLOCKS_512: &str = "/dev/hemi-small";

    /// What unit `n` is: empty ones, small ones, some larger than a command can move.
    fn unit(n: u64) -> Vec<u8> {
        let len = match n % 7 {
            0 => 0,
            1..=3 => 20 + n * 37 % 400,
            4 | 5 => 4000 + n * 131 % 9000,
            _ => 100_000 + n * 7919 % 200_000,
        };
        (0..len).map(|at| (n * 31 + at * 7) as u8).collect()
    }

    async fn push(log: &mut LogQueue, units: std::ops::Range<u64>) -> Result<(), Error> {
        for n in units {
            let lsn = if n % 3 == 0 { log.push_relaxed(unit(n)).await? } else { log.push(unit(n)).await? };
            assert_eq!(lsn, Lsn(n));
        }
        log.flush().await
    }

    async fn expect(log: &mut LogQueue, units: std::ops::Range<u64>) -> Result<(), Error> {
        for n in units {
            let got = log.pop().await?.expect("a unit");
            assert!(got.to_vec() == unit(n), "unit {n} is not what was pushed");
        }
        Ok(())
    }

    /// Made, written, read, truncated, closed and opened again, twice.
    pub(super) fn a_life(uri: &str, parameters: &str) -> Result<(), Error> {
        let runtime = Runtime::builder().build()?;
        runtime.block_on(async {
            let mut log = LogQueue::create(format!("{uri}?overwrite=true&{parameters}")).await?;
            push(&mut log, 0..120).await?;
            expect(&mut log, 0..120).await?;
            // Many at once: they share writes.
            let waiting: Vec<_> = (120..200).map(|n| log.submit_push(unit(n))).collect::<Result<_, _>>()?;
            for token in waiting {
                token.await?;
            }
            log.truncate_head(Lsn(60)).await?;
            log.close().await?;

            let mut log = LogQueue::open(uri).await?;
            assert_eq!((log.head(), log.tail()), (Lsn(60), Lsn(200)), "{:?}", log.recovery());
            expect(&mut log, 60..200).await?;
            push(&mut log, 200..260).await?;
            expect(&mut log, 200..260).await?;
            log.close().await?;

            // For reading only, beside nobody.
            let mut log = LogQueue::open(format!("{uri}?mode=ro")).await?;
            expect(&mut log, 60..260).await?;
            assert!(log.pop().await?.is_none(), "the end");
            assert!(log.push("x").await.is_err());
            Ok(())
        })
    }

    /// Around and around: more is pushed than the log has room for.
    pub(super) fn reuse(uri: &str, parameters: &str) -> Result<(), Error> {
        let runtime = Runtime::builder().build()?;
        runtime.block_on(async {
            let mut log = LogQueue::create(format!("{uri}?overwrite=true&{parameters}")).await?;
            let unit = |n: u64| vec![n as u8; 150_000];
            for n in 0..220 {
                log.push(unit(n)).await?;
                if n % 10 == 9 {
                    log.truncate_head(Lsn(n - 8)).await?;
                }
            }
            let head = log.head();
            log.close().await?;
            let mut log = LogQueue::open(uri).await?;
            assert_eq!((log.head(), log.tail()), (head, Lsn(220)));
            for n in head.0..220 {
                assert!(log.pop().await?.unwrap().to_vec() == unit(n), "unit {n}");
            }
            log.close().await
        })
    }

    #[test]
    fn a_log_lives_on_a_namespace() {
        hemi_guest::needs!(Nvme);
        a_life(&format!("nvme:{BLOCKS_4K}"), "").unwrap();
        a_life(&format!("nvme:{BLOCKS_4K}"), "sync=flush").unwrap();
        a_life(&format!("nvme:{BLOCKS_512}"), "block=512&segment=1MiB").unwrap();
        reuse(&format!("nvme:{BLOCKS_4K}"), "segment=1MiB&size=16MiB").unwrap();
    }

    #[test]
    fn a_log_lives_on_zones() {
        hemi_guest::needs!(Nvme);
        a_life(&format!("nvme:{ZONES}"), "").unwrap();
        a_life(&format!("nvme:{ZONES}"), "sync=flush").unwrap();
        reuse(&format!("nvme:{ZONES}"), "").unwrap();
    }

    fn refusal(uri: &str, create: bool) -> String {
        let runtime = Runtime::builder().build().unwrap();
        let result = runtime
            .block_on(async { if create { LogQueue::create(uri).await } else { LogQueue::open(uri).await } });
        result.err().unwrap_or_else(|| panic!("{uri} was accepted")).to_string()
    }

    #[test]
    fn what_cannot_hold_a_log_is_refused_with_the_reason() {
        hemi_guest::needs!(Nvme);
        for (uri, create, why) in [
            ("nvme:", true, "names no device"),
            ("nvme:/dev/hemi-none", true, "nvme list"),
            ("nvme:/dev/null", true, "not an NVMe namespace"),
            ("nvme:/dev/nvme0", true, "not an NVMe namespace"),
            ("nvme:/dev/nvme0n1", true, "use `log:` for this one"),
            ("nvme:/etc/hostname", true, "use `log:` for a file"),
            ("nvme:/dev/hemi-blocks?sync=maybe", true, "`fua` or `flush`"),
            ("nvme:/dev/hemi-blocks?block=512&overwrite=true", true, "4096"),
            ("nvme:/dev/hemi-zones?segment=1MiB", true, "a segment is a zone"),
            ("nvme:/dev/hemi-small?segment=128MiB&overwrite=true", true, "too few"),
        ] {
            let said = refusal(uri, create);
            assert!(said.contains(why), "{uri}: {said}");
        }
        // What is there is not overwritten, and a second writer is refused.
        let runtime = Runtime::builder().build().unwrap();
        runtime.block_on(async {
            let uri = format!("nvme:{BLOCKS_512}");
            let log = LogQueue::create(format!("{uri}?block=512&overwrite=true")).await.unwrap();
            let second = LogQueue::open(&uri).await.unwrap_err().to_string();
            assert!(second.contains("another process"), "{second}");
            log.close().await.unwrap();
            let again = LogQueue::create(&uri).await.unwrap_err().to_string();
            assert!(again.contains("here already"), "{again}");
        });
    }

    #[test]
    fn every_acknowledged_record_survives_a_cut_at_any_moment() {
        hemi_guest::needs!(Nvme);
        super::flushes::honest();
    }

    #[test]
    fn skipped_flushes_dropped_fua_and_early_acknowledgements_are_noticed() {
        hemi_guest::needs!(Nvme);
        super::flushes::lies();
    }
}

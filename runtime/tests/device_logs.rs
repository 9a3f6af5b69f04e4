//! Logs on real devices, whose writer is killed: `cargo xtask test --only guest`.

mod in_guest {
    use std::{
        io::{BufRead, BufReader},
        path::Path,
        process::{Command, Stdio},
    };

    use hemi::{Error, LogQueue, Lsn, Pop, Push, Runtime};
    use hemi_guest::Group;

    /// Where the writer is to write, in its environment.
    const URI: &str = "HEMI_TEST_WRITES";
    /// How often it is killed, on each device.
    const KILLS: u64 = 8;

    fn unit(lsn: u64) -> Vec<u8> {
        (0..lsn * 131 % 5000).map(|at| (lsn * 17 + at) as u8).collect()
    }

    /// Append until killed; say what was acknowledged.
    fn write(uri: &str) -> Result<(), Error> {
        Runtime::builder().build()?.block_on(async {
            let mut log = LogQueue::open(uri).await?;
            loop {
                let first = log.tail().0;
                if first > log.head().0 + 300 {
                    log.truncate_head(Lsn(first - 100)).await?;
                }
                // Some in one batch, and one by itself.
                let waiting: Vec<_> =
                    (first..first + 5).map(|lsn| log.submit_push(unit(lsn))).collect::<Result<_, _>>()?;
                for (token, lsn) in waiting.into_iter().zip(first..) {
                    token.await?;
                    println!("\nacknowledged {lsn}");
                }
                let lsn = log.push(unit(first + 5)).await?;
                println!("\nacknowledged {lsn}");
            }
        })
    }

    /// Start a writer, kill it after so many acknowledgements; how many records it had acknowledged.
    fn kill_one(uri: &str, after: u64) -> u64 {
        let this = "in_guest::a_writer_killed_at_any_moment_loses_nothing_that_it_acknowledged";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this, "--nocapture"])
            .env(URI, uri)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut told, mut last) = (0, 0);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap_or_default();
            let Some(lsn) = line.strip_prefix("acknowledged ").and_then(|lsn| lsn.parse::<u64>().ok()) else {
                continue;
            };
            (told, last) = (told + 1, lsn + 1);
            if told == after {
                child.kill().unwrap(); // what it said before that still comes
            }
        }
        assert!(!child.wait().unwrap().success(), "it ended by itself");
        assert!(told >= after, "the writer ended after {told} of {after} acknowledgements");
        last
    }

    /// Everything that was acknowledged is there, and everything that is there is right.
    fn check(uri: &str, acknowledged: u64) -> Result<(), Error> {
        Runtime::builder().build()?.block_on(async {
            let mut log = LogQueue::open(format!("{uri}?mode=ro")).await?;
            let (head, tail) = (log.head().0, log.tail().0);
            assert!(tail >= acknowledged, "{acknowledged} were acknowledged on {uri}: {:?}", log.recovery());
            for lsn in head..tail {
                let got = log.pop().await?.expect("a record").to_vec();
                assert!(got == unit(lsn), "record {lsn} on {uri} is not what was pushed");
            }
            Ok(())
        })
    }

    fn loop_device() -> &'static str {
        let file = Path::new("/dev/shm/hemi-loop.img");
        std::fs::File::create(file).and_then(|file| file.set_len(64 << 20)).unwrap();
        let set = Command::new("losetup").arg("/dev/loop0").arg(file).status().unwrap();
        assert!(set.success(), "losetup: {set}");
        "log:/dev/loop0"
    }

    #[test]
    fn a_writer_killed_at_any_moment_loses_nothing_that_it_acknowledged() {
        if let Ok(uri) = std::env::var(URI) {
            panic!("the writer ended: {:?}", write(&uri));
        }
        let uris = match hemi_guest::here() {
            Some(Group::Nvme) => ["nvme:/dev/hemi-blocks", "nvme:/dev/hemi-zones"],
            Some(Group::Block) => ["log:/dev/vda", loop_device()],
            _ => hemi_skip::skip!("it runs in a guest: cargo xtask test --only guest"),
        };
        for uri in uris {
            let made = Runtime::builder()
                .build()
                .unwrap()
                .block_on(async { LogQueue::create(format!("{uri}?overwrite=true")).await?.close().await });
            made.unwrap();
            let mut acknowledged = 0;
            for kill in 0..KILLS {
                acknowledged = kill_one(uri, 1 + kill * 37 % 60).max(acknowledged);
                check(uri, acknowledged).unwrap();
            }
            println!("{uri}: killed {KILLS} times, {acknowledged} acknowledged");
        }
    }
}

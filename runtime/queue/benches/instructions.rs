//! Instructions per operation of this crate's hot paths, by callgrind:
//!
//! ```text
//! cargo bench -p hemi-queue --bench instructions   # every row under valgrind: Ir per operation
//! ```
//!
//! Each row runs as a process of its own, twice (N and 3 N rounds); the difference over 2 N is the cost of one round, free
//! of start-up. Counts are exact and repeatable, so a change of one instruction is a change.

use std::{
    env, fs,
    hint::black_box,
    process::{Command, Stdio},
};

use hemi_queue::{Buf, Pool, Sga, time::Instant, wheel::Wheel};

const ROUNDS: u64 = 10_000;

type Row = (&'static str, fn(u64));

const ROWS: &[Row] = &[
    ("empty loop", |n| {
        for i in 0..n {
            black_box(i);
        }
    }),
    ("alloc 64 B + freeze + drop", |n| {
        let pool = pool();
        for _ in 0..n {
            let Ok(own) = pool.try_alloc(64) else { return };
            black_box(own.freeze());
        }
    }),
    ("alloc 2 KiB + freeze + drop", |n| {
        let pool = pool();
        for _ in 0..n {
            let Ok(own) = pool.try_alloc(2048) else { return };
            black_box(own.freeze());
        }
    }),
    ("clone + drop", |n| {
        let buf = pooled(64);
        for _ in 0..n {
            black_box(buf.clone());
        }
    }),
    ("slice + drop", |n| {
        let buf = pooled(64);
        for _ in 0..n {
            black_box(buf.slice(8..40));
        }
    }),
    ("freeze + try_mut", |n| {
        let pool = pool();
        let mut own = pool.try_alloc(64).expect("a fresh pool has buffers");
        for _ in 0..n {
            own = black_box(own.freeze()).try_mut().expect("the only holder");
        }
    }),
    ("split_frozen 64 of 16 KiB + drop", |n| {
        let pool = pool();
        let mut ring = None;
        for _ in 0..n {
            let mut own = match ring.take() {
                Some(own) => own,
                None => pool.try_alloc(16 << 10).expect("a fresh pool has buffers"),
            };
            own.set_len(64);
            black_box(own.split_frozen(64));
            ring = (own.capacity() >= 64).then_some(own);
        }
    }),
    ("Sga of one Buf + drop", |n| {
        let buf = pooled(64);
        for _ in 0..n {
            black_box(Sga::from(buf.clone()));
        }
    }),
    ("Sga of two Bufs + drop", |n| {
        let (a, b) = (pooled(64), pooled(64));
        for _ in 0..n {
            let mut sga = Sga::from(a.clone());
            sga.push(b.clone());
            black_box(sga);
        }
    }),
    ("send to another thread and home", |n| {
        let pool = pool();
        for _ in 0..n {
            let buf = pool.try_alloc(64).expect("comes home each round").freeze();
            drop(black_box(buf.into_send()));
            pool.collect();
        }
    }),
    ("timer insert + cancel, 0 others", |n| timers(0, n)),
    ("timer insert + cancel, 10,000 others", |n| timers(10_000, n)),
    ("timer re-arm, 10,000 others", |n| {
        let (mut wheel, mut now) = wheel(10_000);
        let key = wheel.insert(Instant::from_nanos(now), 0);
        for _ in 0..n {
            now += 700;
            black_box(wheel.rearm(key, Instant::from_nanos(now + 200_000_000)));
        }
    }),
    ("timer insert + fire after 1 ms, 10,000 others", |n| {
        let (mut wheel, mut now) = wheel(10_000);
        for _ in 0..n {
            wheel.insert(Instant::from_nanos(now + 1_000_000), 1);
            now += 1_000_000;
            black_box(wheel.pop(Instant::from_nanos(now)));
        }
    }),
    ("one turn's look at the wheel, 10,000 others", |n| {
        let (mut wheel, mut now) = wheel(10_000);
        for _ in 0..n {
            now += 700;
            black_box((wheel.pop(Instant::from_nanos(now)), wheel.next_deadline()));
        }
    }),
];

fn pool() -> Pool {
    Pool::new().expect("memory for one region")
}

fn pooled(len: usize) -> Buf {
    let mut own = pool().try_alloc(len).expect("a fresh pool has buffers");
    own.set_len(len);
    own.freeze()
}

/// A wheel with timers that are all hours away, and its clock.
fn wheel(others: u64) -> (Wheel<u32>, u64) {
    let mut wheel = Wheel::new();
    for i in 0..others {
        wheel.insert(Instant::from_nanos((3600 + i) * 1_000_000_000), i as u32);
    }
    (wheel, 1_000_000)
}

fn timers(others: u64, n: u64) {
    let (mut wheel, mut now) = wheel(others);
    for _ in 0..n {
        now += 700;
        let key = wheel.insert(Instant::from_nanos(now + 5_000_000), 7);
        black_box(wheel.cancel(black_box(key)));
    }
}

/// Instructions of one run of row `name` with `rounds`; `None` without valgrind.
fn count(name: &str, rounds: u64) -> Option<u64> {
    let out = env::temp_dir().join(format!("hemi-callgrind.{}", std::process::id()));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", &format!("--callgrind-out-file={}", out.display())])
        .arg(env::current_exe().ok()?)
        .args(["--row", name, &rounds.to_string()])
        .stderr(Stdio::null())
        .status()
        .ok()?;
    let text = fs::read_to_string(&out).ok()?;
    let _ = fs::remove_file(&out);
    let summary = text.lines().find_map(|l| l.strip_prefix("summary: "))?;
    if status.success() { summary.trim().parse().ok() } else { None }
}

fn main() {
    let args: Vec<String> = env::args().collect();
    if let [_, flag, name, rounds] = &args[..]
        && flag == "--row"
    {
        let rounds = rounds.parse().unwrap_or(ROUNDS);
        for (_, run) in ROWS.iter().filter(|(n, _)| n == name) {
            run(rounds);
        }
        return;
    }
    if !args.iter().any(|a| a == "--bench") {
        return; // `cargo test --all-targets`
    }
    println!("{:<50} {:>14}", "row", "Ir / operation");
    for (name, _) in ROWS {
        match (count(name, ROUNDS), count(name, 3 * ROUNDS)) {
            (Some(once), Some(thrice)) => {
                println!("{name:<50} {:>14.1}", (thrice - once) as f64 / (2 * ROUNDS) as f64);
            }
            _ => return println!("skipped: valgrind is not installed (apt-get install valgrind)"),
        }
    }
}

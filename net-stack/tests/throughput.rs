//! How fast the stack is in virtual time, over a grid of loss, round trip, buffer, congestion control and MTU: a table in the tree, so
//! that any change of behaviour is a diff; and what theory says of some of it.
//!
//! `HEMI_SNAPSHOT=write cargo test -p hemi-net --test throughput` writes the table anew.

use std::{fmt::Write as _, path::Path, time::Duration};

use hemi_net::{
    StackConfig,
    sim::{Faults, Pair, Side, WireConfig},
    tcp::Algorithm,
};
use hemi_queue::Buf;

/// Bits per second of the bottleneck.
const RATE: u64 = 20_000_000;

#[derive(Clone, Copy)]
struct Case {
    loss: f64,
    rtt: Duration,
    /// The bottleneck's queue in units of the bandwidth-delay product (at least ten packets).
    buffer: f64,
    cc: Algorithm,
    mtu: u16,
}

/// Mbit/s that reach the application over a path like this, over so many round trips after so many.
fn goodput(case: Case, seed: u64, (warm, rounds): (u32, u32)) -> f64 {
    let product = RATE as f64 / 8.0 * case.rtt.as_secs_f64();
    let config = WireConfig {
        mtu: case.mtu,
        delay: case.rtt / 2,
        rate: RATE,
        queue: ((product * case.buffer) as usize).max(10 * (usize::from(case.mtu) + 14)),
        // DCTCP is for networks that mark: from a fifth of the product on.
        mark: if case.cc == Algorithm::Dctcp {
            ((product / 5.0) as usize).max(5 * usize::from(case.mtu))
        } else {
            0
        },
        faults: [Faults::lossy(case.loss), Faults::NONE],
        seed,
        ..WireConfig::default()
    };
    let side = || {
        let mut config = StackConfig::default();
        config.tcp.congestion = case.cc;
        config.tcp.send_buffer = 1 << 20;
        config
    };
    let mut pair = Pair::with(config, side(), side(), seed);
    let (a, b) = pair.connect(80).expect("connected");
    let chunk = Buf::from(vec![7; 32 << 10]);
    let (begin, span) = (pair.now() + case.rtt * warm, (case.rtt * rounds).max(Duration::from_secs(1)));
    let mut got = 0_usize;
    let _ = pair.run_until(|p| {
        while p.a.stack.tcp_send_room(a) > 0 {
            p.push(Side::A, a, chunk.clone());
        }
        let now = p.now();
        while let Ok(Some(bytes)) = p.b.stack.tcp_pop(b, now) {
            got += if now > begin { bytes.len() } else { 0 };
        }
        now > begin + span
    });
    got as f64 * 8.0 / span.as_secs_f64() / 1e6
}

fn table() -> String {
    let mut out = String::from(
        "Goodput in Mbit/s at a bottleneck of 20 Mbit/s, in virtual time, after 20 round trips of slow start.\n\
         buffer: the bottleneck's queue in bandwidth-delay products. See tests/throughput.rs.\n\n\
         \x20  loss     rtt  buffer |  newreno 1500  9000 |  cubic 1500  9000 |  dctcp 1500  9000\n",
    );
    for loss in [0.0, 0.001, 0.01, 0.03] {
        for rtt in [2, 20, 100] {
            for buffer in [0.3, 1.0] {
                let _ = write!(out, "{:>6.1}% {rtt:>4} ms {buffer:>7.1} |", loss * 100.0);
                for cc in [Algorithm::NewReno, Algorithm::Cubic, Algorithm::Dctcp] {
                    for mtu in [1500, 9000] {
                        let rtt = Duration::from_millis(rtt);
                        let mbit = goodput(Case { loss, rtt, buffer, cc, mtu }, 7, (20, 30));
                        let _ = write!(out, " {mbit:>8.1}");
                    }
                    out.push_str(" |");
                }
                out.push('\n');
            }
        }
    }
    out
}

#[test]
fn the_table_is_as_it_was() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/throughput.txt");
    let now = table();
    if std::env::var("HEMI_SNAPSHOT").as_deref() == Ok("write") {
        std::fs::write(&file, &now).expect("written");
        return;
    }
    let before = std::fs::read_to_string(&file).expect("the table is in the tree");
    for (was, is) in before.lines().zip(now.lines()) {
        assert_eq!(
            was, is,
            "behaviour has changed; if it is meant to, HEMI_SNAPSHOT=write writes the table anew"
        );
    }
    assert_eq!(before, now);
}

/// The mean over some seeds.
fn mean(case: Case) -> f64 {
    (0..3).map(|seed| goodput(case, 100 + seed, (60, 250))).sum::<f64>() / 3.0
}

/// Mathis, Semke, Mahdavi and Ott (1997): BW = MSS / RTT * C / sqrt(p), with C = sqrt(3/2) for random loss.
#[test]
fn newreno_follows_mathis() {
    for (loss, rtt) in [(0.01, 100), (0.003, 100)] {
        let case =
            Case { loss, rtt: Duration::from_millis(rtt), buffer: 2.0, cc: Algorithm::NewReno, mtu: 1500 };
        let mathis = 1448.0 * 8.0 / case.rtt.as_secs_f64() * 1.5_f64.sqrt() / loss.sqrt() / 1e6;
        let ratio = mean(case) / mathis.min(RATE as f64 / 1e6);
        assert!((0.6..1.4).contains(&ratio), "loss {loss}, {rtt} ms: {ratio:.2} of what Mathis says");
    }
}

/// RFC 9438 section 5.1: the average window of CUBIC is (C * (3 + beta) / (4 * (1 - beta)))^(1/4) * RTT^(3/4) / p^(3/4) segments, and
/// never less than Reno's.
#[test]
fn cubic_follows_its_response_function() {
    for (loss, rtt) in [(0.003, 100), (0.01, 100)] {
        let case =
            Case { loss, rtt: Duration::from_millis(rtt), buffer: 2.0, cc: Algorithm::Cubic, mtu: 1500 };
        let seconds = case.rtt.as_secs_f64();
        let cubic = (0.4_f64 * 3.7 / (4.0 * 0.3)).powf(0.25) * (seconds / loss).powf(0.75);
        let reno = 1.5_f64.sqrt() / loss.sqrt();
        let response = cubic.max(reno) * 1448.0 * 8.0 / seconds / 1e6;
        let ratio = mean(case) / response.min(RATE as f64 / 1e6);
        assert!(
            (0.6..1.5).contains(&ratio),
            "loss {loss}, {rtt} ms: {ratio:.2} of RFC 9438's response function"
        );
    }
}

/// Without loss, a buffer of a bandwidth-delay product keeps the link busy, whoever controls.
#[test]
fn a_buffer_of_one_product_fills_the_link() {
    for cc in [Algorithm::NewReno, Algorithm::Cubic] {
        let case = Case { loss: 0.0, rtt: Duration::from_millis(20), buffer: 1.0, cc, mtu: 1500 };
        let share = mean(case) * 1e6 / RATE as f64;
        assert!(share > 0.85, "{cc}: {share:.2} of the link");
    }
}

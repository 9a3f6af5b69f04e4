//! The search for a path's MTU where no router says a word (RFC 8899, RFC 4821): worlds in which larger packets vanish.

use std::{cell::Cell, rc::Rc, time::Duration};

use hemi_net::{
    ConnId, StackConfig, TcpOptionsConfig,
    sim::{Faults, Pair, Side, WireConfig},
};
use hemi_queue::Buf;

const ETHERNET: usize = 14;
/// Bits per second. The send buffer, not the queue, is what limits: nothing is lost but what is too large.
const RATE: u64 = 1_000_000;

/// A pair of hosts whose link carries packets of up to `carries` bytes, both ways, and drops others in silence.
struct World {
    pair: Pair,
    carries: Rc<Cell<usize>>,
    ends: [ConnId; 2],
}

fn world(mtu: u16, carries: usize, loss: f64, seed: u64) -> World {
    let config =
        WireConfig { mtu, delay: Duration::from_millis(5), rate: RATE, seed, ..WireConfig::default() };
    let side = || {
        let mut config = StackConfig::default();
        config.tcp.send_buffer = if mtu > 1500 { 64 << 10 } else { 24 << 10 };
        config
    };
    let mut pair = Pair::with(config, side(), side(), seed);
    let carries = Rc::new(Cell::new(carries));
    for direction in 0..2 {
        let carries = carries.clone();
        pair.wire.tap(direction, move |_, frame| frame.len() <= carries.get() + ETHERNET);
    }
    let options = TcpOptionsConfig::default();
    let (a, b) = pair.connect_with(80, options.clone(), options).expect("connected");
    pair.wire.set_faults(0, Faults::lossy(loss));
    World { pair, carries, ends: [a, b] }
}

/// The bytes that A sends: a function of their position.
fn stream(at: usize, len: usize) -> Vec<u8> {
    (at..at + len).map(|i| (i % 251) as u8).collect()
}

impl World {
    /// A sends for `time`; what arrives must be what was sent. Returns how much that was.
    fn send_for(&mut self, time: Duration, from: &mut usize, got: &mut usize) -> usize {
        let end = self.pair.now() + time;
        let before = *got;
        let [a, b] = self.ends;
        let ended = self.pair.run_until(|p| {
            while p.a.stack.tcp_send_room(a) > 0 {
                p.push(Side::A, a, Buf::from(stream(*from, 8 << 10)));
                *from += 8 << 10;
            }
            let now = p.now();
            while let Some(bytes) = p.b.stack.tcp_pop(b, now).expect("alive") {
                assert!(bytes[..] == stream(*got, bytes.len()), "at {got}");
                *got += bytes.len();
            }
            now >= end
        });
        ended.expect("no deadlock");
        *got - before
    }

    fn mss(&self) -> usize {
        self.pair.a.stack.snapshot(self.ends[0]).expect("alive").mss.into()
    }

    /// Of a segment with timestamps over IPv4.
    fn mtu(&self) -> usize {
        self.mss() + 12 + 20 + 20
    }
}

#[test]
fn behind_a_black_hole_the_largest_size_that_passes_is_found() {
    for (mtu, carries) in [(1500, 1400), (1500, 1100), (9000, 8000)] {
        let mut world = world(mtu, carries, 0.0, 3);
        let (mut from, mut got) = (0, 0);
        // As long as it takes; the largest of these needs some twenty probes at round trips of a quarter of a second.
        let mut probes = None;
        for _ in 0..30 {
            world.send_for(Duration::from_secs(15), &mut from, &mut got);
            let now = world.pair.a.stack.counters().tcp_mtu_probes;
            if now > 0 && probes.replace(now) == Some(now) {
                break;
            }
        }
        let found = world.mtu();
        assert!(found <= carries && carries - found <= 16, "{mtu}, {carries}: {found}");
        let counters = *world.pair.a.stack.counters();
        assert!(counters.tcp_mtu_raises >= 1, "{counters:?}");
        // The search is over: nothing more is lost.
        world.send_for(Duration::from_secs(5), &mut from, &mut got);
        let later = *world.pair.a.stack.counters();
        assert_eq!(later.tcp_mtu_probes, counters.tcp_mtu_probes, "{mtu}, {carries}");
        assert_eq!(later.tcp_retransmits, counters.tcp_retransmits, "{mtu}, {carries}");
    }
}

#[test]
fn a_lost_probe_costs_no_throughput() {
    let mut world = world(1500, 1400, 0.0, 5);
    let (mut from, mut got) = (0, 0);
    world.send_for(Duration::from_secs(60), &mut from, &mut got);
    let before = *world.pair.a.stack.counters();
    // Ten minutes later everything is tried again: the full size first, in vain.
    world.pair.run_for(Duration::from_secs(601));
    let bytes = world.send_for(Duration::from_secs(20), &mut from, &mut got);
    let after = *world.pair.a.stack.counters();
    assert!(after.tcp_mtu_probes_lost > before.tcp_mtu_probes_lost, "{after:?}");
    assert_eq!(after.tcp_recoveries, before.tcp_recoveries, "{after:?}");
    assert_eq!(after.tcp_timeouts, before.tcp_timeouts, "{after:?}");
    let share = bytes as f64 * 8.0 / 20.0 / RATE as f64;
    assert!(share > 0.9, "{share} of the link");
}

#[test]
fn a_path_that_recovers_is_used_again_in_full() {
    let mut world = world(1500, 1300, 0.0, 7);
    let (mut from, mut got) = (0, 0);
    world.send_for(Duration::from_secs(60), &mut from, &mut got);
    assert!(world.mtu() <= 1300);
    world.carries.set(1500);
    world.pair.run_for(Duration::from_secs(601));
    world.send_for(Duration::from_secs(5), &mut from, &mut got);
    assert_eq!(world.mtu(), 1500);
}

#[test]
fn a_path_that_shrinks_again_is_survived() {
    let mut world = world(1500, 1400, 0.0, 9);
    let (mut from, mut got) = (0, 0);
    world.send_for(Duration::from_secs(60), &mut from, &mut got);
    world.carries.set(1200);
    world.send_for(Duration::from_secs(120), &mut from, &mut got);
    assert!((1184..=1200).contains(&world.mtu()), "{}", world.mtu());
}

/// Loss that is no probe's fault: what is found may be a little less, and never more, than what passes; nothing hangs, nothing is damaged.
#[test]
fn on_a_lossy_path_the_search_is_right_too() {
    for seed in 0..3 {
        let mut world = world(1500, 1400, 0.01, seed);
        let (mut from, mut got) = (0, 0);
        world.send_for(Duration::from_secs(60), &mut from, &mut got);
        assert!((1024..=1400).contains(&world.mtu()), "seed {seed}: {}", world.mtu());
        assert!(got > 1_000_000, "seed {seed}: {got} bytes");
    }
}

#[test]
fn what_one_connection_finds_serves_the_next() {
    let mut world = world(1500, 1400, 0.0, 11);
    let (mut from, mut got) = (0, 0);
    world.send_for(Duration::from_secs(60), &mut from, &mut got);
    let found = world.mss();
    let before = world.pair.a.stack.counters().tcp_mtu_probes;
    let (a, _) = world.pair.connect(81).expect("connected");
    world.pair.push(Side::A, a, Buf::from(stream(0, 32 << 10)));
    world.pair.run_for(Duration::from_secs(5));
    let snapshot = world.pair.a.stack.snapshot(a).expect("alive");
    assert_eq!((usize::from(snapshot.mss), snapshot.retransmits), (found, 0));
    assert_eq!(world.pair.a.stack.counters().tcp_mtu_probes, before);
}

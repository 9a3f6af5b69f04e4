//! A world from a seed: two hosts with random settings on a random link, and a random program on several connections.
//!
//! Each direction of each connection is a stream of bytes known from its number, pushed in pieces and popped at some pace; it ends
//! with a half-close, or the connection ends with an abort or an early release, at a random time. What must hold whatever
//! happens:
//! * what is popped is what was pushed, from the beginning, in order, once;
//! * all of it, where neither end broke off;
//! * both ends come to an end, every connection is forgotten, every buffer comes back, no frame is left;
//! * there is always something that happens next, until everything is over.

use std::time::Duration;

use hemi_net::{
    ConnId, StackConfig, TcpConfig, TcpOptionsConfig,
    sim::{Faults, Pair, Side, WireConfig},
    tcp::Algorithm,
    wire::{EthernetHeader, Ipv4Header, TcpHeader},
};
use hemi_queue::{Buf, Pool, time::Instant};

/// What a world did, for whoever wants to see that it was not idle.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Bytes delivered to applications.
    pub(crate) delivered: u64,
    /// Segments sent again.
    pub(crate) retransmits: u64,
    /// Connections that were broken off by either end.
    pub(crate) broken: u64,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.retransmits += other.retransmits;
        self.broken += other.broken;
    }
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..n`.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn micros(&mut self, n: u64) -> Duration {
        Duration::from_micros(self.below(n))
    }
}

/// One direction of a connection: who pushes, who pops, and how far they are.
struct Stream {
    from: Side,
    /// Bytes to push in all, pushed so far, and popped so far.
    total: usize,
    pushed: usize,
    popped: usize,
    unit: usize,
    /// The reader pops once in so many turns.
    pace: u64,
    key: u64,
    finished: bool,
}

impl Stream {
    fn random(from: Side, dice: &mut Dice) -> Self {
        let total = match dice.below(6) {
            0 => 0,
            1..=3 => dice.below(4_000),
            _ => dice.below(60_000),
        } as usize;
        let unit = dice.pick(&[1, 64, 700, 1460, 5_000, 70_000]).max(total / 200);
        let pace = dice.pick(&[1, 1, 1, 3, 20]);
        Self { from, total, pushed: 0, popped: 0, unit, pace, key: dice.next(), finished: false }
    }

    fn byte(&self, at: usize) -> u8 {
        (self.key.wrapping_add(at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
    }
}

struct Link {
    ends: [ConnId; 2],
    streams: [Stream; 2],
    /// The turn at which an end breaks off, which end, and whether by an abort.
    breaks: Option<(u64, Side, bool)>,
    broken: bool,
    /// When an application that waits in vain for a peer which broke off gives up: the RST may have been lost, and a half-closed
    /// connection has nothing to send that would bring another.
    patience: Instant,
    released: [bool; 2],
}

impl Link {
    fn end(&self, side: Side) -> ConnId {
        self.ends[side as usize]
    }
}

fn other(side: Side) -> Side {
    if side == Side::A { Side::B } else { Side::A }
}

fn stack(dice: &mut Dice) -> StackConfig {
    let mut tcp = TcpConfig::default();
    tcp.congestion = dice.pick(&[Algorithm::Cubic, Algorithm::NewReno, Algorithm::Dctcp]);
    tcp.sack = !dice.one_in(4);
    tcp.timestamps = !dice.one_in(4);
    tcp.window_scaling = !dice.one_in(4);
    tcp.ecn = dice.one_in(3);
    tcp.pacing = dice.one_in(6);
    tcp.rto_min = Duration::from_millis(dice.pick(&[1, 20, 200, 1000]));
    tcp.delayed_ack = Duration::from_millis(dice.pick(&[1, 40, 200]));
    tcp.send_buffer = dice.pick(&[2_000, 20_000, 256 << 10]);
    tcp.recv_buffer = dice.pick(&[3_000, 16_000, 64 << 10]);
    tcp.recv_buffer_max = tcp.recv_buffer * dice.pick(&[1, 4]);
    let mut config = StackConfig::default();
    config.tcp = tcp;
    config.tx_queue = dice.pick(&[8, 16, 256]);
    config
}

fn link(dice: &mut Dice, seed: u64) -> WireConfig {
    WireConfig {
        mtu: dice.pick(&[600, 1500, 1500, 9000]),
        delay: dice.micros(30_000),
        rate: dice.pick(&[0, 0, 5_000_000, 100_000_000]),
        queue: dice.pick(&[0, 30_000]),
        mark: dice.pick(&[0, 10_000]),
        ring: dice.pick(&[0, 0, 1, 3]),
        checksum_offload: dice.one_in(4),
        tso: dice.pick(&[0, 0, 0, 65_000]),
        seed,
        ..WireConfig::default()
    }
}

fn faults(dice: &mut Dice) -> Faults {
    if dice.one_in(4) {
        return Faults::NONE;
    }
    let per_mille = |n: u64| n as f64 / 1000.0;
    Faults {
        loss: per_mille(dice.below(50)),
        burst: dice.below(4) as u32,
        duplicate: per_mille(dice.below(30)),
        reorder: per_mille(dice.below(60)),
        reorder_by: Duration::from_millis(1) + dice.micros(40_000),
        corrupt: per_mille(dice.below(20)),
        jitter: if dice.one_in(3) { Duration::from_millis(2) } else { Duration::ZERO },
    }
}

/// Run the world of `seed` with memory from `pool`; says what is wrong, if something is. `trace`: print every segment.
pub(crate) fn run(seed: u64, pool: &Pool, trace: bool) -> Result<Seen, String> {
    let mut dice = Dice(seed);
    let (before, config) = (pool.stats().in_use, link(&mut dice, seed));
    let (corrupts, offload) = (faults(&mut dice), config.checksum_offload);
    // Whoever vouches for checksums must not flip bits.
    let fault = Faults { corrupt: if offload { 0.0 } else { corrupts.corrupt }, ..corrupts };
    let (a, b) = (stack(&mut dice), stack(&mut dice));
    let mut pair = Pair::with_pool(config, a, b, seed, pool.clone());
    if trace {
        for direction in 0..2 {
            pair.wire.tap(direction, move |at, frame| show(direction, at, frame));
        }
    }
    let mut links = Vec::new();
    for n in 0..=dice.below(3) {
        let mut options = [TcpOptionsConfig::default(), TcpOptionsConfig::default()];
        for o in &mut options {
            o.nodelay = !dice.one_in(3);
            o.keep_alive = dice.one_in(5).then(|| Duration::from_secs(30));
        }
        let [client, server] = options;
        // The handshake has its own tests, and may rightly fail: the trouble begins behind it.
        let (a, b) = pair.connect_with(1 + n as u16, client, server).map_err(|e| e.to_string())?;
        let streams = [Stream::random(Side::A, &mut dice), Stream::random(Side::B, &mut dice)];
        let breaks = dice
            .one_in(3)
            .then(|| (dice.below(300), if dice.one_in(2) { Side::A } else { Side::B }, dice.one_in(2)));
        let patience = Instant::FAR_FUTURE;
        links.push(Link { ends: [a, b], streams, breaks, broken: false, patience, released: [false; 2] });
    }
    pair.wire.set_faults(0, fault);
    pair.wire.set_faults(1, fault);
    let mut turn = 0;
    while links.iter().any(|l| l.released != [true; 2]) {
        for link in &mut links {
            work(&mut pair, link, turn)?;
        }
        // Long enough for every timer: a world that is not over by then never will be.
        if pair.now() > Instant::ZERO + Duration::from_secs(20_000) {
            let stacks = [&pair.a.stack, &pair.b.stack];
            let left: Vec<_> = stacks.iter().flat_map(|s| s.snapshots()).map(|s| s.to_string()).collect();
            return Err(format!("not over after {:?}: {}", pair.now(), left.join("; ")));
        }
        let patience =
            if turn < 400 { dice.micros(4_000) } else { Duration::from_millis(1 << (turn / 400).min(10)) };
        pair.run_for(patience + Duration::from_micros(1));
        turn += 1;
    }
    pair.wire.set_faults(0, Faults::NONE);
    pair.wire.set_faults(1, Faults::NONE);
    pair.run_for(Duration::from_secs(5_000));
    let counts = (pair.a.stack.tcp_counts(), pair.b.stack.tcp_counts());
    if counts != ((0, 0), (0, 0)) {
        return Err(format!("connections are left: {counts:?}"));
    }
    let left = (pair.wire.in_flight(), pool.stats().in_use - before);
    if left != (0, 0) {
        return Err(format!("frames and buffers are left: {left:?}"));
    }
    let retransmits = pair.a.stack.counters().tcp_retransmits + pair.b.stack.counters().tcp_retransmits;
    let delivered = links.iter().flat_map(|l| &l.streams).map(|s| s.popped as u64).sum();
    Ok(Seen { delivered, retransmits, broken: links.iter().filter(|l| l.broken).count() as u64 })
}

/// Print a segment as it is put on the wire.
fn show(direction: usize, at: Instant, frame: &[u8]) -> bool {
    let tcp = Ipv4Header::parse(&frame[EthernetHeader::LEN..]).ok().and_then(|ip| {
        let begin = EthernetHeader::LEN + usize::from(ip.header_len);
        let (tcp, _) = TcpHeader::parse(&frame[begin..]).ok()?;
        Some((tcp, ip.payload_len - u16::from(tcp.header_len)))
    });
    if let Some((tcp, len)) = tcp {
        let (from, to) = if direction == 0 { ("A", "B") } else { ("B", "A") };
        let TcpHeader { src_port, dst_port, seq, ack, flags, window, .. } = tcp;
        println!(
            "{at:?} {from}:{src_port} > {to}:{dst_port} [{flags}] seq {seq} ack {ack} win {window} len {len}"
        );
    }
    true
}

/// One turn of the application on one connection.
fn work(pair: &mut Pair, link: &mut Link, turn: u64) -> Result<(), String> {
    if let Some((at, side, abort)) = link.breaks
        && turn == at
        && !link.released[side as usize]
    {
        let (conn, now) = (link.end(side), pair.now());
        link.broken = true;
        link.patience = now + Duration::from_secs(1_000);
        if abort {
            pair.host(side).stack.tcp_abort(conn, now);
        }
        pair.host(side).stack.tcp_release(conn, now);
        link.released[side as usize] = true;
    }
    for n in 0..2 {
        push(pair, link, n);
        pop(pair, link, n, turn)?;
    }
    for side in [Side::A, Side::B] {
        let conn = link.end(side);
        if link.released[side as usize] {
            continue;
        }
        let (outgoing, incoming) = (&link.streams[side as usize], &link.streams[1 - side as usize]);
        let now = pair.now();
        let stack = &mut pair.host(side).stack;
        let over = outgoing.finished && stack.tcp_is_at_end(conn) && stack.tcp_is_flushed(conn);
        let error = stack.tcp_error(conn);
        // A peer that has finished, has had everything, and has waited out its TIME-WAIT may answer a last retransmission by a RST.
        let forgotten = link.released[other(side) as usize] && outgoing.popped == outgoing.total;
        if error.is_some() && !link.broken && !forgotten {
            return Err(format!("an unexpected error: {error:?} after {} bytes", incoming.popped));
        }
        if over || error.is_some() || now > link.patience {
            if !link.broken && incoming.popped != incoming.total {
                return Err(format!(
                    "{} of {} bytes arrived before the end",
                    incoming.popped, incoming.total
                ));
            }
            stack.tcp_release(conn, now);
            link.released[side as usize] = true;
        }
    }
    Ok(())
}

fn push(pair: &mut Pair, link: &mut Link, n: usize) {
    let (conn, side, now) = (link.end(link.streams[n].from), link.streams[n].from, pair.now());
    let stream = &mut link.streams[n];
    if link.released[side as usize] {
        return;
    }
    let stack = &mut pair.host(side).stack;
    while stream.pushed < stream.total && stack.tcp_send_room(conn) > 0 {
        let end = (stream.pushed + stream.unit).min(stream.total);
        let unit: Vec<u8> = (stream.pushed..end).map(|at| stream.byte(at)).collect();
        if stack.tcp_push(conn, Buf::from(unit).into(), now).is_err() {
            return; // broken off by the peer
        }
        stream.pushed = end;
    }
    if stream.pushed == stream.total && !stream.finished {
        stream.finished = true;
        stack.tcp_shutdown(conn, now);
    }
}

fn pop(pair: &mut Pair, link: &mut Link, n: usize, turn: u64) -> Result<(), String> {
    let stream = &mut link.streams[n];
    let side = other(stream.from);
    if link.released[side as usize] || !turn.is_multiple_of(stream.pace) {
        return Ok(());
    }
    let (conn, now) = (link.ends[side as usize], pair.now());
    // A slow reader takes one piece, another all there is.
    let mut most = if stream.pace == 1 { usize::MAX } else { 1 };
    while most > 0
        && let Ok(Some(bytes)) = pair.host(side).stack.tcp_pop(conn, now)
    {
        most -= 1;
        for (i, byte) in bytes.iter().enumerate() {
            if *byte != stream.byte(stream.popped + i) {
                return Err(format!("byte {} is wrong", stream.popped + i));
            }
        }
        stream.popped += bytes.len();
        if stream.popped > stream.pushed {
            return Err(format!("{} bytes arrived of {} pushed", stream.popped, stream.pushed));
        }
    }
    Ok(())
}

//! A connection's memory is used again: nothing of the old one may be left in the new one.

use super::*;
use crate::device::Caps;

fn tuple(port: u16) -> Tuple {
    let ip = |n| IpAddr::from([10, 0, 0, n]);
    Tuple { local: ip(1), remote: ip(2), local_port: port, remote_port: 80 }
}

fn agreed() -> Agreed {
    Agreed {
        iss: Seq(7),
        irs: Seq(1000),
        peer_mss: 1200,
        scale: Some(5),
        sack: true,
        timestamps: Some((3, 4)),
        ecn: true,
        window: 5000,
        rtt: Some(Duration::from_millis(3)),
        syn_lost: false,
    }
}

/// Live through as much as fits in a test: data in and out, some of it lost and out of order, every flag and deadline set, an end with an error.
fn wear_out(conn: &mut Connection, cx: &mut Cx<'_>) {
    let odd = TcpOptionsConfig {
        nodelay: false,
        keep_alive: Some(Duration::from_secs(3)),
        keep_alive_probes: Some(3),
        user_timeout: Some(Duration::from_secs(9)),
        linger: Some(Duration::from_secs(1)),
        congestion: Some(Algorithm::Dctcp),
        recv_buffer: Some(5000),
        send_buffer: Some(700),
        max_segment: Some(600),
        ..TcpOptionsConfig::default()
    };
    conn.accept(&tuple(1), &Agreed { rtt: None, syn_lost: true, ..agreed() }, &odd, cx);
    for _ in 0..3 {
        conn.push("some text".into());
    }
    for (start, end) in [(8, 17), (17, 26)] {
        conn.flight.push(Seq(start), Seq(end), cx.now, true);
    }
    conn.flight.mark_lost(|_| true);
    for at in [1001, 1030, 1060] {
        conn.assembler.insert(Seq(1001), Seq(at), "ten octets".into(), &cx.net.pool);
    }
    conn.sacks.arrived(Seq(1030), Seq(1040));
    conn.sacks.duplicate(Seq(1001), Seq(1002));
    conn.rack.on_dsack(Seq(8), Seq(26));
    conn.rtt.sample(5, 1);
    conn.rtt.back_off();
    conn.recovery.enter(Seq(26), 18, 9, 600);
    conn.acks.at_once();
    (conn.limited_at, conn.probe, conn.fin_at) = (Some(Seq(1)), Some((Seq(2), true)), Some(Seq(3)));
    (conn.retries, conn.retransmits, conn.write_below) = (4, 5, 6);
    (conn.syn_due, conn.keepalive_due, conn.closed, conn.wants_acked) = (true, true, true, true);
    (conn.dirty, conn.signalled, conn.calm, conn.fin) = (true, true, true, Fin::Sent);
    conn.armed = Instant::ZERO;
    conn.end(Some(ConnError::Reset));
    let (now, never) = (cx.now, Instant::FAR_FUTURE);
    conn.deadlines = Deadlines { rto: now, tlp: now, reorder: now, persist: now, ..Deadlines::new() };
    assert_ne!(conn.deadlines.next(never), never);
    conn.let_go();
}

#[test]
fn one_that_was_used_begins_as_a_new_one() {
    let pool = hemi_queue::Pool::new().expect("memory");
    let mut net = Net::new(Caps::ethernet(crate::wire::MacAddr([2; 6])), 8, pool, 1);
    let config = TcpConfig::default();
    let timing = Timing::of(&config);
    let mut challenge = TokenBucket::new(1, Duration::from_secs(1));
    let now = Instant::ZERO + Duration::from_secs(100);
    let mut cx = Cx { now, net: &mut net, config: &config, timing: &timing, challenge: &mut challenge };
    let options = TcpOptionsConfig::default();
    for opens in [true, false] {
        let (mut used, mut new) = (Connection::blank(), Connection::blank());
        wear_out(&mut used, &mut cx);
        for conn in [&mut used, &mut new] {
            if opens {
                conn.connect(&tuple(2), Seq(9), 5, &options, &mut cx);
            } else {
                conn.accept(&tuple(2), &agreed(), &options, &mut cx);
            }
        }
        assert_eq!(format!("{used:?}"), format!("{new:?}"));
    }
}

/// An abort in the turn of the connect: the SYN that was due must not leave any more.
#[test]
fn what_is_over_has_nothing_to_send() {
    let pool = hemi_queue::Pool::new().expect("memory");
    let mut net = Net::new(Caps::ethernet(crate::wire::MacAddr([2; 6])), 8, pool, 1);
    let config = TcpConfig::default();
    let timing = Timing::of(&config);
    let mut challenge = TokenBucket::new(1, Duration::from_secs(1));
    let now = Instant::ZERO + Duration::from_secs(100);
    let mut cx = Cx { now, net: &mut net, config: &config, timing: &timing, challenge: &mut challenge };
    let mut conn = Connection::blank();
    conn.connect(&tuple(2), Seq(9), 5, &TcpOptionsConfig::default(), &mut cx);
    assert!(conn.has_output());
    conn.abort(&mut cx);
    assert!(!conn.has_output());
    conn.accept(&tuple(2), &agreed(), &TcpOptionsConfig::default(), &mut cx);
    conn.acks.at_once();
    conn.keepalive_due = true;
    conn.end(None);
    assert!(!conn.has_output());
}

/// A connection that ended with a probe in flight tells nobody what became of it. One that has its ports later, and other sequence numbers, can't either.
#[test]
fn a_probe_of_an_earlier_connection_with_the_same_ports_has_not_passed() {
    let pool = hemi_queue::Pool::new().expect("memory");
    let mut net = Net::new(Caps::ethernet(crate::wire::MacAddr([2; 6])), 8, pool, 1);
    let config = TcpConfig::default();
    let timing = Timing::of(&config);
    let mut challenge = TokenBucket::new(1, Duration::from_secs(1));
    let now = Instant::ZERO + Duration::from_secs(100);
    let remote = tuple(1).remote;
    net.pmtu.fall_into_black_hole(remote, 1024, 1500, now);
    let (start, end) = (Seq(u32::MAX - 2000), Seq(u32::MAX - 772));
    net.pmtu.probe_sent(remote, crate::ip::Probe { size: 1280, sent: now, ports: (1, 80), start, end });
    let mut cx = Cx { now, net: &mut net, config: &config, timing: &timing, challenge: &mut challenge };
    let mut conn = Connection::blank();
    conn.accept(&tuple(1), &agreed(), &TcpOptionsConfig::default(), &mut cx);
    conn.judge_mtu_probe(conn.una + 1, &mut cx);
    assert_eq!(net.pmtu.get(remote, now), Some(1024));
    assert_eq!(net.pmtu.probe_of(remote, (1, 80)), None, "nobody waits for it any more");
}

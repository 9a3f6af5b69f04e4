use std::time::Duration;

use hemi_queue::time::Instant;

use super::{AckEvent, Algorithm, CongestionControl, Controller, initial_window};

const MSS: u32 = 1000;
const RTT: Duration = Duration::from_millis(50);

fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}

/// Rounds of full windows: every segment of the window acknowledged, one ACK per segment. `queue` is added to each RTT.
fn rounds(cc: &mut Controller, from: u32, n: u32, ecn: bool, queue: Duration) -> Instant {
    let mut now = Instant::ZERO;
    for round in from..from + n {
        now = Instant::ZERO + RTT * round;
        let segments = cc.cwnd() / MSS;
        for i in 0..segments {
            cc.on_ack(&AckEvent {
                now,
                acked: MSS,
                in_flight: cc.cwnd(),
                rtt_nanos: Some(nanos(RTT + queue * (round - from))),
                srtt_nanos: nanos(RTT),
                cwnd_limited: true,
                round_start: i == 0,
                ecn_echo: ecn,
            });
        }
    }
    now
}

#[test]
fn initial_windows() {
    assert_eq!((initial_window(1460), initial_window(8960), initial_window(536)), (14_600, 17_920, 5_360));
}

#[test]
fn slow_start_doubles_and_a_loss_reduces() {
    for (algorithm, kept) in [(Algorithm::NewReno, 0.5), (Algorithm::Cubic, 0.7), (Algorithm::Dctcp, 0.5)] {
        let mut cc = Controller::new(algorithm, MSS);
        rounds(&mut cc, 0, 3, false, Duration::ZERO);
        assert_eq!(cc.cwnd(), 80_000, "{algorithm}");
        cc.on_loss(Instant::ZERO, 80_000);
        assert_eq!(cc.cwnd(), (80_000.0 * kept) as u32, "{algorithm}");
        assert_eq!(cc.ssthresh(), cc.cwnd());
        cc.on_spurious();
        assert_eq!((cc.cwnd(), cc.ssthresh()), (80_000, u32::MAX), "{algorithm}");
        cc.on_timeout(Instant::ZERO, 80_000);
        assert_eq!(cc.cwnd(), MSS);
    }
}

#[test]
fn reno_grows_by_a_segment_per_round_trip() {
    let mut cc = Controller::new(Algorithm::NewReno, MSS);
    cc.on_loss(Instant::ZERO, 40_000);
    rounds(&mut cc, 0, 10, false, Duration::ZERO);
    assert!((29_000..=30_000).contains(&cc.cwnd()), "{}", cc.cwnd());
}

#[test]
fn cubic_returns_to_its_old_window_after_k_seconds_and_is_flat_there() {
    let mut cc = Controller::new(Algorithm::Cubic, MSS);
    rounds(&mut cc, 0, 5, false, Duration::ZERO);
    let w_max = cc.cwnd();
    assert_eq!(w_max, 320_000);
    cc.on_loss(Instant::ZERO, w_max);
    // K = cbrt(320 * 0.3 / 0.4) = 6.2 s = 124 rounds
    rounds(&mut cc, 0, 124, false, Duration::ZERO);
    assert!(cc.cwnd().abs_diff(w_max) < w_max / 20, "{}", cc.cwnd());
    let at_k = cc.cwnd();
    rounds(&mut cc, 124, 10, false, Duration::ZERO);
    assert!(cc.cwnd() - at_k < 3 * MSS, "flat at the plateau: {}", cc.cwnd() - at_k);
    rounds(&mut cc, 134, 120, false, Duration::ZERO);
    assert!(cc.cwnd() > w_max + w_max / 4, "then convex: {}", cc.cwnd());
}

#[test]
fn cubic_is_not_slower_than_reno_on_short_paths() {
    let mut cubic = Controller::new(Algorithm::Cubic, MSS);
    cubic.on_loss(Instant::ZERO, 10_000);
    let start = cubic.cwnd();
    rounds(&mut cubic, 0, 30, false, Duration::ZERO);
    // alpha = 0.53 segments per round trip at first, 1 past the old window.
    assert!(cubic.cwnd() >= start + 15 * MSS, "{}", cubic.cwnd());
}

#[test]
fn hystart_leaves_slow_start_when_delay_grows() {
    let mut cc = Controller::new(Algorithm::Cubic, MSS);
    rounds(&mut cc, 0, 12, false, Duration::from_millis(10));
    assert!(cc.ssthresh() < u32::MAX, "still in slow start at {}", cc.cwnd());
}

#[test]
fn nothing_grows_while_the_application_does_not_fill_the_window() {
    for algorithm in [Algorithm::NewReno, Algorithm::Cubic, Algorithm::Dctcp] {
        let mut cc = Controller::new(algorithm, MSS);
        let before = cc.cwnd();
        for i in 0..100 {
            cc.on_ack(&AckEvent {
                now: Instant::ZERO + RTT * i,
                acked: MSS,
                in_flight: MSS,
                rtt_nanos: Some(nanos(RTT)),
                srtt_nanos: nanos(RTT),
                cwnd_limited: false,
                round_start: true,
                ecn_echo: false,
            });
        }
        assert_eq!(cc.cwnd(), before, "{algorithm}");
    }
}

#[test]
fn dctcp_reduces_by_half_of_alpha() {
    let Controller::Dctcp(mut d) = Controller::new(Algorithm::Dctcp, MSS) else { unreachable!() };
    assert_eq!(d.alpha(), 1024);
    let before = d.cwnd();
    d.on_ecn(Instant::ZERO, before);
    assert_eq!(d.cwnd(), before / 2);
    // Rounds without marks let alpha decay by 1/16 each.
    let mut cc = Controller::Dctcp(d);
    rounds(&mut cc, 0, 32, false, Duration::ZERO);
    let Controller::Dctcp(mut d) = cc else { unreachable!() };
    assert!((100..=160).contains(&d.alpha()), "{}", d.alpha());
    let before = d.cwnd();
    d.on_ecn(Instant::ZERO, before);
    let kept = f64::from(d.cwnd()) / f64::from(before);
    assert!((0.92..0.96).contains(&kept), "{kept}");
}

#[test]
fn names_parse() {
    for algorithm in [Algorithm::NewReno, Algorithm::Cubic, Algorithm::Dctcp] {
        assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
    }
    assert!("vegas".parse::<Algorithm>().is_err());
}

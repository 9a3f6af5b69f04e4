//! `TCP_INFO`, as far as a snapshot of a connection tells it, in the layout of Linux's `struct tcp_info`.

use std::time::Duration;

use hemi_net::tcp::{Phase, Snapshot, State};

/// Bytes of the structure: up to `tcpi_snd_wnd`.
const LEN: usize = 232;

/// A structure of a socket that is no connection.
pub(crate) fn of_nothing() -> Vec<u8> {
    let mut info = vec![0; LEN];
    info[0] = linux_state(State::Closed);
    info
}

/// What Linux would tell of a connection. `written`, `read`: bytes that the program has handed over and taken.
pub(crate) fn of(s: &Snapshot, written: u64, read: u64) -> Vec<u8> {
    let mut info = vec![0; LEN];
    let mss = u32::from(s.mss).max(1);
    info[0] = linux_state(s.state);
    // TCP_CA_Open, _Recovery and _Loss.
    info[1] = match s.phase {
        Phase::Open => 0,
        Phase::Recovery => 3,
        Phase::Loss => 4,
    };
    info[2] = s.backoff;
    info[4] = s.backoff;
    info[5] = u8::from(s.timestamps)
        | u8::from(s.sack) << 1
        | u8::from(s.window_scaling) << 2
        | u8::from(s.ecn) << 3
        // TCPI_OPT_SYN_DATA
        | u8::from(s.syn_data) << 5;
    let micros = |d: Duration| d.as_micros() as u32;
    let segments = |bytes: u32| bytes.div_ceil(mss);
    let ssthresh = if s.ssthresh == u32::MAX { 0x7fff_ffff } else { s.ssthresh / mss };
    for (at, value) in [
        (8, micros(s.rto)),
        (16, mss),
        (24, segments(s.unacknowledged)),
        (28, segments(s.sacked)),
        (32, segments(s.lost)),
        (68, micros(s.srtt.unwrap_or_default())),
        (72, micros(s.rttvar)),
        (76, ssthresh),
        (80, s.cwnd / mss),
        (84, mss),
        (100, s.retransmits),
        (144, (s.send_queue as u32).saturating_sub(s.unacknowledged)),
        (148, s.min_rtt.map_or(u32::MAX, micros)),
        (228, s.send_window),
    ] {
        put(&mut info, at, &value.to_ne_bytes());
    }
    let acked = written.saturating_sub(s.send_queue as u64);
    put(&mut info, 120, &acked.to_ne_bytes());
    put(&mut info, 128, &(read + s.recv_queue as u64).to_ne_bytes());
    put(
        &mut info,
        200,
        &written.saturating_sub((s.send_queue as u64).saturating_sub(s.unacknowledged.into())).to_ne_bytes(),
    );
    info
}

fn put(info: &mut [u8], at: usize, value: &[u8]) {
    if let Some(field) = info.get_mut(at..at + value.len()) {
        field.copy_from_slice(value);
    }
}

/// As `net/tcp_states.h` numbers them.
fn linux_state(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
    }
}

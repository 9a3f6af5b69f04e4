//! [`Sample`]: what is told, as it goes over the socket.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use hemi_net::tcp::{Phase, Snapshot};
use hemi_queue::time::Instant;
use serde::{Deserialize, Serialize};

use crate::StackSnapshot;

/// How many connections a sample tells of at most: those with the most to tell come first.
const ROWS: usize = 1000;

/// What one stack was doing at one moment.
///
/// ```
/// use hemi_net_transport::stats::Sample;
///
/// let line = r#"{"version":1,"pid":7,"at":5,"about":"tap:","total":0,"states":{},"connections":[],"counters":[],"device":[]}"#;
/// let sample: Sample = serde_json::from_str(line)?;
/// assert_eq!(sample.about, "tap:");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sample {
    /// Of this format: [`Sample::VERSION`].
    pub version: u32,
    /// The process.
    pub pid: u32,
    /// The stack's clock, in nanoseconds; only differences mean something.
    pub at: u64,
    /// The device and the addresses, in a line.
    pub about: String,
    /// How many connections there are; those in TIME-WAIT and half-open ones are not among them.
    pub total: usize,
    /// How many of them are in which state.
    pub states: BTreeMap<String, usize>,
    /// At most 1,000 of them, those that wait for something or have lost something first.
    pub connections: Vec<Row>,
    /// The stack's counters, in the order of the layers.
    pub counters: Vec<(String, u64)>,
    /// The device's own counters.
    pub device: Vec<(String, u64)>,
}

/// One connection; quantities are bytes and microseconds unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Row {
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The state, as `ss` writes it: `ESTAB`, `FIN-WAIT-1`.
    pub state: String,
    /// The congestion controller.
    pub congestion: String,
    /// Loss recovery: `open`, `recovery` or `loss`.
    pub phase: String,
    /// What a segment of ours carries.
    pub mss: u16,
    /// Congestion window.
    pub cwnd: u32,
    /// Slow-start threshold, after the first loss.
    pub ssthresh: Option<u32>,
    /// Smoothed round-trip time, once measured.
    pub srtt: Option<f64>,
    /// The retransmission timeout, doubled as often as it has expired.
    pub rto: f64,
    /// Until the next timer, when one is set.
    pub timer: Option<f64>,
    /// Pushed and not acknowledged.
    pub send_queue: usize,
    /// Sent and not acknowledged.
    pub unacknowledged: u32,
    /// The peer's window.
    pub send_window: u32,
    /// Received in order and not popped.
    pub recv_queue: usize,
    /// Received out of order.
    pub out_of_order: usize,
    /// What the peer may send now.
    pub recv_window: u32,
    /// Segments sent again, since the beginning.
    pub retransmits: u32,
}

impl Sample {
    /// The version of this format.
    pub const VERSION: u32 = 1;

    pub(crate) fn new(snapshot: StackSnapshot, now: Instant) -> Self {
        let StackSnapshot { about, mut connections, counters, device } = snapshot;
        let mut states = BTreeMap::new();
        for connection in &connections {
            *states.entry(connection.state.to_string()).or_default() += 1;
        }
        let total = connections.len();
        let telling = |c: &Snapshot| c.send_queue as u64 + c.recv_queue as u64 + c.out_of_order as u64;
        if total > ROWS {
            let key = |c: &Snapshot| std::cmp::Reverse((telling(c), c.retransmits));
            connections.select_nth_unstable_by_key(ROWS, key);
            connections.truncate(ROWS);
        }
        Self {
            version: Self::VERSION,
            pid: std::process::id(),
            at: now.as_nanos(),
            about,
            total,
            states,
            connections: connections.iter().map(|c| Row::new(c, now)).collect(),
            counters: counters.iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            device,
        }
    }
}

impl Row {
    fn new(c: &Snapshot, now: Instant) -> Self {
        let micros = |d: Duration| d.as_secs_f64() * 1e6;
        let phase = match c.phase {
            Phase::Open => "open",
            Phase::Recovery => "recovery",
            Phase::Loss => "loss",
        };
        Self {
            local: c.local,
            remote: c.remote,
            state: c.state.to_string(),
            congestion: c.congestion.to_string(),
            phase: phase.to_owned(),
            mss: c.mss,
            cwnd: c.cwnd,
            ssthresh: Some(c.ssthresh).filter(|&s| s != u32::MAX),
            srtt: c.srtt.map(micros),
            rto: micros(c.rto),
            timer: Some(c.deadline).filter(|&d| d != Instant::FAR_FUTURE).map(|d| micros(d - now)),
            send_queue: c.send_queue,
            unacknowledged: c.unacknowledged,
            send_window: c.send_window,
            recv_queue: c.recv_queue,
            out_of_order: c.out_of_order,
            recv_window: c.recv_window,
            retransmits: c.retransmits,
        }
    }
}

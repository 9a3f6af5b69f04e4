//! [`Snapshot`]: what `ss -ti` would show of a connection.

use std::{fmt, net::SocketAddr, time::Duration};

use hemi_queue::time::Instant;

use super::{Algorithm, State, recovery::Phase};

/// One connection, as it is now. All quantities are bytes unless they say otherwise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The state.
    pub state: State,
    /// The congestion controller.
    pub congestion: Algorithm,
    /// What a segment of ours carries.
    pub mss: u16,
    /// Congestion window.
    pub cwnd: u32,
    /// Slow-start threshold; `u32::MAX` before the first loss.
    pub ssthresh: u32,
    /// Smoothed round-trip time, once measured.
    pub srtt: Option<Duration>,
    /// Its variation.
    pub rttvar: Duration,
    /// The least round-trip time.
    pub min_rtt: Option<Duration>,
    /// Pushed and not acknowledged.
    pub send_queue: usize,
    /// Sent and not acknowledged.
    pub unacknowledged: u32,
    /// Believed to be in the network.
    pub in_flight: u32,
    /// The peer's window.
    pub send_window: u32,
    /// Received in order and not popped.
    pub recv_queue: usize,
    /// Received out of order.
    pub out_of_order: usize,
    /// What the peer may send now.
    pub recv_window: u32,
    /// What the receive window may be.
    pub recv_limit: u32,
    /// Pooled memory that received data pins.
    pub pinned: usize,
    /// Segments sent again.
    pub retransmits: u32,
    /// How often the retransmission timeout is doubled now.
    pub backoff: u8,
    /// The retransmission timeout, doubled as often.
    pub rto: Duration,
    /// What loss recovery is doing.
    pub phase: Phase,
    /// Sent, and selectively acknowledged.
    pub sacked: u32,
    /// Sent, and believed lost.
    pub lost: u32,
    /// Both ends scale their windows.
    pub window_scaling: bool,
    /// The network was seen to reorder.
    pub reordering: bool,
    /// Selective acknowledgements were agreed on.
    pub sack: bool,
    /// Timestamps were.
    pub timestamps: bool,
    /// ECN was.
    pub ecn: bool,
    /// Data in the SYN was taken (RFC 7413): by the peer on a connection that we opened, else by us.
    pub syn_data: bool,
    /// The next timer; [`Instant::FAR_FUTURE`] when none is set.
    pub deadline: Instant,
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, rq, sq) = (self.state.to_string(), self.recv_queue, self.send_queue);
        write!(f, "{state:<10} {rq:>7} {sq:>7} {} {} ", self.local, self.remote)?;
        write!(f, "{} mss:{} cwnd:{}", self.congestion, self.mss, self.cwnd)?;
        if self.ssthresh != u32::MAX {
            write!(f, " ssthresh:{}", self.ssthresh)?;
        }
        if let Some(srtt) = self.srtt {
            write!(f, " rtt:{srtt:?}/{:?}", self.rttvar)?;
        }
        write!(
            f,
            " unacked:{} snd_wnd:{} rcv_wnd:{}",
            self.unacknowledged, self.send_window, self.recv_window
        )?;
        if self.retransmits > 0 {
            write!(f, " retrans:{}", self.retransmits)?;
        }
        if self.backoff > 0 {
            write!(f, " backoff:{}", self.backoff)?;
        }
        for (flag, name) in
            [(self.sack, " sack"), (self.timestamps, " ts"), (self.ecn, " ecn"), (self.syn_data, " fastopen")]
        {
            if flag {
                f.write_str(name)?;
            }
        }
        Ok(())
    }
}

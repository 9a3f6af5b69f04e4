//! [`State`]: the states of a connection and the events that lead from one to another.

use std::fmt;

/// The state of a connection (RFC 9293, section 3.3.2).
///
/// ```text
///                 listener (listen/)                    open: conn::Connection::connect
///                        │ 1 SYN: a half-open entry            │ 2 SYN sent
///                        │   (or a cookie: no state)           ▼
///                        │                                SYN-SENT ──── 3 SYN, no ACK: simultaneous ──► SYN-RECEIVED
///                        │ 4 ACK of our SYN                    │ 5 SYN, ACK                                 │ 6 ACK
///                        └────────────────────────────────► ESTABLISHED ◄─────────────────────────────────────┘
///                 7 shutdown, and all is sent: FIN             │     │ 8 FIN received
///                      ┌──────────────────────────────────────┘     └────────────────┐
///                      ▼                                                              ▼
///                 FIN-WAIT-1 ── 9 FIN received, ours not yet ACKed ──► CLOSING    CLOSE-WAIT
///                      │ 10 ACK of FIN                                   │            │ 11 shutdown: FIN
///                      ▼                                                 │            ▼
///                 FIN-WAIT-2 ─────── 12 FIN received ──────────┐         │ 10      LAST-ACK
///                                                              ▼         ▼            │ 10
///                                                            TIME-WAIT (time_wait.rs) │
///                                                              └── 13 2 MSL ──► closed ◄┘
/// ```
///
/// | # | where | # | where |
/// |---|---|---|---|
/// | 1, 4 | `listen/` | 7, 11 | `conn/output.rs`, when the FIN leaves |
/// | 2 | `conn/mod.rs` | 8, 9, 12 | `conn/text.rs`, `on_fin` |
/// | 3, 5 | `conn/syn_sent.rs` | 10 | `conn/ack.rs`, `on_fin_acked` |
/// | 6 | `conn/input.rs` | 13 | `time_wait.rs` |
///
/// LISTEN and passive SYN-RECEIVED are entries of the listener's tables, TIME-WAIT of its own: none of them is a
/// `Connection`. A reset, a timeout or an abort leads from anywhere to closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// No connection.
    Closed,
    /// Waiting for connections.
    Listen,
    /// A SYN was sent.
    SynSent,
    /// SYNs have crossed, or a SYN was answered.
    SynReceived,
    /// Data flows both ways.
    Established,
    /// We have finished sending; the FIN is not yet acknowledged.
    FinWait1,
    /// We have finished, the peer has not.
    FinWait2,
    /// The peer has finished, we have not.
    CloseWait,
    /// Both have finished; our FIN is not yet acknowledged.
    Closing,
    /// The peer finished first, then we; our FIN is not yet acknowledged.
    LastAck,
    /// Both have finished; old segments may still be in the network.
    TimeWait,
}

impl State {
    /// Whether both ends know each other's sequence numbers (RFC 9293 section 3.5: "synchronized states").
    #[inline]
    pub const fn is_synchronized(self) -> bool {
        self as u8 >= Self::Established as u8
    }

    /// Whether new data may still be sent.
    #[inline]
    pub const fn may_send(self) -> bool {
        matches!(self, Self::Established | Self::CloseWait)
    }

    /// Whether the peer may still send data.
    #[inline]
    pub const fn may_receive(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::FinWait2)
    }

    /// Whether our FIN has been sent.
    #[inline]
    pub const fn fin_sent(self) -> bool {
        matches!(self, Self::FinWait1 | Self::FinWait2 | Self::Closing | Self::LastAck | Self::TimeWait)
    }
}

impl fmt::Display for State {
    /// As `ss` writes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "CLOSED",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECV",
            Self::Established => "ESTAB",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
        })
    }
}

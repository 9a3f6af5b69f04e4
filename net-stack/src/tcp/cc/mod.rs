//! Congestion control: one trait, one file per algorithm.
//!
//! A controller owns the congestion window and the slow-start threshold, in bytes, and hears of events; *when* a segment is
//! lost is decided elsewhere (`rack.rs`, `conn/recovery.rs`), and *how much* may be sent is `cwnd` against the pipe.
//!
//! | file | algorithm |
//! |---|---|
//! | `newreno.rs` | RFC 5681 |
//! | `cubic.rs` | RFC 9438, the default |
//! | `hystart.rs` | RFC 9406, leaving slow start before the queue overflows (used by CUBIC) |
//! | `dctcp.rs` | RFC 8257, for networks that mark |

mod cubic;
mod dctcp;
mod hystart;
mod newreno;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use hemi_queue::time::Instant;

pub use cubic::Cubic;
pub use dctcp::Dctcp;
pub use newreno::NewReno;

/// What an acknowledgement of new data tells a controller.
#[derive(Clone, Copy, Debug)]
pub struct AckEvent {
    /// The turn's clock.
    pub now: Instant,
    /// Bytes newly acknowledged, cumulatively or selectively.
    pub acked: u32,
    /// Bytes in the network before this ACK.
    pub in_flight: u32,
    /// A round-trip measurement, if this ACK gave one, in nanoseconds.
    pub rtt_nanos: Option<u64>,
    /// The smoothed round-trip time, in nanoseconds.
    pub srtt_nanos: u64,
    /// The window was what kept us from sending more: RFC 9438 section 5.8 and RFC 7661 ask not to grow it otherwise.
    pub cwnd_limited: bool,
    /// This ACK is the first that acknowledges data sent after the last round began.
    pub round_start: bool,
    /// The ACK carries ECN-Echo.
    pub ecn_echo: bool,
}

/// A congestion controller.
///
/// # How it is driven
/// [`on_ack`](Self::on_ack) for each ACK of new data outside of recovery; [`on_loss`](Self::on_loss) once when recovery is
/// entered; [`on_timeout`](Self::on_timeout) at a retransmission timeout; [`on_ecn`](Self::on_ecn) at most once per round trip
/// when the peer echoes congestion; [`on_spurious`](Self::on_spurious) when the last reduction proves to have been for nothing.
/// All quantities are bytes.
pub trait CongestionControl {
    /// The congestion window.
    fn cwnd(&self) -> u32;

    /// The slow-start threshold.
    fn ssthresh(&self) -> u32;

    /// New data was acknowledged outside of loss recovery.
    fn on_ack(&mut self, ack: &AckEvent);

    /// Loss was detected with `in_flight` bytes in the network: set the threshold and the window.
    fn on_loss(&mut self, now: Instant, in_flight: u32);

    /// The retransmission timer expired with `in_flight` bytes outstanding.
    fn on_timeout(&mut self, now: Instant, in_flight: u32);

    /// The network marked instead of dropping. By default, the same as a loss (RFC 3168 section 6.1.2).
    fn on_ecn(&mut self, now: Instant, in_flight: u32) {
        self.on_loss(now, in_flight);
    }

    /// The last `on_loss` or `on_timeout` was spurious: restore what was before.
    fn on_spurious(&mut self);

    /// Nothing was sent for longer than an RTO: RFC 5681 section 4.1, restart from the restart window.
    fn on_idle(&mut self, now: Instant);

    /// The segment size changed (path MTU).
    fn set_mss(&mut self, mss: u32);
}

/// Which controller a connection uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Algorithm {
    /// RFC 5681 with RFC 6582's recovery.
    NewReno,
    /// RFC 9438 with HyStart++.
    #[default]
    Cubic,
    /// RFC 8257; asks for ECN.
    Dctcp,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewReno => "newreno",
            Self::Cubic => "cubic",
            Self::Dctcp => "dctcp",
        })
    }
}

/// The name of a congestion controller that this build does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown congestion control {0:?}; there are newreno, cubic and dctcp")]
pub struct UnknownAlgorithm(pub String);

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(s: &str) -> Result<Self, UnknownAlgorithm> {
        match s.to_ascii_lowercase().as_str() {
            "newreno" | "reno" => Ok(Self::NewReno),
            "cubic" => Ok(Self::Cubic),
            "dctcp" => Ok(Self::Dctcp),
            _ => Err(UnknownAlgorithm(s.to_owned())),
        }
    }
}

/// RFC 6928 section 2: the initial window is min (10*MSS, max (2*MSS, 14600)).
pub(crate) fn initial_window(mss: u32) -> u32 {
    (10 * mss).min((2 * mss).max(14_600))
}

/// A controller by value: no allocation per connection, one predictable branch per call.
#[derive(Clone, Debug)]
#[repr(u8)] // the controllers at the same place: asking for the window, which lies first in each, needs no branch
pub(crate) enum Controller {
    NewReno(NewReno),
    Cubic(Cubic),
    Dctcp(Dctcp),
}

impl Controller {
    pub(crate) fn new(algorithm: Algorithm, mss: u32) -> Self {
        match algorithm {
            Algorithm::NewReno => Self::NewReno(NewReno::new(mss)),
            Algorithm::Cubic => Self::Cubic(Cubic::new(mss)),
            Algorithm::Dctcp => Self::Dctcp(Dctcp::new(mss)),
        }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Self::NewReno(_) => Algorithm::NewReno,
            Self::Cubic(_) => Algorithm::Cubic,
            Self::Dctcp(_) => Algorithm::Dctcp,
        }
    }
}

macro_rules! delegate {
    ($self:ident, $c:ident => $call:expr) => {
        match $self {
            Self::NewReno($c) => $call,
            Self::Cubic($c) => $call,
            Self::Dctcp($c) => $call,
        }
    };
}

impl CongestionControl for Controller {
    #[inline]
    fn cwnd(&self) -> u32 {
        delegate!(self, c => c.cwnd())
    }
    #[inline]
    fn ssthresh(&self) -> u32 {
        delegate!(self, c => c.ssthresh())
    }
    #[inline]
    fn on_ack(&mut self, ack: &AckEvent) {
        delegate!(self, c => c.on_ack(ack));
    }
    fn on_loss(&mut self, now: Instant, in_flight: u32) {
        delegate!(self, c => c.on_loss(now, in_flight));
    }
    fn on_timeout(&mut self, now: Instant, in_flight: u32) {
        delegate!(self, c => c.on_timeout(now, in_flight));
    }
    fn on_ecn(&mut self, now: Instant, in_flight: u32) {
        delegate!(self, c => c.on_ecn(now, in_flight));
    }
    fn on_spurious(&mut self) {
        delegate!(self, c => c.on_spurious());
    }
    fn on_idle(&mut self, now: Instant) {
        delegate!(self, c => c.on_idle(now));
    }
    fn set_mss(&mut self, mss: u32) {
        delegate!(self, c => c.set_mss(mss));
    }
}

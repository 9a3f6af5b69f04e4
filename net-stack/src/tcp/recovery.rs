//! [`Recovery`]: the phase of loss recovery, and how much may be sent in it.

use super::cc::CongestionControl;
use crate::wire::Seq;

/// What the sender believes of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Phase {
    /// Nothing is known to be lost.
    #[default]
    Open,
    /// Loss was detected by acknowledgements: repair, sending as proportional rate reduction says.
    Recovery,
    /// The retransmission timer expired: start again from one segment.
    Loss,
}

/// Loss recovery of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recovery {
    pub(crate) phase: Phase,
    /// RecoveryPoint of RFC 6675: recovery ends when everything up to here is acknowledged. Outside of recovery, "recover" of
    /// RFC 6582: duplicate ACKs up to here do not start another.
    pub(crate) point: Seq,
    /// RFC 6937: prr_delivered, prr_out and RecoverFS.
    delivered: u32,
    out: u32,
    flight_at_start: u32,
    /// The window while in [`Phase::Recovery`].
    cwnd: u32,
    /// Without SACK: duplicate ACKs, and the bytes they stand for.
    pub(crate) duplicate_acks: u32,
    pub(crate) duplicate_bytes: u32,
    /// Retransmissions that no D-SACK has called unnecessary; when all have, the reduction is undone.
    pub(crate) unproven: u32,
    /// Timestamp clock at the first retransmission (RFC 3522): an echo from before it proves the recovery spurious.
    pub(crate) first_retransmit: Option<u32>,
}

impl Recovery {
    /// Nothing is lost, and nothing before `iss` can be.
    pub(crate) fn starting_at(iss: Seq) -> Self {
        Self { point: iss, ..Self::default() }
    }

    /// Enter recovery up to `point`, with `flight` bytes outstanding, `pipe` of them in the network.
    pub(crate) fn enter(&mut self, point: Seq, flight: u32, pipe: u32, mss: u32) {
        self.phase = Phase::Recovery;
        self.point = point;
        self.delivered = 0;
        self.out = 0;
        self.flight_at_start = flight.max(1);
        self.unproven = 0;
        self.first_retransmit = None;
        self.cwnd = pipe + mss;
    }

    /// The timer expired.
    pub(crate) fn enter_loss(&mut self, point: Seq) {
        if self.phase != Phase::Loss {
            self.unproven = 0;
            self.first_retransmit = None;
        }
        self.phase = Phase::Loss;
        self.point = point;
        self.duplicate_acks = 0;
        self.duplicate_bytes = 0;
    }

    /// Everything up to the point is acknowledged.
    pub(crate) fn leave(&mut self) {
        self.phase = Phase::Open;
        self.duplicate_acks = 0;
        self.duplicate_bytes = 0;
        self.unproven = 0;
        self.first_retransmit = None;
    }

    /// An ACK arrived in recovery and delivered `delivered` bytes (RFC 9937 section 6, which RFC 6937 became). `safe`: it advanced
    /// SND.UNA, and tells of no further loss.
    pub(crate) fn on_ack(&mut self, delivered: u32, pipe: u32, ssthresh: u32, mss: u32, safe: bool) {
        self.delivered = self.delivered.saturating_add(delivered);
        let send = if pipe > ssthresh {
            // Proportional rate reduction: sndcnt = CEIL(prr_delivered * ssthresh / RecoverFS) - prr_out
            let target =
                (u64::from(self.delivered) * u64::from(ssthresh)).div_ceil(u64::from(self.flight_at_start));
            (target as u32).saturating_sub(self.out)
        } else {
            // PRR-CRB: SndCnt = MAX(prr_delivered - prr_out, DeliveredData); PRR-SSRB: "If (SafeACK): SndCnt += SMSS"
            let limit = self.delivered.saturating_sub(self.out).max(delivered) + if safe { mss } else { 0 };
            (ssthresh - pipe).min(limit)
        };
        // "Force a fast retransmit upon entering recovery".
        let send = if self.out == 0 { send.max(mss) } else { send };
        self.cwnd = pipe + send;
    }

    /// One segment may leave whatever the window says.
    pub(crate) fn allow_one(&mut self, pipe: u32, mss: u32) {
        self.cwnd = self.cwnd.max(pipe + mss);
    }

    /// `bytes` were sent in recovery.
    #[inline]
    pub(crate) fn on_sent(&mut self, bytes: u32) {
        if self.phase == Phase::Recovery {
            self.out = self.out.saturating_add(bytes);
        }
    }

    /// The window that holds now.
    #[inline]
    pub(crate) fn window(&self, cc: &impl CongestionControl) -> u32 {
        if self.phase == Phase::Recovery { self.cwnd } else { cc.cwnd() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6937 section 5, in numbers: 20 segments in flight, one lost, ssthresh half: one segment leaves per two ACKs.
    #[test]
    fn proportional_rate_reduction_halves_smoothly() {
        let mut r = Recovery::default();
        r.enter(Seq(20_000), 20_000, 18_000, 1000);
        let (mut pipe, mut sent) = (18_000_u32, 0_u32);
        for _ in 0..18 {
            pipe -= 1000;
            r.on_ack(1000, pipe, 10_000, 1000, false);
            while r.cwnd >= pipe + 1000 {
                pipe += 1000;
                sent += 1;
                r.on_sent(1000);
            }
        }
        assert!((8..=10).contains(&sent), "{sent}");
        assert!((9_000..=11_000).contains(&pipe), "{pipe}");
    }
}

//! HyStart++ (RFC 9406): leave slow start when round trips grow, before the bottleneck's queue overflows.

// Times are in nanoseconds.
const MIN_RTT_THRESH: u64 = 4_000_000;
const MAX_RTT_THRESH: u64 = 16_000_000;
const MIN_RTT_DIVISOR: u64 = 8;
const N_RTT_SAMPLE: u8 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;
/// RFC 9406 section 4.2: L = 8 when not paced.
const LIMIT: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    SlowStart,
    /// Conservative slow start: growing slower while it is found out whether the delay was jitter.
    Conservative {
        rounds: u8,
    },
    Done,
}

/// The state of RFC 9406, section 4.2.
#[derive(Clone, Debug)]
pub(super) struct HyStart {
    phase: Phase,
    last_round_min: u64,
    round_min: u64,
    css_baseline: u64,
    samples: u8,
}

impl HyStart {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::SlowStart,
            last_round_min: u64::MAX,
            round_min: u64::MAX,
            css_baseline: u64::MAX,
            samples: 0,
        }
    }

    /// An ACK in slow start. Returns by how much the window may grow, and whether slow start is over.
    #[inline]
    pub(super) fn on_ack(
        &mut self,
        acked: u32,
        mss: u32,
        rtt: Option<u64>,
        round_start: bool,
    ) -> (u32, bool) {
        let mut exit = false;
        if round_start {
            exit = self.next_round();
        }
        if let Some(rtt) = rtt {
            self.round_min = self.round_min.min(rtt);
            self.samples = self.samples.saturating_add(1);
        }
        match self.phase {
            Phase::SlowStart => {
                if self.delay_increased() {
                    self.css_baseline = self.round_min;
                    self.phase = Phase::Conservative { rounds: 0 };
                }
                (acked.min(LIMIT * mss), false)
            }
            Phase::Conservative { .. } => {
                // RFC 9406 section 4.2: if (currentRoundMinRTT < cssBaselineMinRtt) resume slow start.
                if self.samples >= N_RTT_SAMPLE && self.round_min < self.css_baseline {
                    self.css_baseline = u64::MAX;
                    self.phase = Phase::SlowStart;
                }
                (acked.min(LIMIT * mss) / CSS_GROWTH_DIVISOR, false)
            }
            Phase::Done => (acked.min(LIMIT * mss), exit),
        }
    }

    /// RFC 9406 section 4.2: the first loss or ECN mark ends HyStart++ for good ("only the initial slow start").
    pub(super) fn finish(&mut self) {
        self.phase = Phase::Done;
    }

    fn next_round(&mut self) -> bool {
        self.last_round_min = self.round_min;
        self.round_min = u64::MAX;
        self.samples = 0;
        if let Phase::Conservative { rounds } = &mut self.phase {
            *rounds += 1;
            if *rounds >= CSS_ROUNDS {
                self.phase = Phase::Done;
                return true;
            }
        }
        false
    }

    fn delay_increased(&self) -> bool {
        if self.samples < N_RTT_SAMPLE || self.round_min == u64::MAX || self.last_round_min == u64::MAX {
            return false;
        }
        let threshold = (self.last_round_min / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
        self.round_min >= self.last_round_min + threshold
    }
}

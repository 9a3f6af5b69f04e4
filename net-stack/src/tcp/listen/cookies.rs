//! SYN cookies (RFC 4987 section 3.6): a handshake without state.
//!
//! ```text
//!  ISN   = [ time 5 bits | MSS index 3 bits | keyed hash of tuple, their ISN, time and MSS: 24 bits ]
//!  TSval = our clock with its last six bits = [ ECN 1 (unused) | SACK 1 | window scale 4, 15: none ]
//! ```
//! The options that do not fit the sequence number come back in the client's timestamp echo; a client without timestamps gets
//! neither window scaling nor SACK.

use std::time::Duration;

use hemi_queue::time::Instant;

use crate::{
    tcp::{
        conn::{Cx, Segment, default_mss, offer},
        demux::Tuple,
        listen::half_open::Offer,
    },
    util::siphash::SipKey,
    wire::{Flags, Seq, Timestamps},
};

/// The time counter's tick. A cookie is valid in the tick it was made in and the next one.
const TICK: Duration = Duration::from_secs(64);
/// The segment sizes that three bits can name, smallest first.
const SIZES: [u16; 8] = [216, 536, 1200, 1360, 1400, 1440, 1460, 8960];

/// What a cookie remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) mss: u16,
    pub(crate) scale: Option<u8>,
    pub(crate) sack: bool,
}

fn tick(now: Instant) -> u32 {
    (now.as_nanos() / TICK.as_nanos() as u64) as u32 & 31
}

fn cookie(key: SipKey, tuple: &Tuple, irs: Seq, tick: u32, index: u32) -> Seq {
    let extra = u64::from(irs.0) << 32 | u64::from(tick << 3 | index);
    let hash = key.hash_tuple_and((tuple.local, tuple.local_port), (tuple.remote, tuple.remote_port), extra);
    Seq(tick << 27 | index << 24 | (hash as u32 & 0xff_ffff))
}

/// Answer a SYN with a cookie.
pub(crate) fn send(
    key: SipKey,
    tuple: &Tuple,
    timestamp_offset: u32,
    offered: Offer,
    seg: &Segment,
    cx: &mut Cx<'_>,
) {
    let wanted = seg.options.mss.unwrap_or(default_mss(tuple));
    let index = SIZES.iter().rposition(|size| *size <= wanted).unwrap_or(0) as u32;
    let iss = cookie(key, tuple, seg.header.seq, tick(cx.now), index);
    let mut options = offer(cx.config, tuple, cx.net.caps.mtu, offered.shift, offered.most);
    if let Some(ts) = seg.options.timestamps.filter(|_| cx.config.timestamps) {
        let scale = seg.options.window_scale.filter(|_| cx.config.window_scaling).map(|s| s.min(14));
        let sack = cx.config.sack && seg.options.sack_permitted;
        options.window_scale = options.window_scale.filter(|_| scale.is_some());
        options.sack_permitted = sack;
        let clock = ((cx.now.as_nanos() / 1_000_000) as u32).wrapping_add(timestamp_offset);
        let bits = u32::from(sack) << 4 | u32::from(scale.unwrap_or(15));
        // Never ahead of the clock: later segments must not look old.
        let value = (clock & !63 | bits).wrapping_sub(64);
        options.timestamps = Some(Timestamps { value, echo: ts.value });
    } else {
        options.window_scale = None;
        options.sack_permitted = false;
    }
    cx.net.counters.tcp_cookies_sent += 1;
    super::half_open::send(
        tuple,
        Flags::SYN | Flags::ACK,
        iss,
        seg.header.seq + 1,
        offered.window,
        options,
        cx,
    );
}

/// What the ACK of a cookie proves, if it is one.
pub(crate) fn check(key: SipKey, tuple: &Tuple, seg: &Segment, now: Instant) -> Option<Facts> {
    let iss = seg.header.ack - 1;
    let (made, index) = (iss.0 >> 27, iss.0 >> 24 & 7);
    let age = tick(now).wrapping_sub(made) & 31;
    if age > 1 || cookie(key, tuple, seg.header.seq - 1, made, index) != iss {
        return None;
    }
    let bits = seg.options.timestamps.map_or(15, |ts| ts.echo & 31);
    Some(Facts {
        mss: SIZES[index as usize],
        scale: (bits & 15 != 15).then_some((bits & 15) as u8),
        sack: bits & 16 != 0,
    })
}

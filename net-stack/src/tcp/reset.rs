//! Answers to segments that belong to nothing.

use super::{
    conn::{Cx, Segment},
    demux::Tuple,
    listen::half_open,
};
use crate::{
    ip::ControlOptions,
    wire::{Flags, Seq},
};

/// RFC 9293 section 3.10.7.1: "An incoming segment containing a RST is discarded. An incoming segment not containing a RST causes a RST to
/// be sent in response."
pub(super) fn answer(tuple: &Tuple, seg: &Segment, cx: &mut Cx<'_>) {
    if seg.header.flags.has(Flags::RST) {
        return;
    }
    if !cx.net.reset_limit.take(cx.now) {
        cx.net.counters.drop_tx_rate_limited += 1;
        return;
    }
    cx.net.counters.tcp_resets_sent += 1;
    if seg.header.flags.has(Flags::ACK) {
        // "If the ACK bit is on, <SEQ=SEG.ACK><CTL=RST>"
        half_open::send(tuple, Flags::RST, seg.header.ack, Seq(0), 0, ControlOptions::default(), cx);
    } else {
        // "If the ACK bit is off, sequence number zero is used, <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>"
        half_open::send(tuple, Flags::RST | Flags::ACK, Seq(0), seg.end(), 0, ControlOptions::default(), cx);
    }
}

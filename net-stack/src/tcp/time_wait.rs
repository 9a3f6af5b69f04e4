//! TIME-WAIT: what is left of a closed connection until its segments have left the network.
//!
//! An entry is a few words; the connection's slot may be gone. Rules: RFC 9293 section 3.10.7.4, RFC 1337 (a RST does not end it), RFC 6191
//! (a newer SYN does).

use std::{collections::VecDeque, net::IpAddr, time::Duration};

use hemi_queue::time::Instant;

use super::{
    conn::{Cx, Segment},
    demux::{Target, Tuple},
    listen::half_open,
};
use crate::{
    ip::ControlOptions,
    wire::{Flags, Seq, Timestamps},
};

/// What must be remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remains {
    pub(crate) nxt: Seq,
    pub(crate) rcv_nxt: Seq,
    /// Our offset and TS.Recent.
    pub(crate) timestamps: Option<(u32, u32)>,
    /// The window field of the last ACK.
    pub(crate) window: u16,
}

/// 48 bytes for a connection over IPv4: a busy client remembers tens of thousands.
#[derive(Debug)]
struct Entry {
    ends: Ends,
    nxt: Seq,
    rcv_nxt: Seq,
    /// Our offset and TS.Recent, if it had timestamps.
    timestamps: (u32, u32),
    has_timestamps: bool,
    window: u16,
    /// By how many milliseconds its end was put off when its time was restarted.
    later: u32,
    expires: Instant,
}

impl Entry {
    /// Its time starts again, and ends at `expires`.
    fn restart(&mut self, expires: Instant) {
        let later = (expires - self.expires).as_nanos().div_ceil(1_000_000);
        self.later = u32::try_from(later).unwrap_or(u32::MAX);
    }

    /// TS.Recent, if it had timestamps.
    fn recent(&self) -> Option<u32> {
        self.has_timestamps.then_some(self.timestamps.1)
    }
}

/// The tuple, in as little memory as it takes.
#[derive(Debug)]
enum Ends {
    V4 {
        local: [u8; 4],
        remote: [u8; 4],
        ports: (u16, u16),
    },
    Other(Box<Tuple>),
    /// Nobody's any more: a new incarnation has taken its place.
    Gone,
}

impl Ends {
    fn of(tuple: &Tuple) -> Self {
        match (tuple.local, tuple.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => Self::V4 {
                local: local.octets(),
                remote: remote.octets(),
                ports: (tuple.local_port, tuple.remote_port),
            },
            _ => Self::Other(Box::new(*tuple)),
        }
    }

    fn tuple(&self) -> Option<Tuple> {
        match self {
            Self::V4 { local, remote, ports } => Some(Tuple {
                local: IpAddr::from(*local),
                remote: IpAddr::from(*remote),
                local_port: ports.0,
                remote_port: ports.1,
            }),
            Self::Other(tuple) => Some(**tuple),
            Self::Gone => None,
        }
    }
}

/// What is to be done with a segment for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: it was dropped or answered.
    Done,
    /// It opens a new incarnation, whose ISN must be after this.
    Reopen(Seq),
}

/// The oldest entry's time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// It is forgotten; this was its slot.
    Over(Tuple, u32),
    /// Its time was restarted meanwhile: it has gone to the end, from one slot to another.
    Later(Tuple, u32, u32),
}

/// All connections in TIME-WAIT. The time is the same for all, so they end in the order in which they came: a ring, in which a slot is the
/// number of the entry, instead of a timer each. One whose time was restarted goes to the end when its turn comes, so it may be
/// remembered for longer than it must.
#[derive(Debug, Default)]
pub(crate) struct TimeWaits {
    entries: VecDeque<Entry>,
    /// The slot of the first.
    first: u32,
    /// How many are somebody's.
    live: usize,
}

impl TimeWaits {
    /// The slot that the next connection comes to.
    pub(crate) fn next(&self) -> u32 {
        self.first.wrapping_add(self.entries.len() as u32) & Target::SLOTS
    }

    /// Remember a connection, in the [`next`](Self::next) slot.
    pub(crate) fn insert(&mut self, tuple: &Tuple, remains: &Remains, expires: Instant) {
        let Remains { nxt, rcv_nxt, timestamps, window } = *remains;
        self.append(Entry {
            ends: Ends::of(tuple),
            nxt,
            rcv_nxt,
            timestamps: timestamps.unwrap_or_default(),
            has_timestamps: timestamps.is_some(),
            window,
            later: 0,
            expires,
        });
    }

    fn append(&mut self, entry: Entry) {
        self.entries.push_back(entry);
        self.live += 1;
    }

    #[inline]
    fn index_of(&self, slot: u32) -> usize {
        (slot.wrapping_sub(self.first) & Target::SLOTS) as usize
    }

    /// Whether the entry in `slot` is this connection's.
    #[inline]
    pub(crate) fn is(&self, slot: u32, tuple: &Tuple) -> bool {
        let entry = self.entries.get(self.index_of(slot));
        entry.and_then(|entry| entry.ends.tuple()).is_some_and(|own| own == *tuple)
    }

    /// How many connections are remembered.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// How many entries there are, those that are nobody's any more included.
    pub(crate) fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Forget the connection in `slot` before its time.
    pub(crate) fn remove(&mut self, slot: u32) {
        let index = self.index_of(slot);
        if let Some(entry) = self.entries.get_mut(index)
            && !matches!(entry.ends, Ends::Gone)
        {
            entry.ends = Ends::Gone;
            self.live -= 1;
        }
    }

    /// When to look again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.entries.front().map(|entry| entry.expires)
    }

    /// The oldest entry, if it is due. `force`: due or not, and one place is free then, which may have been nobody's.
    pub(crate) fn pop_due(&mut self, now: Instant, force: bool) -> Option<Due> {
        while self.entries.front().is_some_and(|entry| force || entry.expires <= now) {
            let slot = self.first;
            let entry = self.entries.pop_front()?;
            self.first = slot.wrapping_add(1) & Target::SLOTS;
            let Some(tuple) = entry.ends.tuple() else {
                if force {
                    return None; // its place is what was asked for
                }
                continue;
            };
            self.live -= 1;
            if entry.later == 0 || force {
                return Some(Due::Over(tuple, slot));
            }
            let expires = entry.expires + Duration::from_millis(entry.later.into());
            let to = self.next();
            self.append(Entry { later: 0, expires, ..entry });
            return Some(Due::Later(tuple, slot, to));
        }
        None
    }

    /// A segment for an entry arrived.
    pub(crate) fn on_segment(&mut self, slot: u32, seg: &Segment, cx: &mut Cx<'_>) -> Verdict {
        let index = self.index_of(slot);
        let Some(r) = self.entries.get_mut(index) else { return Verdict::Done };
        let flags = seg.header.flags;
        cx.net.counters.drop_tcp_time_wait += 1;
        // RFC 1337 section 3, fix (F1): ignore RST segments in TIME-WAIT state.
        if flags.has(Flags::RST) {
            return Verdict::Done;
        }
        // One with a FIN as well opens nothing anywhere, and must not end what is remembered here.
        if flags.has(Flags::SYN) && !flags.any(Flags::ACK | Flags::FIN) {
            let beyond = seg.header.seq.after(r.rcv_nxt);
            // RFC 6191 section 2: what opens a new incarnation; anything else is an old duplicate.
            let opens = match (r.recent(), seg.options.timestamps.filter(|_| cx.config.timestamps)) {
                // "the timestamp contained in the incoming SYN segment is greater than the last timestamp seen [...], honor the
                // connection request"; if it "is equal [...], and the Sequence Number of the incoming SYN segment is greater", too.
                (Some(recent), Some(ts)) => match ts.value.wrapping_sub(recent) as i32 {
                    0 => beyond,
                    ahead => ahead > 0,
                },
                // "If the previous incarnation of the connection did not use Timestamps [...] If TCP Timestamps would be enabled for the
                // new incarnation of the connection, honor the incoming connection request."
                (None, Some(_)) => true,
                // Without them: RFC 9293 MUST-10, RFC 1122 section 4.2.2.13.
                (_, None) => beyond,
            };
            if opens {
                cx.net.counters.drop_tcp_time_wait -= 1;
                cx.net.counters.tcp_time_wait_reused += 1;
                // RFC 1122 section 4.2.2.13 (1): the new ISN is larger than the largest of the previous incarnation.
                return Verdict::Reopen(r.nxt + 65_537);
            }
        }
        // RFC 9293 section 3.10.7.4, fifth: "if the ACK bit is off, drop the segment and return"; only what is not in the window is answered (first).
        let window = u32::from(r.window).max(1);
        if !flags.any(Flags::ACK | Flags::SYN) && seg.header.seq.within(r.rcv_nxt, window) {
            return Verdict::Done;
        }
        // "The only thing that can arrive in this state is a retransmission of the remote FIN. Acknowledge it, and restart the 2 MSL
        // timeout."
        let in_order = seg.header.seq == r.rcv_nxt && seg.len() == 0;
        if flags.has(Flags::FIN) && seg.end() == r.rcv_nxt {
            r.restart(cx.now + cx.config.time_wait);
        } else if in_order {
            return Verdict::Done; // an ACK of our ACK: answering would never end
        } else if seg.payload.is_empty() && !flags.has(Flags::SYN) && !cx.challenge.take(cx.now) {
            return Verdict::Done;
        }
        self.acknowledge(slot, cx);
        Verdict::Done
    }

    fn acknowledge(&self, slot: u32, cx: &mut Cx<'_>) {
        let Some(entry) = self.entries.get(self.index_of(slot)) else { return };
        let Some(tuple) = entry.ends.tuple() else { return };
        let now_ms = (cx.now.as_nanos() / 1_000_000) as u32;
        let (offset, echo) = entry.timestamps;
        let timestamps =
            entry.has_timestamps.then(|| Timestamps { value: now_ms.wrapping_add(offset), echo });
        let options = ControlOptions { timestamps, ..ControlOptions::default() };
        half_open::send(&tuple, Flags::ACK, entry.nxt, entry.rcv_nxt, entry.window, options, cx);
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv6Addr, time::Duration};

    use super::*;

    const TIME: Duration = Duration::from_secs(60);

    fn tuple(port: u16) -> Tuple {
        let (local, remote) = if port.is_multiple_of(2) {
            (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]))
        } else {
            (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into())
        };
        Tuple { local, remote, local_port: 80, remote_port: port }
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn put(waits: &mut TimeWaits, port: u16, seconds: u64) -> u32 {
        let remains = Remains { nxt: Seq(1), rcv_nxt: Seq(2), timestamps: None, window: 3 };
        let slot = waits.next();
        waits.insert(&tuple(port), &remains, at(seconds) + TIME);
        slot
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 48);
    }

    #[test]
    fn they_end_in_the_order_in_which_they_came() {
        let mut waits = TimeWaits::default();
        let slots: Vec<u32> = (0..6).map(|n| put(&mut waits, n, n.into())).collect();
        assert_eq!((waits.len(), waits.deadline()), (6, Some(at(60))));
        assert!((0..6).all(|n| waits.is(slots[usize::from(n)], &tuple(n))));
        assert!(!waits.is(slots[0], &tuple(1)));
        assert_eq!(waits.pop_due(at(59), false), None);
        assert_eq!(waits.pop_due(at(60), false), Some(Due::Over(tuple(0), slots[0])));
        assert_eq!(waits.pop_due(at(60), false), None);
        // One is taken out before its time; one starts again, and goes to the end when its turn comes.
        waits.remove(slots[1]);
        assert!(!waits.is(slots[1], &tuple(1)) && waits.len() == 4);
        let index = waits.index_of(slots[2]);
        waits.entries[index].restart(at(80));
        let Some(Due::Later(later, from, to)) = waits.pop_due(at(62), false) else { panic!("it is due") };
        assert_eq!((later, from), (tuple(2), slots[2]));
        assert!(waits.is(to, &tuple(2)) && !waits.is(from, &tuple(2)));
        assert_eq!((waits.len(), waits.entries()), (4, 4));
        for n in 3..6 {
            assert_eq!(waits.pop_due(at(65), false), Some(Due::Over(tuple(n), slots[usize::from(n)])));
        }
        assert_eq!((waits.pop_due(at(79), false), waits.deadline()), (None, Some(at(80))));
        assert_eq!(waits.pop_due(at(80), false), Some(Due::Over(tuple(2), to)));
        assert_eq!((waits.len(), waits.entries(), waits.deadline()), (0, 0, None));
    }

    #[test]
    fn slots_are_numbers_that_come_round() {
        let mut waits = TimeWaits { first: Target::SLOTS - 1, ..TimeWaits::default() };
        let slots: Vec<u32> = (0..4).map(|n| put(&mut waits, n, 0)).collect();
        assert_eq!(slots, [Target::SLOTS - 1, Target::SLOTS, 0, 1]);
        assert!((0..4).all(|n| waits.is(slots[usize::from(n)], &tuple(n))));
        assert!(
            (0..4).all(|n| waits.pop_due(at(0), true) == Some(Due::Over(tuple(n), slots[usize::from(n)])))
        );
    }

    #[test]
    fn the_youngest_does_not_make_way_for_those_who_have_gone() {
        let mut waits = TimeWaits::default();
        for n in 0..3 {
            let slot = put(&mut waits, n, 0);
            waits.remove(slot);
        }
        let last = put(&mut waits, 3, 0);
        assert_eq!((waits.entries(), waits.pop_due(at(0), true)), (4, None));
        assert!(waits.is(last, &tuple(3)) && waits.entries() == 3);
    }
}

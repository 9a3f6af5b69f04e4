//! Fragments (RFC 791 section 3.2, RFC 8200 section 4.5), within limits.
//!
//! Overlaps are never merged: RFC 5722 has the whole datagram thrown away, for IPv6, and we do so for IPv4 too, since only
//! attacks overlap. Exact duplicates are ignored.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use hemi_queue::{Buf, Pool, time::Instant};

/// RFC 8200 section 4.5: 60 seconds; RFC 1122 section 3.3.2: between 60 and 120 seconds.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Datagrams that may be incomplete at one time, fragments of one, and bytes of them all.
const MAX_DATAGRAMS: usize = 256;
const MAX_FRAGMENTS: usize = 64;
const MAX_BYTES: usize = 1 << 20;
/// The largest payload a datagram can have.
const MAX_LEN: u32 = 65_535;

/// What names a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DatagramId {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) ident: u32,
    pub(crate) protocol: u8,
}

#[derive(Debug, Default)]
struct Partial {
    /// Sorted by offset, not overlapping.
    pieces: Vec<(u32, Buf)>,
    /// Known when the last fragment is here.
    total: Option<u32>,
    bytes: usize,
    /// The first fragment's IP packet, for the "time exceeded" that it may cause.
    first: Option<Buf>,
    began: Instant,
}

/// What became of a fragment.
pub(crate) enum Assembled {
    /// The datagram is complete: its payload in one buffer.
    Whole(Buf),
    /// More are to come.
    Incomplete,
    /// It overlaps or contradicts another: the datagram was thrown away.
    Bad,
    /// There is no room.
    NoRoom,
}

/// Incomplete datagrams.
#[derive(Debug)]
pub(crate) struct Reassembly {
    partials: BTreeMap<DatagramId, Partial>,
    bytes: usize,
    /// Fragments are refused altogether.
    pub(crate) refuse: bool,
}

impl Reassembly {
    pub(crate) fn new() -> Self {
        Self { partials: BTreeMap::new(), bytes: 0, refuse: false }
    }

    /// Take in a fragment's payload. `packet` is the whole IP packet.
    #[allow(clippy::too_many_arguments)] // a fragment's header, field by field, and what every layer needs
    pub(crate) fn insert(
        &mut self,
        id: DatagramId,
        offset: u32,
        more: bool,
        payload: Buf,
        packet: &Buf,
        pool: &Pool,
        now: Instant,
    ) -> Assembled {
        let len = payload.len() as u32;
        let end = offset + len;
        // All but the last are a multiple of eight, and the whole fits in a datagram.
        if len == 0 || end > MAX_LEN || (more && !len.is_multiple_of(8)) {
            return Assembled::Bad;
        }
        if self.refuse || (!self.partials.contains_key(&id) && self.partials.len() >= MAX_DATAGRAMS) {
            return Assembled::NoRoom;
        }
        let partial = self.partials.entry(id).or_insert_with(|| Partial { began: now, ..Partial::default() });
        let at = partial.pieces.partition_point(|(o, _)| *o < offset);
        if partial.pieces.get(at).is_some_and(|(o, b)| *o == offset && b.len() == payload.len()) {
            return Assembled::Incomplete; // the same again
        }
        let overlaps = at
            .checked_sub(1)
            .and_then(|i| partial.pieces.get(i))
            .is_some_and(|(o, b)| o + b.len() as u32 > offset)
            || partial.pieces.get(at).is_some_and(|(o, _)| *o < end);
        let beyond = partial.total.is_some_and(|t| end > t || (!more && end != t))
            || (!more && partial.pieces.last().is_some_and(|(o, b)| o + b.len() as u32 > end));
        if overlaps || beyond {
            self.remove(&id);
            return Assembled::Bad;
        }
        if partial.pieces.len() >= MAX_FRAGMENTS || self.bytes + payload.pinned() > MAX_BYTES {
            self.remove(&id);
            return Assembled::NoRoom;
        }
        partial.bytes += payload.pinned();
        self.bytes += payload.pinned();
        if !more {
            partial.total = Some(end);
        }
        if offset == 0 {
            partial.first = Some(packet.clone());
        }
        partial.pieces.insert(at, (offset, payload));
        let have: usize = partial.pieces.iter().map(|(_, b)| b.len()).sum();
        if partial.total != Some(have as u32) {
            return Assembled::Incomplete;
        }
        let Some(partial) = self.remove(&id) else { return Assembled::Incomplete };
        let Ok(mut whole) = pool.try_alloc(have) else { return Assembled::NoRoom };
        for (_, piece) in &partial.pieces {
            whole.put(piece);
        }
        Assembled::Whole(whole.freeze())
    }

    /// When the oldest incomplete datagram is given up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.partials.values().map(|p| p.began + TIMEOUT).min()
    }

    /// Give up what is due. Each is given with its first fragment, if that had arrived (RFC 1122 section 3.3.2: only then is a
    /// "time exceeded" sent), and how many fragments it had.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<(Option<Buf>, usize)> {
        let due: Vec<DatagramId> =
            self.partials.iter().filter(|(_, p)| p.began + TIMEOUT <= now).map(|(id, _)| *id).collect();
        due.iter().filter_map(|id| self.remove(id)).map(|p| (p.first, p.pieces.len())).collect()
    }

    fn remove(&mut self, id: &DatagramId) -> Option<Partial> {
        let partial = self.partials.remove(id)?;
        self.bytes -= partial.bytes;
        Some(partial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ident: u32) -> DatagramId {
        let ip = IpAddr::from([10, 0, 0, 1]);
        DatagramId { src: ip, dst: ip, ident, protocol: 17 }
    }

    struct World(Reassembly, Pool);

    impl World {
        fn put(&mut self, ident: u32, offset: u32, more: bool, bytes: &[u8]) -> Assembled {
            let b = Buf::from(bytes.to_vec());
            self.0.insert(id(ident), offset, more, b.clone(), &b, &self.1, Instant::ZERO)
        }
    }

    fn world() -> World {
        World(Reassembly::new(), Pool::new().expect("memory"))
    }

    proptest::proptest! {
        #[test]
        fn any_order_gives_the_datagram(order in proptest::sample::subsequence((0..20_u32).collect::<Vec<_>>(), 20), seed: u64, last in 1_usize..9) {
            let mut order = order;
            let mut rng = crate::util::rng::Rng::new(seed);
            (1..order.len()).rev().for_each(|i| order.swap(i, rng.below(i as u64 + 1) as usize));
            let datagram: Vec<u8> = (0..19 * 8 + last).map(|i| i as u8).collect();
            let mut w = world();
            let mut whole = None;
            for i in order {
                let (at, more) = (i as usize * 8, i < 19);
                let end = if more { at + 8 } else { datagram.len() };
                if let Assembled::Whole(b) = w.put(1, i * 8, more, &datagram[at..end]) {
                    whole = Some(b);
                }
            }
            proptest::prop_assert_eq!(whole.expect("complete").to_vec(), datagram);
            proptest::prop_assert_eq!((w.0.bytes, w.0.partials.len()), (0, 0));
        }
    }

    #[test]
    fn overlaps_and_contradictions_throw_the_datagram_away() {
        let mut w = world();
        for (offset, more, bytes) in [
            (0, true, &[1; 16][..]), // overlaps the end of what is there
            (16, true, &[1; 16]),    // overlaps its beginning
            (8, true, &[1; 32]),     // covers it
        ] {
            assert!(matches!(w.put(1, 8, true, &[0; 16]), Assembled::Incomplete));
            let answer = w.put(1, offset, more, bytes);
            assert!(matches!(answer, Assembled::Bad), "{offset}");
            assert!(w.0.partials.is_empty());
        }
        assert!(matches!(w.put(2, 16, false, &[0; 3]), Assembled::Incomplete));
        assert!(matches!(w.put(2, 24, true, &[0; 8]), Assembled::Bad), "behind the last");
        assert!(matches!(w.put(3, 65_528, true, &[0; 16]), Assembled::Bad), "longer than a datagram");
        assert!(matches!(w.put(4, 0, true, &[0; 7]), Assembled::Bad), "not a multiple of eight");
        assert!(matches!(w.put(5, 0, true, &[]), Assembled::Bad));
    }

    #[test]
    fn memory_is_bounded_and_time_runs_out() {
        let mut w = world();
        for i in 0..10_000 {
            w.put(i, 8, true, &[0; 1400]);
        }
        assert!(w.0.partials.len() <= MAX_DATAGRAMS && w.0.bytes <= MAX_BYTES);
        for i in 0..1000 {
            w.put(0, 16 + i * 16, true, &[0; 8]);
        }
        assert!(w.0.partials.values().all(|p| p.pieces.len() <= MAX_FRAGMENTS));
        assert!(w.0.expire(Instant::ZERO + Duration::from_secs(59)).is_empty());
        assert!(!w.0.expire(Instant::ZERO + Duration::from_secs(60)).is_empty());
        assert_eq!((w.0.partials.len(), w.0.bytes), (0, 0));
    }
}

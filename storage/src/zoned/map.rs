//! [`Map`]: where the bytes of a segment lie in its zone.

use std::collections::BTreeMap;

/// A stretch of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the zone, from this byte on.
    At(u64),
    /// Below the zone's write pointer something lies that is no record: the segment's space that it takes.
    Garbage,
    /// Nothing was written here.
    Nothing,
}

/// From a segment's bytes to the zone's.
#[derive(Debug, Default)]
pub(super) struct Map {
    /// By the first byte in the segment; the place, and the length.
    stretches: BTreeMap<u64, (Place, u64)>,
}

impl Map {
    pub(super) fn clear(&mut self) {
        self.stretches.clear();
    }

    /// `len` bytes of the segment from `from` on are at `place`.
    pub(super) fn insert(&mut self, from: u64, place: Place, len: u64) {
        if let Some((before, (Place::At(at), length))) = self.stretches.range_mut(..from).next_back()
            && (*before + *length, Place::At(*at + *length)) == (from, place)
        {
            *length += len; // appends came in order, as they mostly do
            return;
        }
        self.stretches.insert(from, (place, len));
    }

    /// Where the byte `at` is, and how many bytes from there on lie together, at most `len`.
    pub(super) fn find(&self, at: u64, len: u64) -> (Place, u64) {
        if let Some((from, (place, length))) = self.stretches.range(..=at).next_back()
            && at < from + length
        {
            let into = at - from;
            let place = if let Place::At(first) = place { Place::At(first + into) } else { *place };
            return (place, len.min(length - into));
        }
        let next = self.stretches.range(at..).next().map_or(u64::MAX, |(from, _)| *from);
        (Place::Nothing, len.min(next - at))
    }

    /// How many stretches there are: one, where all came in order.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.stretches.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_in_order_are_one() {
        let mut map = Map::default();
        map.insert(0, Place::At(0), 10);
        map.insert(10, Place::At(10), 5);
        assert_eq!(map.len(), 1);
        map.insert(20, Place::At(15), 5); // what belongs between came later
        map.insert(15, Place::At(20), 5);
        assert_eq!(map.len(), 3);
        assert_eq!(map.find(12, 100), (Place::At(12), 3));
        assert_eq!(map.find(15, 100), (Place::At(20), 5));
        assert_eq!(map.find(21, 2), (Place::At(16), 2));
        assert_eq!(map.find(25, 100), (Place::Nothing, 100));
        map.insert(30, Place::Garbage, 4);
        assert_eq!(map.find(25, 100), (Place::Nothing, 5));
        assert_eq!(map.find(31, 100), (Place::Garbage, 3));
    }
}

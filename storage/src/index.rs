//! The index: which segment slot holds which stretch of the log.

use crate::{FormatError, Lsn, SegmentHeader};

/// A segment of the log and the slot it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Which slot of the file or device.
    pub slot: u64,
    /// Its header.
    pub header: SegmentHeader,
}

/// What a hole in the log leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Which segment is missing, in words for people.
    pub error: FormatError,
    /// The segments behind it, which are part of nothing.
    pub behind: Vec<Segment>,
}

/// Put the segments found at open in order: from the one that holds `head` to the last. Free slots and what
/// truncation left behind are dropped.
///
/// # Errors
/// [`FormatError::SegmentMissing`] when there is a hole; [`until_hole`] gives what is before it.
pub fn in_order(found: impl IntoIterator<Item = Segment>, head: Lsn) -> Result<Vec<Segment>, FormatError> {
    let (segments, hole) = until_hole(found, head);
    match hole {
        None => Ok(segments),
        Some(hole) => Err(hole.error),
    }
}

/// As [`in_order`], with a hole told beside the segments before it.
pub fn until_hole(found: impl IntoIterator<Item = Segment>, head: Lsn) -> (Vec<Segment>, Option<Hole>) {
    let mut segments: Vec<Segment> = found.into_iter().collect();
    segments.sort_unstable_by_key(|s| s.header.sequence);
    // The head is in the last segment that begins at or before it, and a record that it begins with may have begun
    // earlier: such a segment `continues` with a lower LSN and is passed over by the walk.
    let start = segments.iter().rposition(|s| s.header.first <= head).unwrap_or(0);
    segments.drain(..start);
    let hole = segments
        .windows(2)
        .position(|pair| pair[0].header.sequence.checked_add(1) != Some(pair[1].header.sequence));
    let Some(at) = hole else { return (segments, None) };
    let behind = segments.split_off(at + 1);
    let last = segments[at].header;
    let from = last.first.0.min(behind[0].header.first.0);
    let error = FormatError::SegmentMissing { missing: last.sequence.saturating_add(1), from };
    (segments, Some(Hole { error, behind }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(slot: u64, sequence: u64, first: u64) -> Segment {
        Segment {
            slot,
            header: SegmentHeader { sequence, first: Lsn(first), continues: false, epoch: 1, time: 0 },
        }
    }

    #[test]
    fn slots_come_in_any_order_and_the_truncated_are_dropped() {
        let found = [segment(0, 7, 70), segment(1, 5, 50), segment(2, 6, 60)];
        let slots = |head| in_order(found, Lsn(head)).unwrap().iter().map(|s| s.slot).collect::<Vec<_>>();
        assert_eq!(slots(50), [1, 2, 0]);
        assert_eq!(slots(65), [2, 0]);
        assert_eq!(slots(700), [0]);
        assert!(in_order([], Lsn(0)).unwrap().is_empty());
    }

    #[test]
    fn a_hole_is_named() {
        let found = [segment(0, 1, 10), segment(1, 2, 20), segment(2, 4, 40)];
        let (before, hole) = until_hole(found, Lsn(10));
        assert_eq!(before.len(), 2);
        let error = FormatError::SegmentMissing { missing: 3, from: 20 };
        assert_eq!(hole, Some(Hole { error, behind: vec![segment(2, 4, 40)] }));
        assert!(in_order(found, Lsn(10)).is_err());
        assert!(in_order(found, Lsn(40)).is_ok(), "a hole below the head is no loss");
    }
}

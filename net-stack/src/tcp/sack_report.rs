//! [`SackReport`]: the SACK blocks that we send (RFC 2018 section 4, RFC 2883).

use crate::wire::{SackBlock, SackBlocks, Seq};

/// The most recently changed ranges, newest first, and a duplicate to report once.
#[derive(Clone, Debug, Default)]
pub(crate) struct SackReport {
    recent: SackBlocks,
    duplicate: Option<SackBlock>,
}

impl SackReport {
    /// A segment arrived out of order and now lies in the run `start..end`.
    ///
    /// > RFC 2018 section 4: The first SACK block MUST specify the contiguous block of data containing the segment which triggered
    /// > this ACK [...]. The SACK option SHOULD be filled out by repeating the most recently reported SACK blocks that are
    /// > not subsets of a SACK block already included.
    pub(crate) fn arrived(&mut self, start: Seq, end: Seq) {
        let old = self.recent;
        self.recent = SackBlocks::new();
        self.recent.push(SackBlock { start, end });
        for block in old.as_slice() {
            let touches = block.start.at_or_before(end) && start.at_or_before(block.end);
            if !touches {
                self.recent.push(*block);
            }
        }
    }

    /// Everything before `next` is in order now.
    #[inline]
    pub(crate) fn advanced(&mut self, next: Seq) {
        if !self.recent.is_empty() {
            let old = self.recent;
            self.recent = SackBlocks::new();
            for block in old.as_slice().iter().filter(|b| b.end.after(next)) {
                self.recent.push(*block);
            }
        }
    }

    /// Bytes arrived that we have already.
    ///
    /// > RFC 2883 section 4: the first block of the SACK option field is used to report the sequence numbers of the duplicate
    /// > segment [...]. Each duplicate contiguous sequence of data received is reported in at most one D-SACK block.
    pub(crate) fn duplicate(&mut self, start: Seq, end: Seq) {
        self.duplicate = Some(SackBlock { start, end });
    }

    /// Whether the next ACK has anything to say.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.duplicate.is_none()
    }

    /// The blocks for an ACK that is being sent now.
    pub(crate) fn take(&mut self) -> SackBlocks {
        let Some(duplicate) = self.duplicate.take() else { return self.recent };
        let mut blocks = SackBlocks::new();
        blocks.push(duplicate);
        self.recent.as_slice().iter().for_each(|b| blocks.push(*b));
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(report: &mut SackReport) -> Vec<(u32, u32)> {
        report.take().as_slice().iter().map(|b| (b.start.0, b.end.0)).collect()
    }

    #[test]
    fn newest_first_merged_and_forgotten() {
        let mut r = SackReport::default();
        r.arrived(Seq(100), Seq(200));
        r.arrived(Seq(300), Seq(400));
        r.arrived(Seq(500), Seq(600));
        assert_eq!(blocks(&mut r), [(500, 600), (300, 400), (100, 200)]);
        r.arrived(Seq(100), Seq(400)); // 200..300 filled the hole between them
        assert_eq!(blocks(&mut r), [(100, 400), (500, 600)]);
        r.advanced(Seq(400));
        assert_eq!(blocks(&mut r), [(500, 600)]);
    }

    #[test]
    fn a_duplicate_is_reported_once_and_first() {
        let mut r = SackReport::default();
        r.arrived(Seq(500), Seq(600));
        r.duplicate(Seq(10), Seq(20));
        assert_eq!(blocks(&mut r), [(10, 20), (500, 600)]);
        assert_eq!(blocks(&mut r), [(500, 600)]);
    }

    #[test]
    fn at_most_four() {
        let mut r = SackReport::default();
        (0..6).for_each(|i| r.arrived(Seq(i * 100), Seq(i * 100 + 10)));
        assert_eq!(blocks(&mut r).first(), Some(&(500, 510)));
        assert_eq!(blocks(&mut r).len(), 4);
    }
}

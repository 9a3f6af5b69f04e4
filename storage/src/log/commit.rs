//! Group commit: batches, writes, flushes, and what is durable.
//!
//! A batch is begun at once when no write is in flight: no added delay at depth 1. While one is, pushes gather, and go
//! out together when it completes; only a full batch does not wait. So batches grow by themselves with load.
//!
//! A write is durable when it is done and was FUA, or when a flush that was submitted after it was done has completed, *and* all
//! writes before it are durable. A flush counts for the prefix of the writes that were done when it was submitted.

use std::io;

use super::{Log, command::Owner};
use crate::{Command, CommandId, Filled, Lsn};

/// One write in flight, or done and not durable.
#[derive(Debug)]
pub(super) struct Write {
    id: CommandId,
    serial: u64,
    /// With this and all before it, records below are written.
    end: Lsn,
    /// And the segment up to here.
    end_offset: u64,
    fua: bool,
    /// Somebody waits for it to be durable.
    wanted: bool,
    done: bool,
}

/// A flush in flight.
#[derive(Debug)]
pub(super) struct Flush {
    id: CommandId,
    /// Writes with a lower serial were done when it was submitted.
    covers: u64,
}

impl Log {
    /// Begin batches, as long as one may begin.
    pub(super) fn lay_out(&mut self) {
        self.starved = false;
        loop {
            let nothing = self.pending.is_empty() && !self.appender.is_mid_unit() && !self.appender.has_out();
            if nothing {
                return;
            }
            // A full batch does not wait for the write before it.
            let full = self.pending_bytes >= self.config.batch || self.appender.is_mid_unit();
            if self.flying > 0 && !(full && self.flying < self.config.writes) {
                return;
            }
            if self.turning && !self.appender.has_out() && !self.turn_segment() {
                return;
            }
            if !self.batch() {
                return;
            }
        }
    }

    /// One batch: as many units as it holds. False: it has to wait for something.
    fn batch(&mut self) -> bool {
        self.batch_wanted |= self.flush_wanted > self.appender.next_lsn();
        let mut single = true;
        let begin = (self.appender.next_lsn(), self.appender.offset(), self.appender.is_mid_unit());
        let mut units = 0;
        while !self.turning {
            if !self.appender.is_mid_unit() {
                if units > 0 && self.appender.out_len() >= self.config.batch {
                    break;
                }
                let gathered = self.gather();
                units += gathered;
                if gathered > 0 && self.appender.out_len() >= self.config.batch {
                    break;
                }
                let Some(front) = self.pending.front() else { break };
                if !self.space.fits(front.unit.len(), self.geometry, Some(self.appender.offset())) {
                    self.want_space();
                    break;
                }
                let Some(front) = self.pending.pop_front() else { break };
                self.pending_bytes -= front.unit.len();
                self.unit_durable = front.durable;
                self.appender.begin(front.unit, front.time);
            }
            self.batch_wanted |= self.unit_durable;
            match self.appender.fill(&self.pool, self.durable, self.config.batch) {
                Ok(Filled::Whole) => units += 1,
                Ok(Filled::SegmentFull) => self.turning = true,
                Ok(Filled::Much) => {
                    single = false;
                    self.write(false, false);
                    if self.flying >= self.config.writes {
                        return false;
                    }
                }
                Err(_) => return self.starve(),
            }
        }
        if !self.appender.has_out() {
            return self.turning; // there may be a segment to turn to
        }
        if self.appender.seal(self.last_time, self.durable, &self.pool).is_err() {
            return self.starve();
        }
        if let (false, Some(segment)) = (begin.2, self.space.segments.back_mut()) {
            segment.mark(begin.0, begin.1.max(self.geometry.block()));
        }
        self.sealed = self.appender.next_lsn();
        // Only this write's end covers what was laid out, perhaps by earlier calls that had to wait: so it is the one to flush for.
        let wanted = std::mem::take(&mut self.batch_wanted);
        self.write(wanted, single);
        true
    }

    /// Lay out units that fit into what there is, as many as make a batch: nearly all come this way.
    #[inline]
    fn gather(&mut self) -> usize {
        let copied = self.appender.copied();
        let units = self.pending.iter().map(|next| (&next.unit, next.time));
        let units = self.appender.append(units, self.durable, self.config.batch);
        self.batch_wanted = self.batch_wanted || self.pending.iter().take(units).any(|unit| unit.durable);
        self.pending_bytes -= (self.appender.copied() - copied) as usize;
        self.pending.drain(..units);
        units
    }

    /// The pool has no buffer: write what there is, so that buffers come back.
    #[cold]
    fn starve(&mut self) -> bool {
        self.starved = true;
        self.write(false, false);
        false
    }

    /// Submit the whole blocks that are laid out.
    fn write(&mut self, wanted: bool, may_be_fua: bool) {
        let Some(slot) = self.space.segments.back().map(|s| s.slot) else { return };
        let Some((offset, data)) = self.appender.take() else { return };
        // One FUA write behind others that are not would be stuck behind them: a flush serves all.
        let fua = may_be_fua && wanted && self.caps.fua && self.writes.iter().all(|w| w.fua);
        let len = data.len() as u64;
        let write = Command::Write { offset: self.geometry.slot_offset(slot) + offset, data, fua };
        let id = self.commands.push(Owner::Write, write);
        let (serial, end, end_offset) = (self.write_serial, self.sealed, offset + len);
        self.writes.push_back(Write { id, serial, end, end_offset, fua, wanted, done: false });
        self.write_serial += 1;
        self.flying += 1;
        self.stats.writes += 1;
        self.stats.fua += u64::from(fua);
        self.stats.written_bytes += len;
        self.commits.0 += u64::from(wanted);
        self.commits.1 += len;
    }

    pub(super) fn write_done(&mut self, id: CommandId, result: io::Result<()>) {
        let Some(write) = self.writes.iter_mut().find(|w| w.id == id) else { return };
        write.done = true;
        self.flying -= 1;
        match result {
            // After a failure nothing counts any more, whatever else completes.
            Err(e) => self.poison_with("a write", e),
            Ok(()) if self.poison.is_none() => self.advance(0),
            Ok(()) => {}
        }
    }

    pub(super) fn flush_done(&mut self, id: CommandId, result: io::Result<()>) {
        let Some(flush) = self.flush.take_if(|flush| flush.id == id) else { return };
        match result {
            Err(e) => self.poison_with("a flush", e),
            Ok(()) if self.poison.is_none() => self.advance(flush.covers),
            Ok(()) => {}
        }
    }

    /// Move the frontiers; writes with a serial below `flushed` are durable if they were done.
    fn advance(&mut self, flushed: u64) {
        for write in self.writes.iter().take_while(|w| w.done) {
            self.written = write.end;
            self.written_offset = write.end_offset;
        }
        let volatile = self.caps.volatile_cache;
        while let Some(front) = self.writes.front() {
            if !front.done || !(front.fua || !volatile || front.serial < flushed) {
                break;
            }
            self.durable = front.end;
            self.writes.pop_front();
            if std::mem::take(&mut self.header_at_risk) {
                self.release(self.head());
            }
        }
        // The superblock learns of the log's end once per segment, as soon as something in it is acknowledged: where the
        // segment is lost, its header too, that is told from an end at the segment before.
        if self.turned_at.take_if(|turned| *turned < self.durable).is_some() {
            self.master.want_tail();
        }
        // A unit whose pusher wants it durable hides those behind it until it is.
        let visible = if self.wanted <= self.durable { self.written } else { self.durable };
        if visible > self.visible {
            self.visible = visible;
            self.wake_tailing();
        }
    }

    pub(super) fn flush_if_needed(&mut self) {
        if self.flush.is_some() || !self.caps.volatile_cache {
            return;
        }
        let flush_wanted = self.flush_wanted.min(self.end());
        let mut covers = None;
        let mut wanted = false;
        for write in self.writes.iter().take_while(|w| w.done) {
            covers = Some(write.serial + 1);
            // The flush may have been asked for after the write was submitted.
            wanted |= write.wanted || flush_wanted > self.durable && flush_wanted <= write.end;
        }
        let all_done = self.flying == 0;
        let Some(covers) = covers.filter(|_| wanted || (self.turning && all_done)) else { return };
        let id = self.commands.push(Owner::Flush, Command::Flush);
        self.flush = Some(Flush { id, covers });
        self.stats.flushes += 1;
    }

    /// All of the current segment is durable: begin the next. False: it is not, or there is no segment.
    fn turn_segment(&mut self) -> bool {
        if !self.writes.is_empty() {
            return false;
        }
        let Some(slot) = self.space.take() else {
            self.want_space();
            return false;
        };
        let header = self.appender.next_segment(self.next_sequence, self.last_time);
        self.next_sequence = self.next_sequence.saturating_add(1);
        (self.turning, self.header_at_risk) = (false, true);
        self.commits = (0, 0);
        self.written_offset = 0;
        self.space.push(slot, header);
        self.turned_at = Some(self.durable);
        true
    }
}

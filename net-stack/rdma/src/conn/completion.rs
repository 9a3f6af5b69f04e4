//! Work requests end.

use hemi_queue::time::Instant;

use super::{
    Changes, Connection,
    end::{Phase, Sending},
    flight::{Hold, Slot},
};
use crate::{Failure, Operation, Status, WorkId};

impl Connection {
    /// A work request has ended, and with it all before it.
    #[inline]
    pub fn completed(&mut self, id: WorkId, result: Result<(), Status>, now: Instant) {
        if !self.flight.complete(id.sequence()) {
            return;
        }
        // What has no slot is a SEND that holds nothing.
        let mut operation = Operation::Send;
        while let Some((sequence, slot)) = self.flight.next_ended() {
            if result.is_err() && sequence == id.sequence() {
                operation = slot.operation;
            } else {
                self.work_done(slot);
            }
        }
        if let Err(status) = result {
            self.work_failed(operation, status);
        }
        if self.flight.is_empty() {
            self.end_reading();
            self.changes.note(Changes::WRITABLE | Changes::STATE);
        }
        if result.is_ok() {
            self.heard = now;
            self.work |= self.phase == Phase::Open;
        }
    }

    fn work_done(&mut self, slot: Slot) {
        match slot.hold {
            Hold::Nothing => {
                self.probes = self.probes.wrapping_add(u32::from(slot.operation == Operation::Probe));
            }
            Hold::Unit(_) => {}
            Hold::Target { bytes, full } => self.read_done(bytes, full),
            Hold::End => {
                self.sending = self.sending.max(Sending::ClosedForSure);
                self.check_farewell();
            }
            Hold::OneSided { result, last } => self.one_sided_done(result, last),
            Hold::Written { last, .. } => self.one_sided_done(None, last),
        }
    }

    #[cold]
    fn work_failed(&mut self, operation: Operation, status: Status) {
        if self.is_farewell() || status == Status::Flushed {
            // The first error says why; a flush without one is a queue pair that was disconnected.
            self.disconnected();
        } else {
            self.fail(Failure::Work { operation, status });
        }
    }

    /// A receive of this connection ended with an error.
    #[cold]
    pub fn receive_failed(&mut self, status: Status) {
        self.credits.lost();
        if status == Status::Flushed {
            return self.disconnected();
        }
        self.fail(Failure::Work { operation: Operation::Receive, status });
    }
}

//! Work requests put together, and posted with one doorbell.
//!
//! Fixed arrays, made once: nothing is allocated and nothing is linked before the post. One batch serves every queue pair of a
//! device, one after the other.

use std::{mem, ptr};

use hemi_rdma::{Data, Remote, Verb, Work};

use crate::sys::{
    IBV_SEND_INLINE, IBV_SEND_SIGNALED, IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD,
    IBV_WR_RDMA_READ, IBV_WR_RDMA_WRITE, IBV_WR_SEND_WITH_IMM, ibv_send_wr, ibv_send_wr_target, ibv_sge,
    ibv_wr_atomic, ibv_wr_rdma,
};

/// Work requests that go out with one doorbell.
pub(crate) const BATCH: usize = 16;
/// Elements of one gather list; devices with fewer are asked for fewer.
pub(crate) const MAX_SGE: usize = 16;

/// Work requests that were not posted yet.
pub(crate) struct Batch {
    requests: [ibv_send_wr; BATCH],
    lists: [[ibv_sge; MAX_SGE]; BATCH],
    controls: [[u8; Work::MAX_CONTROL]; BATCH],
    len: usize,
}

impl Batch {
    pub(crate) fn new() -> Box<Self> {
        // SAFETY: numbers and raw pointers, all valid as zeroes.
        Box::new(unsafe { mem::zeroed() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == BATCH
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Append a work request. The batch has room, and the gather list at most [`MAX_SGE`] elements.
    #[inline]
    pub(crate) fn add(&mut self, work: &Work<'_>) {
        let at = self.len;
        let (request, list) = (&mut self.requests[at], &mut self.lists[at]);
        let mut flags = if work.signalled { IBV_SEND_SIGNALED } else { 0 };
        let elements = match work.data {
            Data::Control(bytes) => {
                let control = &mut self.controls[at][..bytes.len()];
                control.copy_from_slice(bytes);
                list[0] = ibv_sge {
                    addr: control.as_ptr().expose_provenance() as u64,
                    length: bytes.len() as u32,
                    lkey: 0,
                };
                flags |= IBV_SEND_INLINE;
                usize::from(!bytes.is_empty())
            }
            Data::Gather(pieces) => {
                for (to, from) in list.iter_mut().zip(pieces) {
                    *to = ibv_sge { addr: from.address, length: from.length, lkey: from.key };
                }
                if work.inline {
                    flags |= IBV_SEND_INLINE;
                }
                pieces.len()
            }
        };
        let rdma =
            |r: Remote| ibv_send_wr_target { rdma: ibv_wr_rdma { remote_addr: r.address, rkey: r.key } };
        let atomic = |r: Remote, compare_add, swap| ibv_send_wr_target {
            atomic: ibv_wr_atomic { remote_addr: r.address, compare_add, swap, rkey: r.key },
        };
        request.imm_data = 0;
        (request.opcode, request.wr) = match work.verb {
            Verb::Send { imm } => {
                request.imm_data = imm.to_be();
                (IBV_WR_SEND_WITH_IMM, rdma(Remote::default()))
            }
            Verb::Read(remote) => (IBV_WR_RDMA_READ, rdma(remote)),
            Verb::Write(remote) => (IBV_WR_RDMA_WRITE, rdma(remote)),
            Verb::FetchAdd { remote, add } => (IBV_WR_ATOMIC_FETCH_AND_ADD, atomic(remote, add, 0)),
            Verb::CompareSwap { remote, expect, swap } => {
                (IBV_WR_ATOMIC_CMP_AND_SWP, atomic(remote, expect, swap))
            }
        };
        request.wr_id = work.id.0;
        request.send_flags = flags;
        request.num_sge = elements as i32;
        self.len += 1;
    }

    /// The first request of the chain, linked for the device.
    pub(super) fn chain(&mut self) -> *mut ibv_send_wr {
        let requests = self.requests.as_mut_ptr();
        let lists = self.lists.as_mut_ptr();
        for at in 0..self.len {
            let next = if at + 1 < self.len { requests.wrapping_add(at + 1) } else { ptr::null_mut() };
            // SAFETY: `at` is within both arrays, which nobody else refers to now.
            unsafe {
                (*requests.add(at)).next = next;
                (*requests.add(at)).sg_list = lists.add(at).cast();
            }
        }
        requests
    }

    /// How many requests stand before `refused` in the chain.
    pub(super) fn position(&self, refused: *const ibv_send_wr) -> usize {
        let offset = refused.addr().wrapping_sub(self.requests.as_ptr().addr());
        (offset / size_of::<ibv_send_wr>()).min(self.len)
    }
}

#[cfg(test)]
mod tests {
    use hemi_rdma::{Sge, WorkId};

    use super::*;

    fn work(id: u64, verb: Verb, data: Data<'_>) -> Work<'_> {
        Work { id: WorkId(id), verb, data, signalled: id % 2 == 1, inline: false }
    }

    #[test]
    fn requests_are_chained_in_order_with_their_lists() {
        let mut batch = Batch::new();
        let pieces = [Sge { address: 4096, length: 7, key: 3 }, Sge { address: 8192, length: 9, key: 4 }];
        batch.add(&work(1, Verb::Send { imm: 0x0102_0304 }, Data::Control(b"grant")));
        batch.add(&work(2, Verb::Read(Remote { address: 77, key: 5 }), Data::Gather(&pieces)));
        let first = batch.chain();
        // SAFETY: a chain of two requests of the batch, each with its list.
        unsafe {
            assert_eq!(((*first).wr_id, (*first).num_sge), (1, 1));
            assert_eq!((*first).imm_data, 0x0102_0304_u32.to_be());
            assert_eq!((*first).send_flags, IBV_SEND_INLINE | IBV_SEND_SIGNALED);
            let control = ptr::with_exposed_provenance::<[u8; 5]>((*(*first).sg_list).addr as usize);
            assert_eq!(&*control, b"grant");
            let second = (*first).next;
            assert_eq!(((*second).wr_id, (*second).num_sge, (*second).send_flags), (2, 2, 0));
            assert_eq!(((*second).wr.rdma.remote_addr, (*second).wr.rdma.rkey), (77, 5));
            assert_eq!(((*(*second).sg_list.add(1)).addr, (*(*second).sg_list.add(1)).lkey), (8192, 4));
            assert!((*second).next.is_null());
            assert_eq!((batch.position(first), batch.position(second)), (0, 1));
        }
    }
}

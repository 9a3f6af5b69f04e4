//! A reliable-connected queue pair.
//!
//! ```text
//!   RESET ── create ──► INIT ── connected (1) ──► RTR ──► RTS ── fail (2) ──► ERR   every request in it is flushed
//! ```
//! (1) [`Qp::advance`] with what the connection manager knows of the peer (2) [`Qp::stop`].

use std::{cell::Cell, mem, ptr, ptr::NonNull, rc::Rc};

use super::{Device, batch::Batch, batch::MAX_SGE, cq::Cq};
use crate::{
    error::VerbsError,
    sys::{
        IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_READ, IBV_ACCESS_REMOTE_WRITE, IBV_QP_ACCESS_FLAGS,
        IBV_QP_MIN_RNR_TIMER, IBV_QP_PATH_MTU, IBV_QP_RETRY_CNT, IBV_QP_RNR_RETRY, IBV_QP_STATE,
        IBV_QP_TIMEOUT, IBV_QPS_ERR, IBV_QPT_RC, ibv_qp, ibv_qp_attr, ibv_qp_cap, ibv_qp_init_attr, ibv_srq,
    },
};

/// What a queue pair can do, as the device granted it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// Work requests posted and not completed.
    pub(crate) requests: usize,
    /// Elements of a gather list.
    pub(crate) pieces: usize,
    /// Bytes of an inline send.
    pub(crate) inline: usize,
}

/// How patient a connection is with its path; exponents and counts as the InfiniBand specification has them (chapter 9.7.6).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    /// Bytes of a packet, as `enum ibv_mtu`; none: what the path allows.
    pub(crate) mtu: Option<i32>,
    /// The acknowledgement time-out, 4.096 µs · 2^n; none: what the connection manager computes.
    pub(crate) timeout: Option<u8>,
    /// Retries after a time-out, 0 to 7.
    pub(crate) retries: u8,
    /// Retries after "receiver not ready", 0 to 6; 7 means for ever.
    pub(crate) rnr_retries: u8,
    /// How long a peer without a buffer makes us wait: the index of a table, 12 is 0.64 ms.
    pub(crate) rnr_timer: u8,
}

/// A queue pair.
pub(crate) struct Qp {
    device: Rc<Device>,
    /// Lives longer.
    _cq: Rc<Cq>,
    raw: NonNull<ibv_qp>,
    pub(crate) capacity: Capacity,
    stopped: Cell<bool>,
}

impl Qp {
    /// A queue pair that sends and receives on `cq`, with buffers of `srq`, which the caller keeps alive for longer.
    pub(crate) fn new(
        device: &Rc<Device>,
        cq: &Rc<Cq>,
        srq: *mut ibv_srq,
        want: Capacity,
    ) -> Result<Self, VerbsError> {
        let most = |limit: i32| usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        let mut want = Capacity {
            requests: want.requests.min(most(device.attr.max_qp_wr)),
            pieces: want.pieces.min(most(device.attr.max_sge)).min(MAX_SGE),
            ..want
        };
        loop {
            let cap = ibv_qp_cap {
                max_send_wr: want.requests as u32,
                max_recv_wr: 0,
                max_send_sge: want.pieces as u32,
                max_recv_sge: 1,
                max_inline_data: want.inline as u32,
            };
            let mut init = ibv_qp_init_attr {
                qp_context: ptr::null_mut(),
                send_cq: cq.raw(),
                recv_cq: cq.raw(),
                srq,
                cap,
                qp_type: IBV_QPT_RC,
                sq_sig_all: 0,
            };
            // SAFETY: a live domain and live queues of it; the numbers in `init` are updated to what was granted.
            let qp = unsafe { (device.rdma.verbs.create_qp)(device.pd(), &raw mut init) };
            if let Some(qp) = NonNull::new(qp) {
                let capacity = Capacity {
                    requests: want.requests,
                    pieces: want.pieces,
                    inline: (init.cap.max_inline_data as usize).min(want.inline),
                };
                let (device, cq) = (Rc::clone(device), Rc::clone(cq));
                return Ok(Self { device, _cq: cq, raw: qp, capacity, stopped: Cell::new(false) });
            }
            let error = VerbsError::last(
                "ibv_create_qp",
                &device.name,
                "ask for less with depth= or inline=, or close some connections",
            );
            // No device tells how much it can inline; less is worth a try.
            if want.inline == 0 {
                return Err(error);
            }
            want.inline = if want.inline > 64 { 64 } else { 0 };
        }
    }

    /// The number that the peer knows it by.
    pub(crate) fn number(&self) -> u32 {
        // SAFETY: a live queue pair.
        unsafe { self.raw.as_ref() }.qp_num
    }

    /// Go to the next state with what the connection manager gave (`rdma_init_qp_attr`), and with our own idea of patience.
    /// `limits`: READs and atomics at a time that it answers and that it asks for, where the manager does not know them.
    pub(crate) fn advance(
        &self,
        mut attr: ibv_qp_attr,
        mut mask: i32,
        own: &Patience,
        limits: Option<(u8, u8)>,
    ) -> Result<(), VerbsError> {
        if let Some((responder, initiator)) = limits {
            attr.max_dest_rd_atomic = responder;
            attr.max_rd_atomic = initiator;
        }
        if mask & IBV_QP_ACCESS_FLAGS != 0 {
            // Rights are per region; the queue pair lets all of them through.
            attr.qp_access_flags =
                (IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC) as u32;
        }
        if mask & IBV_QP_PATH_MTU != 0 {
            attr.path_mtu = own.mtu.map_or(attr.path_mtu, |mtu| mtu.min(attr.path_mtu));
            attr.min_rnr_timer = own.rnr_timer;
            mask |= IBV_QP_MIN_RNR_TIMER;
        }
        if mask & IBV_QP_TIMEOUT != 0 {
            attr.timeout = own.timeout.unwrap_or(attr.timeout);
            attr.retry_cnt = own.retries;
            attr.rnr_retry = own.rnr_retries;
            mask |= IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY;
        }
        self.modify(attr, mask)
    }

    fn modify(&self, mut attr: ibv_qp_attr, mask: i32) -> Result<(), VerbsError> {
        // SAFETY: a live queue pair and attributes that `mask` names.
        match unsafe { (self.device.rdma.verbs.modify_qp)(self.raw.as_ptr(), &raw mut attr, mask) } {
            0 => Ok(()),
            errno => Err(VerbsError::returned("ibv_modify_qp", &self.device.name, errno)),
        }
    }

    /// Into the error state: everything posted is flushed, nothing more arrives, and the peer reaches no memory. Once is enough.
    /// `false`: it may still do all of that, and only its destruction ends it.
    #[must_use]
    pub(crate) fn stop(&self) -> bool {
        if self.stopped.get() {
            return true;
        }
        // SAFETY: numbers, all valid as zeroes.
        let mut attr: ibv_qp_attr = unsafe { mem::zeroed() };
        attr.qp_state = IBV_QPS_ERR;
        let stopped = self.modify(attr, IBV_QP_STATE);
        if let Err(error) = &stopped {
            tracing::warn!(target: "hemi::rdma", %error, "a queue pair did not stop: it is destroyed");
        }
        self.stopped.set(stopped.is_ok());
        stopped.is_ok()
    }

    /// Post the batch with one doorbell, and empty it. An error tells how many requests at its front were posted.
    #[inline]
    pub(crate) fn post(&self, batch: &mut Batch) -> Result<(), (usize, i32)> {
        let mut refused = ptr::null_mut();
        // SAFETY: a live queue pair and a chain of requests; what they name stays where it is until they complete (their owner, the
        // connection, holds it). The provider's function is set.
        let errno = unsafe {
            let context = self.raw.as_ref().context;
            ((*context).ops.post_send)(self.raw.as_ptr(), batch.chain(), &raw mut refused)
        };
        let result = if errno == 0 { Ok(()) } else { Err((batch.position(refused), errno)) };
        batch.clear();
        result
    }
}

impl Drop for Qp {
    fn drop(&mut self) {
        // SAFETY: ours. What it had posted has completed, or is forgotten here by the device before the memory goes.
        unsafe { (self.device.rdma.verbs.destroy_qp)(self.raw.as_ptr()) };
    }
}

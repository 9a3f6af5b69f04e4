//! What a connection asks of the device: work requests, and the memory that they name.

use std::fmt;

use hemi_queue::{AllocError, Buf, BufMut};

/// The name of a work request: what a completion brings back.
///
/// Bits 32 to 62 are the driver's tag of the connection, the low 32 count its work requests. Bit 63 is never set, so a driver can
/// tell its receives by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkId(pub u64);

impl WorkId {
    /// The most that a tag can be.
    pub const MAX_TAG: u32 = u32::MAX >> 1;

    #[inline]
    pub(crate) fn new(tag: u32, sequence: u32) -> Self {
        Self(u64::from(tag) << 32 | u64::from(sequence))
    }

    /// The tag that the connection was made with.
    #[inline]
    pub fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Its number among the connection's work requests, from 0, modulo 2³².
    #[inline]
    pub fn sequence(self) -> u32 {
        self.0 as u32
    }
}

/// A verb, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// A SEND of a unit or of a control message.
    Send,
    /// An RDMA READ.
    Read,
    /// An RDMA WRITE.
    Write,
    /// An RDMA WRITE of no bytes: asks the peer's device for a sign of life.
    Probe,
    /// An atomic fetch-and-add.
    FetchAdd,
    /// An atomic compare-and-swap.
    CompareSwap,
    /// A receive.
    Receive,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Send => "SEND",
            Self::Read => "RDMA READ",
            Self::Write => "RDMA WRITE",
            Self::Probe => "keep-alive (an RDMA WRITE of no bytes)",
            Self::FetchAdd => "atomic fetch-and-add",
            Self::CompareSwap => "atomic compare-and-swap",
            Self::Receive => "receive",
        })
    }
}

/// Memory of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Remote {
    /// The virtual address there.
    pub address: u64,
    /// The key of its registration.
    pub key: u32,
}

/// What is to be done, with the operands that are the verb's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// SEND with immediate data (in host byte order).
    Send {
        /// The immediate data.
        imm: u32,
    },
    /// RDMA READ into the gather list.
    Read(Remote),
    /// RDMA WRITE, also of no bytes.
    Write(Remote),
    /// Atomic fetch-and-add; the old value goes to the gather list.
    FetchAdd {
        /// 8 bytes, aligned to 8.
        remote: Remote,
        /// What is added.
        add: u64,
    },
    /// Atomic compare-and-swap; the old value goes to the gather list.
    CompareSwap {
        /// 8 bytes, aligned to 8.
        remote: Remote,
        /// What is expected.
        expect: u64,
        /// What it becomes if it was that.
        swap: u64,
    },
}

/// A piece of local memory: laid out as `ibv_sge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Sge {
    /// The address, exposed.
    pub address: u64,
    /// Bytes.
    pub length: u32,
    /// The key of its registration; meaningless for inline data.
    pub key: u32,
}

/// The local side of a work request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'c> {
    /// At most [`Work::MAX_CONTROL`] bytes that are valid for as long as the borrow: copy them, and post them inline.
    Control(&'c [u8]),
    /// Memory that stays where it is until the work request has completed; for an inline one until
    /// [`posted`](crate::Connection::posted).
    Gather(&'c [Sge]),
}

/// A work request, to be posted in the order in which they are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work<'c> {
    /// Its name: `wr_id`.
    pub id: WorkId,
    /// What is to be done.
    pub verb: Verb,
    /// With what.
    pub data: Data<'c>,
    /// Whether it must have a completion also when it succeeds.
    pub signalled: bool,
    /// Whether the data is copied into the work request when it is posted.
    pub inline: bool,
}

impl Work<'_> {
    /// The longest control message, in bytes.
    pub const MAX_CONTROL: usize = 64;
}

/// The keys of a registered piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Keys {
    /// For local use: `lkey`.
    pub local: u32,
    /// For the peer, to read it: `rkey`.
    pub remote: u32,
}

/// What the device knows of memory: the driver's side of a [`Connection`](crate::Connection).
pub trait Memory {
    /// The keys of `buf`'s memory; `None` where it is not registered (then it is copied, and the copy is counted).
    fn keys(&self, buf: &Buf) -> Option<Keys>;

    /// An empty registered buffer for `len` bytes, or as large as there is if that is less.
    ///
    /// # Errors
    /// There is none now. The connection waits, and asks again when it is driven again.
    fn alloc(&self, len: usize) -> Result<(BufMut, Keys), AllocError>;
}

//! What the application holds of a stream.

use std::{
    any::Any,
    fmt,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{
    PushError, Result, Sga,
    transport::{Endpoint, StreamOption, StreamSocket},
};
use hemi_rdma::{Connection, RegionDescriptor, Rights, Stats};

use super::{OneSidedOp, Stream};
use crate::exported::ExportedRegion;

/// A connection of the transport `rdma:`: a [`StreamSocket`] of units, and what only RDMA has. Dropping it closes the connection.
///
/// One-sided operations go out in order with units: a unit pushed after a [`write_at`](Self::write_at) arrives after the bytes. Bounds and rights
/// are checked before anything is posted. What a peer's device refuses all the same (a region that was withdrawn) ends the connection.
pub struct RdmaSocket(pub(super) Rc<Stream>);

impl RdmaSocket {
    /// The RDMA side of a stream that an `rdma:` transport gave out.
    pub fn of(socket: &dyn StreamSocket) -> Option<&Self> {
        socket.as_any()?.downcast_ref()
    }

    /// Memory of ours for peers to reach; zeroed.
    ///
    /// # Errors
    /// A [`VerbsError`](crate::VerbsError) when there is no memory, or the locked-memory limit refuses it.
    pub fn export(&self, length: usize, rights: Rights) -> Result<ExportedRegion> {
        self.0.export(length, rights)
    }

    /// Read `length` bytes at `offset` of the peer's `region`: [`Outcome::Read`](hemi_rdma::Outcome::Read).
    ///
    /// # Errors
    /// A [`RegionError`](hemi_rdma::RegionError) in [`Error::Other`](hemi_queue::Error::Other) for what the region does not allow, before anything
    /// is posted.
    pub fn read_at(&self, region: &RegionDescriptor, offset: u64, length: u64) -> Result<OneSidedOp> {
        self.0.begin_one_sided(|conn| conn.read_at(region, offset, length))
    }

    /// Write `data` at `offset` of the peer's `region`: [`Outcome::Written`](hemi_rdma::Outcome::Written) when it is there.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn write_at(
        &self,
        region: &RegionDescriptor,
        offset: u64,
        data: impl Into<Sga>,
    ) -> Result<OneSidedOp> {
        let data = data.into();
        self.0.begin_one_sided(|conn| conn.write_at(region, offset, data))
    }

    /// Add to the word at `offset` of the peer's `region`: [`Outcome::Word`](hemi_rdma::Outcome::Word) is what it was before.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), and for a word that is not aligned to 8 bytes.
    pub fn fetch_add(&self, region: &RegionDescriptor, offset: u64, add: u64) -> Result<OneSidedOp> {
        self.0.begin_one_sided(|conn| conn.fetch_add(region, offset, add))
    }

    /// Set the word at `offset` of the peer's `region` to `swap` if it is `expect`: the outcome is what it was before.
    ///
    /// # Errors
    /// As [`fetch_add`](Self::fetch_add).
    pub fn compare_swap(
        &self,
        region: &RegionDescriptor,
        offset: u64,
        expect: u64,
        swap: u64,
    ) -> Result<OneSidedOp> {
        self.0.begin_one_sided(|conn| conn.compare_swap(region, offset, expect, swap))
    }

    /// What the connection has done.
    pub fn stats(&self) -> Stats {
        self.0.conn.borrow().stats()
    }
}

impl fmt::Debug for RdmaSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RdmaSocket({} to {})", self.0.local.get(), self.0.peer)
    }
}

impl Drop for RdmaSocket {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl StreamSocket for RdmaSocket {
    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_connected(cx)
    }

    #[inline]
    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Sga>>> {
        self.0.poll_pop(cx)
    }

    #[inline]
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_tx(cx, |conn| conn.is_ready())
    }

    #[inline]
    fn start_push(&self, unit: Sga) -> Result<(), PushError<Sga>> {
        self.0.start_push(unit)
    }

    fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_tx(cx, |conn| conn.is_flushed())
    }

    fn poll_acked(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_tx(cx, Connection::is_acked)
    }

    fn shutdown(&self) -> Result<()> {
        self.0.shutdown()
    }

    fn close(&self) {
        self.0.close();
    }

    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_closed(cx)
    }

    fn abort(&self) {
        self.0.abort();
    }

    fn local_addr(&self) -> Result<Endpoint> {
        Ok(self.0.local.get().into())
    }

    fn peer_addr(&self) -> Result<Endpoint> {
        Ok(self.0.peer.into())
    }

    fn set_option(&self, option: StreamOption) -> Result<()> {
        self.0.set_option(option)
    }
}

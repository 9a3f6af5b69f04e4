//! [`RdmaQueue`]: what only RDMA has.

use hemi_queue::{Error, Result, Sga};
use hemi_rdma::Outcome;
use hemi_verbs::{OneSidedOp, RdmaSocket};

pub use hemi_rdma::{RegionDescriptor as RemoteRegion, RegionError, Rights};
pub use hemi_verbs::ExportedRegion;

use super::Conn;
use crate::token::QToken;

/// A connection over `rdma:`, with one-sided access: each end reaches into memory that the other has exported, and nobody there has to
/// run for it.
///
/// Units go through [`conn`](Self::conn). One-sided operations and units go out in the order in which they were begun: a unit that is pushed
/// after a write arrives after its bytes. Up to 256 operations of a connection may be under way, the next is refused
/// ([`RegionError::Busy`]); each is begun when it is called, and goes on when its future is dropped. As futures ([`read_at`](Self::read_at)
/// and its like), or as [`QToken`]s ([`submit_read_at`](Self::submit_read_at)), which complete in the order of submission.
///
/// ```no_run
/// use hemi::{Conn, Pop, Push, RdmaQueue, RemoteRegion, Rights};
///
/// # let runtime = hemi::Runtime::builder().net("rdma:rxe0?ip=10.0.0.1").build()?;
/// # runtime.block_on(async {
/// // One end lets the other count in its memory, and tells it where.
/// # let (conn, peer) = (Conn::connect("10.0.0.2:7000").await?, Conn::connect("10.0.0.2:7000").await?);
/// let mut server = RdmaQueue::new(conn)?;
/// let counters = server.export(4096, Rights::READ.and(Rights::ATOMIC))?;
/// server.conn().push(counters.descriptor().encode().to_vec()).await?;
///
/// // The other end does, and reads what is there.
/// let mut client = RdmaQueue::new(peer)?;
/// let told = client.conn().pop().await?.expect("the region");
/// let region = RemoteRegion::parse(&told.to_vec()).expect("a region");
/// let before = client.fetch_add(&region, 8, 1).await?;
/// let page = client.read_at(&region, 0, 4096).await?;
/// # let _ = (before, page);
/// # Ok::<(), hemi::Error>(())
/// # })?;
/// # Ok::<(), hemi::Error>(())
/// ```
pub struct RdmaQueue {
    conn: Conn,
}

impl RdmaQueue {
    /// The connection as what it is.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when it is not over `rdma:`.
    pub fn new(conn: Conn) -> Result<Self> {
        let queue = Self { conn };
        queue.socket()?;
        Ok(queue)
    }

    fn socket(&self) -> Result<&RdmaSocket> {
        let unsupported = || Error::unsupported("one-sided access", "this transport", "use `rdma:`");
        RdmaSocket::of(self.conn.socket()).ok_or_else(unsupported)
    }

    /// Its units.
    pub fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// The connection back.
    pub fn into_conn(self) -> Conn {
        self.conn
    }

    /// Let whoever is told its descriptor reach `len` bytes of new, zeroed memory through the device, until the region is dropped.
    ///
    /// # Errors
    /// No memory, or not so much that may be locked.
    pub fn export(&self, len: usize, rights: Rights) -> Result<ExportedRegion> {
        self.socket()?.export(len, rights)
    }

    /// The `length` bytes at `offset` of the peer's region.
    ///
    /// # Errors
    /// [`Error::Other`] with a [`RegionError`], and nothing was sent: [`Outside`](RegionError::Outside) and the like for what the region does
    /// not allow, [`TooLong`](RegionError::TooLong), [`Busy`](RegionError::Busy) when 256 operations are under way,
    /// [`Closed`](RegionError::Closed). [`Error::Closed`] after a close, and the connection's failure if it has failed. What the peer's
    /// device refuses (a region that was withdrawn) ends the connection.
    pub fn read_at(
        &self,
        region: &RemoteRegion,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<Sga>> + use<> {
        let begun = self.socket().and_then(|socket| socket.read_at(region, offset, length));
        async {
            match begun?.await? {
                Outcome::Read(bytes) => Ok(bytes),
                Outcome::Word(_) | Outcome::Written => Err(Error::StaleToken),
            }
        }
    }

    /// Write `data` at `offset` of the peer's region; complete when it is there.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn write_at(
        &self,
        region: &RemoteRegion,
        offset: u64,
        data: impl Into<Sga>,
    ) -> impl Future<Output = Result<()>> {
        let begun = self.socket().and_then(|socket| socket.write_at(region, offset, data));
        async { begun?.await.map(drop) }
    }

    /// Add `add` to the word at `offset` of the peer's region, atomically; gives what it was.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at); a word that is not aligned to 8 bytes.
    pub fn fetch_add(
        &self,
        region: &RemoteRegion,
        offset: u64,
        add: u64,
    ) -> impl Future<Output = Result<u64>> + use<> {
        word(self.socket().and_then(|socket| socket.fetch_add(region, offset, add)))
    }

    /// Set the word at `offset` of the peer's region to `swap` if it is `expect`, atomically; gives what it was.
    ///
    /// # Errors
    /// As [`fetch_add`](Self::fetch_add).
    pub fn compare_swap(
        &self,
        region: &RemoteRegion,
        offset: u64,
        expect: u64,
        swap: u64,
    ) -> impl Future<Output = Result<u64>> + use<> {
        word(self.socket().and_then(|socket| socket.compare_swap(region, offset, expect, swap)))
    }

    /// Submit a [`read_at`](Self::read_at). Its result is [`Completion::Read`](crate::Completion::Read).
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), before anything is sent; [`Error::Busy`] with too many unclaimed operations on the queue.
    pub fn submit_read_at(&self, region: &RemoteRegion, offset: u64, length: u64) -> Result<QToken> {
        let socket = self.socket()?;
        self.conn.submit_reach(|| socket.read_at(region, offset, length))
    }

    /// Submit a [`write_at`](Self::write_at). Its result is [`Completion::Written`](crate::Completion::Written).
    ///
    /// # Errors
    /// As [`submit_read_at`](Self::submit_read_at).
    pub fn submit_write_at(
        &self,
        region: &RemoteRegion,
        offset: u64,
        data: impl Into<Sga>,
    ) -> Result<QToken> {
        let socket = self.socket()?;
        self.conn.submit_reach(|| socket.write_at(region, offset, data))
    }

    /// Submit a [`fetch_add`](Self::fetch_add). Its result is [`Completion::Word`](crate::Completion::Word).
    ///
    /// # Errors
    /// As [`submit_read_at`](Self::submit_read_at); a word that is not aligned to 8 bytes.
    pub fn submit_fetch_add(&self, region: &RemoteRegion, offset: u64, add: u64) -> Result<QToken> {
        let socket = self.socket()?;
        self.conn.submit_reach(|| socket.fetch_add(region, offset, add))
    }

    /// Submit a [`compare_swap`](Self::compare_swap). Its result is [`Completion::Word`](crate::Completion::Word).
    ///
    /// # Errors
    /// As [`submit_fetch_add`](Self::submit_fetch_add).
    pub fn submit_compare_swap(
        &self,
        region: &RemoteRegion,
        offset: u64,
        expect: u64,
        swap: u64,
    ) -> Result<QToken> {
        let socket = self.socket()?;
        self.conn.submit_reach(|| socket.compare_swap(region, offset, expect, swap))
    }
}

async fn word(begun: Result<OneSidedOp>) -> Result<u64> {
    match begun?.await? {
        Outcome::Word(word) => Ok(word),
        Outcome::Read(_) | Outcome::Written => Err(Error::StaleToken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Listener, Runtime};

    #[test]
    fn a_connection_without_rdma_says_so() {
        let runtime = Runtime::builder().net("mem:").build().expect("a runtime");
        runtime.block_on(async {
            let _listener = Listener::bind("plain").await.expect("free");
            let conn = Conn::connect("plain").await.expect("there");
            let error = RdmaQueue::new(conn).map(drop).expect_err("no RDMA");
            assert!(matches!(error, Error::Unsupported(_)), "{error}");
            assert!(error.to_string().contains("rdma:"), "{error}");
        });
    }
}

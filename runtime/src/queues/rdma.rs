//! [`RdmaQueue`]: what only RDMA has.

use std::future::poll_fn;

use hemi_queue::{Error, Result, Sga};
use hemi_rdma::{OneSided, Outcome};
use hemi_verbs::QueuePair;

pub use hemi_rdma::{RegionDescriptor as RemoteRegion, RegionError, Rights};
pub use hemi_verbs::ExposedRegion;

use super::Conn;

/// A connection over `rdma:`, with one-sided access: each end reaches into memory that the other has exposed, and nobody there has to
/// run for it.
///
/// Units go through [`conn`](Self::conn). One-sided operations and units go out in the order in which they were begun: a unit that is pushed
/// after a write arrives after its bytes.
///
/// ```no_run
/// use hemi::{Conn, Pop, Push, RdmaQueue, RemoteRegion, Rights};
///
/// # let runtime = hemi::Runtime::builder().net("rdma:rxe0?ip=10.0.0.1").build()?;
/// # runtime.block_on(async {
/// // One end lets the other count in its memory, and tells it where.
/// # let (conn, peer) = (Conn::connect("10.0.0.2:7000").await?, Conn::connect("10.0.0.2:7000").await?);
/// let mut server = RdmaQueue::new(conn)?;
/// let counters = server.expose(4096, Rights::READ.and(Rights::ATOMIC))?;
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
        queue.pair()?;
        Ok(queue)
    }

    fn pair(&self) -> Result<&QueuePair> {
        let unsupported = || Error::unsupported("one-sided access", "this transport", "use `rdma:`");
        self.conn.special().ok_or_else(unsupported)
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
    pub fn expose(&self, len: usize, rights: Rights) -> Result<ExposedRegion> {
        self.pair()?.expose(len, rights)
    }

    async fn outcome(&self, name: Result<OneSided>) -> Result<Outcome> {
        let (pair, name) = (self.pair()?, name?);
        poll_fn(|cx| pair.poll_outcome(name, cx)).await
    }

    async fn word(&self, name: Result<OneSided>) -> Result<u64> {
        match self.outcome(name).await? {
            Outcome::Word(word) => Ok(word),
            Outcome::Read(_) | Outcome::Written => Err(Error::StaleToken),
        }
    }

    /// The `length` bytes at `offset` of the peer's region. Once it was polled it goes on, also when the future is dropped.
    ///
    /// # Errors
    /// A [`RegionError`] in [`Error::Other`] for what the region does not allow: nothing was sent. What the peer's device refuses (a region
    /// that was withdrawn) ends the connection.
    pub async fn read_at(&mut self, region: &RemoteRegion, offset: u64, length: u64) -> Result<Sga> {
        let name = self.pair()?.begin_read(region, offset, length);
        match self.outcome(name).await? {
            Outcome::Read(bytes) => Ok(bytes),
            Outcome::Word(_) | Outcome::Written => Err(Error::StaleToken),
        }
    }

    /// Write `data` at `offset` of the peer's region; complete when it is there.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub async fn write_at(&mut self, region: &RemoteRegion, offset: u64, data: impl Into<Sga>) -> Result<()> {
        let name = self.pair()?.begin_write(region, offset, data.into());
        self.outcome(name).await.map(drop)
    }

    /// Add `add` to the word at `offset` of the peer's region, atomically; gives what it was.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub async fn fetch_add(&mut self, region: &RemoteRegion, offset: u64, add: u64) -> Result<u64> {
        let name = self.pair()?.begin_fetch_add(region, offset, add);
        self.word(name).await
    }

    /// Set the word at `offset` of the peer's region to `swap` if it is `expect`, atomically; gives what it was.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub async fn compare_swap(
        &mut self,
        region: &RemoteRegion,
        offset: u64,
        expect: u64,
        swap: u64,
    ) -> Result<u64> {
        let name = self.pair()?.begin_compare_swap(region, offset, expect, swap);
        self.word(name).await
    }
}

//! [`LogQueue`].

use std::{
    fmt,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, ready},
};

use hemi_queue::{Error, Pop, Push, PushError, Qd, Result, Sga, Ticket};
use hemi_storage::{Log, LogError, Lsn, Recovery, Stats};

use super::{LogCursor, object::LogObject, open::Wanted, opener::opened, shared::Shared};
use crate::{context, names::Handle, token::QToken};

/// A durable log as a queue: a push appends one unit and completes when it is on the device, a pop reads units in order.
///
/// # Durability
/// A push completes, with its [`Lsn`], when its unit and all with a lower LSN are durable. Pushes that wait share one write and
/// one flush; a single one is written at once. [`push_relaxed`](Self::push_relaxed) completes when its unit is written: it
/// survives the process but not the machine, until a [`flush`](Self::flush). After a failed write or flush nothing is acknowledged any
/// more: every waiting and later push gets [`LogError::Poisoned`]; open the log again.
///
/// # Readers
/// Each handle has a place of its own to pop from, at first the head. [`cursor`](Self::cursor) makes further readers, which also
/// tell LSNs and times. A reader sees a unit when it is as safe as its pusher asked for.
///
/// # Copies
/// Over `log:` with `O_DIRECT` a payload is copied once, into the batch that is written (direct I/O needs whole aligned
/// sectors, and one write for many units is what makes group commit fast). Over `mem:` and `log:PATH?direct=false` payload parts of 4
/// KiB and more are written from where they are. [`stats`](Self::stats) counts the copied bytes.
///
/// ```
/// use hemi::{LogQueue, Pop, Push};
///
/// # let runtime = hemi::Runtime::builder().simulated(1).build()?;
/// # runtime.block_on(async {
/// let mut log = LogQueue::create("mem:example?latency=80us&cache=true").await?; // or "log:/var/lib/example.log"
/// let first = log.push("one").await?; // durable when it completes
/// log.push("two").await?;
/// assert_eq!((first.0, log.len()), (0, 2));
/// log.close().await?;
///
/// let mut log = LogQueue::open("mem:example").await?;
/// assert_eq!(log.pop().await?.unwrap().to_vec(), b"one");
/// log.truncate_head(hemi::Lsn(1)).await?; // gives space back
/// assert_eq!((log.head().0, log.tail().0), (1, 2));
/// # Ok::<(), hemi::Error>(())
/// # })?;
/// # Ok::<(), hemi::Error>(())
/// ```
pub struct LogQueue {
    handle: Handle<LogObject>,
}

impl LogQueue {
    /// Make a new log at `uri`; see [`storage`](super) for what it may say. Nothing that is there already is touched, unless
    /// `overwrite=true` says so.
    ///
    /// # Errors
    /// [`Error::Io`] naming the path: there already, a directory, no space, not permitted. [`Error::Uri`]. [`LogError`] in
    /// [`Error::Other`]: something is there ([`LogError::NotEmpty`]), the device is too small.
    pub async fn create(uri: impl AsRef<str>) -> Result<Self> {
        Self::at(uri.as_ref(), Wanted::Create).await
    }

    /// Open the log at `uri`. What recovery found is told by [`recovery`](Self::recovery). A lock that another process holds is
    /// waited for up to five seconds, because the last writes of a process that was killed hold it.
    ///
    /// # Errors
    /// [`Error::Io`] naming the path: not there, open in another process, not permitted. [`LogError`] in [`Error::Other`]: not a log,
    /// another version, damaged ([`LogError::Damaged`]: nothing was changed).
    pub async fn open(uri: impl AsRef<str>) -> Result<Self> {
        Self::at(uri.as_ref(), Wanted::Open).await
    }

    /// Open the log at `uri`, or make it if nothing is there.
    ///
    /// # Errors
    /// As for [`open`](Self::open) and [`create`](Self::create).
    pub async fn open_or_create(uri: impl AsRef<str>) -> Result<Self> {
        let uri = uri.as_ref();
        match Self::open(uri).await {
            Err(Error::Io(e)) if e.source.kind() == std::io::ErrorKind::NotFound => Self::create(uri).await,
            other => other,
        }
    }

    async fn at(uri: &str, wanted: Wanted) -> Result<Self> {
        let shared = shared_at(uri, wanted).await?;
        Self::on(shared, Lsn(0))
    }

    fn on(shared: Rc<Shared>, from: Lsn) -> Result<Self> {
        Ok(Self { handle: Handle::new(LogObject::new(shared, from))? })
    }

    /// Another handle to the same log, that pops from where this one is now. Each pushes and pops by itself.
    ///
    /// # Errors
    /// [`Error::NoRuntime`].
    pub fn another(&self) -> Result<Self> {
        Self::on(Rc::clone(&self.handle.shared), self.handle.position())
    }

    /// Append one unit without waiting for it to be durable: completes when it is written. Cancel-safe as a push is: what was begun
    /// is not retracted.
    ///
    /// # Errors
    /// As for a push.
    pub async fn push_relaxed(&mut self, unit: impl Into<Sga>) -> Result<Lsn> {
        let lsn = Lsn(self.handle.put(unit.into(), false)?.0);
        poll_fn(|cx| self.handle.shared.poll_written(lsn, cx)).await
    }

    /// Make everything pushed so far durable.
    ///
    /// # Errors
    /// [`LogError::Poisoned`].
    pub async fn flush(&self) -> Result<()> {
        let above = self.handle.shared.flush();
        let Some(last) = above.0.checked_sub(1) else { return Ok(()) };
        poll_fn(|cx| self.handle.shared.poll_durable(Lsn(last), cx)).await.map(drop)
    }

    /// A further reader, that begins at record `from`, or at the head if that is later.
    pub fn cursor(&self, from: Lsn) -> LogCursor {
        LogCursor::new(&self.handle.shared, from)
    }

    /// Pop from record `to` on.
    pub fn seek(&mut self, to: Lsn) {
        self.handle.seek(to);
    }

    /// Pop from the first record on that was appended at `time` (nanoseconds since the Unix epoch) or later.
    pub fn seek_time(&mut self, time: u64) {
        self.handle.seek_time(time);
    }

    /// The LSN that the next pop looks at.
    pub fn position(&self) -> Lsn {
        self.handle.position()
    }

    /// Drop the records below `to` and give their segments back. Completes when the new head is durable; no more than what is
    /// durable is dropped. Returns the head.
    ///
    /// # Errors
    /// [`LogError::Poisoned`], [`LogError::ReadOnly`].
    pub async fn truncate_head(&self, to: Lsn) -> Result<Lsn> {
        let to = self.handle.shared.truncate(to)?;
        poll_fn(|cx| self.handle.shared.poll_head(to, cx)).await
    }

    fn with<R>(&self, f: impl FnOnce(&Log) -> R) -> R {
        self.handle.shared.with(f)
    }

    /// The first record.
    pub fn head(&self) -> Lsn {
        self.with(Log::head)
    }

    /// The LSN that the next push gets.
    pub fn tail(&self) -> Lsn {
        self.with(Log::tail)
    }

    /// Records below it are durable.
    pub fn durable(&self) -> Lsn {
        self.with(Log::durable)
    }

    /// Records from the head to the tail.
    pub fn len(&self) -> u64 {
        self.with(|log| log.tail().0.saturating_sub(log.head().0))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Segments that hold records, and how many there are now.
    pub fn segments(&self) -> (u64, u64) {
        self.with(Log::segments)
    }

    /// What opening the log found, and cut off.
    pub fn recovery(&self) -> &Recovery {
        &self.handle.shared.found
    }

    /// What the log has done since.
    pub fn stats(&self) -> Stats {
        self.with(Log::stats)
    }

    /// The failed write or flush after which nothing is acknowledged any more.
    pub fn poison(&self) -> Option<LogError> {
        self.with(|log| log.poison().cloned())
    }

    /// A line for people about the device.
    pub fn describe(&self) -> String {
        self.handle.shared.describe()
    }

    /// The queue's descriptor, for the bare calls of [`qd`](crate::qd).
    pub fn qd(&self) -> Qd {
        self.handle.qd()
    }

    /// Submit a pop and go on; its result is claimed by the token.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many operations are unclaimed.
    pub fn submit_pop(&self) -> Result<QToken> {
        self.handle.submit_pop()
    }

    /// Submit a push and go on. Any number may be in flight; they complete in order, when durable.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many operations are unclaimed.
    pub fn submit_push(&self, unit: impl Into<Sga>) -> Result<QToken> {
        self.handle.submit_push(unit.into())
    }

    /// Close this handle. With the last one (cursors count), what was pushed is made durable, and the log's end is noted so that the
    /// next opening can tell damage from a torn tail. Dropping handles does the same in the background.
    ///
    /// # Errors
    /// [`LogError::Poisoned`]: what was not acknowledged may be lost.
    pub async fn close(self) -> Result<()> {
        let shared = Rc::clone(&self.handle.shared);
        drop(self);
        poll_fn(|cx| shared.poll_closed(cx)).await
    }
}

/// The log at `uri`, open and served by this core.
pub(super) async fn shared_at(uri: &str, wanted: Wanted) -> Result<Rc<Shared>> {
    let (log, device, found) = opened(uri, wanted).await?;
    let core = context::current()?;
    let shared = Shared::new(&core, log, device, found);
    super::Storage::add(&core, Rc::clone(&shared) as Rc<dyn super::reactor::Served>);
    Ok(shared)
}

/// Cancel-safe: dropping a pop loses nothing. At the tail it waits for the next unit.
impl Pop for LogQueue {
    type Unit = Sga;

    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Sga>>> {
        ready!(self.handle.poll_pop_turn(cx));
        self.handle.poll_record(cx).map_ok(|record| record.map(Sga::from))
    }
}

/// A push completes when its unit is durable. One that was begun is not retracted.
impl Push for LogQueue {
    type Unit = Sga;
    type Receipt = Lsn;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.handle.poll_push_turn(cx));
        self.handle.shared.poll_room(cx)
    }

    fn start_push(&mut self, unit: Sga) -> Result<Ticket, PushError<Sga>> {
        if self.handle.push_is_taken() {
            return Err(PushError::new(Error::Busy, unit));
        }
        self.handle.put(unit, true)
    }

    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Lsn>> {
        self.handle.shared.poll_durable(Lsn(ticket.0), cx)
    }
}

impl fmt::Debug for LogQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = (self.head(), self.tail());
        f.debug_struct("LogQueue").field("qd", &self.qd()).field("records", &span).finish_non_exhaustive()
    }
}

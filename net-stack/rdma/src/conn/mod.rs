//! [`Connection`]: one end of one queue pair.
//!
//! ```text
//!   calls ──► outgoing ─► send.rs ──┐        ┌─► receive.rs ─► ready ──► calls
//!             (units, one-sided)    ▼        │       │
//!                              work requests, messages
//!                                   ▲        │       ▼
//!             announced, Done ◄─────┴────────┴── reading.rs (RDMA READs of what the peer announced)
//! ```
//!
//! Read `credits.rs` (who may send), then `send.rs` (what is sent next, in which order), then `receive.rs`. How it ends, in every way, is in
//! `end.rs`. Nothing is sent from within what receives: it notes what is owed, and `next_work` is the only place that makes
//! work requests.

mod clock;
mod completion;
mod credits;
mod end;
mod flight;
mod gather;
mod large;
mod one_sided;
mod reading;
mod receive;
mod send;

use std::{collections::VecDeque, rc::Rc};

use hemi_queue::{Sga, time::Instant};

use crate::{Config, Failure, Hello, ReceiveBudget, Refusal, Sge, Work, WorkId};
use clock::Closing;
use credits::Credits;
use end::{PeerEnd, Phase, Sending};
use flight::Flight;
use large::Announced;
use one_sided::Operations;
use reading::Reading;
use receive::Incoming;
use send::Outgoing;

pub use one_sided::{OneSided, Outcome};
pub use send::PushRefusal;

/// One end of a reliable-connected queue pair that carries units.
///
/// # How it is driven
/// Made by [`connecting`](Self::connecting) or [`accepting`](Self::accepting); the driver posts the receive buffers that the
/// [`ReceiveBudget`] wants, hands [`hello`](Self::hello) to the connection manager, and says when it is [`established`](Self::established).
///
/// * Calls of the application: [`push`](Self::push), [`pop`](Self::pop), [`finish`](Self::finish), [`close`](Self::close),
///   [`abort`](Self::abort), the one-sided [`read_at`](Self::read_at) and its like. None of them does anything but note it.
/// * Of the device: [`received`](Self::received), [`completed`](Self::completed), [`receive_failed`](Self::receive_failed),
///   [`disconnected`](Self::disconnected); of the clock: [`on_time`](Self::on_time), at [`deadline`](Self::deadline).
/// * After any of these, while [`has_work`](Self::has_work): [`next_work`](Self::next_work) until `None`, post what it gave (one
///   doorbell), then [`posted`](Self::posted). If posting failed: [`fail`](Self::fail).
/// * [`take_changes`](Self::take_changes) tells whom to wake.
/// * When [`wants_disconnect`](Self::wants_disconnect): disconnect, which moves the queue pair to its error state, and then say
///   [`stopped`](Self::stopped): only then is memory let go that the peer was told to read and has not said that it did. (What else
///   lies behind the same key is not this crate's: where keys are of whole regions, a peer can read those until then.) If the queue
///   pair cannot be moved, destroy it and say [`destroyed`](Self::destroyed) instead. Completions go on until
///   [`is_quiet`](Self::is_quiet); then the queue pair can be destroyed. (Destroyed earlier, dropping the connection is as good.)
#[derive(Debug)]
pub struct Connection {
    tag: u32,
    config: Config,
    /// The peer's, once it is known.
    peer: Option<Hello>,
    /// Units of up to so many bytes go in one message.
    whole: usize,
    phase: Phase,
    failure: Option<Failure>,
    credits: Credits,
    flight: Flight,
    /// There may be something to send.
    work: bool,
    /// Nothing but units of one message is under way: see `is_calm` in `send.rs`.
    calm: bool,
    /// Units of up to so many bytes, in one buffer, go inline.
    small: usize,
    changes: Changes,

    sending: Sending,
    outgoing: VecDeque<Outgoing>,
    /// Of the unit at the front, a part has been sent.
    begun: bool,
    begun_by_announcement: bool,
    /// Bytes in `outgoing`.
    queued: usize,
    announced: VecDeque<Announced>,
    /// Bytes in `announced`.
    announced_bytes: usize,
    /// Announcements of the peer that were read, and it was not told.
    done_owed: u32,
    one_sided: Operations,

    peer_end: PeerEnd,
    incoming: Incoming,
    reading: Reading,

    /// When the peer last showed that it is there.
    heard: Instant,
    /// When it was last asked for a sign of life, if it ever was.
    asked: Option<Instant>,
    closing: Option<Closing>,
    /// A work request is wanted whose completion tells that all before it have completed.
    barrier: bool,
    probe_wanted: bool,
    /// Probes that have completed, and announcements that the peer has read.
    probes: u32,
    read: u64,
    starved: bool,
    out_of_credit: bool,
    stats: Stats,
    /// Of the work request that was given last.
    sges: [Sge; Config::MAX_SGE as usize],
    control: [u8; Work::MAX_CONTROL],
}

/// What [`Connection::pop`] found.
#[derive(Debug)]
pub enum Popped {
    /// The next unit.
    Unit(Sga),
    /// Nothing yet.
    Pending,
    /// The peer has finished, and everything was popped.
    End,
}

/// What changed since it was last asked: whom to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Changes(u8);

impl Changes {
    const READABLE: u8 = 1;
    const WRITABLE: u8 = 2;
    const DONE: u8 = 4;
    const STATE: u8 = 8;
    const ALL: u8 = 15;

    #[inline]
    fn note(&mut self, what: u8) {
        self.0 |= what;
    }

    /// A pop may have another answer than before.
    pub fn readable(self) -> bool {
        self.0 & Self::READABLE != 0
    }
    /// Readiness, flushed, acked: one of them may have another answer.
    pub fn writable(self) -> bool {
        self.0 & Self::WRITABLE != 0
    }
    /// A one-sided operation is done.
    pub fn done(self) -> bool {
        self.0 & Self::DONE != 0
    }
    /// Established, failed, or closed.
    pub fn state(self) -> bool {
        self.0 & Self::STATE != 0
    }
}

/// What a connection has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Units accepted from the application.
    pub pushed: u64,
    /// Units handed to the application.
    pub popped: u64,
    /// Messages sent, of any kind.
    pub sent: u64,
    /// Messages received, of any kind.
    pub received: u64,
    /// Units or pieces that the peer was told to read.
    pub announced: u64,
    /// RDMA READs for such.
    pub reads: u64,
    /// Messages for nothing but credits.
    pub grants: u64,
    /// Payload bytes that had to be copied into registered memory.
    pub copied_bytes: u64,
    /// Times that a unit had to wait for a credit.
    pub out_of_credit: u64,
}

impl Connection {
    /// The active end. `tag` (at most [`WorkId::MAX_TAG`]) comes back in every [`WorkId`].
    ///
    /// # Errors
    /// [`Refusal::NoBuffers`]: the budget has no window left.
    pub fn connecting(tag: u32, config: Config, budget: &Rc<ReceiveBudget>) -> Result<Self, Refusal> {
        let config = config.clamped();
        let window = budget.reserve(config.window).ok_or(Refusal::NoBuffers)?;
        Ok(Self {
            tag: tag & WorkId::MAX_TAG,
            config,
            peer: None,
            whole: 0,
            phase: Phase::Connecting,
            failure: None,
            credits: Credits::new(Rc::clone(budget), window),
            flight: Flight::new(config.send_depth),
            work: false,
            calm: false,
            small: 0,
            changes: Changes::default(),
            sending: Sending::Open,
            outgoing: VecDeque::new(),
            begun: false,
            begun_by_announcement: false,
            queued: 0,
            announced: VecDeque::new(),
            announced_bytes: 0,
            done_owed: 0,
            one_sided: Operations::default(),
            peer_end: PeerEnd::Open,
            incoming: Incoming::default(),
            reading: Reading::default(),
            heard: Instant::ZERO,
            asked: None,
            closing: None,
            barrier: false,
            probe_wanted: false,
            probes: 0,
            read: 0,
            starved: false,
            out_of_credit: false,
            stats: Stats::default(),
            sges: [Sge::default(); Config::MAX_SGE as usize],
            control: [0; Work::MAX_CONTROL],
        })
    }

    /// The passive end, for a peer that said `hello`.
    ///
    /// # Errors
    /// What to reject the request with.
    pub fn accepting(
        tag: u32,
        config: Config,
        budget: &Rc<ReceiveBudget>,
        hello: Hello,
    ) -> Result<Self, Refusal> {
        let mut connection = Self::connecting(tag, config, budget)?;
        connection.meet(hello);
        Ok(connection)
    }

    fn meet(&mut self, hello: Hello) {
        let below = usize::try_from(hello.rendezvous_from).unwrap_or(usize::MAX).saturating_sub(1);
        self.peer = Some(hello);
        let largest = usize::try_from(self.largest_unit()).unwrap_or(usize::MAX);
        self.whole = below.min(hello.buffer as usize).min(largest);
        self.small = self.whole.min(self.config.inline.into());
        self.credits.begin(hello.window, hello.credits);
    }

    /// This end's private data. The peer may send as soon as it has it; what the budget has no posted receive buffers for is
    /// granted later.
    pub fn hello(&mut self) -> [u8; Hello::LEN] {
        let credits = self.credits.first();
        self.config.hello(self.credits.window(), credits).encode()
    }

    /// The connection is up. The active end hands in the reply's private data, the passive end `None`.
    pub fn established(&mut self, private_data: Option<&[u8]>, now: Instant) {
        if let Some(private_data) = private_data {
            match Hello::parse(private_data) {
                Ok(hello) => self.meet(hello),
                Err(refusal) => return self.fail(Failure::Incompatible(refusal)),
            }
        }
        self.heard = now;
        self.begin();
    }

    fn begin(&mut self) {
        if self.phase == Phase::Connecting && self.peer.is_some() {
            self.phase = Phase::Open;
            self.work = true;
            self.changes.note(Changes::ALL);
        }
    }

    /// Whether units flow: established, and neither failed nor closed.
    pub fn is_established(&self) -> bool {
        self.phase == Phase::Open
    }

    /// The largest unit that may be pushed, in bytes.
    pub fn largest_unit(&self) -> u64 {
        self.peer.map_or(u64::MAX, |peer| peer.largest_unit).min(self.config.largest_unit)
    }

    /// What changed since it was last asked.
    #[inline]
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// What it has done.
    pub fn stats(&self) -> Stats {
        self.stats
    }
}

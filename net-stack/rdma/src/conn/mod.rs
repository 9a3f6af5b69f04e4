//! [`Connection`]: one end of one queue pair.
#![allow(unused_variables, clippy::unused_self, clippy::needless_pass_by_value)]

use std::rc::Rc;

use hemi_queue::{Buf, Sga, time::Instant};

use crate::{
    Config, Failure, Hello, Memory, ReceiveBudget, Refusal, RegionDescriptor, RegionError, Status, Work,
    WorkId,
};

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
///   [`stopped`](Self::stopped): only then is memory let go that the peer could have read. Completions go on until
///   [`is_quiet`](Self::is_quiet); then the queue pair can be destroyed. (Destroyed earlier, dropping the connection is as good.)
#[derive(Debug)]
pub struct Connection {
    tag: u32,
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
    /// A pop may have another answer than before.
    pub fn readable(self) -> bool {
        self.0 & 1 != 0
    }
    /// Readiness, flushed, acked: one of them may have another answer.
    pub fn writable(self) -> bool {
        self.0 & 2 != 0
    }
    /// A one-sided operation is done.
    pub fn done(self) -> bool {
        self.0 & 4 != 0
    }
    /// Established, failed, or closed.
    pub fn state(self) -> bool {
        self.0 & 8 != 0
    }
}

/// The name of a one-sided operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OneSided(pub u64);

/// What a one-sided operation brought.
#[derive(Debug)]
pub enum Outcome {
    /// The bytes that were read.
    Read(Sga),
    /// Everything is in the peer's memory.
    Written,
    /// What the word was before.
    Word(u64),
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
        unimplemented!()
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
        unimplemented!()
    }

    /// This end's private data. The peer may send as soon as it has it, so the receive buffers must have been posted.
    pub fn hello(&mut self) -> [u8; Hello::LEN] {
        unimplemented!()
    }

    /// The connection is up. The active end hands in the reply's private data, the passive end `None`.
    pub fn established(&mut self, private_data: Option<&[u8]>, now: Instant) {
        unimplemented!()
    }

    /// Whether units flow: established, and neither failed nor closed.
    pub fn is_established(&self) -> bool {
        unimplemented!()
    }

    /// A message arrived: its immediate data (host byte order; `None` if it has none, or came by another verb than SEND), and its bytes.
    pub fn received(&mut self, imm: Option<u32>, data: Buf, now: Instant) {
        unimplemented!()
    }

    /// A receive of this connection ended with an error.
    pub fn receive_failed(&mut self, status: Status) {
        unimplemented!()
    }

    /// A work request has ended: all before it have, too.
    pub fn completed(&mut self, id: WorkId, result: Result<(), Status>, now: Instant) {
        unimplemented!()
    }

    /// The connection manager says that the peer has disconnected. To be told after everything that had arrived.
    pub fn disconnected(&mut self) {
        unimplemented!()
    }

    /// The driver cannot go on.
    pub fn fail(&mut self, failure: Failure) {
        unimplemented!()
    }

    /// The queue pair is in its error state: the peer can reach no memory through it any more.
    pub fn stopped(&mut self) {
        unimplemented!()
    }

    /// Whether there may be something for [`next_work`](Self::next_work).
    pub fn has_work(&self) -> bool {
        unimplemented!()
    }

    /// The next work request to post.
    pub fn next_work<'c>(&'c mut self, memory: &impl Memory) -> Option<Work<'c>> {
        unimplemented!()
    }

    /// What `next_work` gave is posted.
    pub fn posted(&mut self) {
        unimplemented!()
    }

    /// Whether `next_work` could not go on because no registered memory was to be had: drive it again when some was let go.
    pub fn is_starved(&self) -> bool {
        unimplemented!()
    }

    /// Whether the driver must disconnect, and then say [`stopped`](Self::stopped).
    pub fn wants_disconnect(&self) -> bool {
        unimplemented!()
    }

    /// Whether the connection is over and holds no memory for the device.
    pub fn is_quiet(&self) -> bool {
        unimplemented!()
    }

    /// Why the connection failed.
    pub fn failure(&self) -> Option<&Failure> {
        unimplemented!()
    }

    /// What changed since it was last asked.
    pub fn take_changes(&mut self) -> Changes {
        unimplemented!()
    }

    /// When [`on_time`](Self::on_time) wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        unimplemented!()
    }

    /// It is `now`.
    pub fn on_time(&mut self, now: Instant) {
        unimplemented!()
    }

    /// Accept one unit, to be sent in order.
    ///
    /// # Errors
    /// The unit comes back: [`Error::UnitTooLarge`](hemi_queue::Error::UnitTooLarge), `Busy` above twice the send limit, `Closed`, or the failure (see [`Failure::error`]).
    pub fn push(&mut self, unit: Sga) -> Result<(), hemi_queue::PushError<Sga>> {
        unimplemented!()
    }

    /// The next unit.
    ///
    /// # Errors
    /// The failure, after everything that had arrived before it.
    pub fn pop(&mut self) -> Result<Popped, Failure> {
        unimplemented!()
    }

    /// Whether less is accepted and not with the device or peer than [`Config::send_limit`].
    pub fn is_ready(&self) -> bool {
        unimplemented!()
    }

    /// Whether everything accepted is posted.
    pub fn is_flushed(&self) -> bool {
        unimplemented!()
    }

    /// Whether everything accepted has arrived in the peer's memory. Asking makes the device say so if need be.
    pub fn is_acked(&mut self) -> bool {
        unimplemented!()
    }

    /// Half-close: no more units come from this end.
    pub fn finish(&mut self) {
        unimplemented!()
    }

    /// Close both directions; what was accepted still goes out, within [`Config::close_timeout`].
    pub fn close(&mut self, now: Instant) {
        unimplemented!()
    }

    /// End the connection at once.
    pub fn abort(&mut self) {
        unimplemented!()
    }

    /// Read `length` bytes at `offset` of the peer's region. In order with what is pushed.
    pub fn read_at(
        &mut self,
        region: &RegionDescriptor,
        offset: u64,
        length: u64,
    ) -> Result<OneSided, RegionError> {
        unimplemented!()
    }

    /// Write `data` at `offset` of the peer's region. In order with what is pushed: a unit pushed after it arrives after it.
    pub fn write_at(
        &mut self,
        region: &RegionDescriptor,
        offset: u64,
        data: Sga,
    ) -> Result<OneSided, RegionError> {
        unimplemented!()
    }

    /// Add to the word at `offset` of the peer's region.
    pub fn fetch_add(
        &mut self,
        region: &RegionDescriptor,
        offset: u64,
        add: u64,
    ) -> Result<OneSided, RegionError> {
        unimplemented!()
    }

    /// Set the word at `offset` of the peer's region to `swap`, if it is `expect`.
    pub fn compare_swap(
        &mut self,
        region: &RegionDescriptor,
        offset: u64,
        expect: u64,
        swap: u64,
    ) -> Result<OneSided, RegionError> {
        unimplemented!()
    }

    /// The next one-sided operation that is done.
    pub fn next_done(&mut self) -> Option<(OneSided, Result<Outcome, Failure>)> {
        unimplemented!()
    }

    /// What it has done.
    pub fn stats(&self) -> Stats {
        unimplemented!()
    }
}

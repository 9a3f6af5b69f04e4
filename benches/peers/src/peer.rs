//! What a contestant has to offer. Every row is one generic function over these traits, so that all
//! runtimes run the same harness code; each trait is what one group of rows needs, and a runtime
//! that lacks something (`LocalPool` has no timers) simply does not implement that trait.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// A single-threaded executor.
pub trait Peer: 'static {
    /// Builds a fresh runtime on this thread and runs `root` to its end, as a task where the
    /// runtime tells tasks from the root future.
    fn run<T: 'static>(root: impl Future<Output = T> + 'static) -> T;

    /// Spawns a task on the running runtime; returns its join handle as it is.
    fn spawn<T: Outcome + 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output: Outcome> + 'static;
}

/// Timers: a future that can be made, polled and dropped.
pub trait Timers: Peer {
    /// Completes `after` from now.
    fn sleep(after: Duration) -> impl Future<Output = ()> + 'static;
}

/// The runtime's own way to hand units from one task to another.
pub trait Queues: Peer {
    /// Takes any number of units without waiting (hemi: a bound that a burst never reaches).
    type Unbounded: Channel;
    /// Makes the sender wait once it holds `capacity` units.
    type Bounded: Channel;
}

/// One kind of queue between two tasks of one thread.
pub trait Channel: 'static {
    /// What is sent: a reference to 64 shared bytes.
    type Unit: Clone + 'static;
    /// The sending half.
    type Tx: 'static;
    /// The receiving half.
    type Rx: 'static;

    /// 64 bytes to send, made once; the harness sends clones.
    fn unit() -> Self::Unit;
    /// A queue of `capacity` units, where there is a bound.
    fn open(capacity: usize) -> (Self::Tx, Self::Rx);
    /// Sends one unit.
    fn send(tx: &mut Self::Tx, unit: Self::Unit) -> impl Future<Output: Outcome>;
    /// Receives one unit.
    fn recv(rx: &mut Self::Rx) -> impl Future<Output: Outcome>;
}

/// What an operation of some runtime came to. The rows take futures as the runtimes make them and only
/// ask this of their output, because to wrap each in an `async` block, for one type of output, would
/// cost more than some of the operations do.
pub trait Outcome {
    /// Whether it did what it was asked.
    fn succeeded(&self) -> bool;
}

impl Outcome for () {
    fn succeeded(&self) -> bool {
        true
    }
}

impl Outcome for u64 {
    fn succeeded(&self) -> bool {
        true
    }
}

impl Outcome for Shared {
    fn succeeded(&self) -> bool {
        true
    }
}

impl<T: Outcome> Outcome for Option<T> {
    fn succeeded(&self) -> bool {
        self.as_ref().is_some_and(T::succeeded)
    }
}

impl<T: Outcome, E> Outcome for Result<T, E> {
    fn succeeded(&self) -> bool {
        self.as_ref().is_ok_and(T::succeeded)
    }
}

/// Ends a sample that measured failures.
pub fn check(outcome: impl Outcome) {
    if !outcome.succeeded() {
        // Forgotten, not dropped while the stack unwinds: an outcome whose address that needs lies in memory on the way
        // of success too, and the harness would pay for that with every operation.
        std::mem::forget(outcome);
        panic!("an operation failed");
    }
}

/// A user-level TCP stack: a client and a server on one wire in memory, and one connection between them.
pub trait Link: Sized {
    /// A link whose frames carry `mtu` bytes, with the connection established, beside `idle` others.
    fn new(mtu: u16, idle: usize) -> Self;
    /// A link that vouches for checksums, and takes frames as large as it and IP can.
    fn offloading() -> Self;
    /// A request of [`MESSAGE`](crate::rows::net::MESSAGE) bytes, and a response as long.
    fn request(&mut self);
    /// Another connection, from its opening to the acknowledgement of both FINs.
    fn open_and_close(&mut self);
    /// [`CHUNK`](crate::rows::net::CHUNK) bytes from the client to the server.
    fn transfer(&mut self);
}

/// A TCP echo server written the way the runtime's own documentation writes one.
pub trait Echo: Peer {
    /// Listens on `bind`, tells `ready` where, and serves until the process ends.
    fn serve(bind: SocketAddr, ready: impl FnOnce(SocketAddr) + 'static) -> io::Result<()>;
}

/// What the peers' channels carry: 64 bytes behind a non-atomic count, the closest thing in `std` to
/// hemi's `Buf`.
pub type Shared = Rc<[u8; 64]>;

/// The unit of every peer's channel.
pub fn shared() -> Shared {
    Rc::new([0x5a; 64])
}

/// How much an echo server reads at once: 16 messages of 64 bytes fit many times over.
pub const ECHO_BUFFER: usize = 16 * 1024;

//! Streams: one queue pair each.
//!
//! ```text
//!   connect                                accept
//!      │                                      │ queue pair to RTS, accepted (3)
//!      ▼ (1)            (2)                   ▼
//!   RESOLVING ─► ROUTING ─► ASKING       ACCEPTING
//!      │            │          │ (4)          │ (5)
//!      │            │          ▼              ▼
//!      │ failed     │       OPEN ◄────────────┘   units flow; the protocol closes, or fails
//!      ▼            ▼          │ nothing is in flight any more (6)
//!    GONE ◄────────────────────┘                  queue pair and identifier released; the failure stays to be read
//! ```
//! (1) [`setup::connect`] (2) [`Stream::on_event`] (3) [`setup::accept`] (4) the peer's reply: queue pair to RTS (5) the peer is
//! ready, or its first message came (6) [`Stream::finish`].
//!
//! `setup.rs` is the way to OPEN, `handle.rs` what the application holds. Everything about units is in
//! [`hemi_rdma::Connection`]; here are the device's side of it and the waiters.

mod handle;
mod one_sided;
mod setup;

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use hemi_queue::{
    Error, PushError, Result, Sga, Waiter,
    time::Instant,
    transport::{Endpoint, StreamOption, StreamSocket},
    wheel::Key,
};
use hemi_rdma::{Changes, Connection, Failure, Popped, Rights};

use crate::{acceptor::Listening, cm::Id, device::qp::Qp, exported::ExportedRegion, inner::Inner};
pub use handle::RdmaSocket;
pub use one_sided::OneSidedOp;
use one_sided::Operations;
pub(crate) use setup::{accept, connect};

/// How long a device may take to flush a queue pair that was stopped: far more than any does.
const FLUSH: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Resolving,
    Routing,
    Asking,
    Accepting,
    Open,
    Gone,
}

/// One end of a connection.
pub(crate) struct Stream {
    slot: usize,
    pub(crate) tag: u32,
    id: RefCell<Option<Id>>,
    qp: RefCell<Option<Qp>>,
    pub(crate) conn: RefCell<Connection>,
    phase: Cell<Phase>,
    local: Cell<SocketAddr>,
    peer: SocketAddr,
    /// Whom to tell when it is established.
    listener: RefCell<Option<Rc<Listening>>>,
    /// It was not established.
    failed: Cell<bool>,
    /// Why, told once.
    trouble: RefCell<Option<Error>>,
    linger: Cell<Option<Duration>>,
    /// The application is done with it.
    closing: Cell<bool>,
    /// The peer was told that it is over.
    disconnected: Cell<bool>,
    /// Of the set-up; of the device's last words, once it is over.
    give_up_at: Cell<Option<Instant>>,
    timer: Cell<Option<(Instant, Key)>>,
    marked: Cell<bool>,
    /// Buffers for its credits are there, which were not before: it may have something to say that it does not know of.
    relieved: Cell<bool>,
    operations: RefCell<Operations>,
    rx_waiter: Waiter,
    /// Of `poll_ready`, `poll_flushed` and `poll_acked`: one pushing task.
    tx_waiter: Waiter,
    connect_waiter: Waiter,
    close_waiter: Waiter,
    /// After the queue pair: it has the shared receive queue.
    inner: Rc<Inner>,
}

/// The IP address and port of an endpoint.
pub(crate) fn ip(at: &Endpoint, what: &'static str) -> Result<SocketAddr> {
    let instead = "use an IP address and a port; `kernel:` has Unix sockets, `mem:` has names";
    at.ip().ok_or_else(|| Error::unsupported(what, "rdma", instead))
}

/// What the application gets for a stream.
pub(crate) fn handle(stream: Rc<Stream>) -> Rc<dyn StreamSocket> {
    Rc::new(RdmaSocket(stream))
}

/// The reactor's side.
impl Stream {
    /// Whether it was not marked before.
    #[inline]
    pub(crate) fn mark(&self) -> bool {
        !self.marked.replace(true)
    }

    pub(crate) fn relieved(&self) {
        self.relieved.set(true);
    }

    #[inline]
    pub(crate) fn unmark(&self) {
        self.marked.set(false);
    }

    /// The application did something: if that made work, it is done in the next turn.
    #[inline]
    fn touched(self: &Rc<Self>, conn: &Connection) {
        if conn.has_work() || conn.wants_disconnect() {
            self.inner.mark(self);
        }
    }

    /// Post what is to be posted; wake who waits for what changed.
    pub(crate) fn drive(self: &Rc<Self>) {
        if self.phase.get() == Phase::Gone {
            return;
        }
        let mut conn = self.conn.borrow_mut();
        let mut broken = false;
        if self.phase.get() == Phase::Open {
            broken = self.post(&mut conn);
            if conn.is_starved() {
                self.inner.starve(self);
            }
        }
        if conn.wants_disconnect() {
            let stopped = self.qp.borrow().as_ref().is_none_or(Qp::stop);
            let told = self.id.borrow().as_ref().is_some_and(Id::disconnect);
            self.disconnected.set(told);
            if stopped {
                conn.stopped();
                self.give_up_at.set(Some(self.inner.now() + FLUSH));
                // One more request, flushed like the others, tells that all have ended.
                broken |= self.post(&mut conn);
            } else {
                // What was announced is let go when the queue pair is no more.
                broken = true;
            }
        }
        let changes = conn.take_changes();
        if changes.done() {
            self.one_sided_done(&mut conn);
        }
        let over = broken || conn.is_quiet();
        let deadline = conn.deadline().or(self.give_up_at.get());
        drop(conn);
        if over {
            self.finish();
        } else if self.phase.get() == Phase::Open {
            self.arm(deadline);
        }
        self.wake(changes);
    }

    /// Post until there is nothing more; whether the queue pair could not be posted to.
    fn post(&self, conn: &mut Connection) -> bool {
        let qp = self.qp.borrow();
        let Some(qp) = &*qp else { return false };
        while self.relieved.take() || conn.has_work() {
            let done = self.inner.batch(|batch| {
                while !batch.is_full()
                    && let Some(work) = conn.next_work(&self.inner.registry)
                {
                    batch.add(&work);
                }
                (!batch.is_empty()).then(|| qp.post(batch))
            });
            match done {
                None => return false,
                Some(Ok(())) => conn.posted(),
                Some(Err((_, errno))) => {
                    conn.fail(Failure::Device {
                        what: "a work request could not be posted (ibv_post_send)",
                        errno,
                    });
                    return true;
                }
            }
        }
        false
    }

    fn wake(&self, changes: Changes) {
        if changes.readable() {
            self.rx_waiter.wake();
        }
        if changes.writable() {
            self.tx_waiter.wake();
        }
        if changes.state() {
            self.connect_waiter.wake();
        }
    }

    fn wake_all(&self) {
        for waiter in [&self.rx_waiter, &self.tx_waiter, &self.connect_waiter, &self.close_waiter] {
            waiter.wake();
        }
    }

    /// It is `now`, and a timer of this stream went off.
    pub(crate) fn on_time(self: &Rc<Self>, now: Instant) {
        self.timer.set(None);
        let over = self.give_up_at.get().is_some_and(|at| at <= now);
        match self.phase.get() {
            // What it does not say in this time it never will; destroying the queue pair is the same answer.
            Phase::Open if over => self.finish(),
            Phase::Open => self.conn.borrow_mut().on_time(now),
            _ if over => self.fail_setup(Error::TimedOut("connect")),
            _ => self.arm(self.give_up_at.get()),
        }
    }

    /// Have `on_time` called at `deadline`. An armed timer that is earlier stays: it will arm the next.
    fn arm(&self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        if let Some((at, key)) = self.timer.get() {
            if at <= deadline {
                return;
            }
            self.inner.cancel_timer(key);
        }
        self.timer.set(Some((deadline, self.inner.arm_timer(deadline, self.tag))));
    }

    /// (6) Nothing is in flight, or nothing can be: release everything.
    fn finish(&self) {
        if self.phase.get() == Phase::Gone {
            return;
        }
        self.release();
        self.wake_all();
        self.inner.remove_stream(self.slot);
    }

    fn release(&self) {
        if self.phase.replace(Phase::Gone) != Phase::Open {
            self.inner.settled();
        }
        if let Some((_, key)) = self.timer.take() {
            self.inner.cancel_timer(key);
        }
        // The queue pair first: the identifier's end may tell the peer.
        if let Some(qp) = self.qp.take() {
            self.inner.forget_qp(&qp);
        }
        let mut conn = self.conn.borrow_mut();
        conn.destroyed();
        self.one_sided_done(&mut conn);
        drop(conn);
        match self.id.take() {
            Some(id) if self.disconnected.get() => self.inner.depart(id),
            id => drop(id),
        }
        // The next may have what was released, so it comes last.
        let listener = self.listener.take();
        if let Some(listener) = listener.filter(|_| !self.inner.is_lost()) {
            listener.gave_up();
        }
    }

    /// The device is gone.
    pub(crate) fn device_lost(self: &Rc<Self>) {
        self.conn.borrow_mut().fail(Failure::Device { what: "the device is gone", errno: 0 });
        self.finish();
    }

    /// The transport is dropped.
    pub(crate) fn forget(&self) {
        if self.phase.get() != Phase::Gone {
            self.conn.borrow_mut().abort();
            self.release();
        }
        self.wake_all();
    }
}

/// The application's side.
impl Stream {
    /// `Err` once the application closed it, its set-up failed, or the device is gone.
    #[inline]
    fn check(&self) -> Result<()> {
        if self.closing.get() {
            return Err(Error::Closed);
        }
        if self.failed.get() {
            return Err(self.trouble.take().unwrap_or(Error::Closed));
        }
        Ok(())
    }

    fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.check()?;
        let conn = self.conn.borrow();
        if let Some(failure) = conn.failure() {
            return Poll::Ready(Err(failure.error("connect", self.peer)));
        }
        if self.phase.get() == Phase::Open {
            return Poll::Ready(Ok(()));
        }
        self.connect_waiter.register(cx.waker());
        Poll::Pending
    }

    #[inline]
    fn poll_pop(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Result<Option<Sga>>> {
        self.check()?;
        let mut conn = self.conn.borrow_mut();
        let popped = conn.pop();
        self.touched(&conn);
        match popped {
            Ok(Popped::Unit(unit)) => Poll::Ready(Ok(Some(unit))),
            Ok(Popped::End) => Poll::Ready(Ok(None)),
            Ok(Popped::Pending) => {
                self.rx_waiter.register(cx.waker());
                Poll::Pending
            }
            Err(failure) => Poll::Ready(Err(failure.error("pop", self.peer))),
        }
    }

    #[inline]
    fn start_push(self: &Rc<Self>, unit: Sga) -> Result<(), PushError<Sga>> {
        if let Err(e) = self.check() {
            return Err(PushError::new(e, unit));
        }
        let mut conn = self.conn.borrow_mut();
        let pushed = conn.push(unit);
        self.touched(&conn);
        pushed.map_err(|(refusal, unit)| PushError::new(refusal.error(self.peer), unit))
    }

    /// Wait until `done` says so.
    #[inline]
    fn poll_tx(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        done: impl FnOnce(&mut Connection) -> bool,
    ) -> Poll<Result<()>> {
        self.check()?;
        let mut conn = self.conn.borrow_mut();
        if let Some(failure) = conn.send_failure() {
            return Poll::Ready(Err(failure.error("push", self.peer)));
        }
        if done(&mut conn) {
            return Poll::Ready(Ok(()));
        }
        self.touched(&conn);
        self.tx_waiter.register(cx.waker());
        Poll::Pending
    }

    fn shutdown(self: &Rc<Self>) -> Result<()> {
        self.check()?;
        let mut conn = self.conn.borrow_mut();
        if let Some(failure) = conn.send_failure() {
            return Err(failure.error("shutdown", self.peer));
        }
        conn.finish();
        self.touched(&conn);
        Ok(())
    }

    pub(crate) fn close(self: &Rc<Self>) {
        if self.closing.replace(true) {
            return;
        }
        self.rx_waiter.wake();
        self.tx_waiter.wake();
        match self.phase.get() {
            Phase::Gone => {}
            Phase::Open if self.linger.get() == Some(Duration::ZERO) => self.abort(),
            Phase::Open => {
                self.conn.borrow_mut().close(self.inner.now());
                self.inner.mark(self);
            }
            _ => self.fail_setup(Error::Closed),
        }
    }

    /// End at once.
    pub(crate) fn abort(self: &Rc<Self>) {
        self.closing.set(true);
        match self.phase.get() {
            Phase::Gone => {}
            Phase::Open => {
                self.conn.borrow_mut().abort();
                self.inner.mark(self);
                self.rx_waiter.wake();
                self.tx_waiter.wake();
            }
            _ => self.fail_setup(Error::Closed),
        }
    }

    fn export(&self, length: usize, rights: Rights) -> Result<ExportedRegion> {
        self.check()?;
        ExportedRegion::new(&self.inner.device, length, rights)
    }

    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.phase.get() != Phase::Gone {
            self.close_waiter.register(cx.waker());
            return Poll::Pending;
        }
        Poll::Ready(match self.conn.borrow().failure() {
            None | Some(Failure::Aborted) => Ok(()),
            Some(failure) => Err(failure.error("close", self.peer)),
        })
    }

    fn set_option(self: &Rc<Self>, option: StreamOption) -> Result<()> {
        self.check()?;
        match option {
            StreamOption::Linger(most) => {
                self.linger.set(most);
                self.conn.borrow_mut().set_close_limit(most);
            }
            StreamOption::KeepAlive(idle) => {
                self.conn.borrow_mut().set_keep_alive(idle);
                self.inner.mark(self);
            }
            // There is no Nagle to switch off, and the windows were agreed when the connection was made.
            _ => {}
        }
        Ok(())
    }
}

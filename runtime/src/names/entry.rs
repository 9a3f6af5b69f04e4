//! [`Entry`]: one open queue of one runtime.

use std::{
    cell::{Cell, RefCell},
    fmt,
    panic::Location,
    rc::{Rc, Weak},
    task::{Context, Poll},
};

use hemi_queue::{Error, Op, Qd, Result, Sga, Token, Waiter, transport::Endpoint};
use hemi_verbs::OneSidedOp;
use slab::Slab;

use super::{
    Object,
    pump::{self, Pump},
};
use crate::{context::Core, token::QToken};

/// The most operations of one queue that may be submitted and not yet claimed.
pub const UNCLAIMED_PER_QUEUE: usize = 16_384;

/// One open queue: its object, and the operations submitted on it.
pub(crate) struct Entry {
    qd: Qd,
    core: Weak<Core>,
    /// Replaced when a bare socket starts to listen or connect.
    object: RefCell<Rc<dyn Object>>,
    closed: Cell<bool>,
    pub(super) pump: RefCell<Pump>,
    /// The pump's task, once there is one.
    pub(super) pump_task: Waiter,
    pumping: Cell<bool>,
    /// Submitted and not completed, per direction; a borrowing operation waits while there are any.
    pub(super) pops: Cell<usize>,
    pub(super) pushes: Cell<usize>,
    /// Borrowing tasks to wake when the submitted operations are done.
    pub(super) pop_turn: Waiter,
    pub(super) push_turn: Waiter,
    /// Every token of this queue that holds a slot.
    tokens: RefCell<Slab<Token>>,
}

impl Entry {
    /// Put `object` into the table of `core`.
    pub(crate) fn open(core: &Rc<Core>, object: Rc<dyn Object>) -> Rc<Self> {
        core.names.qds.insert(|qd| {
            Rc::new(Self {
                qd,
                core: Rc::downgrade(core),
                object: RefCell::new(object),
                closed: Cell::new(false),
                pump: RefCell::default(),
                pump_task: Waiter::new(),
                pumping: Cell::new(false),
                pops: Cell::new(0),
                pushes: Cell::new(0),
                pop_turn: Waiter::new(),
                push_turn: Waiter::new(),
                tokens: RefCell::default(),
            })
        })
    }

    pub(crate) fn qd(&self) -> Qd {
        self.qd
    }

    pub(crate) fn object(&self) -> Rc<dyn Object> {
        Rc::clone(&self.object.borrow())
    }

    /// A bare socket becomes a listener or a connection.
    pub(crate) fn replace_object(&self, object: Rc<dyn Object>) {
        let old = self.object.replace(object);
        drop(old);
    }

    pub(crate) fn core(&self) -> Result<Rc<Core>> {
        self.core.upgrade().ok_or(Error::NoRuntime)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    #[inline]
    pub(crate) fn poll_pop_turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Registered even when it is our turn: if a pop is submitted while this one waits at the object, the pump
        // takes the object's waiter over, and has to tell us when it is done.
        self.pop_turn.register(cx.waker());
        if self.pops.get() == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    #[inline]
    pub(crate) fn poll_push_turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.push_turn.register(cx.waker());
        if self.pushes.get() == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    #[inline]
    pub(crate) fn push_is_taken(&self) -> bool {
        self.pushes.get() > 0
    }

    /// Submit a pop, an accept or a connect.
    pub(crate) fn submit(self: &Rc<Self>, op: Op) -> Result<QToken> {
        let (core, token) = self.new_token()?;
        match op {
            Op::Connect => self.pump.borrow_mut().connects.push_back(token),
            Op::Accept => self.pump.borrow_mut().pops.push_back((op, token)),
            _ => self.pump.borrow_mut().pops.push_back((Op::Pop, token)),
        }
        if op != Op::Connect {
            self.pops.set(self.pops.get() + 1);
        }
        self.start(&core);
        Ok(QToken::new(token, core.names.runtime))
    }

    /// Submit a push.
    pub(crate) fn submit_push(self: &Rc<Self>, unit: Sga, to: Option<Endpoint>) -> Result<QToken> {
        let (core, token) = self.new_token()?;
        self.pump
            .borrow_mut()
            .pushes
            .push_back(pump::Job { token, state: pump::PushState::Unsent(unit, to) });
        self.pushes.set(self.pushes.get() + 1);
        self.start(&core);
        Ok(QToken::new(token, core.names.runtime))
    }

    /// Submit a one-sided operation, which `begin` begins.
    pub(crate) fn submit_reach(
        self: &Rc<Self>,
        begin: impl FnOnce() -> Result<OneSidedOp>,
    ) -> Result<QToken> {
        let (core, token) = self.new_token()?;
        match begin() {
            Ok(reach) => self.pump.borrow_mut().reaches.push_back((token, reach)),
            Err(error) => {
                core.names.tokens.end(token, Error::Cancelled);
                return Err(error);
            }
        }
        self.start(&core);
        Ok(QToken::new(token, core.names.runtime))
    }

    fn new_token(self: &Rc<Self>) -> Result<(Rc<Core>, Token)> {
        if self.is_closed() {
            return Err(Error::BadQd);
        }
        let core = self.core()?;
        let mut tokens = self.tokens.borrow_mut();
        if tokens.len() >= UNCLAIMED_PER_QUEUE {
            return Err(Error::Busy);
        }
        let place = tokens.vacant_entry();
        let token = core.names.tokens.open(self, place.key());
        place.insert(token);
        Ok((core, token))
    }

    /// The slot of one of this queue's tokens was freed.
    pub(crate) fn token_freed(&self, place: usize) {
        self.tokens.borrow_mut().try_remove(place);
    }

    /// Make progress now where that is possible; else the pump's task goes on.
    fn start(self: &Rc<Self>, core: &Rc<Core>) {
        if pump::advance(self, core, &mut Context::from_waker(std::task::Waker::noop())).is_ready() {
            return;
        }
        if self.pumping.replace(true) {
            self.pump_task.wake();
        } else {
            core.exec.spawn_internal(pump::run(Rc::clone(self)), Location::caller());
        }
    }

    /// Cancel a submitted operation that has not begun; a push gives its unit back.
    pub(crate) fn cancel(&self, core: &Core, token: Token) -> Result<Option<Sga>> {
        if !core.names.tokens.is_pending(token)? {
            return Err(Error::TooLate);
        }
        let unit = {
            let mut pump = self.pump.borrow_mut();
            if pump.reaches.iter().any(|(reach, _)| *reach == token) {
                return Err(Error::TooLate);
            }
            let jobs = &mut pump.pushes;
            match jobs.iter().position(|j| j.token == token) {
                Some(at) if matches!(jobs[at].state, pump::PushState::Sent(_)) => return Err(Error::TooLate),
                Some(at) => jobs.remove(at).and_then(pump::Job::into_unit),
                None => None,
            }
        };
        if unit.is_some() {
            self.push_done();
        } else {
            let mut pump = self.pump.borrow_mut();
            let before = pump.pops.len();
            pump.pops.retain(|(_, t)| *t != token);
            let was_pop = pump.pops.len() < before;
            pump.connects.retain(|t| *t != token);
            drop(pump);
            if was_pop {
                self.pop_done();
            }
        }
        core.names.tokens.end(token, Error::Cancelled);
        Ok(unit)
    }

    pub(super) fn pop_done(&self) {
        self.pops.set(self.pops.get() - 1);
        if self.pops.get() == 0 {
            self.pop_turn.wake();
        }
    }

    pub(super) fn push_done(&self) {
        self.pushes.set(self.pushes.get() - 1);
        if self.pushes.get() == 0 {
            self.push_turn.wake();
        }
    }

    /// Close the queue: the descriptor names nothing any more, tasks that wait for its tokens get
    /// [`Error::Closed`], results that nobody waits for are dropped, submitted pushes that had not begun are handed over
    /// first. Idempotent.
    pub(crate) fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        let object = self.object();
        // A submitted push goes out whole, as a begun one does, as far as the queue takes it without waiting.
        let pump = self.pump.take();
        for job in pump.pushes {
            if let pump::PushState::Unsent(unit, to) = job.state {
                let _ = object.start_push(unit, to.as_ref());
            }
        }
        self.pops.set(0);
        self.pushes.set(0);
        object.close();
        self.pop_turn.wake();
        self.push_turn.wake();
        self.pump_task.wake(); // to end it
        if let Some(core) = self.core.upgrade() {
            let tokens: Vec<Token> = self.tokens.borrow().iter().map(|(_, t)| *t).collect();
            for token in tokens {
                core.names.tokens.end(token, Error::Closed);
            }
            core.names.qds.remove(self.qd);
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({:?}", self.qd, self.object.borrow().kind())?;
        f.write_str(if self.is_closed() { ", closed)" } else { ")" })
    }
}

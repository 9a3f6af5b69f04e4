//! A stream: two pipes and how it came to be.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use hemi_queue::{
    Assembler, Error, PushError, Result, Sga, Waiter,
    transport::{Endpoint, SocketOptions, StreamOption, StreamSocket},
};

use super::{Host, network, os_error, pipe::Pipe};

/// One end of a stream.
///
/// ```text
///   connect ─► Connecting ─► Open ─► Closed
///                  └────► Refused      ▲
///   accepted ───────────► Open ────────┘  (close: what was pushed arrives, then the end; abort: a reset)
/// ```
pub(super) struct MemStream {
    host: Rc<Host>,
    tx: Rc<Pipe>,
    rx: Rc<Pipe>,
    state: Cell<State>,
    connecting: Waiter,
    linger: Cell<Option<Duration>>,
    local: Endpoint,
    peer: RefCell<Endpoint>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Open,
    Refused,
    Closed,
}

impl MemStream {
    pub(super) fn connect(host: &Rc<Host>, to: &Endpoint, options: &SocketOptions) -> Result<Rc<Self>> {
        let local = match options.bind_to {
            Some(at) if at.port() == 0 => host.network.free_port(&host.network.streams, at.ip())?.into(),
            Some(at) => Endpoint::Ip(at),
            None => network::unnamed(&host.network, host.ip, to)?,
        };
        let client = Rc::new(Self {
            host: Rc::clone(host),
            tx: Pipe::new(options.send_limit),
            rx: Pipe::new(options.send_limit),
            state: Cell::new(State::Connecting),
            connecting: Waiter::new(),
            linger: Cell::new(options.linger),
            local,
            peer: RefCell::new(to.clone()),
        });
        let (syn, to) = (Rc::clone(&client), to.clone());
        host.flight.send(Some(&client.tx.path), move || match syn.host.network.streams.find(&to) {
            Some(acceptor) => acceptor.arrive(syn),
            None => syn.refuse(),
        });
        Ok(client)
    }

    /// The listener's end of `client`'s stream; tells the client.
    pub(super) fn accept(host: &Rc<Host>, client: &Rc<Self>, local: &Endpoint) -> Rc<Self> {
        let server = Rc::new(Self {
            host: Rc::clone(host),
            tx: Rc::clone(&client.rx),
            rx: Rc::clone(&client.tx),
            state: Cell::new(State::Open),
            connecting: Waiter::new(),
            linger: Cell::new(None),
            local: client.peer.borrow().ip().map_or_else(|| local.clone(), Endpoint::Ip),
            peer: RefCell::new(client.local.clone()),
        });
        let client = Rc::clone(client);
        host.flight.send(Some(&server.tx.path), move || client.settle(State::Open));
        server
    }

    pub(super) fn refuse(self: &Rc<Self>) {
        let client = Rc::clone(self);
        self.host.flight.send(Some(&self.rx.path), move || client.settle(State::Refused));
    }

    fn settle(&self, state: State) {
        if self.state.get() == State::Connecting {
            self.state.set(state);
            if state == State::Refused {
                self.tx.reset();
            }
            self.connecting.wake();
        }
    }

    fn is_closed(&self) -> bool {
        self.state.get() == State::Closed
    }

    fn send_end(&self) {
        if !self.tx.finished.replace(true) {
            let tx = Rc::clone(&self.tx);
            self.host.flight.send(Some(&self.tx.path), move || tx.end());
        }
    }

    fn open(&self) -> Result<()> {
        match self.state.get() {
            State::Closed => Err(Error::Closed),
            State::Refused => Err(self.refused()),
            State::Connecting | State::Open => Ok(()),
        }
    }

    fn refused(&self) -> Error {
        os_error("connect", &self.peer.borrow(), libc::ECONNREFUSED)
    }

    fn send(&self, unit: Sga) {
        self.tx.depart(&unit);
        let tx = Rc::clone(&self.tx);
        if self.host.flight.is_instant() && self.state.get() == State::Open {
            tx.arrive(unit); // the short way: no box
        } else {
            self.host.flight.send(Some(&self.tx.path), move || tx.arrive(unit));
        }
    }
}

impl StreamSocket for MemStream {
    fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.state.get() {
            State::Connecting => {
                self.connecting.register(cx.waker());
                Poll::Pending
            }
            State::Open => Poll::Ready(Ok(())),
            State::Refused => Poll::Ready(Err(self.refused())),
            State::Closed => Poll::Ready(Err(Error::Closed)),
        }
    }

    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Sga>>> {
        self.open()?;
        self.rx.poll_pop(None, cx)
    }

    fn poll_pop_for(&self, assembler: &Rc<dyn Assembler>, cx: &mut Context<'_>) -> Poll<Result<Option<Sga>>> {
        self.open()?;
        self.rx.poll_pop(Some(assembler), cx)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.open()?;
        self.tx.poll_room(cx)
    }

    fn start_push(&self, unit: Sga) -> Result<(), PushError<Sga>> {
        let refusal = match self.open() {
            Err(e) => Some(e),
            Ok(()) if self.rx.is_reset() => Some(Error::Reset),
            Ok(()) => self.tx.refusal(),
        };
        if let Some(error) = refusal {
            return Err(PushError::new(error, unit));
        }
        if self.tx.is_overfull() {
            return Err(PushError::new(Error::Busy, unit));
        }
        let Some(mss) = self.host.mss else {
            self.send(unit);
            return Ok(());
        };
        let mut rest = unit;
        while !rest.is_empty() {
            let piece = rest.split_to(mss);
            self.send(piece);
        }
        Ok(())
    }

    fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_acked(cx)
    }

    fn poll_acked(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.open()?;
        self.tx.poll_delivered(cx)
    }

    fn shutdown(&self) -> Result<()> {
        self.open()?;
        self.send_end();
        Ok(())
    }

    fn close(&self) {
        if self.is_closed() {
            return;
        }
        if self.linger.get() == Some(Duration::ZERO) {
            return self.abort();
        }
        self.state.set(State::Closed);
        self.send_end();
        self.rx.deafen();
        self.wake_own();
    }

    fn poll_closed(&self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(())) // what was pushed is on its way, and nothing here is lost
    }

    fn abort(&self) {
        if self.is_closed() {
            return;
        }
        self.state.set(State::Closed);
        self.rx.deafen();
        let (tx, rx) = (Rc::clone(&self.tx), Rc::clone(&self.rx));
        tx.finished.set(true);
        self.host.flight.send(Some(&self.tx.path), move || {
            tx.reset();
            rx.reset();
        });
        self.wake_own();
    }

    fn local_addr(&self) -> Result<Endpoint> {
        Ok(self.local.clone())
    }

    fn peer_addr(&self) -> Result<Endpoint> {
        Ok(self.peer.borrow().clone())
    }

    fn set_option(&self, option: StreamOption) -> Result<()> {
        if let StreamOption::Linger(linger) = option {
            self.linger.set(linger);
        }
        Ok(()) // the others change nothing that can be seen in memory
    }
}

impl MemStream {
    /// The operations that wait on this end get `Closed`.
    fn wake_own(&self) {
        self.connecting.wake();
        self.rx.popper.wake();
        self.tx.pusher.wake();
    }
}

//! From an address, or a request, to a queue pair that sends.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use hemi_queue::{
    Error, Result, Waiter,
    transport::{Endpoint, SocketOptions, StreamSocket},
};
use hemi_rdma::{Config, Connection, Failure, Refusal};

use super::{Phase, RdmaSocket, Stream, ip, one_sided::Operations};
use crate::{
    acceptor::{Listening, Request},
    cm::{Event, Id, Kind, Terms},
    error::VerbsError,
    inner::{Inner, stream_place},
    params::Params,
    sys::{IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS, RDMA_CM_EVENT_ADDR_ERROR, RDMA_CM_EVENT_ROUTE_ERROR},
};

/// How long the connection manager may look for an address or a route.
const RESOLVE: Duration = Duration::from_secs(5);
/// Reason of a reject: nobody listens on that port (InfiniBand specification, table 108).
const INVALID_SERVICE: i32 = 8;

/// The protocol's configuration of one connection.
fn config(params: &Params, options: &SocketOptions) -> Config {
    let mut config = params.conn;
    config.send_limit = options.send_limit;
    config.recv_limit = options.recv_limit;
    config.keep_alive = options.keep_alive.or(config.keep_alive);
    config.close_limit = options.linger.filter(|most| !most.is_zero());
    config
}

fn new(
    inner: &Rc<Inner>,
    (slot, tag): (usize, u32),
    id: Id,
    conn: Connection,
    (local, peer): (SocketAddr, SocketAddr),
    phase: Phase,
    options: &SocketOptions,
) -> Rc<Stream> {
    Rc::new(Stream {
        inner: Rc::clone(inner),
        slot,
        tag,
        id: RefCell::new(Some(id)),
        qp: RefCell::new(None),
        conn: RefCell::new(conn),
        phase: Cell::new(phase),
        local: Cell::new(local),
        peer,
        listener: RefCell::new(None),
        failed: Cell::new(false),
        trouble: RefCell::new(None),
        linger: Cell::new(options.linger),
        closing: Cell::new(false),
        disconnected: Cell::new(false),
        give_up_at: Cell::new(None),
        timer: Cell::new(None),
        marked: Cell::new(false),
        relieved: Cell::new(false),
        operations: RefCell::new(Operations::default()),
        rx_waiter: Waiter::new(),
        tx_waiter: Waiter::new(),
        connect_waiter: Waiter::new(),
        close_waiter: Waiter::new(),
    })
}

/// (1) Begin to connect.
pub(crate) fn connect(
    inner: &Rc<Inner>,
    to: &Endpoint,
    options: &SocketOptions,
) -> Result<Rc<dyn StreamSocket>> {
    inner.check_open()?;
    let peer = ip(to, "connect")?;
    let config = config(&inner.params, options);
    let stream = inner.add_stream(|slot, tag| {
        let id = Id::new(&inner.channel, stream_place(slot))?;
        let from = inner.params.connect_from(peer, options.bind_to);
        if let Some(from) = from {
            id.bind(from)?;
        }
        let conn = Connection::connecting(tag, config, &inner.budget)
            .map_err(|refusal| Failure::Refused(refusal).error("connect", peer))?;
        id.resolve(peer, options.connect_timeout.unwrap_or(RESOLVE).min(RESOLVE))?;
        let local = id.local_addr().ok().or(from).unwrap_or(Params::nowhere(peer));
        Ok(new(inner, (slot, tag), id, conn, (local, peer), Phase::Resolving, options))
    })?;
    if let Some(most) = options.connect_timeout {
        stream.give_up_at.set(Some(inner.now() + most));
        stream.arm(stream.give_up_at.get());
    }
    Ok(Rc::new(RdmaSocket(stream)))
}

/// (3) Accept a request. The reason, if it was refused.
pub(crate) fn accept(inner: &Rc<Inner>, listener: &Rc<Listening>, request: Request) -> Result<(), String> {
    let Request { mut id, hello, limits: (responder, initiator) } = request;
    let config = config(&inner.params, listener.options());
    let own = id.device();
    if own.as_deref() != Some(inner.device.name.as_str()) {
        id.reject(&Refusal::Closing.encode());
        return Err(format!("it came to device {own:?}, and the listener is on {}", inner.device.name));
    }
    let ends = (id.local_addr(), id.peer_addr());
    let (Ok(local), Ok(peer)) = ends else {
        id.reject(&Refusal::Closing.encode());
        return Err("its addresses are unknown".to_owned());
    };
    let made = inner.add_stream(|slot, tag| {
        let conn = match Connection::accepting(tag, config, &inner.budget, hello) {
            Ok(conn) => conn,
            Err(refusal) => {
                id.reject(&refusal.encode());
                return Err(Failure::Refused(refusal).error("accept", peer));
            }
        };
        id.set_place(stream_place(slot));
        Ok(new(inner, (slot, tag), id, conn, (local, peer), Phase::Accepting, listener.options()))
    });
    let stream = made.map_err(|e| e.to_string())?;
    let limits = (responder.min(inner.reads()), initiator.min(inner.reads()));
    if let Err(error) = stream.answer(limits) {
        if let Some(id) = &*stream.id.borrow() {
            id.reject(&Refusal::NoBuffers.encode());
        }
        stream.finish();
        return Err(error.to_string());
    }
    *stream.listener.borrow_mut() = Some(Rc::clone(listener));
    Ok(())
}

impl Stream {
    /// A queue pair that may receive, and the buffers for it.
    fn make_qp(&self, id: &Id) -> Result<(), VerbsError> {
        let qp = self.inner.new_qp(self.slot)?;
        let number = self.qp.borrow_mut().insert(qp).number();
        let qp = self.qp.borrow();
        let Some(qp) = &*qp else { return Ok(()) };
        let (attr, mask) = id.attr_for(IBV_QPS_INIT, self.peer)?;
        qp.advance(attr, mask, &self.inner.params.patience, None)?;
        self.inner.refill();
        tracing::trace!(target: "hemi::rdma", peer = %self.peer, number, "queue pair");
        Ok(())
    }

    /// To the state in which it sends. `limits`: READs at a time, answered and asked for, where the manager must be told.
    fn ready_qp(&self, id: &Id, limits: Option<(u8, u8)>) -> Result<(), VerbsError> {
        let qp = self.qp.borrow();
        let Some(qp) = &*qp else { return Ok(()) };
        for state in [IBV_QPS_RTR, IBV_QPS_RTS] {
            let (attr, mask) = id.attr_for(state, self.peer)?;
            qp.advance(attr, mask, &self.inner.params.patience, limits)?;
        }
        Ok(())
    }

    fn terms(&self, (responder, initiator): (u8, u8)) -> Terms {
        let patience = &self.inner.params.patience;
        Terms {
            qp_num: self.qp.borrow().as_ref().map_or(0, crate::device::qp::Qp::number),
            responder,
            initiator,
            retries: patience.retries,
            rnr_retries: patience.rnr_retries,
        }
    }

    /// Everything for a request, and the answer.
    fn answer(&self, limits: (u8, u8)) -> Result<(), VerbsError> {
        let id = self.id.borrow();
        let Some(id) = &*id else { return Ok(()) };
        self.make_qp(id)?;
        self.ready_qp(id, Some(limits))?;
        let hello = self.conn.borrow_mut().hello();
        id.accept(self.peer, &self.terms(limits), &hello)
    }

    /// Ask the peer.
    fn ask(&self) -> Result<(), VerbsError> {
        let id = self.id.borrow();
        let Some(id) = &*id else { return Ok(()) };
        self.make_qp(id)?;
        let hello = self.conn.borrow_mut().hello();
        let reads = self.inner.reads();
        id.connect(self.peer, &self.terms((reads, reads)), &hello)
    }

    /// (2) The connection manager says something about this stream.
    pub(crate) fn on_event(self: &Rc<Self>, event: &Event) {
        let result = match (self.phase.get(), &event.kind) {
            // A peer that never heard that we are ready rejects where others disconnect.
            (Phase::Open, Kind::Disconnected | Kind::Rejected | Kind::Failed(_)) => {
                self.conn.borrow_mut().disconnected();
                Ok(())
            }
            (Phase::Open, Kind::DeviceRemoval) => {
                self.conn
                    .borrow_mut()
                    .fail(Failure::Device { what: "the device is being removed", errno: 0 });
                Ok(())
            }
            (Phase::Resolving, Kind::AddressResolved) => self.on_address(),
            (Phase::Routing, Kind::RouteResolved) => {
                self.phase.set(Phase::Asking);
                self.ask().map_err(Error::from)
            }
            (Phase::Asking, Kind::Response) => self.on_response(&event.data),
            (Phase::Accepting, Kind::Established) => {
                self.established();
                Ok(())
            }
            (Phase::Open | Phase::Gone, _) => Ok(()),
            (_, Kind::Rejected) => Err(self.rejected(event)),
            (_, Kind::Failed(kind)) => Err(self.failed(*kind, event.status)),
            (_, Kind::Disconnected | Kind::DeviceRemoval) => Err(Error::Reset),
            (_, _) => Ok(()),
        };
        if let Err(error) = result {
            self.fail_setup(error);
        }
    }

    fn on_address(&self) -> Result<()> {
        let id = self.id.borrow();
        let Some(id) = &*id else { return Ok(()) };
        let wanted = &self.inner.device.name;
        if let Some(other) = id.device().filter(|name| name != wanted) {
            return Err(VerbsError::Peer {
                peer: self.peer,
                why: format!("it is reached through {other} and not {wanted}; open `rdma:{other}`, or give `ip=` an address of {wanted}"),
            }
            .into());
        }
        if let Ok(local) = id.local_addr() {
            self.local.set(local);
        }
        id.resolve_route(self.peer, RESOLVE)?;
        self.phase.set(Phase::Routing);
        Ok(())
    }

    fn on_response(&self, data: &[u8]) -> Result<()> {
        let id = self.id.borrow();
        let Some(id) = &*id else { return Ok(()) };
        self.ready_qp(id, None)?;
        id.establish(self.peer)?;
        self.open();
        self.conn.borrow_mut().established(Some(data), self.inner.now());
        Ok(())
    }

    fn open(&self) {
        if let Some((_, key)) = self.timer.take() {
            self.inner.cancel_timer(key);
        }
        self.give_up_at.set(None);
        self.phase.set(Phase::Open);
        self.inner.settled();
        self.connect_waiter.wake();
    }

    /// (5) The peer is ready.
    fn established(self: &Rc<Self>) {
        self.open();
        self.conn.borrow_mut().established(None, self.inner.now());
        if let Some(listener) = self.listener.take() {
            listener.established(self);
        }
    }

    /// (5) Something came from the peer: it is ready, although its word for it may still be on the way.
    #[inline]
    pub(crate) fn data_came(self: &Rc<Self>) {
        if self.phase.get() == Phase::Accepting {
            if let Some(id) = &*self.id.borrow() {
                id.heard();
            }
            self.established();
        }
    }

    /// It will not be established.
    pub(super) fn fail_setup(&self, error: Error) {
        tracing::debug!(target: "hemi::rdma", peer = %self.peer, %error, "no connection");
        self.failed.set(true);
        *self.trouble.borrow_mut() = Some(error);
        self.finish();
    }

    fn rejected(&self, event: &Event) -> Error {
        if let Some(refusal) = Refusal::parse(&event.data) {
            return Failure::Refused(refusal).error("connect", self.peer);
        }
        if event.status == INVALID_SERVICE {
            return Error::errno("connect", self.peer, libc::ECONNREFUSED);
        }
        VerbsError::Setup {
            step: "connect to",
            peer: self.peer,
            event: "RDMA_CM_EVENT_REJECTED".to_owned(),
            detail: format!("reason {}", event.status),
            cure: "a listener that is no hemi program, or one that is ending",
        }
        .into()
    }

    fn failed(&self, kind: i32, status: i32) -> Error {
        let errno = if status < 0 { -status } else { 0 };
        if errno == libc::ETIMEDOUT && kind != RDMA_CM_EVENT_ADDR_ERROR {
            return Error::TimedOut("connect");
        }
        let (step, cure) = match kind {
            RDMA_CM_EVENT_ADDR_ERROR => (
                "resolve",
                "is the address in a network of the interface below the device, and is its host up?",
            ),
            RDMA_CM_EVENT_ROUTE_ERROR => ("route to", "no path leads there from this device"),
            _ => ("connect to", "the peer's host does not answer; is it up, and UDP port 4791 open between?"),
        };
        let detail = if errno == 0 {
            format!("status {status}")
        } else {
            io::Error::from_raw_os_error(errno).to_string()
        };
        VerbsError::Setup { step, peer: self.peer, event: self.inner.channel.name_of(kind), detail, cure }
            .into()
    }
}

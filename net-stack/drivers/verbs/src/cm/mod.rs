//! The connection manager (`librdmacm`): identifiers, and the events that one channel brings for all of them.
//!
//! The channel's descriptor does not block and is part of what wakes the core. An identifier carries a number of ours, its
//! place in the transport's tables, and every event says whose it is by that number. Queue pairs are not the manager's: it tells what the
//! peer agreed to ([`Id::attr_for`]), and [`Qp::advance`](crate::device::qp::Qp::advance) does it.

mod departing;
mod event;

use std::{
    ffi::{c_int, c_void},
    io, mem,
    net::SocketAddr,
    os::fd::RawFd,
    ptr,
    ptr::NonNull,
    rc::Rc,
    time::Duration,
};

use socket2::{SockAddr, SockAddrStorage};

pub(crate) use departing::Departing;
pub(crate) use event::{Event, Kind};

use crate::{
    device::set_nonblocking,
    error::VerbsError,
    sys::{
        IBV_EVENT_COMM_EST, RDMA_OPTION_ID, RDMA_OPTION_ID_AFONLY, RDMA_OPTION_ID_REUSEADDR, RDMA_PS_TCP,
        Rdma, ibv_qp_attr, rdma_cm_id, rdma_conn_param, rdma_event_channel, rdma_sockaddr, text_of,
    },
};

/// The event channel.
pub(crate) struct Channel {
    rdma: &'static Rdma,
    channel: NonNull<rdma_event_channel>,
}

impl Channel {
    pub(crate) fn new(rdma: &'static Rdma) -> Result<Rc<Self>, VerbsError> {
        // SAFETY: no arguments; the library opens its device.
        let channel = unsafe { (rdma.cm.create_event_channel)() };
        let cure = "the kernel module rdma_ucm must be loaded (`modprobe rdma_ucm`), and /dev/infiniband/rdma_cm permitted";
        let channel = NonNull::new(channel)
            .ok_or_else(|| VerbsError::last("rdma_create_event_channel", "this machine", cure))?;
        let this = Rc::new(Self { rdma, channel });
        set_nonblocking(this.fd()).map_err(|source| VerbsError::Verb {
            verb: "fcntl",
            device: "rdma_cm".to_owned(),
            cure: "",
            source,
        })?;
        Ok(this)
    }

    /// Readable when there is an event.
    pub(crate) fn fd(&self) -> RawFd {
        // SAFETY: a live channel.
        unsafe { self.channel.as_ref() }.fd
    }

    /// The next event, copied out and acknowledged.
    pub(crate) fn next_event(self: &Rc<Self>) -> Option<Event> {
        let mut raw = ptr::null_mut();
        // SAFETY: a live channel whose descriptor does not block.
        if unsafe { (self.rdma.cm.get_cm_event)(self.channel.as_ptr(), &raw mut raw) } != 0 {
            return None;
        }
        // SAFETY: an event that was just got, alive until it is acknowledged.
        let event = unsafe { Event::read(self, &*raw) };
        // SAFETY: got above, acknowledged once; `event` keeps nothing of it.
        unsafe { (self.rdma.cm.ack_cm_event)(raw) };
        Some(event)
    }

    /// The name of a kind of event.
    pub(crate) fn name_of(&self, kind: c_int) -> String {
        // SAFETY: a static text for a number.
        text_of(unsafe { (self.rdma.cm.event_str)(kind) })
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // SAFETY: identifiers hold an `Rc` of this, so none is left.
        unsafe { (self.rdma.cm.destroy_event_channel)(self.channel.as_ptr()) };
    }
}

/// What a connection agrees to, beside private data.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) qp_num: u32,
    /// RDMA READs and atomics that this end answers at a time.
    pub(crate) responder: u8,
    /// And that it asks for at a time.
    pub(crate) initiator: u8,
    pub(crate) retries: u8,
    pub(crate) rnr_retries: u8,
}

impl Terms {
    fn param(&self, data: &[u8]) -> rdma_conn_param {
        rdma_conn_param {
            private_data: data.as_ptr().cast(),
            private_data_len: data.len() as u8,
            responder_resources: self.responder,
            initiator_depth: self.initiator,
            flow_control: 1,
            retry_count: self.retries,
            rnr_retry_count: self.rnr_retries,
            srq: 1,
            qp_num: self.qp_num,
        }
    }
}

/// A communication identifier: a listener, or one end of a connection.
pub(crate) struct Id {
    channel: Rc<Channel>,
    id: NonNull<rdma_cm_id>,
}

impl Id {
    /// A new identifier whose events carry `place`.
    pub(crate) fn new(channel: &Rc<Channel>, place: usize) -> Result<Self, VerbsError> {
        let mut id = ptr::null_mut();
        // SAFETY: a live channel, room for the answer, a context that is a plain number.
        let done = unsafe {
            let context = ptr::without_provenance_mut(place);
            (channel.rdma.cm.create_id)(channel.channel.as_ptr(), &raw mut id, context, RDMA_PS_TCP)
        };
        match NonNull::new(id) {
            Some(id) if done == 0 => Ok(Self { channel: Rc::clone(channel), id }),
            _ => Err(VerbsError::last("rdma_create_id", "this machine", "")),
        }
    }

    fn raw(&self) -> *mut rdma_cm_id {
        self.id.as_ptr()
    }

    /// From now on its events carry `place`.
    pub(crate) fn set_place(&mut self, place: usize) {
        // SAFETY: ours; the library only copies the field into events' consumers.
        unsafe { (*self.raw()).context = ptr::without_provenance_mut(place) };
    }

    /// Set a flag of an identifier that is not bound yet.
    fn set_flag(&self, option: c_int, on: bool, at: SocketAddr) -> Result<(), VerbsError> {
        let mut value = c_int::from(on);
        // SAFETY: ours, and an option whose value is an `int`.
        let done = unsafe {
            (self.channel.rdma.cm.set_option)(
                self.raw(),
                RDMA_OPTION_ID,
                option,
                (&raw mut value).cast::<c_void>(),
                size_of::<c_int>(),
            )
        };
        check("rdma_set_option", at, done)
    }

    /// Bind to an address of this machine; with it goes a device, unless the address is unspecified.
    pub(crate) fn bind(&self, at: SocketAddr) -> Result<(), VerbsError> {
        let address = SockAddr::from(at);
        // SAFETY: ours, and an address that the library copies.
        let done =
            unsafe { (self.channel.rdma.cm.bind_addr)(self.raw(), address.as_ptr().cast_mut().cast()) };
        check("bind", at, done)
    }

    /// Listen at `at`.
    pub(crate) fn listen(
        &self,
        at: SocketAddr,
        backlog: u32,
        reuse: bool,
        only_v6: Option<bool>,
    ) -> Result<(), VerbsError> {
        self.set_flag(RDMA_OPTION_ID_REUSEADDR, reuse, at)?;
        if let Some(only) = only_v6.filter(|_| at.is_ipv6()) {
            self.set_flag(RDMA_OPTION_ID_AFONLY, only, at)?;
        }
        self.bind(at)?;
        // SAFETY: ours, bound.
        let done = unsafe {
            (self.channel.rdma.cm.listen)(self.raw(), c_int::try_from(backlog).unwrap_or(c_int::MAX))
        };
        check("listen", at, done)
    }

    /// Begin to find the device and the hardware address for `to`: [`Kind::AddressResolved`] or a failure follows.
    pub(crate) fn resolve(&self, to: SocketAddr, most: Duration) -> Result<(), VerbsError> {
        let address = SockAddr::from(to);
        // SAFETY: ours, bound already (a source is not passed), and an address that the library copies.
        let done = unsafe {
            let to = address.as_ptr().cast_mut().cast();
            (self.channel.rdma.cm.resolve_addr)(self.raw(), ptr::null_mut(), to, milliseconds(most))
        };
        check("resolve", to, done)
    }

    /// Begin to find the path: [`Kind::RouteResolved`] or a failure follows.
    pub(crate) fn resolve_route(&self, to: SocketAddr, most: Duration) -> Result<(), VerbsError> {
        // SAFETY: ours, its address resolved.
        let done = unsafe { (self.channel.rdma.cm.resolve_route)(self.raw(), milliseconds(most)) };
        check("route to", to, done)
    }

    /// Ask the peer for a connection: [`Kind::Response`] or a failure follows.
    pub(crate) fn connect(&self, to: SocketAddr, terms: &Terms, data: &[u8]) -> Result<(), VerbsError> {
        let mut param = terms.param(data);
        // SAFETY: ours, its route resolved; the library copies the data.
        let done = unsafe { (self.channel.rdma.cm.connect)(self.raw(), &raw mut param) };
        check("connect to", to, done)
    }

    /// Tell the peer that our queue pair is ready, after its response.
    pub(crate) fn establish(&self, peer: SocketAddr) -> Result<(), VerbsError> {
        // SAFETY: ours, with a response.
        let done = unsafe { (self.channel.rdma.cm.establish)(self.raw()) };
        check("connect to", peer, done)
    }

    /// Accept a request: [`Kind::Established`] follows when the peer is ready.
    pub(crate) fn accept(&self, peer: SocketAddr, terms: &Terms, data: &[u8]) -> Result<(), VerbsError> {
        let mut param = terms.param(data);
        // SAFETY: ours, with a request; the library copies the data.
        let done = unsafe { (self.channel.rdma.cm.accept)(self.raw(), &raw mut param) };
        check("accept", peer, done)
    }

    /// Reject a request and say why.
    pub(crate) fn reject(&self, data: &[u8]) {
        // SAFETY: ours, with a request; the library copies the data. A peer that is gone meanwhile needs no answer.
        let _ = unsafe { (self.channel.rdma.cm.reject)(self.raw(), data.as_ptr().cast(), data.len() as u8) };
    }

    /// A message has come from the peer that we accepted: it is ready, even if its word for it was lost on the way. Without this
    /// the manager goes on to ask, and can tell nobody of a disconnect.
    pub(crate) fn heard(&self) {
        // SAFETY: ours; on one that is established, or was never accepted, it is an error without consequence.
        let _ = unsafe { (self.channel.rdma.cm.notify)(self.raw(), IBV_EVENT_COMM_EST) };
    }

    /// Tell the peer that the connection is over; it gets [`Kind::Disconnected`], and so do we, as soon as it has answered. `false`
    /// where there is nothing to be told.
    ///
    /// What is told is a datagram, and goes out again until it is answered, but only as long as the identifier lives
    /// ([`Departing`]).
    pub(crate) fn disconnect(&self) -> bool {
        // SAFETY: ours; on one that is not connected it is an error without consequence.
        unsafe { (self.channel.rdma.cm.disconnect)(self.raw()) == 0 }
    }

    /// What a queue pair needs for `state`, as both ends agreed.
    pub(crate) fn attr_for(
        &self,
        state: c_int,
        peer: SocketAddr,
    ) -> Result<(ibv_qp_attr, c_int), VerbsError> {
        // SAFETY: numbers, all valid as zeroes.
        let mut attr: ibv_qp_attr = unsafe { mem::zeroed() };
        attr.qp_state = state;
        let mut mask = 0;
        // SAFETY: ours, and room for the answers.
        let done = unsafe { (self.channel.rdma.cm.init_qp_attr)(self.raw(), &raw mut attr, &raw mut mask) };
        check("rdma_init_qp_attr", peer, done)?;
        Ok((attr, mask))
    }

    /// The name of the device it is bound to, if it is.
    pub(crate) fn device(&self) -> Option<String> {
        // SAFETY: ours; the device of a context is alive while that is, and its name is text.
        unsafe {
            let verbs = (*self.raw()).verbs;
            if verbs.is_null() {
                return None;
            }
            Some(text_of((self.channel.rdma.verbs.get_device_name)((*verbs).device)))
        }
    }

    /// This end's address.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        // SAFETY: ours; the addresses are written by the library's calls only.
        address(unsafe { (*self.raw()).route.addr.src })
    }

    /// The other end's.
    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        // SAFETY: as above.
        address(unsafe { (*self.raw()).route.addr.dst })
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        // SAFETY: ours, and no event of it is unacknowledged (they are at once). A listener's requests that nobody took are rejected
        // by the kernel.
        unsafe { (self.channel.rdma.cm.destroy_id)(self.raw()) };
    }
}

fn check(verb: &'static str, at: SocketAddr, done: c_int) -> Result<(), VerbsError> {
    if done == 0 { Ok(()) } else { Err(VerbsError::last(verb, at, "")) }
}

fn milliseconds(most: Duration) -> c_int {
    c_int::try_from(most.as_millis()).unwrap_or(c_int::MAX).max(1)
}

fn address(raw: rdma_sockaddr) -> io::Result<SocketAddr> {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: the library zeroes the union before it writes an address, so all of it is initialised; both are `sockaddr_storage`.
    let address = unsafe {
        *storage.view_as::<libc::sockaddr_storage>() = raw.storage;
        SockAddr::new(storage, size_of::<libc::sockaddr_storage>() as libc::socklen_t)
    };
    address
        .as_socket()
        .ok_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, "not bound to an address yet"))
}

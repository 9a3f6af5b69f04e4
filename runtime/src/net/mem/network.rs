//! A network: which addresses are taken, and by whom.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    rc::{Rc, Weak},
};

use hemi_queue::{
    Result,
    transport::{Endpoint, SocketOptions},
};

use super::{acceptor::MemAcceptor, datagram::MemDatagram, os_error};

/// The first and the last port that port 0 chooses (RFC 6335, section 6: dynamic ports).
const DYNAMIC: (u16, u16) = (49152, 65535);

pub(super) struct Network {
    pub(super) streams: Table<MemAcceptor>,
    pub(super) datagrams: Table<MemDatagram>,
    next_port: Cell<u16>,
    next_name: Cell<u64>,
}

/// The network called `name` on this thread; the empty name is a new one.
pub(super) fn find(name: &str) -> Rc<Network> {
    thread_local!(static NAMED: RefCell<HashMap<String, Weak<Network>>> = RefCell::default());
    if name.is_empty() {
        return Rc::new(Network::new());
    }
    NAMED.with_borrow_mut(|named| {
        named.retain(|_, network| network.strong_count() > 0);
        if let Some(network) = named.get(name).and_then(Weak::upgrade) {
            return network;
        }
        let network = Rc::new(Network::new());
        named.insert(name.to_owned(), Rc::downgrade(&network));
        network
    })
}

impl Network {
    fn new() -> Self {
        Self {
            streams: Table::default(),
            datagrams: Table::default(),
            next_port: Cell::new(DYNAMIC.0),
            next_name: Cell::new(0),
        }
    }

    /// A port that no socket of the table has at `ip`.
    pub(super) fn free_port<S>(&self, table: &Table<S>, ip: IpAddr) -> Result<SocketAddr> {
        for _ in DYNAMIC.0..=DYNAMIC.1 {
            let port = self.next_port.get();
            self.next_port.set(if port == DYNAMIC.1 { DYNAMIC.0 } else { port + 1 });
            let at = SocketAddr::new(ip, port);
            if table.find(&Endpoint::Ip(at)).is_none() {
                return Ok(at);
            }
        }
        Err(os_error("bind", &Endpoint::Ip(SocketAddr::new(ip, 0)), libc::EADDRINUSE))
    }

    /// A name that was not given before.
    pub(super) fn fresh_name(&self, base: &str) -> String {
        self.next_name.set(self.next_name.get() + 1);
        format!("{base}#{}", self.next_name.get())
    }

    /// The address that binding to `at` gives: port 0 and the empty name choose one.
    pub(super) fn resolve<S>(&self, table: &Table<S>, at: &Endpoint) -> Result<Endpoint> {
        Ok(match at {
            Endpoint::Ip(a) if a.port() == 0 => self.free_port(table, a.ip())?.into(),
            Endpoint::Name(n) if n.is_empty() => Endpoint::Name(self.fresh_name("")),
            at => at.clone(),
        })
    }
}

/// Sockets by address. Several may share one when all of them asked for it (`reuse_port`).
pub(super) struct Table<S> {
    bound: RefCell<HashMap<Endpoint, Bound<S>>>,
}

struct Bound<S> {
    shared: bool,
    /// Whose turn it is.
    next: Cell<usize>,
    sockets: Vec<Weak<S>>,
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Self { bound: RefCell::default() }
    }
}

impl<S> Table<S> {
    pub(super) fn insert(&self, at: &Endpoint, socket: &Rc<S>, options: &SocketOptions) -> Result<()> {
        let mut table = self.bound.borrow_mut();
        let bound = table.entry(at.clone()).or_insert_with(|| Bound {
            shared: options.reuse_port,
            next: Cell::new(0),
            sockets: Vec::new(),
        });
        bound.sockets.retain(|s| s.strong_count() > 0);
        if bound.sockets.is_empty() {
            bound.shared = options.reuse_port;
        } else if !(bound.shared && options.reuse_port) {
            return Err(os_error("bind", at, libc::EADDRINUSE));
        }
        bound.sockets.push(Rc::downgrade(socket));
        Ok(())
    }

    pub(super) fn remove(&self, at: &Endpoint, socket: *const S) {
        let mut table = self.bound.borrow_mut();
        let Some(bound) = table.get_mut(at) else { return };
        bound.sockets.retain(|s| !std::ptr::eq(s.as_ptr(), socket));
        if bound.sockets.is_empty() {
            table.remove(at);
        }
    }

    /// The socket that is reached at `to`: bound to it, or to its port on every address.
    pub(super) fn find(&self, to: &Endpoint) -> Option<Rc<S>> {
        let table = self.bound.borrow();
        let any = |to: &SocketAddr| {
            let v4 = SocketAddr::new(IpAddr::from([0; 4]), to.port());
            let v6 = SocketAddr::new(IpAddr::from([0; 16]), to.port());
            let all = if to.is_ipv4() { [v4, v6] } else { [v6, v6] }; // [::] takes IPv4 as well
            all.into_iter().find_map(|a| table.get(&Endpoint::Ip(a)))
        };
        let bound = table.get(to).or_else(|| to.ip().as_ref().and_then(any))?;
        let live: Vec<_> = bound.sockets.iter().filter_map(Weak::upgrade).collect();
        let turn = bound.next.get();
        bound.next.set(turn.wrapping_add(1));
        live.get(turn % live.len().max(1)).map(Rc::clone)
    }
}

/// The address of an unnamed end that talks to `to`.
pub(super) fn unnamed(network: &Network, host: IpAddr, to: &Endpoint) -> Result<Endpoint> {
    Ok(match to {
        Endpoint::Ip(a) if a.is_ipv6() && host.is_ipv4() => {
            network.free_port(&network.streams, IpAddr::from(std::net::Ipv6Addr::LOCALHOST))?.into()
        }
        Endpoint::Ip(_) => network.free_port(&network.streams, host)?.into(),
        Endpoint::Name(n) => Endpoint::Name(network.fresh_name(n)),
        _ => Endpoint::Unix(PathBuf::new()),
    })
}

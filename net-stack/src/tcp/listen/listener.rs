//! Listeners, and which one a SYN is for.

use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
};

use crate::{
    tcp::{ConnId, TcpOptionsConfig, fast_open::Pending},
    util::slab::Slab,
};

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) at: SocketAddr,
    pub(crate) only_v6: bool,
    pub(crate) backlog: usize,
    pub(crate) options: TcpOptionsConfig,
    /// Established, not yet accepted.
    pub(crate) ready: VecDeque<ConnId>,
    pub(crate) signalled: bool,
    /// Places for connections that their SYN opens.
    pub(crate) fast_open: Pending,
}

impl Listener {
    fn takes(&self, local: IpAddr) -> bool {
        let ip = self.at.ip();
        ip == local
            || (ip.is_unspecified() && (ip.is_ipv4() == local.is_ipv4() || (ip.is_ipv6() && !self.only_v6)))
    }
}

/// All listeners.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    pub(crate) slab: Slab<Listener>,
    by_port: BTreeMap<u16, Vec<u32>>,
    /// Where a SYN was last sent to, and the listener there.
    last: Cell<Option<(IpAddr, u16, u32)>>,
}

impl Listeners {
    /// Add one; the port is chosen and free.
    pub(crate) fn insert(&mut self, listener: Listener) -> (u32, u32) {
        self.last.set(None);
        let port = listener.at.port();
        let name = self.slab.insert(listener);
        self.by_port.entry(port).or_default().push(name.0);
        name
    }

    /// Whether another listener may not have this address.
    pub(crate) fn conflicts(&self, at: SocketAddr) -> bool {
        self.by_port.get(&at.port()).into_iter().flatten().filter_map(|slot| self.slab.get(*slot)).any(|l| {
            let (a, b) = (l.at.ip(), at.ip());
            a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
        })
    }

    pub(crate) fn has_port(&self, port: u16) -> bool {
        self.by_port.contains_key(&port)
    }

    /// The listener for a SYN to `local:port`: one bound to the address before one bound to all.
    #[inline]
    pub(crate) fn find(&self, local: IpAddr, port: u16) -> Option<u32> {
        match self.last.get() {
            Some((to, at, slot)) if at == port && to == local => Some(slot),
            _ => self.search(local, port),
        }
    }

    #[cold]
    #[inline(never)]
    fn search(&self, local: IpAddr, port: u16) -> Option<u32> {
        let candidates = self.by_port.get(&port)?;
        let takes = |slot: &&u32| self.slab.get(**slot).is_some_and(|l| l.takes(local));
        let slot = *candidates
            .iter()
            .filter(takes)
            .max_by_key(|slot| self.slab.get(**slot).is_some_and(|l| !l.at.ip().is_unspecified()))?;
        self.last.set(Some((local, port, slot)));
        Some(slot)
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Listener> {
        self.last.set(None);
        let listener = self.slab.remove(slot)?;
        let port = listener.at.port();
        if let Some(list) = self.by_port.get_mut(&port) {
            list.retain(|s| *s != slot);
            if list.is_empty() {
                self.by_port.remove(&port);
            }
        }
        Some(listener)
    }
}

//! [`Port`]: a DPDK port, configured and started by the first core that opens it, and shared by all that have its queues.

use std::{
    collections::BTreeMap,
    ffi::CString,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use dpdk_sys as sys;
use hemi_net::wire::MacAddr;
use hemi_queue::{Result, SendBuf};

use crate::{
    eal::{self, refused},
    exposure::Reach,
    filters::Interface,
    mempool::Mempool,
    rss::Scaling,
    setup,
};

/// What IPv4 can live with (RFC 791).
pub(crate) const LEAST_MTU: u16 = 68;

/// A port that is started. Stopped and closed with its last queue.
#[derive(Debug)]
pub(crate) struct Port {
    /// `None` only while this is dropped.
    pub(crate) open: Option<Open>,
    pub(crate) id: u16,
    pub(crate) name: String,
    pub(crate) mac: MacAddr,
    pub(crate) offers: Offers,
    /// Of its queue pairs those that nobody has taken.
    pub(crate) queues: Mutex<Vec<Option<Queue>>>,
    /// What it was opened as.
    pub(crate) asked: Asked,
    /// Queues that have been taken, and of those the ones that wait for a link without touching the driver.
    pub(crate) taken: AtomicU32,
    pub(crate) waiting: AtomicU32,
    /// What the driver has mbufs of, whoever uses the queues.
    pub(crate) pools: Mutex<Vec<Arc<Mempool>>>,
    /// Buffers that the driver may still read: released when it is closed.
    pub(crate) leftovers: Mutex<Vec<SendBuf>>,
}

/// How a port is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The driver's arguments.
    pub(crate) arguments: String,
    pub(crate) queues: u16,
    pub(crate) mac: Option<MacAddr>,
    pub(crate) mtu: Option<u16>,
    /// The process on the other side may have our memory.
    pub(crate) trusted: bool,
    /// Offloads may be used.
    pub(crate) offload: bool,
}

/// What a port does for us.
#[derive(Clone, Debug)]
pub(crate) struct Offers {
    pub(crate) mtu: u16,
    /// The port finishes the checksums of TCP and UDP.
    pub(crate) tx_checksum: bool,
    /// The port verifies them, or vouches for the data.
    pub(crate) rx_checksum: bool,
    /// It cuts TCP segments.
    pub(crate) tso: bool,
    /// It joins TCP segments.
    pub(crate) lro: bool,
    /// It sends packets in several pieces, and this many at most.
    pub(crate) chains: bool,
    pub(crate) most_pieces: u16,
    /// Which memory it sends from.
    pub(crate) reach: Reach,
    /// It is AF_XDP on this interface, by one queue.
    pub(crate) af_xdp: Option<Interface>,
    /// It is a memif, whose rings the two sides agree upon only when they are joined.
    pub(crate) memif: bool,
    /// It is a memif client, which calls its server once, and again only when it is told to.
    pub(crate) calls_once: bool,
    /// Its receive-side scaling.
    pub(crate) scaling: Scaling,
    /// Received mbufs that stay with the driver.
    pub(crate) keep: usize,
}

/// What a queue pair needs besides the port.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) index: u16,
    /// What the driver receives into.
    pub(crate) received: Arc<Mempool>,
    /// What is sent from.
    pub(crate) heads: Arc<Mempool>,
    /// Mbufs without memory, for chains.
    pub(crate) carriers: Option<Arc<Mempool>>,
}

/// The ports of this process, by their names (without arguments: a driver has one port of a name). One that is nobody's any more stays
/// until it is closed. Locked before the control path.
static PORTS: Mutex<BTreeMap<String, Weak<Port>>> = Mutex::new(BTreeMap::new());

impl Port {
    /// The port `name`, asked for like this: the one that this process has open, or a new one.
    pub(crate) fn of(name: &str, asked: Asked) -> Result<Arc<Self>> {
        let shown =
            if asked.arguments.is_empty() { name.to_owned() } else { format!("{name},{}", asked.arguments) };
        let mut ports = loop {
            let ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(weak) = ports.get(name) else { break ports };
            let there = weak.upgrade();
            drop(ports); // what is dropped below may be the last of its port, which takes the lock
            match there {
                Some(there) if there.asked == asked => return Ok(there),
                Some(_) => {
                    let target = format!("{shown} again, otherwise");
                    return Err(refused("open", target, libc::EBUSY, String::new()));
                }
                None => std::thread::yield_now(), // it is being closed
            }
        };
        let (port, log) = eal::control(|| setup::start(name, asked));
        let port = Arc::new(port.map_err(|failed| refused(failed.what, shown, failed.code, log))?);
        ports.insert(name.to_owned(), Arc::downgrade(&port));
        Ok(port)
    }

    /// Queue pair `index`, for the only one who may use it.
    pub(crate) fn take(&self, index: usize) -> Result<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.get_mut(index).and_then(Option::take).ok_or_else(|| {
            let target = format!("queue {index} of {}, which is open already", self.name);
            refused("open", target, libc::EBUSY, String::new())
        })?;
        self.taken.fetch_add(1, Ordering::AcqRel);
        Ok(queue)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // Who opens it again meanwhile waits until nothing of it is left.
        let mut ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        let ((), log) = eal::control(|| {
            self.open = None;
            self.queues.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
            self.pools.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        });
        self.leftovers.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        if !log.trim().is_empty() {
            tracing::debug!("{}: closed: {log}", self.name);
        }
        ports.remove(&self.name);
    }
}

/// A port that was found or made. Dropped (on the control path), it is closed, and a virtual one unmade.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) id: u16,
    pub(crate) bus: CString,
    pub(crate) name: CString,
}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: the port is nobody else's; stopping one that was not started is an error that changes nothing.
        unsafe {
            sys::rte_eth_dev_stop(self.id);
            sys::rte_eth_dev_close(self.id);
            sys::rte_eal_hotplug_remove(self.bus.as_ptr(), self.name.as_ptr());
        }
    }
}

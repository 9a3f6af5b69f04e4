//! [`Port`]: a DPDK port, configured and started by the first core that opens it, and shared by all that have its queues.

use std::{
    collections::BTreeMap,
    ffi::CString,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use dpdk_sys as sys;
use hemi_net::wire::MacAddr;
use hemi_queue::Result;

use crate::eal::{self, refused};

/// Descriptors per queue, where the port allows it.
const DESCRIPTORS: u16 = 1024;
/// Bytes before the data in an mbuf (RTE_PKTMBUF_HEADROOM), and around a packet in its frame.
const HEADROOM: usize = 128;
const AROUND: usize = 18;

/// A port that is started. Stopped and closed with its last queue.
#[derive(Debug)]
pub(crate) struct Port {
    /// `None` only while this is dropped.
    open: Option<Open>,
    pub(crate) id: u16,
    pub(crate) name: String,
    /// The mbufs, for both ways.
    pub(crate) mbufs: Mbufs,
    pub(crate) mac: MacAddr,
    pub(crate) mtu: u16,
    /// The port finishes the checksums of TCP and UDP.
    pub(crate) tx_checksum: bool,
    /// The port verifies them, or vouches for the data.
    pub(crate) rx_checksum: bool,
    queues: u16,
    asked: Asked,
}

/// How a port was asked for: the driver's arguments, the address, the MTU.
type Asked = (String, Option<MacAddr>, Option<u16>);

/// An mbuf pool.
#[derive(Debug)]
pub(crate) struct Mbufs(pub(crate) *mut sys::rte_mempool, u32);

// SAFETY: a DPDK mempool is made for several threads.
unsafe impl Send for Mbufs {}
// SAFETY: as above.
unsafe impl Sync for Mbufs {}

impl Mbufs {
    /// Give the memory back, once; its port is closed.
    fn free(&mut self) {
        let pool = std::mem::replace(&mut self.0, std::ptr::null_mut());
        if pool.is_null() {
            return;
        }
        // SAFETY: the pool was made by `Port::start`, whose port is closed. Buffers that a driver still has keep it from being freed.
        unsafe {
            if sys::rte_mempool_avail_count(pool) == self.1 {
                sys::rte_mempool_free(pool);
            } else {
                tracing::warn!("a DPDK driver kept buffers: their pool stays");
            }
        }
    }
}

impl Drop for Mbufs {
    fn drop(&mut self) {
        self.free();
    }
}

/// The ports of this process, by their names (without arguments: a driver has one port of a name). One that is nobody's any more stays
/// until it is closed. Locked before the control path.
static PORTS: Mutex<BTreeMap<String, Weak<Port>>> = Mutex::new(BTreeMap::new());

impl Port {
    /// The port `device` with `queues` queue pairs: the one that this process has open, or a new one.
    pub(crate) fn of(device: &str, queues: u16, mac: Option<MacAddr>, mtu: Option<u16>) -> Result<Arc<Self>> {
        let (name, arguments) = device.split_once(',').unwrap_or((device, ""));
        let asked = (arguments.to_owned(), mac, mtu);
        let mut ports = loop {
            let ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(weak) = ports.get(name) else { break ports };
            let there = weak.upgrade();
            drop(ports); // what is dropped below may be the last of its port, which takes the lock
            match there {
                Some(there) if there.queues == queues && there.asked == asked => return Ok(there),
                Some(_) => {
                    let target = format!("{device} again, otherwise");
                    return Err(refused("open", target, libc::EBUSY, String::new()));
                }
                None => std::thread::yield_now(), // it is being closed
            }
        };
        let (port, log) = eal::control(|| Self::start(name, queues, asked));
        let port = Arc::new(port.map_err(|(what, code)| refused(what, device, code, log))?);
        ports.insert(name.to_owned(), Arc::downgrade(&port));
        Ok(port)
    }

    /// Called on the control path, for a port that nobody in `PORTS` has.
    fn start(name: &str, queues: u16, asked: Asked) -> Result<Self, (&'static str, i32)> {
        let (ref arguments, mac, mtu) = asked;
        let check = |what, code: i32| if code < 0 { Err((what, code)) } else { Ok(()) };
        let text = |s: &str| CString::new(s).unwrap_or_default();
        let (bus, name_c, arguments_c) =
            (if eal::is_virtual(name) { c"vdev" } else { c"pci" }, text(name), text(arguments));
        let mut id = u16::MAX;
        let mbufs; // declared before what closes the port, so that they go after it when a step fails
        // SAFETY: the texts live for the calls; `id` is a local.
        unsafe {
            let known = sys::rte_eth_dev_get_port_by_name(name_c.as_ptr(), &raw mut id) == 0;
            if !known {
                check("find", sys::rte_eal_hotplug_add(bus.as_ptr(), name_c.as_ptr(), arguments_c.as_ptr()))?;
                check("find a port of", sys::rte_eth_dev_get_port_by_name(name_c.as_ptr(), &raw mut id))?;
            }
        }
        let open = Open { id, bus: bus.to_owned(), name: name_c };

        let mut info = sys::rte_eth_dev_info::default();
        // SAFETY: `info` is a local of the right type.
        check("ask about", unsafe { sys::rte_eth_dev_info_get(id, &raw mut info) })?;
        if queues > info.max_rx_queues || queues > info.max_tx_queues {
            return Err(("have so many queues of", libc::ENOTSUP));
        }
        let mut config = sys::rte_eth_conf::default();
        // SAFETY: no arguments.
        let (tx_checksums, rx_checksums, rss) = unsafe {
            (sys::hemi_dpdk_tx_checksums(), sys::hemi_dpdk_rx_checksums(), sys::hemi_dpdk_rss_types())
        };
        let tx_checksum = info.tx_offload_capa & tx_checksums == tx_checksums;
        let rx_checksum = info.rx_offload_capa & rx_checksums == rx_checksums;
        config.txmode.offloads = if tx_checksum { tx_checksums } else { 0 };
        config.rxmode.offloads = if rx_checksum { rx_checksums } else { 0 };
        if queues > 1 {
            if info.flow_type_rss_offloads & rss == 0 {
                return Err((
                    "spread flows over the queues (no RSS; use one core, or steer in software) of",
                    libc::ENOTSUP,
                ));
            }
            config.rxmode.mq_mode = sys::RTE_ETH_MQ_RX_RSS;
            config.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & rss;
        }
        if let Some(mtu) = mtu {
            config.rxmode.mtu = u32::from(mtu);
        }
        // SAFETY: the configuration is a local.
        check("configure", unsafe { sys::rte_eth_dev_configure(id, queues, queues, &raw const config) })?;

        let mut real_mtu = 1500;
        // SAFETY: a local. A driver without the call leaves it as it is.
        unsafe { sys::rte_eth_dev_get_mtu(id, &raw mut real_mtu) };
        let mtu = mtu.unwrap_or(real_mtu);
        let (mut rx, mut tx) = (DESCRIPTORS, DESCRIPTORS);
        // SAFETY: locals.
        check("ask for descriptors of", unsafe {
            sys::rte_eth_dev_adjust_nb_rx_tx_desc(id, &raw mut rx, &raw mut tx)
        })?;
        let count = u32::from(queues) * (u32::from(rx) + u32::from(tx)) + 1024;
        let room = (HEADROOM + AROUND + usize::from(mtu)).max(HEADROOM + 2048).min(usize::from(u16::MAX));
        let pool_name = text(&format!("hemi_{id}_{}", std::process::id()));
        // SAFETY: the name lives for the call. -1: memory of any socket.
        let pool = unsafe { sys::rte_pktmbuf_pool_create(pool_name.as_ptr(), count, 0, 0, room as u16, -1) };
        if pool.is_null() {
            // SAFETY: no arguments.
            return Err(("allocate buffers for", unsafe { sys::hemi_dpdk_errno() }));
        }
        mbufs = Mbufs(pool, count);
        for queue in 0..queues {
            // SAFETY: the pool was made above and outlives the port; no configuration: the driver's default.
            unsafe {
                let null = std::ptr::null();
                check("set up receive queues of", sys::rte_eth_rx_queue_setup(id, queue, rx, 0, null, pool))?;
                let null = std::ptr::null();
                check("set up transmit queues of", sys::rte_eth_tx_queue_setup(id, queue, tx, 0, null))?;
            }
        }
        let mut own = sys::rte_ether_addr::default();
        // SAFETY: numbers and locals.
        unsafe {
            check("start", sys::rte_eth_dev_start(id))?;
            check("ask for the address of", sys::rte_eth_macaddr_get(id, &raw mut own))?;
            // Groups, for ARP and neighbour discovery. What a driver has no filter for comes anyway.
            sys::rte_eth_allmulticast_enable(id);
            if mac.is_some_and(|mac| mac.0 != own.addr_bytes) {
                sys::rte_eth_promiscuous_enable(id);
            }
        }
        Ok(Self {
            open: Some(open),
            id,
            name: name.to_owned(),
            mbufs,
            mac: mac.unwrap_or(MacAddr(own.addr_bytes)),
            mtu,
            tx_checksum,
            rx_checksum,
            queues,
            asked,
        })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // Who opens it again meanwhile waits until nothing of it is left.
        let mut ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        let ((), log) = eal::control(|| {
            self.open = None;
            self.mbufs.free();
        });
        if !log.trim().is_empty() {
            tracing::debug!("{}: closed: {log}", self.name);
        }
        ports.remove(&self.name);
    }
}

/// A port that was found or made. Dropped (on the control path), it is closed, and a virtual one unmade.
#[derive(Debug)]
struct Open {
    id: u16,
    bus: CString,
    name: CString,
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

//! The steps from a port's name to a port that runs.

use std::{
    ffi::{CStr, CString},
    sync::{Arc, Mutex, atomic::AtomicU32},
    time::Duration,
};

use dpdk_sys as sys;
use hemi_net::wire::MacAddr;

use crate::{
    eal,
    exposure::{self, Private, Reach, Traits},
    filters::Interface,
    mempool::{HEADROOM, Mempool},
    port::{Asked, LEAST_MTU, Offers, Open, Port, Queue},
    rss::Scaling,
    stale,
    tx::MOST_PIECES,
};

/// Descriptors per queue, where the port allows it.
const DESCRIPTORS: u16 = 1024;
/// Bytes around a packet in its frame.
const AROUND: usize = 18;
/// Mbufs beyond those that the driver holds: in its hands, and in the core's cache.
const SPARE: usize = 768;
/// Mbufs in af_xdp's fill ring and in its completion ring.
const AF_XDP_RINGS: usize = 2048 + 2048;
/// Received packets that the application may hold in their mbufs, per queue, and bytes of those mbufs; what comes then is copied.
const HELD: (usize, usize) = (2048, 16 << 20);
/// The most bytes of an mbuf's buffer: whole cache lines that a `u16` counts.
const LARGEST_ROOM: usize = u16::MAX as usize / 64 * 64;
/// Pieces of payload that may be with the driver, per queue.
const CARRIERS: u32 = 2048;

/// A step that did not succeed: what it was, and an errno.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) what: &'static str,
    pub(crate) code: i32,
}

fn failed(what: &'static str, code: i32) -> Failed {
    Failed { what, code }
}

fn check(what: &'static str, code: i32) -> Result<(), Failed> {
    if code < 0 { Err(failed(what, code)) } else { Ok(()) }
}

fn text(s: &str) -> CString {
    CString::new(s).unwrap_or_default()
}

/// Called on the control path, for a port that this process does not have open.
pub(crate) fn start(name: &str, asked: Asked) -> Result<Port, Failed> {
    let (mut queues, mut pools) = (Vec::new(), Vec::new()); // declared before what closes the port, so that they go after it when a step fails
    // A virtio_user hands the memory over while it is made.
    guard(exposure::is_told_to(name, &asked.arguments), &asked)?;
    let open = find(name, &asked.arguments)?;
    let id = open.id;
    let mut info = sys::rte_eth_dev_info::default();
    // SAFETY: `info` is a local of the right type.
    check("ask about", unsafe { sys::rte_eth_dev_info_get(id, &raw mut info) })?;
    if asked.queues > info.max_rx_queues || asked.queues > info.max_tx_queues {
        return Err(failed("have so many queues of", libc::ENOTSUP));
    }
    // SAFETY: a driver's name is a static text.
    let driver = unsafe { CStr::from_ptr(info.driver_name) }.to_string_lossy();
    let traits = Traits::of(&driver, &asked.arguments);
    guard(traits.exposes, &asked)?;
    let (config, mut offers) = configuration(&info, traits, &asked);
    offers.memif = driver == "net_memif";
    if driver == "net_af_xdp" && asked.queues == 1 {
        offers.af_xdp = Interface::of(&asked.arguments);
    }
    offers.calls_once = offers.memif && !asked.arguments.contains("role=server");
    // SAFETY: the configuration is a local.
    check("configure", unsafe {
        sys::rte_eth_dev_configure(id, asked.queues, asked.queues, &raw const config)
    })?;

    let mut mtu = 1500;
    // SAFETY: a local. A driver without the call leaves it as it is.
    unsafe { sys::rte_eth_dev_get_mtu(id, &raw mut mtu) };
    offers.mtu = asked.mtu.unwrap_or(mtu);
    if offers.mtu < LEAST_MTU {
        return Err(failed("use an MTU below 68 (say mtu=) with", libc::EINVAL));
    }
    let (mut rx, mut tx) = (DESCRIPTORS, DESCRIPTORS);
    // SAFETY: locals.
    check("ask for descriptors of", unsafe {
        sys::rte_eth_dev_adjust_nb_rx_tx_desc(id, &raw mut rx, &raw mut tx)
    })?;
    // Where the CPU copies into an mbuf, most drivers need none before there is something to copy.
    let posted = |descriptors: u16| if traits.reach == Reach::Any { 0 } else { usize::from(descriptors) };
    offers.keep = SPARE
        + match &*driver {
            "net_tap" => usize::from(rx), // one behind each of its io vectors
            "net_af_xdp" => AF_XDP_RINGS, // however many descriptors
            _ => posted(rx),
        };
    let what = "use frames (framesz=) but such as are given once, and as a number of at most 65344, with";
    let frame = largest_frame(&driver, &asked.arguments)
        .ok_or_else(|| failed(what, libc::EINVAL))?
        .max(usize::from(offers.mtu) + AROUND);
    for index in 0..asked.queues {
        let queue = memory(index, frame, posted(tx) + SPARE, &offers)
            .map_err(|code| failed("allocate buffers for", code))?;
        pools.extend([Arc::clone(&queue.received), Arc::clone(&queue.heads)]);
        pools.extend(queue.carriers.clone());
        // SAFETY: the pools outlive the port; no configuration: the driver's default.
        unsafe {
            let null = std::ptr::null();
            let pool = queue.received.raw();
            check("set up receive queues of", sys::rte_eth_rx_queue_setup(id, index, rx, 0, null, pool))?;
            let null = std::ptr::null();
            check("set up transmit queues of", sys::rte_eth_tx_queue_setup(id, index, tx, 0, null))?;
        }
        queues.push(Some(queue));
    }
    let mac = run(id, asked.mac)?;
    if offers.calls_once {
        await_link(id);
    }
    Ok(Port {
        open: Some(open),
        id,
        name: name.to_owned(),
        mac,
        offers,
        queues: Mutex::new(queues),
        asked,
        taken: AtomicU32::new(0),
        waiting: AtomicU32::new(0),
        pools: Mutex::new(pools),
        leftovers: Mutex::default(),
    })
}

/// Refuse a port that `exposes` data which others hand up; otherwise nobody hands up any from now on.
fn guard(exposes: bool, asked: &Asked) -> Result<(), Failed> {
    if exposes && !asked.trusted && !exposure::expose() {
        let what = "give all of EAL's memory, in which other ports hand data up, to the other side of (open it first, or say peer=trusted)";
        return Err(failed(what, libc::EPERM));
    }
    Ok(())
}

fn find(name: &str, text_arguments: &str) -> Result<Open, Failed> {
    let bus = if eal::is_virtual(name) { c"vdev" } else { c"pci" };
    let (name_c, arguments) = (text(name), text(text_arguments));
    let mut id = u16::MAX;
    // SAFETY: the texts live for the calls; `id` is a local.
    unsafe {
        let known = sys::rte_eth_dev_get_port_by_name(name_c.as_ptr(), &raw mut id) == 0;
        if !known {
            stale::remove_socket(name, text_arguments);
            check("find", sys::rte_eal_hotplug_add(bus.as_ptr(), name_c.as_ptr(), arguments.as_ptr()))?;
            let found = sys::rte_eth_dev_get_port_by_name(name_c.as_ptr(), &raw mut id);
            if found < 0 {
                sys::rte_eal_hotplug_remove(bus.as_ptr(), name_c.as_ptr());
            }
            check("find a port of", found)?;
        }
    }
    Ok(Open { id, bus: bus.to_owned(), name: name_c })
}

/// What is asked of the port, of what it offers.
fn configuration(info: &sys::rte_eth_dev_info, traits: Traits, asked: &Asked) -> (sys::rte_eth_conf, Offers) {
    let mut config = sys::rte_eth_conf::default();
    let (tx_capable, rx_capable) =
        if asked.offload { (info.tx_offload_capa, info.rx_offload_capa) } else { (0, 0) };
    // SAFETY: no arguments.
    let (tx_checksums, rx_checksums, tso, multi, scatter, lro, rss) = unsafe {
        (
            sys::hemi_dpdk_tx_checksums(),
            sys::hemi_dpdk_rx_checksums(),
            sys::hemi_dpdk_tso(),
            sys::hemi_dpdk_multi_segment(),
            sys::hemi_dpdk_scatter(),
            sys::hemi_dpdk_lro(),
            sys::hemi_dpdk_rss_types(),
        )
    };
    let all_of = |capable: u64, wanted: u64| capable & wanted == wanted;
    let chains = traits.reach != Reach::None && all_of(info.tx_offload_capa, multi);
    let tx_checksum = all_of(tx_capable, tx_checksums);
    let tso = if traits.cuts && chains && tx_checksum && all_of(tx_capable, tso) { tso } else { 0 };
    // Joined segments come in as many mbufs as they take.
    let lro = if all_of(rx_capable, lro | scatter | rx_checksums) { lro | scatter } else { 0 };
    let rx_checksum = all_of(rx_capable, rx_checksums);
    config.txmode.offloads =
        if tx_checksum { tx_checksums } else { 0 } | tso | if chains { multi } else { 0 };
    config.rxmode.offloads = if rx_checksum { rx_checksums } else { 0 } | lro;
    if lro > 0 {
        // 0, where the driver has no limit of its own, is what a driver without one wants to be told.
        config.rxmode.max_lro_pkt_size = info.max_lro_pkt_size.min(u16::MAX.into());
    }
    if asked.queues > 1 && info.flow_type_rss_offloads & rss != 0 {
        config.rxmode.mq_mode = sys::RTE_ETH_MQ_RX_RSS;
        config.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & rss;
    }
    if let Some(mtu) = asked.mtu {
        config.rxmode.mtu = u32::from(mtu);
    }
    let most = match info.tx_desc_lim.nb_seg_max {
        0 => MOST_PIECES,
        most => most.min(MOST_PIECES),
    };
    let reach = if traits.exposes && !asked.trusted { Reach::None } else { traits.reach };
    let offers = Offers {
        mtu: 0,
        tx_checksum,
        rx_checksum,
        tso: tso > 0,
        lro: lro > 0,
        chains,
        most_pieces: most,
        reach,
        af_xdp: None,
        memif: false,
        calls_once: false,
        keep: 0,
        scaling: Scaling::of(info, config.rx_adv_conf.rss_conf.rss_hf),
    };
    (config, offers)
}

/// The largest frame that a driver may hand over, whatever the MTU. (af_packet's frames are datagrams that the kernel has put together.)
/// `None` when that is not known, or more than an mbuf holds: af_packet does not compare.
fn largest_frame(driver: &str, arguments: &str) -> Option<usize> {
    let mut sizes = arguments.split(',').filter_map(|argument| argument.strip_prefix("framesz="));
    match (sizes.next(), sizes.next()) {
        (Some(size), None) if driver == "net_af_packet" => {
            size.parse().ok().filter(|&size: &usize| size <= LARGEST_ROOM - HEADROOM)
        }
        (Some(_), Some(_)) if driver == "net_af_packet" => None,
        _ => Some(0),
    }
}

/// The pools of a queue pair, for received frames of up to `frame` bytes, and with `heads` mbufs to send; else an errno.
fn memory(index: u16, frame: usize, heads: usize, offers: &Offers) -> Result<Queue, i32> {
    let room = |frame: usize| {
        let room = HEADROOM + frame.max(2048);
        room.next_multiple_of(64).min(LARGEST_ROOM)
    };
    // Exposed memory is not handed up, so nobody holds it.
    let private = Private::new();
    let held = if private.is_some() { HELD.0.min(HELD.1 / room(frame)) } else { 0 };
    Ok(Queue {
        index,
        received: Mempool::new((offers.keep + held) as u32, room(frame), private)?,
        heads: Mempool::new(heads as u32, room(usize::from(offers.mtu) + AROUND), None)?,
        carriers: match offers.reach {
            _ if !offers.chains => None,
            Reach::None => None,
            Reach::Any | Reach::Eal => Some(Mempool::new(CARRIERS, 0, None)?),
        },
    })
}

/// Start the port; its address.
fn run(id: u16, mac: Option<MacAddr>) -> Result<MacAddr, Failed> {
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
    Ok(mac.unwrap_or(MacAddr(own.addr_bytes)))
}

/// Wait a moment for the handshake of a memif, which another thread does: what is sent before is lost, and a lost SYN costs a second.
fn await_link(id: u16) {
    for _ in 0..300 {
        let mut link = sys::rte_eth_link::default();
        // SAFETY: an open port, and a local.
        let told = unsafe { sys::rte_eth_link_get_nowait(id, &raw mut link) };
        if told < 0 || link.link_status() != 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Call the server of a memif client again: stop and start it, which nobody may use meanwhile. Whether somebody was there, and the driver's log lines.
pub(crate) fn call_again(id: u16) -> (bool, String) {
    eal::control(|| {
        // SAFETY: a port of ours, whose queues nobody uses. What cannot be started now is tried again later.
        unsafe {
            sys::rte_eth_dev_stop(id);
            sys::rte_eth_dev_start(id) == 0
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_af_packet_fit_an_mbuf() {
        let of = |arguments| largest_frame("net_af_packet", arguments);
        assert_eq!(of("iface=x"), Some(0));
        assert_eq!(of("iface=x,framesz=32768,blocksz=65536"), Some(32768));
        assert_eq!(of("framesz=65344"), Some(65344));
        for wrong in
            ["framesz=65345", "framesz=131072", "framesz=32768x", "framesz=", "framesz=2048,framesz=65536"]
        {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!(largest_frame("net_memif", "framesz=1000000"), Some(0));
    }
}

//! vhost in this process, virtio_user in the other: what joins a virtual machine's NIC to its host.

use super::{
    deaths,
    other::{self, OURS, Other, exchange},
    station,
};

const BYTES: usize = 2 << 20;
/// Memory that vhost can be given, as a plain user without huge pages.
const EAL: &str = "eal=--no-huge,--no-shconf,-m,128";

/// A stream through a pair that was made like this: arguments of vhost and of virtio_user, and parameters of both.
fn through(number: u32, vhost: &str, virtio: &str, parameters: &str) {
    if other::is_this() {
        return;
    }
    if hemi_dpdk::VERSION.is_none() {
        hemi_skip::skip!("no DPDK in this build");
    }
    let socket = other::socket();
    let path = socket.display();
    let uri = format!("dpdk:net_vhost{number},iface={path}{vhost}?{parameters}");
    let mut station = station(&uri, &[OURS]).expect("DPDK, as above");
    let other = Other::start(&format!("dpdk:net_virtio_user0,path={path}{virtio}?{EAL}&{parameters}"));
    exchange(&mut station, BYTES);
    assert!(station.counter("tx_zero_copy") > 100, "{}", station.report());
    assert_eq!(station.counter("rx_bad_packet"), 0, "{}", station.report());
    assert!(other.end());
    drop(station);
    let _ = std::fs::remove_file(&socket);
}

#[test]
fn with_checksums_and_segmentation_by_the_device() {
    through(0, ",tso=1", "", "offload=true");
}

#[test]
fn without_offloads() {
    through(1, "", "", "offload=false");
}

#[test]
fn in_order() {
    through(2, "", ",in_order=1,mrg_rxbuf=0", "");
}

#[test]
fn with_packed_rings() {
    through(3, "", ",packed_vq=1", "");
}

#[test]
fn with_a_trusted_peer_nothing_is_copied() {
    through(4, "", "", "peer=trusted");
}

#[test]
fn vhost_survives_its_peers() {
    if other::is_this() {
        return;
    }
    if hemi_dpdk::VERSION.is_none() {
        hemi_skip::skip!("no DPDK in this build");
    }
    let socket = other::socket();
    let path = socket.display();
    let mut station = station(&format!("dpdk:net_vhost9,iface={path}"), &[OURS]);
    deaths(
        &mut station,
        &format!("dpdk:net_virtio_user0,path={path}?{EAL}&mac=02:00:00:00:78:01"),
        "open already",
    );
    drop(station);
    let _ = std::fs::remove_file(&socket);
}

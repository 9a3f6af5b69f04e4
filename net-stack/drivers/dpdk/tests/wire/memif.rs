//! Two processes joined by a memif: shared memory between poll-mode drivers. Takes no rights at all.

use super::{
    deaths,
    other::{self, OURS, Other, exchange},
    station,
};

const BYTES: usize = 4 << 20;

#[test]
fn two_processes_exchange_a_stream() {
    if other::is_this() {
        return;
    }
    if hemi_dpdk::VERSION.is_none() {
        hemi_skip::skip!("no DPDK in this build");
    }
    let socket = other::socket();
    let uri = |number, role| {
        format!("dpdk:net_memif{number},role={role},socket={},socket-abstract=no", socket.display())
    };
    let other = Other::start(&uri(0, "server"));
    let mut station = station(&uri(1, "client"), &[OURS]).expect("DPDK, as above");
    let in_use = station.host.stack.pool().stats().in_use;
    exchange(&mut station, BYTES);
    // Neither way a payload was copied: the rest is handshakes and acknowledgements.
    assert!(station.counter("rx_zero_copy") > 2000, "{}", station.report());
    assert!(station.counter("tx_zero_copy") > 2000, "{}", station.report());
    assert_eq!(station.counter("rx_copied"), 0, "{}", station.report());
    assert_eq!(station.counter("rx_bad_packet"), 0);
    station.until("the memory is back", |station| station.host.stack.pool().stats().in_use <= in_use);
    assert!(other.end());
    let _ = std::fs::remove_file(&socket);
}

#[test]
fn a_client_survives_its_server() {
    if other::is_this() {
        return;
    }
    if hemi_dpdk::VERSION.is_none() {
        hemi_skip::skip!("no DPDK in this build");
    }
    let socket = other::socket();
    let uri = |number, role| {
        format!("dpdk:net_memif{number},role={role},socket={},socket-abstract=no", socket.display())
    };
    let mut station = None;
    // The same address each time: a new one would have to be found out, which takes a neighbour cache half a minute.
    let theirs = format!("{}?mac=02:00:00:00:78:01", uri(0, "server"));
    deaths(&mut station, &theirs, &uri(2, "client"));
    assert!(station.expect("opened").counter("reconnects") > 0);
    let _ = std::fs::remove_file(&socket);
}

//! Two processes joined by a memif: shared memory between poll-mode drivers. Takes no rights at all.

use std::{
    path::Path,
    time::{Duration, Instant as Clock},
};

use hemi_net::{Device, DeviceQueue, TxFrame, TxQueue};
use hemi_queue::{Pool, Sga, time::Instant};

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

/// The first core's device, and the second's.
fn two_queues(uri: &str) -> [Box<dyn Device>; 2] {
    let (pool, uri) = (Pool::new().unwrap(), uri.parse().unwrap());
    [0, 1].map(|index| {
        hemi_dpdk::open(&uri, &pool, DeviceQueue { index, of: 2 }).unwrap_or_else(|e| panic!("{e}"))
    })
}

/// Let both cores send, in a time that passes faster than the clock's, until one of them hears why that cannot be.
fn lost(devices: &mut [Box<dyn Device>; 2]) -> String {
    let begin = Clock::now();
    loop {
        let now = Instant::ZERO + begin.elapsed() * 8;
        for device in &mut *devices {
            let mut queue = TxQueue::new(4);
            let mut frame = TxFrame::new(Sga::new());
            frame.head_mut(64).fill(0xff);
            queue.push(frame);
            let received = device.rx_burst(now, 32, &mut Vec::new()).err();
            if let Some(gone) = device.tx_burst(now, &mut queue).err().or(received) {
                return gone.to_string();
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "nothing is wrong with it");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn other_numbers_of_queues_at_the_two_ends_are_an_error() {
    if other::is_this() {
        return;
    }
    if hemi_dpdk::VERSION.is_none() {
        hemi_skip::skip!("no DPDK in this build");
    }
    let uri = |number, role, socket: &Path| {
        format!("dpdk:net_memif{number},role={role},socket={},socket-abstract=no", socket.display())
    };
    // Their server has one queue: it hangs up on us.
    let socket = other::socket();
    let other = Other::start(&uri(0, "server", &socket));
    let mut devices = two_queues(&uri(3, "client", &socket));
    let says = lost(&mut devices);
    assert!(says.contains("hangs up") && says.contains("open as many at both ends"), "{says}");
    drop((devices, other));
    let _ = std::fs::remove_file(&socket);
    // Our server has two, of which their client knows one.
    let socket = other::socket();
    let mut devices = two_queues(&uri(4, "server", &socket));
    let other = Other::start(&uri(0, "client", &socket));
    let says = lost(&mut devices);
    assert!(says.contains("takes no frame") && says.contains("this is number 1"), "{says}");
    drop((devices, other));
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

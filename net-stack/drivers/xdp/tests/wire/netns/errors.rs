//! What does not work says why.

use hemi_net::DeviceQueue;
use hemi_queue::Pool;

use super::{enter, link, station};

fn refused(uri: &str) -> String {
    let pool = Pool::new().unwrap();
    match hemi_xdp::open(&uri.parse().unwrap(), &pool, DeviceQueue::ONLY) {
        Ok(_) => panic!("{uri} was opened"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn parameters() {
    let net = enter!();
    link(&net);
    for (uri, word) in [
        ("xdp:eth7", "no interface `eth7`; there are lo, "),
        ("xdp:h0?mtu=1501", "mtu=1501"),
        ("xdp:h0?mode=fast", "`driver` or `generic`"),
        ("xdp:h0?checksum=no", "`verify` or `trust`"),
        ("xdp:h0?umem=1", "2 MiB"),
        ("xdp:h0?queue=7", "receive queue 7"),
    ] {
        let says = refused(uri);
        assert!(says.contains(word), "{says}");
    }
}

#[test]
fn an_interface_with_more_queues_than_are_opened() {
    let net = enter!();
    net.ip("link add h0 numrxqueues 4 numtxqueues 4 type veth peer name k0 numrxqueues 4 numtxqueues 4");
    net.ip("link set h0 up");
    let says = refused("xdp:h0");
    assert!(says.contains("4 receive queues") && says.contains("ethtool -L h0 combined 1"), "{says}");
}

#[test]
fn an_interface_that_is_taken() {
    let net = enter!();
    link(&net);
    let _station = station("xdp:h0");
    // By this program: they share the XDP program, and then meet at the queue.
    let says = refused("xdp:h0");
    assert!(says.contains("bind to h0") && says.contains("receive queue 0"), "{says}");
    let says = refused("xdp:h0?mac=own");
    assert!(says.contains("has h0 open already, with mac="), "{says}");
}

#[test]
fn no_right_to_bpf() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let net = enter!();
    link(&net);
    // Capabilities are the thread's; this one shall have them back.
    let says = std::thread::spawn(|| {
        let mut sets = capabilities(None).unwrap();
        sets.effective = CapabilitySet::empty();
        sets.permitted = CapabilitySet::empty();
        set_capabilities(None, sets).unwrap();
        refused("xdp:h0")
    });
    let says = says.join().unwrap();
    for word in ["h0", "root", "CAP_BPF", "Operation not permitted"] {
        assert!(says.contains(word), "{word}: {says}");
    }
}

#[test]
fn an_interface_that_is_removed_or_set_down() {
    for command in ["link del h0", "link set h0 down"] {
        let net = enter!();
        link(&net);
        let mut station = station("xdp:h0");
        for _ in 0..3 {
            station.turn().unwrap();
        }
        net.ip(command);
        let begin = std::time::Instant::now();
        let gone = loop {
            match station.turn() {
                Err(gone) => break gone.to_string(),
                Ok(()) => assert!(begin.elapsed().as_secs() < 120, "nobody noticed `ip {command}`"),
            }
        };
        assert!(gone.contains("h0 is gone"), "{gone}");
    }
}

//! What does not work says why, and what to do.

use hemi_net::DeviceQueue;
use hemi_queue::Pool;

use super::{HOST, refused, station, try_open};

#[test]
fn a_device_that_another_has() {
    let _net = hemi_netns::enter!();
    let _first = station("tap:hemi0");
    let says = refused("tap:hemi0");
    assert!(says.contains("tap:hemi0") && says.contains("another program has this device"), "{says}");
}

#[test]
fn an_interface_that_is_no_tap_device() {
    let net = hemi_netns::enter!();
    net.veth("h0", "k0");
    let says = refused("tap:h0");
    assert!(says.contains("no TAP device"), "{says}");
}

#[test]
fn a_device_made_for_several_queues() {
    let _net = hemi_netns::enter!();
    let pool = Pool::new().unwrap();
    let _first = try_open("tap:hemi0", &pool, DeviceQueue { index: 0, of: 2 }).unwrap();
    let says = refused("tap:hemi0");
    assert!(says.contains("another number of queues"), "{says}");
}

#[test]
fn the_kernels_address_is_not_ours() {
    let net = hemi_netns::enter!();
    net.ip("tuntap add hemi0 mode tap");
    net.ip("link set hemi0 address 02:00:00:00:00:09");
    let says = refused("tap:hemi0?mac=02:00:00:00:00:09");
    assert!(says.contains("the kernel has 02:00:00:00:00:09"), "{says}");
}

#[test]
fn no_right_to_administer_the_network() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let _net = hemi_netns::enter!();
    // Capabilities are the thread's; this one shall have them back.
    let says = std::thread::spawn(|| {
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::NET_ADMIN);
        sets.permitted.remove(CapabilitySet::NET_ADMIN);
        set_capabilities(None, sets).unwrap();
        refused("tap:hemi0")
    });
    let says = says.join().unwrap();
    for word in ["tap:hemi0", "run as root", "CAP_NET_ADMIN", "unshare -Urn"] {
        assert!(says.contains(word), "{word}: {says}");
    }
}

#[test]
fn a_device_that_is_removed_is_gone_and_one_that_is_down_is_not() {
    let net = hemi_netns::enter!();
    net.ip("tuntap add hemi0 mode tap");
    let mut station = station(&format!("tap:hemi0?{HOST}"));
    net.ip("link set hemi0 down");
    // What is sent meanwhile goes nowhere.
    let unit = hemi_queue::Buf::from_static(b"into the void").into();
    let (socket, _) = station.host.stack.udp_bind("0.0.0.0:0".parse().unwrap(), 1 << 16, false).unwrap();
    let (now, to) = (station.now(), "10.77.0.1:9".parse().unwrap());
    station.host.stack.udp_send(socket, unit, Some(to), now).map_err(|(e, _)| e).unwrap();
    station.until("frames go nowhere", |station| station.counter("tx_down") > 0);
    net.ip("link set hemi0 up");
    // An address that was given by hand survives this.
    hemi_netns::suite::answers_echo_requests(&mut station, "10.77.0.2".parse().unwrap());

    net.ip("link del hemi0");
    let begin = std::time::Instant::now();
    let gone = loop {
        match station.turn() {
            Err(gone) => break gone.to_string(),
            Ok(()) => assert!(begin.elapsed().as_secs() < 120, "nobody noticed"),
        }
    };
    assert!(gone.contains("tap:hemi0 is gone"), "{gone}");
}

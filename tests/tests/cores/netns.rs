//! Two cores over the kernel's devices, and the kernel as the client (root).

use crate::program::{Core, all_worked, connections, datagrams, serve};

const OURS: [&str; 2] = ["10.77.0.2", "fd77::2"];

fn serves_the_kernel(uri: &str) -> Vec<Core> {
    let cores = serve(2, &format!("{uri}&ip=10.77.0.2/24&ip=fd77::2/64"), || {
        connections(&OURS, 150);
        datagrams(&OURS, 30);
    });
    all_worked(&cores, 300);
    assert!(cores.iter().all(|core| core.datagrams.units > 0), "every core has datagrams: {cores:?}");
    cores
}

/// A queue for each core; the kernel follows where a flow is answered from.
#[test]
fn a_tap_with_two_queues() {
    let _ground = hemi_netns::enter!();
    serves_the_kernel("tap:hemi0?host=10.77.0.1/24&host=fd77::1/64");
}

#[test]
fn a_fanout_group_of_two_packet_sockets() {
    let ground = hemi_netns::enter!();
    ground.veth("ha", "hb");
    ground.ip("addr add 10.77.0.1/24 dev hb");
    ground.ip("addr add fd77::1/64 dev hb nodad");
    let cores = serves_the_kernel("packet:ha?");
    // The group's program is the rule: only what came in fragments, and went to the core of its addresses, changes hands.
    let sum = |name| cores.iter().map(|core| core.counter(name)).sum::<u64>();
    assert!(sum("cores_handed_over") <= sum("ip_reassembled"), "{cores:?}");
}

/// One receive queue: the second core sends by the first one's.
#[test]
fn an_xdp_socket_that_two_cores_share() {
    hemi_skip::program!("ethtool", "ethtool");
    let ground = hemi_netns::enter!();
    ground.veth("ha", "hb");
    ground.ip("addr add 10.77.0.1/24 dev hb");
    ground.ip("addr add fd77::1/64 dev hb nodad");
    // On a veth the kernel leaves checksums and segmentation to whoever takes the packet off it; a program there does neither.
    ground.run("ethtool", &["-K", "hb", "tx", "off", "tso", "off", "gso", "off"]);
    ground.run("ethtool", &["-L", "ha", "rx", "1", "tx", "1"]);
    let cores = serves_the_kernel("xdp:ha?");
    assert!(cores[1].counter("cores_taken_over") > 0 && cores[1].counter("rx_frames") == 0);
}

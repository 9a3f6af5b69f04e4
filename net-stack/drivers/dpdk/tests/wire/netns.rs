//! Opposite the Linux kernel, in a network namespace of the test's own.

use hemi_netns::suite;

use super::station;

const OURS: [&str; 2] = ["10.77.0.2", "fd77::2"];
const KERNEL: [&str; 2] = ["10.77.0.1", "fd77::1"];
const BYTES: u64 = 4 << 20;

fn everything(station: &mut hemi_netns::Station) {
    for (ours, kernels) in OURS.into_iter().zip(KERNEL) {
        let (ours, kernels) = (ours.parse().unwrap(), kernels.parse().unwrap());
        suite::answers_echo_requests(station, ours);
        suite::echoes_datagrams(station, ours);
        suite::accepts_and_transfers(station, ours, BYTES);
        suite::connects_and_transfers(station, kernels, BYTES);
    }
    assert_eq!(station.counter("rx_bad_packet"), 0);
    assert_eq!(station.counter("tx_refused"), 0);
}

#[test]
fn through_a_tap() {
    let net = hemi_netns::enter!();
    let Some(mut station) =
        station("dpdk:net_tap0,iface=d0,mac=fixed?mac=02:00:00:00:77:02", &["10.77.0.2/24", "fd77::2/64"])
    else {
        hemi_skip::skip!("no DPDK in this build");
    };
    net.ip("link set d0 up");
    net.ip("addr add 10.77.0.1/24 dev d0");
    net.ip("-6 addr add fd77::1/64 dev d0 nodad");
    everything(&mut station);
}

//! What every device must do: ICMP, UDP and TCP with the kernel, both ways, over IPv4 and IPv6.

use hemi_netns::suite;

use super::{KERNEL, OURS, link, station};

const BYTES: u64 = 8 << 20;

fn everything(uri: &str) {
    let mut station = station(uri);
    for (ours, kernels) in OURS.into_iter().zip(KERNEL) {
        let (ours, kernels) = (ours.parse().unwrap(), kernels.parse().unwrap());
        suite::answers_echo_requests(&mut station, ours);
        suite::echoes_datagrams(&mut station, ours);
        suite::accepts_and_transfers(&mut station, ours, BYTES);
        suite::connects_and_transfers(&mut station, kernels, BYTES);
    }
    assert_eq!(station.counter("rx_bad_slot"), 0);
    assert_eq!(station.counter("tx_refused"), 0);
    let counters = station.host.stack.counters();
    assert_eq!((counters.drop_ip_malformed, counters.drop_eth_not_ours), (0, 0), "{counters:?}");
}

#[test]
fn with_offloads() {
    let net = hemi_netns::enter!();
    link(&net);
    everything("packet:h0");
}

#[test]
fn on_an_interface_that_does_not_cut() {
    let net = hemi_netns::enter!();
    if hemi_skip::find_program("ethtool").is_none() {
        hemi_skip::skip!("ethtool is not installed (apt-get install ethtool)");
    }
    link(&net);
    net.run("ethtool", &["-K", "h0", "tso", "off", "gso", "off"]);
    everything("packet:h0");
}

#[test]
fn without_offloads() {
    let net = hemi_netns::enter!();
    link(&net);
    everything("packet:h0?offload=off");
}

#[test]
fn jumbo_frames_and_an_address_that_was_given() {
    let net = hemi_netns::enter!();
    link(&net);
    net.ip("link set h0 mtu 9000");
    net.ip("link set k0 mtu 9000");
    everything("packet:h0?mac=02:00:00:00:77:02&ring=1048576");
}

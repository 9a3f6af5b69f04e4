//! What every device must do: ICMP, UDP and TCP with the kernel, both ways, over IPv4 and IPv6.

use hemi_netns::{Namespace, suite};

use super::{KERNEL, OURS, enter, link, station};

const BYTES: u64 = 4 << 20;

fn everything(uri: &str) {
    let mut station = station(uri);
    for (ours, kernels) in OURS.into_iter().zip(KERNEL) {
        let (ours, kernels) = (ours.parse().unwrap(), kernels.parse().unwrap());
        suite::answers_echo_requests(&mut station, ours);
        suite::echoes_datagrams(&mut station, ours);
        suite::accepts_and_transfers(&mut station, ours, BYTES);
        suite::connects_and_transfers(&mut station, kernels, BYTES);
    }
    for counter in ["rx_bad_descriptor", "tx_bad_completion", "rx_invalid_descs", "tx_invalid_descs"] {
        assert_eq!(station.counter(counter), 0, "{counter}");
    }
    let counters = station.host.stack.counters();
    assert_eq!((counters.drop_ip_malformed, counters.drop_tcp_bad_checksum), (0, 0), "{counters:?}");
}

/// The kernel's side finishes its checksums and cuts its frames: as on a real wire. Whether there is a way to have it so.
fn finish_frames(net: &Namespace) -> bool {
    if hemi_skip::find_program("ethtool").is_none() {
        return false;
    }
    net.run("ethtool", &["-K", "k0", "tx", "off", "tso", "off", "gso", "off"]);
    true
}

#[test]
fn in_the_driver() {
    let net = enter!();
    link(&net);
    everything("xdp:h0?mode=driver&checksum=trust");
}

#[test]
fn in_the_driver_with_checksums_verified() {
    let net = enter!();
    link(&net);
    if !finish_frames(&net) {
        hemi_skip::skip!("ethtool is not installed (apt-get install ethtool)");
    }
    everything("xdp:h0");
}

#[test]
fn in_the_generic_path() {
    let net = enter!();
    link(&net);
    if !finish_frames(&net) {
        hemi_skip::skip!("ethtool is not installed (apt-get install ethtool)");
    }
    everything("xdp:h0?mode=generic");
}

#[test]
fn with_an_address_of_its_own_and_large_chunks() {
    let net = enter!();
    link(&net);
    net.ip("link set h0 mtu 3000");
    net.ip("link set k0 mtu 3000");
    everything("xdp:h0?mac=own&umem=4194304&checksum=trust");
}

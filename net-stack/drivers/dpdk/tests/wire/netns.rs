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

/// A veth pair whose other end is the kernel's, and sends frames as on a real wire; the reason why there can be none.
fn veth(net: &hemi_netns::Namespace) -> Result<(), &'static str> {
    if hemi_dpdk::VERSION.is_none() {
        return Err("no DPDK in this build");
    }
    if hemi_skip::find_program("ethtool").is_none() {
        return Err("ethtool is not installed (apt-get install ethtool)");
    }
    net.veth("h0", "k0");
    net.ip("addr add 10.77.0.1/24 dev k0");
    net.ip("-6 addr add fd77::1/64 dev k0 nodad");
    net.run("ethtool", &["-K", "k0", "tx", "off", "tso", "off", "gso", "off"]);
    Ok(())
}

#[test]
fn through_af_packet() {
    let net = hemi_netns::enter!();
    if let Err(why) = veth(&net) {
        hemi_skip::skip!("{why}");
    }
    // The driver has the kernel put datagrams together, so frames must have room for whole ones.
    let uri = "dpdk:net_af_packet0,iface=h0,framesz=32768,blocksz=65536,framecnt=128?mac=02:00:00:00:77:02";
    everything(&mut station(uri, &["10.77.0.2/24", "fd77::2/64"]).expect("DPDK"));
}

#[test]
fn through_af_xdp() {
    let net = hemi_netns::enter!();
    if let Err(why) = veth(&net) {
        hemi_skip::skip!("{why}");
    }
    let uri = "dpdk:net_af_xdp0,iface=h0,busy_budget=0";
    everything(&mut station(uri, &["10.77.0.2/24", "fd77::2/64"]).expect("DPDK"));
}

//! Opposite the Linux kernel, in a network namespace of the test's own.

use std::{net::UdpSocket, num::NonZeroU32};

use hemi_net::{
    Device, UdpId,
    device::{DatagramRule, MarkedRewrite},
};
use hemi_netns::{Station, suite};
use hemi_queue::program::{Changes, Field, Next, Operation, Program, Step};

use super::station;

const OURS: [&str; 2] = ["10.77.0.2", "fd77::2"];
const KERNEL: [&str; 2] = ["10.77.0.1", "fd77::1"];
const BYTES: u64 = 4 << 20;

fn everything(station: &mut Station) {
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

/// The payload begins with `x`.
fn begins_with_x() -> Program {
    let field = Field::Word { at: 0, width: 1, mask: 0xff };
    let step =
        Step { field, low: b'x'.into(), high: b'x'.into(), on_hit: Next::Accept, on_miss: Next::Reject };
    Program::new(vec![step], Next::Step(0)).expect("forward")
}

fn rule(to: &str, program: Program, rewrite: Option<MarkedRewrite>) -> DatagramRule {
    DatagramRule { to: to.parse().unwrap(), from: None, program, rewrite }
}

/// Send `texts` from the kernel's `from` to `to`, and then `x end`; what comes up until that, with marks.
fn received(
    station: &mut Station,
    socket: UdpId,
    [from, to]: [&str; 2],
    texts: &[&str],
) -> Vec<(String, u32)> {
    let client = UdpSocket::bind(from).expect("an address of the kernel's");
    for text in texts.iter().chain(&["x end"]) {
        client.send_to(text.as_bytes(), to).expect("the kernel sends");
    }
    let mut all = Vec::new();
    station.until("the last one comes", |station| {
        while let Ok(Some(datagram)) = station.host.stack.udp_recv(socket) {
            all.push((String::from_utf8(datagram.payload.to_vec()).expect("text"), datagram.mark));
        }
        all.last().is_some_and(|(text, _)| text.ends_with("end"))
    });
    all
}

#[test]
fn af_xdp_rejects_and_rewrites_before_the_driver() {
    const MARK: u32 = 77;
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    if mounts.lines().any(|line| line.split(' ').nth(2) == Some("bpf")) {
        hemi_skip::skip!("with a mounted bpffs, libxdp attaches a dispatcher, which is not taken over");
    }
    let net = hemi_netns::enter!();
    if let Err(why) = veth(&net) {
        hemi_skip::skip!("{why}");
    }
    let uri = "dpdk:net_af_xdp7,iface=h0,busy_budget=0";
    let mut station = station(uri, &["10.77.0.2/24", "fd77::2/64"]).expect("DPDK");
    let (socket, _) = station.host.stack.udp_bind("[::]:9".parse().unwrap(), 1 << 20, false).expect("free");
    let ways = [["10.77.0.1:0", "10.77.0.2:9"], ["[fd77::1]:0", "[fd77::2]:9"]];
    let texts = ["x 1", "y 2", "x 3", "y"];
    let plain = |texts: &[&str]| texts.iter().map(|text| ((*text).to_owned(), 0)).collect::<Vec<_>>();
    for way in ways {
        assert_eq!(received(&mut station, socket, way, &texts), plain(&["x 1", "y 2", "x 3", "y", "x end"]));
    }
    // Of two rules one is about the socket's port.
    let rules = ways.map(|[_, to]| rule(to, begins_with_x(), None));
    let other = rule("10.77.0.2:10", Program::new(Vec::new(), Next::Reject).unwrap(), None);
    let both = [&rules[..], &[other]].concat();
    assert_eq!(station.host.device.filter_datagrams(&both), Some("XDP"));
    for way in ways {
        assert_eq!(received(&mut station, socket, way, &texts), plain(&["x 1", "x 3", "x end"]));
    }
    assert_eq!(station.counter("rx_filtered"), 4);
    // Everything else goes where it went before.
    suite::answers_echo_requests(&mut station, OURS[0].parse().unwrap());
    suite::connects_and_transfers(&mut station, KERNEL[0].parse().unwrap(), 1 << 20);
    // Rewritten, with a checksum that the stack verifies, and marked.
    let changes = Changes::from(vec![Operation::Set { at: 0, bytes: b"z!".to_vec() }]);
    let rewrite = MarkedRewrite { changes, mark: NonZeroU32::new(MARK).unwrap() };
    let rewriting = ways.map(|[_, to]| rule(to, begins_with_x(), Some(rewrite.clone())));
    assert_eq!(station.host.device.filter_datagrams(&rewriting), Some("XDP"));
    for way in ways {
        let marked = ["z!1", "z!3"].map(|text| (text.to_owned(), MARK)).to_vec();
        let mut got = received(&mut station, socket, way, &texts);
        assert_eq!(got.pop(), Some(("z!end".to_owned(), MARK)));
        assert_eq!(got, marked);
    }
    assert_eq!((station.counter("rx_filtered"), station.counter("rx_rewritten")), (8, 6));
    // Too much: what was there stays.
    let long = Changes::from(vec![Operation::Set { at: 0, bytes: vec![7; 200] }]);
    let too_much = MarkedRewrite { changes: long, mark: rewrite.mark };
    let refused = [rule(ways[0][1], Program::everything(), Some(too_much))];
    assert_eq!(station.host.device.filter_datagrams(&refused), None);
    assert_eq!(received(&mut station, socket, ways[0], &["x 1"])[0], ("z!1".to_owned(), MARK));
    // DPDK's own program again.
    assert!(station.host.device.filter_datagrams(&[]).is_some());
    for way in ways {
        assert_eq!(received(&mut station, socket, way, &texts), plain(&["x 1", "y 2", "x 3", "y", "x end"]));
    }
    assert_eq!(station.host.device.filter_datagrams(&rules), Some("XDP"));
    drop(station);
    // And it has been taken away with the port.
    assert!(!net.ip("link show dev h0").contains("xdp"), "{}", net.ip("link show dev h0"));
}

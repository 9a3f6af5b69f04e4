//! What every device must do: ICMP, UDP and TCP with the kernel, both ways, over IPv4 and IPv6.

use hemi_netns::suite;

use super::{HOST, KERNEL, OURS, station};

const BYTES: u64 = 8 << 20;

fn everything(uri: &str) -> u64 {
    let mut station = station(uri);
    for (ours, kernels) in OURS.into_iter().zip(KERNEL) {
        let (ours, kernels) = (ours.parse().unwrap(), kernels.parse().unwrap());
        suite::answers_echo_requests(&mut station, ours);
        suite::echoes_datagrams(&mut station, ours);
        suite::accepts_and_transfers(&mut station, ours, BYTES);
        suite::connects_and_transfers(&mut station, kernels, BYTES);
    }
    assert_eq!(station.counter("rx_malformed"), 0);
    assert_eq!(station.counter("tx_refused"), 0, "{}", station.report());
    let counters = station.host.stack.counters();
    let broken = (counters.drop_ip_malformed, counters.drop_tcp_bad_checksum, counters.drop_udp_bad_checksum);
    assert_eq!(broken, (0, 0, 0), "{counters:?}");
    counters.rx_frames
}

#[test]
fn with_offloads_large_frames_come_and_go_whole() {
    let _net = hemi_netns::enter!();
    let whole = everything(&format!("tap:hemi0?{HOST}"));
    let cut = everything(&format!("tap:hemi1?{HOST}&csum=full"));
    // Two transfers over each family, and a segment has 1,460 bytes at most.
    let segments = 4 * BYTES / 1460;
    assert!(
        whole < segments && segments < cut,
        "{whole} frames received with offloads, {cut} without, for {segments} segments"
    );
}

#[test]
fn jumbo_frames_and_an_address_that_was_given() {
    let net = hemi_netns::enter!();
    everything(&format!("tap:hemi0?mtu=9000&mac=02:00:00:00:77:02&{HOST}"));
    assert!(!net.ip("-o link").contains("hemi0"), "the device is gone with its last queue");
}

#[test]
fn ping_is_answered() {
    let ping = hemi_skip::program!("ping", "iputils-ping");
    let _net = hemi_netns::enter!();
    let mut station = station(&format!("tap:hemi0?{HOST}"));
    for ours in OURS {
        let mut ping = std::process::Command::new(&ping)
            .args(["-c", "3", "-i", "0.2", "-w", "60", ours])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        station.until("ping ends", |_| ping.try_wait().unwrap().is_some());
        let said = ping.wait_with_output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    }
}

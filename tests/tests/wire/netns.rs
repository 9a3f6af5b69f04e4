//! All cases against one process of the testbed, over each device.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hemi_netns::Namespace;
use hemi_tests::guest::Guest;

use crate::{
    Case,
    client::Wire,
    crowd,
    frames::{OUR_MAC, OURS, OURS6},
    ip, link, tcp_loss, tcp_receive, tcp_send, tcp_states,
};

/// Play every case; the names and complaints of those that failed.
fn play(wire: &mut Wire) -> (usize, Vec<String>) {
    let suites: [&[Case]; 7] = [
        link::CASES,
        ip::CASES,
        tcp_states::CASES,
        tcp_receive::CASES,
        tcp_send::CASES,
        tcp_loss::CASES,
        crowd::CASES,
    ];
    let only = std::env::var("HEMI_WIRE").unwrap_or_default();
    let (mut count, mut failed) = (0, Vec::new());
    for (name, case) in suites.into_iter().flatten().filter(|(name, _)| name.contains(&only)) {
        count += 1;
        // On a loaded machine a timer of the host's may fire in the middle of what is no matter of time: three tries.
        let tries = (0..3).map(|_| attempt(wire, *case));
        let mut complaints = Vec::new();
        for result in tries {
            match result {
                Ok(()) => {
                    complaints.clear();
                    break;
                }
                Err(complaint) => complaints.push(complaint),
            }
        }
        failed.extend(complaints.pop().map(|complaint| format!("{name}: {complaint}")));
    }
    (count, failed)
}

/// Play a case once; what it complains of.
fn attempt(wire: &mut Wire, case: fn(&mut Wire)) -> Result<(), String> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        wire.reset();
        case(wire);
    }));
    played.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
    })
}

fn judge(net: &Namespace, interface: &str, uri: &str) {
    let guest = Guest::spawn("testbed", uri, &["--port", "7000"]);
    let _ = net.try_ip(&format!("link set {interface} promisc on"));
    let (count, failed) = play(&mut Wire::on(interface));
    assert!(count > 0 && failed.is_empty(), "{} of {count}:\n{}", failed.len(), failed.join("\n"));
    guest.stop();
}

fn addresses() -> String {
    format!("ip={OURS}/16&ip={OURS6}/64")
}

#[test]
fn raw_frames_over_tap() {
    let net = hemi_netns::enter!();
    judge(&net, "hemi0", &format!("tap:hemi0?mac={OUR_MAC}&{}", addresses()));
}

#[test]
fn raw_frames_over_packet() {
    let net = hemi_netns::enter!();
    net.veth("h0", "k0");
    judge(&net, "k0", &format!("packet:h0?mac={OUR_MAC}&{}", addresses()));
}

#[test]
fn raw_frames_over_xdp() {
    let net = hemi_netns::enter!();
    net.veth("h0", "k0");
    net.ip(&format!("link set h0 address {OUR_MAC}"));
    judge(&net, "k0", &format!("xdp:h0?mac=interface&{}", addresses()));
}

/// The suite itself is judged: what Linux does differently is counted, and is little. It takes minutes of time-outs, so it has to be asked for:
/// `HEMI_WIRE_LINUX=1 cargo test -p hemi-tests --test wire raw_frames_to_linux -- --nocapture`.
#[test]
fn raw_frames_to_linux() {
    if std::env::var_os("HEMI_WIRE_LINUX").is_none() {
        hemi_skip::skip!(
            "it shows what Linux does with the same cases, which takes minutes: HEMI_WIRE_LINUX=1"
        );
    }
    let net = hemi_netns::enter!();
    net.veth("h0", "k0");
    net.ip(&format!("link set h0 address {OUR_MAC}"));
    net.run("ethtool", &["-K", "h0", "tx", "off", "tso", "off", "gso", "off", "gro", "off"]);
    net.ip(&format!("addr add {OURS}/16 dev h0"));
    net.ip(&format!("addr add {OURS6}/64 dev h0 nodad"));
    let guest = Guest::spawn("testbed", "kernel:", &["--port", "7000"]);
    let (count, failed) = play(&mut Wire::on("k0"));
    println!("Linux: {} of {count} differ:\n{}", failed.len(), failed.join("\n"));
    assert!(failed.len() * 4 < count);
    guest.stop();
}

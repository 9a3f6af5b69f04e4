//! `nc`, `socat`, `curl`, `iperf3`, `wrk`, `tshark`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use super::guest::{self, Device, V4, V6, pattern};

/// What a program writes on its standard output when it is given `input`.
fn pipe(program: &std::path::Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).expect("it reads"));
        child.wait_with_output().expect("it ends")
    });
    assert!(output.status.success(), "{} {arguments:?}: {}", program.display(), output.status);
    output.stdout
}

#[test]
fn netcat_and_socat_get_back_what_they_send() {
    let (nc, socat) = (hemi_skip::program!("nc", "netcat-openbsd"), hemi_skip::program!("socat", "socat"));
    let net = hemi_netns::enter!();
    let guest = guest::start(&net, Device::Tap, "", "testbed", &["--port", "7000"]);
    let bytes = pattern(9, 1_000_003);
    for host in [V4, V6] {
        assert!(pipe(&nc, &["-N", host, "7000"], &bytes) == bytes, "nc to {host}");
        let to = if host == V6 { format!("TCP6:[{host}]:7001") } else { format!("TCP4:{host}:7001") };
        assert!(pipe(&socat, &["-t", "100", "-", &to], &bytes) == bytes, "socat to {host}");
    }
    guest.stop();
}

#[test]
fn curl_is_answered_by_forty_lines() {
    let curl = hemi_skip::program!("curl", "curl");
    let net = hemi_netns::enter!();
    let guest = guest::start(&net, Device::Packet, "", "http-hello", &["[::]:8080"]);
    let urls = [format!("http://{V4}:8080/"), format!("http://[{V6}]:8080/again")];
    for url in &urls {
        // Twice on one connection.
        let got = pipe(&curl, &["-sS", "--noproxy", "*", "--max-time", "100", url, url], b"");
        assert_eq!(got, b"hello\nhello\n", "{url}");
    }
    guest.stop();
}

/// iperf3 to iperf3, both the kernel's, through the relay's two connections on the user-level stack: bulk both ways, several at one time.
#[test]
fn iperf3_finds_its_server_through_the_relay() {
    let iperf3 = hemi_skip::program!("iperf3", "iperf3");
    let net = hemi_netns::enter!();
    let at = format!("{V4}:5202");
    let guest = guest::start(&net, Device::Tap, "", "relay", &["--tcp", &at, "--to", "10.99.0.2:5201"]);
    for more in [&["-n", "20M"][..], &["-n", "20M", "-R"], &["-n", "20M", "-P", "4", "--bidir"]] {
        let server = Command::new(&iperf3)
            .args(["-s", "-1", "-B", "10.99.0.2", "-p", "5201"])
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut server = hemi_tests::guest::Running(server);
        while !net.run("ss", &["-ltnH", "sport = :5201"]).contains("5201") {
            assert!(server.0.try_wait().expect("a child").is_none(), "iperf3 does not serve");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let said = pipe(&iperf3, &[&["-c", V4, "-p", "5202", "-J"], more].concat(), b"");
        let said = String::from_utf8(said).expect("text");
        assert!(!said.contains("\"error\"") && said.contains("sum_received"), "{more:?}: {said}");
        drop(server);
    }
    guest.stop();
}

#[test]
fn wrk_gets_no_error_from_forty_lines() {
    let wrk = hemi_skip::program!("wrk", "wrk");
    let net = hemi_netns::enter!();
    let guest = guest::start(&net, Device::Tap, "", "http-hello", &["[::]:8080"]);
    for url in [format!("http://{V4}:8080/"), format!("http://[{V6}]:8080/")] {
        let said = pipe(&wrk, &["-t", "1", "-c", "64", "-d", "2s", "--timeout", "60s", &url], b"");
        let said = String::from_utf8(said).expect("text");
        assert!(said.contains("requests in") && !said.contains(" 0 requests in"), "{said}");
        assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    }
    guest.stop();
}

/// What Wireshark's expert finds in a transfer to and from the kernel over a clean link: nothing.
///
/// Neither side may take the other for lost while it only waits for its turn on the processor: both are made patient. What is left is the
/// first SYN's second; for that there are three tries.
#[test]
fn the_expert_finds_nothing_to_complain_of() {
    let tshark = hemi_skip::program!("tshark", "tshark");
    let net = hemi_netns::enter!();
    let mut said = String::new();
    for _ in 0..3 {
        said = expert(&net, &tshark.to_string_lossy());
        // Linux writes a TCP checksum of zero as 0xffff where it sums in software (`skb_checksum_help`): one frame in 65,536, and right.
        let kept = said.lines().filter(|line| !line.contains("0xffff instead of 0x0000")).collect::<Vec<_>>();
        let has = |words: &[&str]| kept.iter().any(|line| words.iter().any(|word| line.contains(word)));
        assert!(!has(&["alformed", "hecksum", "not captured"]) && has(&["Connection establish"]), "{said}");
        if !has(&["etransmission", "Out-Of-Order", "Duplicate ACK", "Keep-Alive"]) {
            return;
        }
    }
    panic!("{said}");
}

/// One transfer each way over each family, and what the expert says of it.
fn expert(net: &hemi_netns::Namespace, tshark: &str) -> String {
    let file = std::env::temp_dir().join(format!("{}.pcapng", net.name()));
    // A port that Wireshark knows no protocol of.
    let more = format!("&rto_min=60s&pcap={}", file.display());
    let guest = guest::start(net, Device::Tap, &more, "testbed", &["--port", "42007"]);
    // The kernel's: no tail-loss probes, no RACK, no early time-out.
    for (name, value) in [("tcp_early_retrans", "0"), ("tcp_recovery", "0")] {
        std::fs::write(format!("/proc/sys/net/ipv4/{name}"), value).expect("a namespace's own setting");
    }
    for route in ["10.99.0.0/16 src 10.99.0.2", "fd99::/64 metric 256"] {
        net.ip(&format!("route change {route} dev hemi0 proto kernel rto_min 60s"));
    }
    for (seed, host) in [(1, V4), (2, V6)] {
        let host: std::net::IpAddr = host.parse().expect("valid");
        guest::exchange(guest::connect((host, 42007)), &pattern(seed, 2_000_003));
    }
    guest.stop();
    let path = file.to_string_lossy().into_owned();
    let sums =
        ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"];
    let said = net.run(tshark, &[&["-r", &path, "-q", "-z", "expert"], &sums[..]].concat());
    let _ = std::fs::remove_file(&file);
    said
}

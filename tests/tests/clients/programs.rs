//! `nc`, `socat`, `curl`.

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

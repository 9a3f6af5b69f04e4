//! `nc`.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
};

use super::server::{self, Echo};
use hemi_tests::foreign;

fn tcp(nc: &Path, echo: &Echo) {
    let sent = foreign::pattern(0, 300_000);
    let mut client = Command::new(nc)
        .args(["-N", &echo.tcp.ip().to_string(), &echo.tcp.port().to_string()]) // -N: half-close after the input
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    let copy = sent.clone();
    let writing = std::thread::spawn(move || input.write_all(&copy).unwrap());
    let output = client.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success());
    assert!(output.stdout == sent, "{} of {} bytes, or others", output.stdout.len(), sent.len());
}

fn udp(nc: &Path, echo: &Echo) {
    let mut client = Command::new(nc)
        .args(["-u", "-W", "2", &echo.udp.ip().to_string(), &echo.udp.port().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    let mut output = client.stdout.take().unwrap();
    let mut answer = [0; 6];
    for datagram in [b"first\n", b"other\n"] {
        input.write_all(datagram).unwrap();
        output.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, datagram);
    }
    drop(input);
    assert!(client.wait().unwrap().success()); // -W 2: it ends after two datagrams
}

#[test]
fn by_tcp() {
    let nc = hemi_skip::program!("nc", "netcat-openbsd");
    server::each(|echo| tcp(&nc, &echo));
}

#[test]
fn by_udp() {
    let nc = hemi_skip::program!("nc", "netcat-openbsd");
    server::each(|echo| udp(&nc, &echo));
}

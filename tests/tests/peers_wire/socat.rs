//! `socat`.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
};

use hemi_tests::foreign;

use super::server;

/// Write datagrams or pieces, and read each back, one after the other.
fn converse(socat: &Path, to: &str, pieces: &[usize]) {
    let mut client = Command::new(socat)
        .args(["-b", "65536", "-t", "0.1", "-", to])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    let mut output = client.stdout.take().unwrap();
    for len in pieces {
        let sent = foreign::pattern(*len as u64, *len);
        input.write_all(&sent).unwrap();
        let mut answer = vec![0; *len];
        output.read_exact(&mut answer).unwrap();
        assert!(answer == sent, "{to}: {len} bytes");
    }
    drop(input);
    assert!(client.wait().unwrap().success());
}

#[test]
fn by_tcp() {
    let socat = hemi_skip::program!("socat", "socat");
    server::each(|echo| {
        converse(&socat, &format!("TCP:{}", echo.tcp), &[1, 100, 1460, 1461, 20_000, 60_000]);
    });
}

#[test]
fn by_udp() {
    let socat = hemi_skip::program!("socat", "socat");
    server::each(|echo| {
        // A pipe keeps what is written at once together, up to PIPE_BUF: that much makes one datagram for sure.
        converse(&socat, &format!("UDP:{}", echo.udp), &[1, 100, 1472, 1473, 4096]);
    });
}

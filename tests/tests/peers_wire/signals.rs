//! SIGINT and SIGTERM end `echo` with its closing line, whatever its clients do.

use std::{
    io::{Read, Write},
    net::UdpSocket,
};

use hemi_tests::{foreign, kernels::HANG};
use rustix::process::Signal;

use super::server;

#[test]
fn end_it_with_what_was_echoed() {
    for signal in [Signal::INT, Signal::TERM] {
        server::each(|echo| {
            let mut client = foreign::connect(echo.tcp);
            client.write_all(b"twelve bytes").unwrap();
            client.read_exact(&mut [0; 12]).unwrap();
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(HANG)).unwrap();
            socket.send_to(b"eight by", echo.udp).unwrap();
            assert_eq!(foreign::recv(&socket, &mut [0; 100]), 8);

            // The client is still there, and says nothing.
            let (last, status) = echo.stop(signal);
            assert!(status.success(), "{status}");
            assert!(last.starts_with("1 connections, "), "{last}");
            assert!(last.ends_with(" units, 20 bytes"), "{last}");
            // And it learns of the end: by an end or by a reset.
            assert!(matches!(client.read(&mut [0; 8]), Ok(0) | Err(_)));
        });
    }
}

/// Also right after it has said that it listens.
#[test]
fn end_it_without_any_client_too() {
    server::each(|echo| {
        let (last, status) = echo.stop(Signal::TERM);
        assert!(status.success(), "{status}");
        assert_eq!(last, "0 connections, 0 units, 0 bytes");
    });
}

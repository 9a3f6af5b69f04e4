//! A bulk stream in both directions at once, as `iperf3 --bidir` sends it, and many streams side by side.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr},
    thread,
};

use hemi_tests::foreign;

use super::server;

/// Not a power of two, so that no buffer of the path has its size.
const BLOCK: usize = 1_000_003;

/// Sends and gets back `blocks` times the same block, compared byte by byte.
fn stream(at: SocketAddr, block: &[u8], blocks: usize) {
    let mut reader = foreign::connect(at);
    let mut writer = reader.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..blocks {
                writer.write_all(block).unwrap();
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = vec![0; block.len()];
        for n in 0..blocks {
            reader.read_exact(&mut got).unwrap();
            assert!(got == block, "block {n} differs");
        }
        assert_eq!(reader.read(&mut got).unwrap(), 0, "the end comes after what was sent");
    });
}

#[test]
fn sixty_four_megabytes_come_back_as_they_were() {
    let block = foreign::pattern(0, BLOCK);
    server::each(|echo| {
        stream(echo.tcp, &block, 68);
        let (last, status) = echo.stop(rustix::process::Signal::INT);
        assert!(status.success());
        assert!(last.starts_with("1 connections, "), "{last}");
        assert!(last.ends_with(&format!(" {} bytes", 68 * BLOCK)), "{last}");
    });
}

#[test]
fn sixteen_streams_side_by_side() {
    let block = foreign::pattern(0, BLOCK);
    server::each(|echo| {
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| stream(echo.tcp, &block, 2));
            }
        });
    });
}

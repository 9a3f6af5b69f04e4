//! UDP and Unix datagrams.

use std::{net::UdpSocket, os::unix::net::UnixDatagram, path::PathBuf, rc::Rc, task::Poll};

use hemi_queue::{
    Error,
    transport::{DatagramSocket, Endpoint, SocketOptions, Transport},
};

use crate::rig::{HANG, Rig, buf, calm, each, ip, pattern};

fn options() -> SocketOptions {
    SocketOptions::default()
}

fn std_udp(at: &str) -> UdpSocket {
    let s = UdpSocket::bind(at).unwrap();
    s.set_read_timeout(Some(HANG)).unwrap();
    s
}

/// One datagram there and back, of `n` bytes.
fn bounce(rig: &Rig, s: &Rc<dyn DatagramSocket>, peer: &UdpSocket, n: usize) {
    let to = s.local_addr().unwrap().ip().unwrap();
    peer.send_to(&pattern(n as u64, n), to).unwrap();
    let (unit, from) = rig.pop_from(s).unwrap().unwrap();
    assert_eq!(from, peer.local_addr().unwrap().into());
    assert!(unit.to_vec() == pattern(n as u64, n), "{n} bytes");
    s.start_push_to(unit, Some(&from)).unwrap();
    rig.until(|cx| s.poll_flushed(cx)).unwrap();
    let mut got = vec![0; 70_000];
    let (len, _) = calm(|| peer.recv_from(&mut got)).unwrap();
    assert!(got[..len] == pattern(n as u64, n)[..]);
}

#[test]
fn every_size_there_is() {
    each(|rig| {
        let s = rig.kernel.bind(&ip("127.0.0.1:0"), &options()).unwrap();
        let peer = std_udp("127.0.0.1:0");
        for n in [0, 1, 64, 1472, 1473, 2048, 8192, 16_384, 65_000, 65_507] {
            bounce(rig, &s, &peer, n);
        }
        let e = s.start_push_to(buf(vec![0; 65_508]).into(), Some(&peer.local_addr().unwrap().into()));
        assert!(matches!(e.unwrap_err().error, Error::UnitTooLarge { got: 65_508, limit: 65_507 }));
    });
}

#[test]
fn ipv6() {
    if UdpSocket::bind("[::1]:0").is_err() {
        hemi_skip::skip!("no IPv6 loopback here");
    }
    each(|rig| {
        let s = rig.kernel.bind(&ip("[::1]:0"), &options()).unwrap();
        bounce(rig, &s, &std_udp("[::1]:0"), 300);
        bounce(rig, &s, &std_udp("[::1]:0"), 65_507);
    });
}

#[test]
fn bursts_keep_their_boundaries_and_order() {
    each(|rig| {
        let s = rig.kernel.bind(&ip("127.0.0.1:0"), &options()).unwrap();
        let to = s.local_addr().unwrap().ip().unwrap();
        let peer = std_udp("127.0.0.1:0");
        for round in 0..20 {
            for i in 0..50 {
                peer.send_to(&pattern(round * 50 + i, (i * 7 + 1) as usize), to).unwrap();
            }
            for i in 0..50 {
                let (unit, _) = rig.pop_from(&s).unwrap().unwrap();
                assert!(unit.to_vec() == pattern(round * 50 + i, (i * 7 + 1) as usize));
            }
        }
    });
}

#[test]
fn connected_takes_from_its_peer_only() {
    each(|rig| {
        let s = rig.kernel.bind(&ip("127.0.0.1:0"), &options()).unwrap();
        let to = s.local_addr().unwrap().ip().unwrap();
        let (friend, stranger) = (std_udp("127.0.0.1:0"), std_udp("127.0.0.1:0"));
        assert!(matches!(s.start_push_to(buf(vec![1]).into(), None).unwrap_err().error, Error::WrongKind(_)));
        stranger.send_to(b"before", to).unwrap();
        s.connect(&friend.local_addr().unwrap().into()).unwrap();
        assert_eq!(s.peer_addr().unwrap(), friend.local_addr().unwrap().into());
        stranger.send_to(b"after", to).unwrap();
        friend.send_to(b"friend", to).unwrap();
        let (unit, from) = rig.pop_from(&s).unwrap().unwrap();
        assert_eq!((&unit.to_vec()[..], from), (&b"friend"[..], friend.local_addr().unwrap().into()));
        s.start_push_to("to the peer".into(), None).unwrap();
        let mut got = [0; 32];
        assert_eq!(calm(|| friend.recv(&mut got)).unwrap(), 11);
    });
}

#[test]
fn an_icmp_error_is_told_once_and_the_socket_goes_on() {
    each(|rig| {
        let s = rig.kernel.bind(&ip("127.0.0.1:0"), &options()).unwrap();
        let gone = std_udp("127.0.0.1:0");
        let at = gone.local_addr().unwrap();
        drop(gone);
        s.connect(&at.into()).unwrap();
        s.start_push_to("anybody there?".into(), None).unwrap();
        let e = rig.pop_from(&s).unwrap_err();
        assert_eq!(e.raw_os_error(), Some(111), "{e}");
        let peer = UdpSocket::bind(at).unwrap();
        peer.set_read_timeout(Some(HANG)).unwrap();
        s.start_push_to("now?".into(), None).unwrap();
        let mut got = [0; 32];
        let (n, from) = calm(|| peer.recv_from(&mut got)).unwrap();
        assert_eq!(&got[..n], b"now?");
        peer.send_to(b"yes", from).unwrap();
        assert_eq!(rig.pop_from(&s).unwrap().unwrap().0.to_vec(), b"yes");
    });
}

#[test]
fn an_icmp_error_met_by_a_push_goes_to_the_popping_side() {
    each(|rig| {
        let s = rig.kernel.bind(&ip("127.0.0.1:0"), &options()).unwrap();
        let gone = std_udp("127.0.0.1:0").local_addr().unwrap();
        s.connect(&gone.into()).unwrap();
        for _ in 0..10 {
            s.start_push_to("x".into(), None).unwrap();
        }
        assert_eq!(rig.pop_from(&s).unwrap_err().raw_os_error(), Some(111));
    });
}

#[test]
fn nothing_is_received_beyond_the_limit() {
    each(|rig| {
        let mut o = options();
        o.recv_limit = 64 << 10;
        o.recv_buffer = Some(1 << 20);
        let s = rig.kernel.bind(&ip("127.0.0.1:0"), &o).unwrap();
        let to = s.local_addr().unwrap().ip().unwrap();
        let peer = std_udp("127.0.0.1:0");
        let rings = rig.pool.stats().in_use;
        // One pop is waited for and dropped: the socket may receive ahead, but not without bound.
        let waker = rig.waker();
        let mut cx = std::task::Context::from_waker(&waker);
        assert!(s.poll_pop_from(&mut cx).is_pending());
        for _ in 0..200 {
            peer.send_to(&[7; 2000], to).unwrap();
        }
        rig.idle(30);
        let held = rig.pool.stats().in_use - rings;
        assert!((1..=33).contains(&held), "{held} buffers of 2 KiB");
    });
}

#[test]
fn close_ends_the_pop() {
    each(|rig| {
        let s = rig.kernel.bind(&ip("127.0.0.1:0"), &options()).unwrap();
        rig.until(|cx| {
            assert!(s.poll_pop_from(cx).is_pending());
            Poll::Ready(())
        });
        rig.idle(3);
        s.close();
        assert!(rig.pop_from(&s).unwrap().is_none());
        assert!(matches!(s.start_push_to("x".into(), None).unwrap_err().error, Error::Closed));
        rig.until_true(|| rig.is_empty());
    });
}

fn socket_path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("hemi-kernel-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn unix_datagrams() {
    each(|rig| {
        let (here, there) = (socket_path("dgram-a"), socket_path("dgram-b"));
        let s = rig.kernel.bind(&Endpoint::Unix(here.clone()), &options()).unwrap();
        let peer = UnixDatagram::bind(&there).unwrap();
        peer.set_read_timeout(Some(HANG)).unwrap();
        peer.send_to(b"hello", &here).unwrap();
        let (unit, from) = rig.pop_from(&s).unwrap().unwrap();
        assert_eq!((&unit.to_vec()[..], &from), (&b"hello"[..], &Endpoint::Unix(there.clone())));
        // More than the peer's queue holds: they wait here, none is lost.
        for i in 0..100_u8 {
            rig.until(|cx| s.poll_ready(cx)).unwrap();
            s.start_push_to(buf(vec![i; 100]).into(), Some(&from)).unwrap();
        }
        let reader = std::thread::spawn(move || {
            for i in 0..100_u8 {
                let mut got = [0; 200];
                let n = calm(|| peer.recv(&mut got)).unwrap();
                assert_eq!(&got[..n], [i; 100]);
            }
        });
        rig.until(|cx| s.poll_flushed(cx)).unwrap();
        reader.join().unwrap();
        let _ = (std::fs::remove_file(here), std::fs::remove_file(there));
    });
}

//! Two hosts over a link in one process: TCP and UDP, every combination of checksums, back-pressure, sleeping and waking.

use std::{net::SocketAddr, os::fd::RawFd, time::Duration};

use crate::hosts::{self, Pair, counter, name, open};
use hemi_net::{Device, DeviceQueue};
use hemi_queue::{Pool, PoolConfig, Progress, Uri, Wakeup, buf::ClassConfig, time::Instant};

#[test]
fn tcp_both_ways_over_both_families_with_every_choice_of_checksums() {
    for (first, second) in
        [("offload", "offload"), ("full", "full"), ("offload", "full"), ("full", "offload")]
    {
        let name = name();
        let uri = |csum: &str| format!("shm:{}?csum={csum}&mtu=1500", name.display());
        let mut pair = Pair::new(&uri(first), &uri(second));
        for address in ["10.0.0.2", "fd00::2"] {
            let (a, b) = pair.connect(address, 80);
            pair.transfer([a, b], 3 << 20);
        }
        for host in &pair.hosts {
            let seen = host.stack.counters();
            let lost = seen.drop_tcp_bad_checksum + seen.drop_ip_malformed;
            assert_eq!(lost, 0, "{first} {second}: {seen:?}");
            assert_eq!(counter(&host.device, "links_broken"), 0);
        }
        let whole = first == "offload" && second == "offload";
        let frames = counter(&pair.hosts[0].device, "tx_frames");
        assert!(!whole || frames < 1000, "{frames} frames: large ones go through whole");
    }
}

#[test]
fn datagrams_of_every_size_arrive() {
    let name = name();
    let uri = format!("shm:{}?mtu=9000", name.display());
    let mut pair = Pair::new(&uri, &uri);
    let at: SocketAddr = "0.0.0.0:53".parse().unwrap();
    let [client, server] = &mut pair.hosts;
    let (to, _) = server.stack.udp_bind(at, 1 << 20, false).unwrap();
    let (from, _) = client.stack.udp_bind("0.0.0.0:0".parse().unwrap(), 1 << 20, false).unwrap();
    for n in [0, 1, 64, 1472, 8972, 20_000, 65_507] {
        let bytes = hosts::stream(n);
        let unit = hemi_queue::Buf::from(bytes.clone()).into();
        let peer = Some("10.0.0.2:53".parse().unwrap());
        pair.hosts[0].stack.udp_send(from, unit, peer, pair.time.now()).map_err(|(e, _)| e).unwrap();
        let got = loop {
            pair.poll();
            pair.time.check("datagram");
            if let Some(datagram) = pair.hosts[1].stack.udp_recv(to).unwrap() {
                break datagram;
            }
        };
        assert!(got.payload.to_vec() == bytes, "{n} bytes");
    }
}

#[test]
fn a_receiver_that_does_not_poll_stops_the_sender_and_loses_nothing() {
    let name = name();
    let uri = format!("shm:{}", name.display());
    let mut pair = Pair::new(&uri, &uri);
    let (a, b) = pair.connect("10.0.0.2", 80);
    let bytes = hosts::stream(1 << 20);
    let now = pair.time.now();
    pair.hosts[0]
        .stack
        .tcp_push(a, hemi_queue::Buf::from(bytes.clone()).into(), now)
        .map_err(|(e, _)| e)
        .unwrap();
    // The receiver sleeps.
    for _ in 0..1000 {
        let now = pair.time.now();
        pair.hosts[0].poll(now).unwrap();
    }
    let mut got = Vec::new();
    while got.len() < bytes.len() {
        pair.poll();
        pair.time.check("data");
        let now = pair.time.now();
        while let Some(part) = pair.hosts[1].stack.tcp_pop(b, now).unwrap() {
            got.extend_from_slice(&part);
        }
    }
    assert!(got == bytes);
}

/// Poll until the two devices are linked.
fn meet<'a>(a: &'a mut dyn Device, b: &'a mut dyn Device) {
    let time = hosts::Time::new();
    while counter(a, "links") == 0 || counter(b, "links") == 0 {
        time.check("link");
        for device in [&mut *a, &mut *b] {
            device.rx_burst(time.now(), 64, &mut Vec::new()).unwrap();
        }
    }
}

fn frames(n: usize, len: usize) -> hemi_net::TxQueue {
    let mut queue = hemi_net::TxQueue::new(n);
    for _ in 0..n {
        let mut frame = hemi_net::TxFrame::new(hemi_queue::Sga::new());
        frame.head_mut(60).fill(7);
        frame.payload = vec![8; len - 60].into();
        queue.push(frame);
    }
    queue
}

fn fd(device: &dyn Device) -> RawFd {
    match device.wakeup() {
        Wakeup::Fd(fd) => fd,
        other => panic!("woken by {other:?}"),
    }
}

fn readable(fd: RawFd, wait: Duration) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&raw mut poll, 1, wait.as_millis() as i32) > 0 }
}

const NOW: Instant = Instant::ZERO;

#[test]
fn a_sleeper_is_woken_by_a_frame_and_only_a_sleeper() {
    let uri = format!("shm:{}", name().display());
    let ((mut a, _), (mut b, _)) = (open(&uri).unwrap(), open(&uri).unwrap());
    meet(&mut *a, &mut *b);
    a.tx_burst(NOW, &mut frames(1, 100)).unwrap();
    assert_eq!(counter(&*a, "doorbells"), 0, "the peer is awake");
    // What has come already is an objection to sleeping.
    assert_eq!(b.prepare_park(), Progress::Busy);
    let mut got = Vec::new();
    assert_eq!(b.rx_burst(NOW, 64, &mut got).unwrap(), 1);
    assert_eq!(got[0].bytes.len(), 100);

    assert_eq!(b.prepare_park(), Progress::Idle);
    let wakeup = fd(&*b);
    assert!(!readable(wakeup, Duration::ZERO), "nothing has happened");
    a.tx_burst(NOW, &mut frames(3, 100)).unwrap();
    a.tx_burst(NOW, &mut frames(3, 100)).unwrap();
    assert!(readable(wakeup, hosts::PATIENCE));
    assert_eq!(counter(&*a, "doorbells"), 1, "one ring wakes");
    b.unpark();
    assert_eq!(b.rx_burst(NOW, 64, &mut got).unwrap(), 6);
    b.rx_burst(NOW, 64, &mut got).unwrap();
    assert!(!readable(wakeup, Duration::ZERO), "the doorbell has been emptied");
}

#[test]
fn a_sender_without_room_sleeps_until_there_is_some() {
    let uri = format!("shm:{}", name().display());
    let ((mut a, _), (mut b, _)) = (open(&uri).unwrap(), open(&uri).unwrap());
    meet(&mut *a, &mut *b);
    let mut queue = frames(300, 1500);
    let sent = a.tx_burst(NOW, &mut queue).unwrap();
    assert!(sent > 100 && sent + queue.len() == 300, "what does not fit stays: {sent}");
    assert_eq!(a.prepare_park(), Progress::Idle);
    let mut got = Vec::new();
    while b.rx_burst(NOW, 64, &mut got).unwrap() > 0 {}
    assert_eq!(got.len(), sent);
    assert!(readable(fd(&*a), hosts::PATIENCE), "room again");
    a.unpark();
    assert_eq!(a.tx_burst(NOW, &mut queue).unwrap(), 300 - sent);
}

#[test]
fn a_visitor_without_a_seat_does_not_keep_a_linked_side_awake() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
    let path = name();
    let uri = format!("shm:{}", path.display());
    let ((mut a, _), (mut b, _)) = (open(&uri).unwrap(), open(&uri).unwrap());
    meet(&mut *a, &mut *b);
    let visitor = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    let at = SocketAddrUnix::new(
        path.with_file_name(format!("{}.sock", path.file_name().unwrap().to_str().unwrap())),
    );
    connect(&visitor, &at.unwrap()).unwrap();
    assert_eq!(a.prepare_park(), Progress::Idle);
    assert!(!readable(fd(&*a), Duration::ZERO));
    a.unpark();
    // Once the peer has left, the visitor is heard, and refused for saying nothing.
    drop(b);
    assert!(readable(fd(&*a), hosts::PATIENCE), "the death of the peer wakes");
    let time = hosts::Time::new();
    let mut b = None;
    while counter(&*a, "links") < 2 {
        time.check("a link after the visitor's");
        a.rx_burst(time.now(), 64, &mut Vec::new()).unwrap();
        let b = b.get_or_insert_with(|| open(&uri).unwrap().0);
        b.rx_burst(time.now(), 64, &mut Vec::new()).unwrap();
    }
}

#[test]
fn with_a_drained_pool_large_frames_are_dropped_and_small_ones_behind_them_heard() {
    let uri = format!("shm:{}", name().display());
    let ((mut a, _), (mut b, pool)) = (open(&uri).unwrap(), open(&uri).unwrap());
    meet(&mut *a, &mut *b);
    let mut held = Vec::new();
    for size in [64 << 10, 16 << 10, 2048, 256] {
        while let Ok(buffer) = pool.try_alloc(size) {
            held.push(buffer);
        }
    }
    a.tx_burst(NOW, &mut frames(1, 1500)).unwrap();
    a.tx_burst(NOW, &mut frames(1, 200)).unwrap();
    let mut got = Vec::new();
    b.rx_burst(NOW, 64, &mut got).unwrap();
    assert_eq!(got.iter().map(|f| f.bytes.len()).collect::<Vec<_>>(), [200]);
    assert_eq!(counter(&*b, "rx_no_memory"), 1);
    // Whoever sends what nobody has memory for does not keep the core: so many are looked at in a burst, and the ring does not fill up.
    for _ in 0..1000 {
        a.tx_burst(NOW, &mut frames(8, 1500)).unwrap();
        assert_eq!(b.rx_burst(NOW, 1, &mut got).unwrap(), 0);
        b.rx_burst(NOW, 64, &mut got).unwrap();
    }
    assert_eq!((counter(&*b, "rx_no_memory"), counter(&*a, "tx_ring_full")), (8001, 0));
    drop(held);
    a.tx_burst(NOW, &mut frames(1, 1500)).unwrap();
    b.rx_burst(NOW, 64, &mut got).unwrap();
    assert_eq!(got.len(), 2);
}

#[test]
fn a_third_is_refused_and_told_who_is_there() {
    let uri = format!("shm:{}", name().display());
    let _two = (open(&uri).unwrap(), open(&uri).unwrap());
    let error = open(&uri).map(drop).unwrap_err().to_string();
    assert!(error.contains("taken") && error.contains(&std::process::id().to_string()), "{error}");
}

#[test]
fn several_queues_are_refused_with_what_to_do_instead() {
    let uri: Uri = format!("shm:{}", name().display()).parse().unwrap();
    let queue = DeviceQueue { index: 0, of: 2 };
    let error = hemi_shm::open(&uri, &Pool::new().unwrap(), queue).map(drop).unwrap_err();
    assert!(matches!(error, hemi_queue::Error::Unsupported(_)), "{error}");
}

#[test]
fn a_pool_without_room_for_the_largest_frame_is_refused() {
    let uri: Uri = format!("shm:{}", name().display()).parse().unwrap();
    let classes = vec![ClassConfig { size: 2048 }];
    let pool = Pool::with(&PoolConfig { classes, ..PoolConfig::default() }).unwrap();
    let error = hemi_shm::open(&uri, &pool, DeviceQueue::ONLY).map(drop).unwrap_err().to_string();
    assert!(error.contains("buffers of 65536 bytes") && error.contains("2048"), "{error}");
}

#[test]
fn nothing_is_left_behind() {
    let path = name();
    let uri = format!("shm:{}", path.display());
    let (first, second) = (open(&uri).unwrap(), open(&uri).unwrap());
    drop(first);
    drop(second);
    let folder = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let stem = path.file_name().unwrap().to_string_lossy().into_owned();
    let left: Vec<_> = folder
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| *name == stem || *name == format!("{stem}.sock"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

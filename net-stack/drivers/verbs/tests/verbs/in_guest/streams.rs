//! Connections that go well.

use std::{rc::Rc, task::Poll};

use hemi_queue::{
    Buf, Sga,
    transport::{Endpoint, SocketOptions, StreamSocket, Transport},
};

use super::rig::{CLEAN, LOSSY, Rig, pattern};

#[test]
fn units_go_there_and_back_as_they_are() {
    hemi_guest::needs!(Rdma);
    for link in [CLEAN, LOSSY] {
        let rig = Rig::new(link);
        let (server, client) = rig.pair();
        assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
        assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
        // Empty, inline, one buffer, gathered, just a receive buffer, more than one, far more.
        for n in [0, 1, 64, 256, 257, 5000, 16 << 10, (16 << 10) + 1, 100_000, 700_001] {
            let data = pattern(n as u64, n);
            let unit: Sga = data.chunks(n.div_ceil(3).max(1)).map(|part| Buf::from(part.to_vec())).collect();
            rig.push(&client, unit).unwrap();
            let got = rig.pop(&server).unwrap().expect("a unit");
            assert!(got == data[..], "{n} bytes, {} came", got.len());
            rig.push(&server, got).unwrap();
            assert!(rig.pop(&client).unwrap().expect("and back") == data[..], "{n} bytes back");
        }
        rig.until(|cx| client.poll_acked(cx)).unwrap();
        client.shutdown().unwrap();
        assert!(rig.pop(&server).unwrap().is_none());
        rig.push(&server, "after their end").unwrap();
        server.shutdown().unwrap();
        assert!(rig.pop(&client).unwrap().unwrap() == *b"after their end");
        assert!(rig.pop(&client).unwrap().is_none());
        server.close();
        rig.close(&client).unwrap();
        rig.until_empty();
    }
}

#[test]
fn ipv6_too() {
    hemi_guest::needs!(Rdma);
    let uri = "rdma:rxe0?ip=fd77::1";
    let rig = Rig::new((uri, uri));
    let any = Endpoint::Ip("[::]:0".parse().unwrap());
    let listener = rig.server.listen(&any, &SocketOptions::default()).unwrap();
    let at = listener.local_addr().unwrap();
    assert!(at.to_string().starts_with("[fd77::1]:"), "{at}");
    let client = rig.client.connect(&at, &SocketOptions::default()).unwrap();
    let server = rig.accept(&listener);
    rig.push(&client, "six").unwrap();
    assert!(rig.pop(&server).unwrap().unwrap() == *b"six");
}

/// What a push found, and what the other end got, of `sizes` in order, both directions at once.
fn stream(rig: &Rig, ends: &[Rc<dyn StreamSocket>; 2], sizes: &[usize]) {
    let mut sent = [0, 0];
    let mut got = [0, 0];
    let seed = |from: usize, n: usize| (n * 2 + from) as u64;
    rig.until(|cx| {
        for from in 0..2 {
            while sent[from] < sizes.len() && ends[from].poll_ready(cx).map(Result::unwrap).is_ready() {
                let n = sent[from];
                ends[from].start_push(pattern(seed(from, n), sizes[n]).into()).unwrap();
                sent[from] += 1;
            }
            while let Poll::Ready(unit) = ends[1 - from].poll_pop(cx) {
                let n = got[from];
                let unit = unit.unwrap().expect("no end yet");
                assert!(unit == pattern(seed(from, n), sizes[n])[..], "unit {n} of {} bytes", sizes[n]);
                got[from] += 1;
                if got[from] == sizes.len() {
                    break;
                }
            }
        }
        if got == [sizes.len(); 2] { Poll::Ready(()) } else { Poll::Pending }
    });
}

#[test]
fn many_units_both_ways_more_than_the_credits() {
    hemi_guest::needs!(Rdma);
    for link in [CLEAN, LOSSY] {
        let rig = Rig::new(link);
        let (server, client) = rig.pair();
        let count = if link == CLEAN { 200 } else { 60 };
        let sizes: Vec<usize> = (0..count).map(|n| n * n * 7919 % 40_000).collect();
        stream(&rig, &[server, client], &sizes);
    }
}

const CONNECTIONS: usize = 64;

#[test]
fn sixty_four_connections_share_one_receive_queue() {
    hemi_guest::needs!(Rdma);
    let uri = "rdma:rxe0?ip=10.77.0.1&recv=512&window=8&buffer=4K";
    let rig = Rig::new((uri, uri));
    let listener = rig.listen();
    let at = listener.local_addr().unwrap();
    let options = SocketOptions::default();
    let mut ends = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = rig.client.connect(&at, &options).unwrap();
        let server = rig.accept(&listener);
        rig.until(|cx| client.poll_connected(cx)).unwrap();
        ends.push((client, server));
    }
    // Everybody sends more than its credits, nobody pops yet: only what was granted arrives, and nothing fails.
    for round in 0..2 {
        for (n, (client, _)) in ends.iter().enumerate() {
            for k in 0..20 {
                rig.push(client, pattern((round * 10_000 + n * 100 + k) as u64, 100 + 37 * k)).unwrap();
            }
        }
        for (n, (_, server)) in ends.iter().enumerate() {
            for k in 0..20 {
                let unit = rig.pop(server).unwrap().unwrap();
                assert!(
                    unit == pattern((round * 10_000 + n * 100 + k) as u64, 100 + 37 * k)[..],
                    "{round} {n} {k}"
                );
            }
        }
    }
    drop(ends);
    rig.until_empty();
}

#[test]
fn a_close_delivers_what_was_accepted() {
    hemi_guest::needs!(Rdma);
    for link in [CLEAN, LOSSY] {
        let rig = Rig::new(link);
        let (server, client) = rig.pair();
        let mut pushed = 0;
        while client.start_push(pattern(pushed, 3000).into()).is_ok() {
            pushed += 1;
        }
        assert!(pushed > 30, "{pushed}");
        client.close();
        for n in 0..pushed {
            assert!(rig.pop(&server).unwrap().expect("before the end") == pattern(n, 3000)[..], "unit {n}");
        }
        assert!(rig.pop(&server).unwrap().is_none());
        server.close();
        rig.until(|cx| client.poll_closed(cx)).unwrap();
        rig.until_empty();
    }
}

//! How connections end.

use std::{task::Poll, time::Duration};

use hemi_queue::{
    Error, Reactor,
    transport::{SocketOptions, StreamOption, Transport},
};

use super::rig::{Rig, is_ready};

const MUCH: usize = 1 << 20;

#[test]
fn a_close_delivers_everything_even_to_a_peer_that_sends() {
    let rig = Rig::new();
    let (client, server) = rig.pair(&SocketOptions::default());
    client.start_push(vec![1; MUCH].into()).unwrap();
    server.start_push(vec![2; MUCH].into()).unwrap();
    rig.sleep(Duration::from_millis(5)); // some of it is unread
    client.close();
    assert!(matches!(rig.pop(&client), Err(Error::Closed)));
    let (bytes, end) = rig.pop_all(&server);
    assert_eq!(bytes, MUCH, "{end:?}");
    rig.until(|cx| client.poll_closed(cx)).unwrap();
    rig.sleep(Duration::from_secs(1));
    // What the server sent was lost, and it learns of that.
    assert!(matches!(server.start_push("more".into()).unwrap_err().error, Error::Reset));
}

#[test]
fn an_orderly_end_is_no_reset() {
    let rig = Rig::new();
    let (client, server) = rig.pair(&SocketOptions::default());
    client.start_push("bye".into()).unwrap();
    client.close();
    assert_eq!(rig.pop_all(&server).0, 3);
    server.close();
    rig.until(|cx| server.poll_closed(cx)).unwrap();
    rig.until(|cx| client.poll_closed(cx)).unwrap();
    let gone = |t: &hemi_net_transport::UserTransport| t.snapshot().connections.len();
    rig.sleep(Duration::from_secs(120));
    assert_eq!((gone(&rig.server), gone(&rig.client)), (0, 0));
    for t in [&rig.server, &rig.client] {
        assert_eq!(t.snapshot().counters.tcp_resets_sent, 0);
    }
}

#[test]
fn a_linger_of_zero_resets() {
    let rig = Rig::new();
    let (client, server) = rig.pair(&SocketOptions::default());
    client.set_option(StreamOption::Linger(Some(Duration::ZERO))).unwrap();
    client.start_push(vec![1; MUCH].into()).unwrap();
    client.close();
    assert!(is_ready(|cx| client.poll_closed(cx)));
    assert!(matches!(rig.pop_all(&server).1, Err(Error::Reset)));
}

#[test]
fn a_linger_time_is_kept() {
    for (linger, least) in [(Some(Duration::from_secs(2)), 2), (None, 60)] {
        let rig = Rig::new();
        let (client, server) = rig.pair(&SocketOptions::default());
        client.set_option(StreamOption::Linger(linger)).unwrap();
        rig.switch.set_cut(1, true);
        client.start_push("into the void".into()).unwrap();
        let before = rig.now();
        client.close();
        let e = rig.until(|cx| client.poll_closed(cx)).unwrap_err();
        assert!(matches!(e, Error::TimedOut("close")), "{e:?}");
        assert_eq!((rig.now() - before).as_secs(), least);
        drop(server);
    }
}

#[test]
fn without_a_linger_time_a_slow_peer_is_waited_for() {
    let rig = Rig::new();
    let (client, server) = rig.pair(&SocketOptions::default());
    client.start_push(vec![1; MUCH].into()).unwrap();
    client.close();
    let mut got = 0;
    while got < MUCH {
        rig.sleep(Duration::from_secs(2));
        // 16 KiB every two seconds: two minutes in all.
        let mut now = 0;
        while now < 16 << 10 {
            let Ok(Some(unit)) = rig.pop(&server) else { panic!("ended after {got} bytes") };
            now += unit.len();
            got += unit.len();
            if got == MUCH {
                break;
            }
        }
    }
    assert!(rig.pop(&server).unwrap().is_none());
    rig.until(|cx| client.poll_closed(cx)).unwrap();
}

#[test]
fn acknowledged_means_by_the_peer() {
    let rig = Rig::new();
    let (client, server) = rig.pair(&SocketOptions::default());
    rig.switch.set_cut(1, true);
    client.start_push("is it there?".into()).unwrap();
    rig.sleep(Duration::from_secs(3));
    assert!(!is_ready(|cx| client.poll_acked(cx)) && is_ready(|cx| client.poll_flushed(cx)));
    rig.switch.set_cut(1, false);
    rig.until(|cx| client.poll_acked(cx)).unwrap();
    assert_eq!(rig.pop(&server).unwrap().unwrap().to_vec(), b"is it there?");
}

#[test]
fn a_shutdown_drains_and_then_all_is_quiet() {
    let rig = Rig::new();
    let (client, server) = rig.pair(&SocketOptions::default());
    client.start_push(vec![3; MUCH].into()).unwrap();
    rig.client.shutdown();
    assert!(!rig.client.is_quiet());
    let refused = rig.client.connect(&server.local_addr().unwrap(), &SocketOptions::default());
    assert!(matches!(refused, Err(Error::Closed)));
    assert_eq!(rig.pop_all(&server).0, MUCH);
    rig.until(|_| if rig.client.is_quiet() { Poll::Ready(()) } else { Poll::Pending });
}

#[test]
fn a_listener_that_closes_resets_who_was_not_accepted() {
    let rig = Rig::new();
    let (listener, at) = rig.listen(&SocketOptions::default());
    let client = rig.client.connect(&at.into(), &SocketOptions::default()).unwrap();
    rig.until(|cx| client.poll_connected(cx)).unwrap();
    rig.sleep(Duration::from_millis(10));
    listener.close();
    assert!(matches!(rig.pop(&client), Err(Error::Reset)));
    assert!(rig.until(|cx| listener.poll_accept(cx)).unwrap().is_none());
}

#[test]
fn memory_returns() {
    let rig = Rig::new();
    for _ in 0..3 {
        let (client, server) = rig.pair(&SocketOptions::default());
        client.start_push(vec![1; 100_000].into()).unwrap();
        rig.sleep(Duration::from_millis(20));
        drop((client, server));
    }
    rig.sleep(Duration::from_secs(200));
    assert_eq!(rig.pool.stats().in_use, 0, "buffers are held by nobody");
}

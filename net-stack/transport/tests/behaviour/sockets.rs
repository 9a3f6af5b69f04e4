//! Pushes, limits, errors, datagrams.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use hemi_queue::{
    Error, Sga,
    transport::{Endpoint, SocketOptions, StreamOption, Transport},
};

use super::rig::{Rig, is_ready};

#[test]
fn a_push_is_on_the_wire_when_its_turn_ends() {
    let rig = Rig::new();
    let (client, server) = rig.pair(&SocketOptions::default());
    rig.sleep(Duration::from_secs(1));
    let sent = || rig.switch.stats(1).unwrap()[0].sent;
    let before = sent();
    client.start_push("now".into()).unwrap();
    assert_eq!(sent(), before, "nothing leaves inside of the batch");
    rig.turn();
    assert_eq!(sent(), before + 1);
    assert_eq!(rig.pop(&server).unwrap().unwrap().to_vec(), b"now");
}

#[test]
fn pushes_are_accepted_first_and_wait_at_the_limits() {
    let mut options = SocketOptions::default();
    (options.send_buffer, options.send_limit, options.recv_buffer) = (Some(20_000), 10_000, Some(4096));
    let rig = Rig::new();
    let (client, server) = rig.pair(&options);
    let unit = || Sga::from(vec![7; 5000]);
    rig.switch.set_cut(1, true); // nothing is acknowledged
    for accepted in 0..9 {
        let (ready, flushed) = (is_ready(|cx| client.poll_ready(cx)), is_ready(|cx| client.poll_flushed(cx)));
        // 20,000 are with the stack, 10,000 more before a push waits.
        assert_eq!((ready, flushed), (accepted < 6, accepted < 5), "after {accepted} units");
        match client.start_push(unit()) {
            Ok(()) => assert!(accepted < 8),
            Err(refused) => {
                assert_eq!((accepted, refused.unit.len()), (8, 5000));
                assert!(matches!(refused.error, Error::Busy), "{:?}", refused.error);
            }
        }
        rig.sleep(Duration::from_millis(10));
    }
    assert!(!is_ready(|cx| client.poll_acked(cx)));
    rig.switch.set_cut(1, false);
    let mut popped = 0;
    rig.until(|cx| {
        while let std::task::Poll::Ready(unit) = server.poll_pop(cx) {
            popped += unit.unwrap().unwrap().len();
        }
        client.poll_acked(cx)
    })
    .unwrap();
    assert_eq!(popped, 40_000);
    client.set_option(StreamOption::SendBuffer(100_000)).unwrap();
    client.start_push(vec![1; 60_000].into()).unwrap();
    assert!(is_ready(|cx| client.poll_ready(cx)), "the send buffer has grown");
}

#[test]
fn errors_name_the_operation_and_the_address() {
    let rig = Rig::new();
    let (listener, at) = rig.listen(&SocketOptions::default());
    let Err(taken) = rig.server.listen(&at.into(), &SocketOptions::default()) else { panic!("twice") };
    assert_eq!(taken.io_kind(), ErrorKind::AddrInUse);
    assert!(taken.to_string().contains(&format!("listen {at}")), "{taken}");

    let not_ours: SocketAddr = "10.0.0.9:80".parse().unwrap();
    let Err(e) = rig.server.listen(&not_ours.into(), &SocketOptions::default()) else { panic!("not ours") };
    assert!(e.to_string().contains("listen 10.0.0.9:80"), "{e}");
    let Err(e) = rig.server.listen(&Endpoint::Name("x".into()), &SocketOptions::default()) else {
        panic!("no names")
    };
    assert!(e.to_string().contains("use an IP address"), "{e}");

    listener.close();
    let refused = rig.client.connect(&at.into(), &SocketOptions::default()).unwrap();
    let e = rig.until(|cx| refused.poll_connected(cx)).unwrap_err();
    assert_eq!(e.io_kind(), ErrorKind::ConnectionRefused);
    assert!(e.to_string().contains(&format!("connect {at}")), "{e}");
    assert!(rig.pop(&refused).is_err(), "what failed stays failed");

    let far: SocketAddr = "192.0.2.1:80".parse().unwrap();
    let Err(e) = rig.client.connect(&far.into(), &SocketOptions::default()) else { panic!("no route") };
    assert!(e.io_kind() == ErrorKind::HostUnreachable && e.to_string().contains("192.0.2.1:80"), "{e}");
}

#[test]
fn a_connect_that_nobody_answers_ends() {
    let rig = Rig::new();
    let nobody: SocketAddr = "10.0.0.77:80".parse().unwrap();
    let mut options = SocketOptions::default();
    let conn = rig.client.connect(&nobody.into(), &options).unwrap();
    let e = rig.until(|cx| conn.poll_connected(cx)).unwrap_err();
    assert!(matches!(e.io_kind(), ErrorKind::HostUnreachable | ErrorKind::TimedOut), "{e:?}");

    options.connect_timeout = Some(Duration::from_millis(300));
    let before = rig.now();
    let conn = rig.client.connect(&nobody.into(), &options).unwrap();
    let e = rig.until(|cx| conn.poll_connected(cx)).unwrap_err();
    assert!(matches!(e, Error::TimedOut("connect")), "{e:?}");
    assert_eq!(rig.now() - before, Duration::from_millis(300));
}

#[test]
fn a_connected_datagram_socket_hears_of_a_closed_port_and_goes_on() {
    let rig = Rig::new();
    let options = SocketOptions::default();
    let at = |n: u8| Endpoint::Ip(SocketAddr::from(([10, 0, 0, n], 0)));
    let client = rig.client.bind(&at(2), &options).unwrap();
    let nobody = Endpoint::Ip("10.0.0.1:9".parse().unwrap());
    client.connect(&nobody).unwrap();
    client.start_push_to("anybody?".into(), None).unwrap();
    let e = rig.until(|cx| client.poll_pop_from(cx)).unwrap_err();
    assert_eq!(e.io_kind(), ErrorKind::ConnectionRefused);
    assert!(e.to_string().contains("10.0.0.1:9"), "{e}");

    // The next error is pending when the next datagram is pushed: that is sent all the same.
    client.start_push_to("still nobody?".into(), None).unwrap();
    rig.sleep(Duration::from_millis(10));
    let server = rig.server.bind(&at(1), &options).unwrap();
    let to = server.local_addr().unwrap();
    client.start_push_to("you".into(), Some(&to)).unwrap();
    let (unit, from) = rig.until(|cx| server.poll_pop_from(cx)).unwrap().unwrap();
    assert_eq!((unit.to_vec(), from), (b"you".to_vec(), client.local_addr().unwrap()));
    assert!(rig.until(|cx| client.poll_pop_from(cx)).is_err(), "the error was told to the popping side");
}

#[test]
fn datagrams_beyond_the_transmit_queue_wait_their_turn() {
    let rig = Rig::new();
    let options = SocketOptions::default();
    let at = |n: u8| Endpoint::Ip(SocketAddr::from(([10, 0, 0, n], 0)));
    let (client, server) =
        (rig.client.bind(&at(2), &options).unwrap(), rig.server.bind(&at(1), &options).unwrap());
    let to = server.local_addr().unwrap();
    client.start_push_to("first, so that the neighbour is known".into(), Some(&to)).unwrap();
    rig.until(|cx| server.poll_pop_from(cx)).unwrap().unwrap();
    let mut accepted = 0_u32;
    while is_ready(|cx| client.poll_ready(cx)) {
        client.start_push_to(vec![9; 1000].into(), Some(&to)).unwrap();
        accepted += 1;
        assert!(accepted < 10_000, "no bound");
    }
    assert!(accepted > 256 && !is_ready(|cx| client.poll_flushed(cx)), "{accepted}");
    let mut got = 0;
    rig.until(|cx| {
        while let std::task::Poll::Ready(Ok(Some(_))) = server.poll_pop_from(cx) {
            got += 1;
        }
        client.poll_flushed(cx)
    })
    .unwrap();
    client.close();
    rig.sleep(Duration::from_millis(10));
    while is_ready(|cx| server.poll_pop_from(cx)) {
        got += 1;
    }
    assert!(got > 100, "{got} of {accepted}; the receiver's own bound may drop the rest");
    assert!(matches!(client.start_push_to("late".into(), Some(&to)).unwrap_err().error, Error::Closed));
}

/// The first connect learns a cookie; the second is open at once, its first push travels in the SYN and is answered a round trip earlier.
#[test]
fn a_first_push_travels_in_the_syn() {
    let rig = Rig::new();
    let mut options = SocketOptions::default();
    options.fast_open = 16;
    let (listener, at) = rig.listen(&options);
    let ask = || {
        let begun = rig.now();
        let client = rig.client.connect(&at.into(), &options).unwrap();
        rig.until(|cx| client.poll_connected(cx)).unwrap();
        let open = rig.now() - begun;
        client.start_push("question".into()).unwrap();
        let server = rig.until(|cx| listener.poll_accept(cx)).unwrap().unwrap();
        assert_eq!(rig.pop(&server).unwrap().unwrap().to_vec(), b"question");
        server.start_push("answer".into()).unwrap();
        assert_eq!(rig.pop(&client).unwrap().unwrap().to_vec(), b"answer");
        (open, rig.now() - begun)
    };
    // Two links of a millisecond each: a round trip of four. The first connection also asks for the peer's hardware address.
    let trip = Duration::from_millis(4);
    let (open, answered) = ask();
    assert!(open >= trip && answered >= 2 * trip, "{open:?}, {answered:?}");
    assert_eq!(ask(), (Duration::ZERO, trip));
}

/// Who listens first, where the SYN waits for data to carry, opens without.
#[test]
fn a_pop_on_a_connection_that_waits_for_data_opens_it() {
    let rig = Rig::new();
    let mut options = SocketOptions::default();
    options.fast_open = 16;
    let (listener, at) = rig.listen(&options);
    for _ in 0..2 {
        let client = rig.client.connect(&at.into(), &options).unwrap();
        rig.until(|cx| client.poll_connected(cx)).unwrap();
        assert!(!is_ready(|cx| client.poll_pop(cx)));
        let server = rig.until(|cx| listener.poll_accept(cx)).unwrap().unwrap();
        server.start_push("welcome".into()).unwrap();
        assert_eq!(rig.pop(&client).unwrap().unwrap().to_vec(), b"welcome");
    }
}

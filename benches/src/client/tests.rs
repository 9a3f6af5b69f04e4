//! The client against servers that echo, and against servers that do not.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::thread;

use super::*;
use crate::contestants::{Contestant, floor::Floor};
use crate::stop::Stop;

/// A scenario brief enough for a test; `measure` also bounds how long a failure takes.
fn brief(transport: Transport, size: usize, connections: usize, depth: usize, pace: Pace) -> Scenario {
    let (warm_up, measure) = (Duration::from_millis(5), Duration::from_millis(60));
    Scenario { transport, size, connections, depth, pace, warm_up, measure }
}

/// Drives a real floor server.
fn against_floor(scenario: &Scenario) -> Driven {
    against(&Floor, drive, scenario)
}

fn against(contestant: &dyn Contestant, drive: Drive, scenario: &Scenario) -> Driven {
    let stop = Stop::default();
    let (tx, rx) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut ready = |address| tx.send(address).expect("the test waits");
            contestant.serve(scenario.transport, ([127, 0, 0, 1], 0).into(), &mut ready, &stop)
        });
        let driven = contestant.drive(drive, rx.recv().expect("the server listens"), scenario);
        stop.set();
        server.join().expect("no panic").expect("a clean end");
        driven.expect("every byte comes back")
    })
}

#[test]
fn closed_loops_of_every_shape_are_echoed() {
    for transport in [Transport::Tcp, Transport::Udp] {
        for (size, connections, depth) in [(8, 1, 1), (64, 1, 16), (64, 8, 4), (40_000, 2, 3)] {
            let driven = against_floor(&brief(transport, size, connections, depth, Pace::Closed));
            assert!(driven.latencies.count() > 0);
            assert!(driven.rate > 0.0);
            assert_eq!(driven.ceiling.is_some(), connections > 1);
            if let Some(ceiling) = driven.ceiling {
                assert!(ceiling > 0.9 * driven.rate, "{ceiling} is below {}", driven.rate);
            }
        }
    }
}

#[test]
fn every_contestant_echoes_every_transport() {
    for contestant in crate::contestants::all(None) {
        for transport in [Transport::Tcp, Transport::Udp] {
            for (connections, depth) in [(1, 1), (6, 8)] {
                let scenario = brief(transport, 64, connections, depth, Pace::Closed);
                let driven = against(contestant.as_ref(), drive, &scenario);
                assert!(driven.latencies.count() > 0, "{contestant:?} over {transport}");
            }
        }
    }
}

#[test]
fn hemi_drives_too() {
    for transport in [Transport::Tcp, Transport::Udp] {
        for (size, connections, depth) in [(8, 1, 1), (64, 4, 4), (40_000, 2, 3)] {
            let driven =
                against(&Floor, hemi::drive, &brief(transport, size, connections, depth, Pace::Closed));
            assert!(driven.latencies.count() > 0 && driven.rate > 0.0);
        }
    }
    let megabytes = brief(Transport::Tcp, 1 << 20, 1, 4, Pace::Closed);
    assert!(against(&Floor, hemi::drive, &megabytes).latencies.count() > 0);
    let open = brief(Transport::Tcp, 64, 1, 1, Pace::Open { rate: 10.0 });
    let outcome = hemi::drive(([127, 0, 0, 1], 1).into(), &open);
    assert!(matches!(outcome, Err(Error::ClosedLoopOnly)), "{outcome:?}");
}

#[test]
fn messages_of_one_byte_travel_over_a_stream() {
    let driven = against_floor(&brief(Transport::Tcp, 1, 1, 3, Pace::Closed));
    assert!(driven.latencies.count() > 0);
}

#[test]
fn a_megabyte_is_one_message() {
    let driven = against_floor(&brief(Transport::Tcp, 1 << 20, 1, 1, Pace::Closed));
    assert!(driven.latencies.count() > 0);
}

#[test]
fn an_open_loop_sends_at_its_rate() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let mut scenario = brief(transport, 64, 2, 1, Pace::Open { rate: 1_000.0 });
        scenario.measure = Duration::from_millis(200);
        let driven = against_floor(&scenario);
        // 200 are due; each is recorded, however late, so the count does not depend on the machine.
        assert!((199..=201).contains(&driven.latencies.count()), "{}", driven.latencies.count());
    }
}

/// The point of an open loop: a server that stalls for 50 ms is charged for every message it kept
/// waiting, not for one.
#[test]
fn a_stall_is_charged_to_every_message_that_was_due() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (mut conn, _) = listener.accept().expect("a client");
        let mut buffer = [0; 4096];
        let mut stalled = false;
        let begin = Instant::now();
        while let Ok(n @ 1..) = conn.read(&mut buffer) {
            if !stalled && begin.elapsed() > Duration::from_millis(50) {
                stalled = true;
                thread::sleep(Duration::from_millis(50));
            }
            if conn.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
    });
    let mut scenario = brief(Transport::Tcp, 64, 1, 1, Pace::Open { rate: 10_000.0 });
    scenario.measure = Duration::from_millis(200);
    let driven = drive(server, &scenario).expect("echoed in the end");
    // 500 messages fell due during the stall, of 2,000: well over a tenth waited over 10 ms.
    assert!(driven.latencies.percentile(90.0) > 10_000_000);
}

#[test]
fn a_wrong_byte_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (mut conn, _) = listener.accept().expect("a client");
        let mut message = [0; 64];
        conn.read_exact(&mut message).expect("a message");
        message[17] ^= 1;
        conn.write_all(&message).expect("an echo");
        let _ = conn.read(&mut message);
    });
    let outcome = drive(server, &brief(Transport::Tcp, 64, 1, 1, Pace::Closed));
    assert!(matches!(outcome, Err(Error::Corrupt { offset: 17 })), "{outcome:?}");
}

#[test]
fn more_than_was_sent_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (mut conn, _) = listener.accept().expect("a client");
        // The very bytes the client will send next: right, but too early.
        let _ = conn.write_all(Payload::new().slice(0, 4096));
        let _ = conn.read(&mut [0; 64]);
    });
    let outcome = drive(server, &brief(Transport::Tcp, 64, 1, 1, Pace::Closed));
    assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{outcome:?}");
}

#[test]
fn a_datagram_from_nowhere_is_an_error() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let server = socket.local_addr().expect("an address");
    thread::spawn(move || {
        let mut message = [0; 64];
        let (_, client) = socket.recv_from(&mut message).expect("a message");
        message[0] = 0xff;
        socket.send_to(&message, client).expect("an echo");
    });
    let outcome = drive(server, &brief(Transport::Udp, 64, 1, 1, Pace::Closed));
    assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{outcome:?}");
}

#[test]
fn lost_datagrams_are_counted_and_the_loop_goes_on() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let server = socket.local_addr().expect("an address");
    thread::spawn(move || {
        let mut message = [0; 64];
        let mut heard = 0;
        while let Ok((n, client)) = socket.recv_from(&mut message) {
            heard += 1;
            if heard != 1 && socket.send_to(&message[..n], client).is_err() {
                break;
            }
        }
    });
    let mut scenario = brief(Transport::Udp, 64, 1, 1, Pace::Closed);
    scenario.measure = Duration::from_nanos(LOST_AFTER) + Duration::from_millis(200);
    let driven = drive(server, &scenario).expect("the others come back");
    // The first one was; on a loaded machine others may be too late.
    assert!(driven.lost >= 1);
    assert!(driven.latencies.count() > 0);
}

#[test]
fn a_server_that_hangs_up_or_is_not_there_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = listener.local_addr().expect("an address");
    let scenario = brief(Transport::Tcp, 64, 1, 1, Pace::Closed);
    let hung_up = thread::scope(|scope| {
        scope.spawn(|| {
            let (mut conn, _) = listener.accept().expect("a client");
            conn.read_exact(&mut [0; 64]).expect("one message");
        });
        drive(server, &scenario)
    });
    assert!(matches!(hung_up, Err(Error::Closed { .. })), "{hung_up:?}");
    drop(listener);
    let absent = drive(server, &scenario);
    assert!(matches!(absent, Err(Error::Connect { .. })), "{absent:?}");
}

#[test]
fn what_cannot_be_run_is_refused_before_a_socket_is_opened() {
    let nowhere = ([127, 0, 0, 1], 1).into();
    let with = |edit: fn(&mut Scenario)| {
        let mut scenario = brief(Transport::Udp, 64, 1, 1, Pace::Closed);
        edit(&mut scenario);
        drive(nowhere, &scenario).expect_err("refused")
    };
    assert!(matches!(with(|s| s.size = 7), Error::Size { smallest: 8, .. }));
    assert!(matches!(with(|s| s.size = 65_508), Error::Size { .. }));
    assert!(matches!(with(|s| s.depth = 0), Error::Zero));
    assert!(matches!(with(|s| s.connections = 0), Error::Zero));
    assert!(matches!(with(|s| s.pace = Pace::Open { rate: 0.0 }), Error::Rate(_)));
    assert!(matches!(with(|s| s.pace = Pace::Open { rate: f64::NAN }), Error::Rate(_)));
}

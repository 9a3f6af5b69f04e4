//! The control path on bare descriptors, over every backend of the kernel transport and in memory.

use std::net::{Ipv4Addr, SocketAddr};

use hemi::{
    Completion, Error, Qd, Runtime, Sga,
    qd::{self, SocketKind},
    transport::Endpoint,
};

const NETS: [&str; 4] = ["mem:", "kernel:?backend=uring", "kernel:?backend=epoll", "kernel:?backend=poll"];

fn on_every_net(test: impl AsyncFn()) {
    for net in NETS {
        match Runtime::builder().net(net).build() {
            Ok(runtime) => runtime.block_on(test()),
            Err(e) if net.contains("uring") => eprintln!("SKIPPED: {net}: {e}"),
            Err(e) => panic!("{net}: {e}"),
        }
    }
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

async fn pair(kind: SocketKind) -> (Qd, Qd, Qd) {
    let server = qd::socket(kind).unwrap();
    qd::bind(server, any_port()).unwrap();
    qd::listen(server, 16).unwrap();
    let client = qd::socket(kind).unwrap();
    let connected = qd::connect(client, qd::local_addr(server).unwrap()).unwrap();
    let Completion::Accepted(Some(conn)) = qd::accept(server).unwrap().await.unwrap() else {
        panic!("not accepted")
    };
    assert!(matches!(connected.await, Ok(Completion::Connected)));
    (server, client, conn)
}

#[test]
fn units_cross_a_connection_whole() {
    on_every_net(async || {
        let (server, client, conn) = pair(SocketKind::Units).await;
        assert_eq!(qd::local_addr(client).unwrap(), qd::peer_addr(conn).unwrap());
        let pops = [qd::pop(conn).unwrap(), qd::pop(conn).unwrap()];
        let mut unit = Sga::from("one ");
        unit.append(Sga::from("unit"));
        let pushes = [qd::push(client, unit).unwrap(), qd::push(client, Sga::from("another")).unwrap()];
        for push in pushes {
            push.await.unwrap();
        }
        for (pop, want) in pops.into_iter().zip(["one unit", "another"]) {
            let Completion::Popped(Some(unit)) = pop.await.unwrap() else { panic!("no unit") };
            assert_eq!(unit.to_vec(), want.as_bytes());
        }
        qd::close(client).unwrap();
        assert!(matches!(qd::pop(conn).unwrap().await, Ok(Completion::Popped(None))));
        qd::close(conn).unwrap();
        qd::close(server).unwrap();
        assert!(matches!(qd::accept(server), Err(Error::BadQd)));
    });
}

#[test]
fn bytes_echo_over_tcp() {
    on_every_net(async || {
        let (server, client, conn) = pair(SocketKind::Tcp).await;
        qd::push(client, Sga::from("ping")).unwrap().await.unwrap();
        let mut got = Vec::new();
        while got.len() < 4 {
            let Completion::Popped(Some(part)) = qd::pop(conn).unwrap().await.unwrap() else { panic!() };
            got.extend(part.to_vec());
        }
        assert_eq!(got, b"ping");
        for qd in [client, conn, server] {
            qd::close(qd).unwrap();
        }
    });
}

#[test]
fn datagrams_carry_their_sender() {
    on_every_net(async || {
        let (a, b) = (qd::socket(SocketKind::Udp).unwrap(), qd::socket(SocketKind::Udp).unwrap());
        qd::bind(a, any_port()).unwrap();
        qd::bind(b, any_port()).unwrap();
        let to_b = qd::local_addr(b).unwrap();
        qd::push_to(a, Sga::from("datagram"), to_b).unwrap().await.unwrap();
        let Completion::PoppedFrom(unit, from) = qd::pop(b).unwrap().await.unwrap() else { panic!() };
        assert_eq!((unit.to_vec().as_slice(), &from), (&b"datagram"[..], &qd::local_addr(a).unwrap()));
        qd::connect(b, from).unwrap().await.unwrap();
        qd::push(b, Sga::from("back")).unwrap().await.unwrap();
        let Completion::PoppedFrom(unit, _) = qd::pop(a).unwrap().await.unwrap() else { panic!() };
        assert_eq!(unit.to_vec(), b"back");
        qd::close(a).unwrap();
        qd::close(b).unwrap();
    });
}

#[test]
fn what_does_not_apply_says_why() {
    on_every_net(async || {
        let s = qd::socket(SocketKind::Tcp).unwrap();
        assert!(matches!(qd::listen(s, 1), Err(Error::WrongKind(w)) if w.why == "bind the socket first"));
        assert!(matches!(qd::pop(s).unwrap().await, Err(Error::WrongKind(_))));
        assert!(matches!(qd::accept(s).unwrap().await, Err(Error::WrongKind(_))));
        qd::bind(s, any_port()).unwrap();
        qd::listen(s, 1).unwrap();
        assert!(matches!(qd::bind(s, any_port()), Err(Error::WrongKind(_))));
        assert!(matches!(qd::connect(s, any_port()), Err(Error::WrongKind(_))));
        assert!(matches!(qd::push(s, Sga::from("x")).unwrap().await, Err(Error::WrongKind(_))));
        let port = qd::local_addr(s).unwrap().ip().unwrap().port();
        assert_ne!(port, 0);
        qd::close(s).unwrap();

        // Nobody listens there any more: the token tells.
        let c = qd::socket(SocketKind::Tcp).unwrap();
        let refused = match qd::connect(c, Endpoint::Ip((Ipv4Addr::LOCALHOST, port).into())) {
            Ok(token) => token.await.map(|_| ()),
            Err(e) => Err(e),
        };
        assert!(refused.is_err(), "{}", hemi::net::describe("").unwrap());
        qd::close(c).unwrap();
    });
}

#[test]
fn an_accepted_connection_that_nobody_claims_is_closed_with_its_listener() {
    on_every_net(async || {
        let server = qd::socket(SocketKind::Units).unwrap();
        qd::bind(server, any_port()).unwrap();
        qd::listen(server, 16).unwrap();
        let accepted = qd::accept(server).unwrap();
        let client = qd::socket(SocketKind::Units).unwrap();
        qd::connect(client, qd::local_addr(server).unwrap()).unwrap().await.unwrap();
        while !accepted.is_done().unwrap() {
            hemi::yield_now().await;
        }
        qd::close(server).unwrap();
        assert!(!matches!(qd::pop(client).unwrap().await, Ok(Completion::Popped(Some(_)))));
        qd::close(client).unwrap();
    });
}

#[test]
fn the_algebra_works_on_descriptors() {
    Runtime::builder().simulated(1).build().unwrap().block_on(async {
        let text = |completion: hemi::Result<Completion>| match completion {
            Ok(Completion::Popped(unit)) => unit.map(|u| String::from_utf8(u.to_vec()).unwrap()),
            other => panic!("not popped: {other:?}"),
        };
        let (a, b) = (qd::queue(8).unwrap(), qd::queue(8).unwrap());
        let both = qd::merge(a, b).unwrap();
        let even = qd::filter(both, |unit| unit.len().is_multiple_of(2)).unwrap();
        let sorted = qd::sort(even, 4, Sga::to_vec).unwrap();
        let loud = qd::map(sorted, |unit| Sga::from(unit.to_vec().to_ascii_uppercase())).unwrap();
        for (q, t) in [(a, "dd"), (b, "cc"), (a, "odd"), (b, "aa")] {
            qd::push(q, Sga::from(t)).unwrap().await.unwrap();
        }
        for want in ["AA", "CC", "DD"] {
            assert_eq!(text(qd::pop(loud).unwrap().await).as_deref(), Some(want));
        }
        // Pushes go down through all of it: what the filter refuses comes back, the rest reaches both sides.
        let refused = qd::push(loud, Sga::from("odd")).unwrap().await.unwrap();
        assert!(matches!(refused, Completion::Filtered(unit) if unit.to_vec() == b"odd"));
        qd::push(loud, Sga::from("even")).unwrap().await.unwrap();
        assert_eq!(text(qd::pop(a).unwrap().await).as_deref(), Some("even"));
        assert_eq!(text(qd::pop(b).unwrap().await).as_deref(), Some("even"));

        let mover = qd::qconnect(a, b).unwrap();
        qd::push(a, Sga::from("moved")).unwrap().await.unwrap();
        assert_eq!(text(qd::pop(b).unwrap().await).as_deref(), Some("moved"));
        qd::close(a).unwrap();
        let moved = mover.await.unwrap();
        assert_eq!((moved.units, moved.bytes), (1, 5));
        qd::close(loud).unwrap();
        assert!(qd::push(b, Sga::from("still open")).unwrap().await.is_ok());
        assert!(matches!(qd::merge(a, b), Err(Error::BadQd)));
    });
}

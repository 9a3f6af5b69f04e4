//! The sockets by themselves, polled by hand; what runs above them is in the portable suite.

use std::{
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use hemi_queue::{
    Error, Reactor, Sga,
    time::Instant,
    transport::{Endpoint, SocketOptions, StreamSocket, Transport},
};

use super::Mem;

fn open(uri: &str) -> Mem {
    Mem::open(&uri.parse().unwrap(), 7).unwrap()
}

fn now<T>(mut f: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    match f(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(v) => Some(v),
        Poll::Pending => None,
    }
}

fn name(n: &str) -> Endpoint {
    Endpoint::Name(n.to_owned())
}

type Ends = (Rc<dyn StreamSocket>, Rc<dyn StreamSocket>);

fn pair(mem: &Mem, options: &SocketOptions) -> Ends {
    let listener = mem.listen(&name("a"), options).unwrap();
    let client = mem.connect(&name("a"), options).unwrap();
    let server = now(|cx| listener.poll_accept(cx)).unwrap().unwrap().unwrap();
    now(|cx| client.poll_connected(cx)).unwrap().unwrap();
    (client, server)
}

#[test]
fn units_arrive_whole_then_the_end() {
    let (a, b) = pair(&open("mem:"), &SocketOptions::default());
    a.start_push(Sga::from("one")).unwrap();
    a.start_push(Sga::new()).unwrap();
    a.shutdown().unwrap();
    assert!(matches!(a.start_push(Sga::from("x")).unwrap_err().error, Error::BrokenPipe));
    assert_eq!(now(|cx| b.poll_pop(cx)).unwrap().unwrap(), Some(Sga::from("one")));
    assert_eq!(now(|cx| b.poll_pop(cx)).unwrap().unwrap(), Some(Sga::new()), "an empty unit is a unit");
    assert_eq!(now(|cx| b.poll_pop(cx)).unwrap().unwrap(), None);
    b.start_push(Sga::from("still open")).unwrap();
    assert_eq!(now(|cx| a.poll_pop(cx)).unwrap().unwrap(), Some(Sga::from("still open")));
}

#[test]
fn byte_streams_are_cut() {
    let (a, b) = pair(&open("mem:?stream=bytes&mss=3"), &SocketOptions::default());
    a.start_push(Sga::from("abcdefgh")).unwrap();
    for piece in ["abc", "def", "gh"] {
        assert_eq!(now(|cx| b.poll_pop(cx)).unwrap().unwrap(), Some(Sga::from(piece)));
    }
}

#[test]
fn a_reset_comes_after_what_had_arrived() {
    let (a, b) = pair(&open("mem:"), &SocketOptions::default());
    a.start_push(Sga::from("last words")).unwrap();
    a.abort();
    assert_eq!(now(|cx| b.poll_pop(cx)).unwrap().unwrap(), Some(Sga::from("last words")));
    assert!(matches!(now(|cx| b.poll_pop(cx)).unwrap(), Err(Error::Reset)));
    assert!(matches!(b.start_push(Sga::from("x")).unwrap_err().error, Error::Reset));
    assert!(matches!(now(|cx| a.poll_pop(cx)).unwrap(), Err(Error::Closed)));
}

#[test]
fn memory_is_bounded_when_the_peer_never_pops() {
    let mut options = SocketOptions::default();
    options.send_limit = 10_000;
    let (a, b) = pair(&open("mem:"), &options);
    let mut pushed = 0;
    while now(|cx| a.poll_ready(cx)).is_some() {
        a.start_push(Sga::from(vec![0; 1000])).unwrap();
        pushed += 1;
    }
    assert!((9..=11).contains(&pushed));
    while a.start_push(Sga::from(vec![0; 1000])).is_ok() {
        pushed += 1;
    }
    assert!(pushed <= 20);
    assert!(matches!(a.start_push(Sga::new()).unwrap_err().error, Error::Busy));
    for _ in 0..pushed {
        assert_eq!(now(|cx| b.poll_pop(cx)).unwrap().unwrap().unwrap().len(), 1000);
    }
    assert!(now(|cx| a.poll_ready(cx)).is_some());
}

#[test]
fn latency_delays_and_jitter_keeps_the_order() {
    let mem = open("mem:?latency=50us&jitter=40us");
    let listener = mem.listen(&name("a"), &SocketOptions::default()).unwrap();
    let client = mem.connect(&name("a"), &SocketOptions::default()).unwrap();
    let mut at = Instant::ZERO;
    let mut server = None;
    while now(|cx| client.poll_connected(cx)).is_none() {
        mem.poll(at);
        if let Some(s) = now(|cx| listener.poll_accept(cx)) {
            server = Some(s.unwrap().unwrap());
        }
        at = mem.deadline().unwrap_or(at);
    }
    assert!(at >= Instant::ZERO + Duration::from_micros(100), "a round trip");
    let server = server.unwrap();
    for n in 0..100_u8 {
        client.start_push(Sga::from(vec![n])).unwrap();
    }
    mem.poll(at);
    assert!(now(|cx| server.poll_pop(cx)).is_none(), "not there yet");
    let sent = at;
    let mut next = 0;
    while next < 100 {
        at = mem.deadline().unwrap();
        mem.poll(at);
        while let Some(unit) = now(|cx| server.poll_pop(cx)) {
            assert_eq!(unit.unwrap().unwrap().to_vec(), [next]);
            next += 1;
        }
    }
    assert!(at - sent >= Duration::from_micros(50) && at - sent <= Duration::from_micros(90));
}

#[test]
fn addresses_are_found_and_taken_once() {
    let mem = open("mem:");
    let options = SocketOptions::default();
    let refused = mem.connect(&name("nobody"), &options).unwrap();
    let e = now(|cx| refused.poll_connected(cx)).unwrap().unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::ECONNREFUSED));
    let any: Endpoint = "0.0.0.0:0".parse::<std::net::SocketAddr>().unwrap().into();
    let listener = mem.listen(&any, &options).unwrap();
    let port = listener.local_addr().unwrap().ip().unwrap().port();
    let to: Endpoint = std::net::SocketAddr::from(([127, 0, 0, 1], port)).into();
    let client = mem.connect(&to, &options).unwrap();
    now(|cx| client.poll_connected(cx)).unwrap().unwrap();
    let taken = mem.listen(&listener.local_addr().unwrap(), &options).err().unwrap();
    assert_eq!(taken.raw_os_error(), Some(libc::EADDRINUSE));
    listener.close();
    assert!(matches!(now(|cx| client.poll_pop(cx)).unwrap(), Err(Error::Reset)), "it was never accepted");
    mem.listen(&to, &options).unwrap();
}

#[test]
fn beyond_the_backlog_a_connect_waits() {
    let mem = open("mem:");
    let mut options = SocketOptions::default();
    options.backlog = 1;
    let listener = mem.listen(&name("a"), &options).unwrap();
    let first = mem.connect(&name("a"), &options).unwrap();
    let second = mem.connect(&name("a"), &options).unwrap();
    assert!(now(|cx| first.poll_connected(cx)).is_some());
    assert!(now(|cx| second.poll_connected(cx)).is_none());
    now(|cx| listener.poll_accept(cx)).unwrap().unwrap().unwrap();
    assert!(now(|cx| second.poll_connected(cx)).is_some());
}

#[test]
fn reuse_port_spreads_connections() {
    let mem = open("mem:");
    let mut options = SocketOptions::default();
    options.reuse_port = true;
    let both = [mem.listen(&name("a"), &options).unwrap(), mem.listen(&name("a"), &options).unwrap()];
    let clients: Vec<_> = (0..4).map(|_| mem.connect(&name("a"), &options).unwrap()).collect();
    for listener in &both {
        for _ in 0..2 {
            assert!(now(|cx| listener.poll_accept(cx)).unwrap().unwrap().is_some());
        }
    }
    drop(clients);
}

#[test]
fn networks_are_apart_unless_named_alike() {
    let (a, b, alone) = (open("mem:lab"), open("mem:lab?ip=10.0.0.2"), open("mem:"));
    let options = SocketOptions::default();
    let _listener = a.listen(&name("x"), &options).unwrap();
    assert!(now(|cx| b.connect(&name("x"), &options).unwrap().poll_connected(cx)).unwrap().is_ok());
    assert!(now(|cx| alone.connect(&name("x"), &options).unwrap().poll_connected(cx)).unwrap().is_err());
}

#[test]
fn datagrams_go_to_their_address() {
    let mem = open("mem:");
    let options = SocketOptions::default();
    let any: Endpoint = "127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into();
    let (a, b) = (mem.bind(&any, &options).unwrap(), mem.bind(&any, &options).unwrap());
    let b_at = b.local_addr().unwrap();
    a.start_push_to(Sga::from("hi"), Some(&b_at)).unwrap();
    let (unit, from) = now(|cx| b.poll_pop_from(cx)).unwrap().unwrap().unwrap();
    assert_eq!((unit, &from), (Sga::from("hi"), &a.local_addr().unwrap()));
    let too_large = a.start_push_to(Sga::from(vec![0; 70_000]), Some(&b_at)).unwrap_err();
    assert!(matches!(too_large.error, Error::UnitTooLarge { limit: 65_507, .. }));
    b.close();
    a.connect(&b_at).unwrap();
    a.start_push_to(Sga::from("anyone?"), None).unwrap();
    let e = now(|cx| a.poll_pop_from(cx)).unwrap().unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::ECONNREFUSED));
    assert!(now(|cx| a.poll_pop_from(cx)).is_none(), "and the socket goes on");
}

#[test]
fn bad_uris_say_what_is_right() {
    for (uri, why) in [
        ("mem:?latency=5", "50us"),
        ("mem:?stream=cells", "`units` or `bytes`"),
        ("mem:?mss=9", "stream=bytes"),
        ("mem:?stream=bytes&mss=0", "at least 1"),
        ("mem:?loss=1", "knows: ip"),
    ] {
        let e = Mem::open(&uri.parse().unwrap(), 1).unwrap_err().to_string();
        assert!(e.contains(why), "{uri}: {e}");
    }
}

//! The wrappers against a real device and the real connection manager, without the protocol: both ends in one process.
//!
//! Runs in the guest of `cargo xtask test --only guest`, whose `rxe0` has a GID for 10.77.0.1.

use std::{
    net::SocketAddr,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use hemi_queue::{
    Pool, Reactor as _,
    transport::{Endpoint, SocketOptions, Transport as _},
};
use hemi_rdma::{Data, Hello, Keys, Memory as _, Refusal, Remote, Sge, Verb, Work, WorkId};

use crate::{
    cm::{Channel, Event, Id, Kind, Terms},
    device::{
        Device,
        batch::Batch,
        cq::{Cq, burst},
        memory::Registry,
        qp::{Capacity, Patience, Qp},
        srq::{RECEIVE, Srq},
    },
    sys::{IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS, ibv_wc},
};

const AT: [u8; 4] = [10, 77, 0, 1];
const HANG: Duration = Duration::from_secs(120);
const PATIENCE: Patience =
    Patience { mtu: Some(3), timeout: None, retries: 7, rnr_retries: 7, rnr_timer: 12 };
const WANT: Capacity = Capacity { requests: 16, pieces: 4, inline: 128 };

fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < HANG, "hung");
        thread::sleep(Duration::from_millis(1));
    }
}

/// One device, and two queue pairs of it that are connected to each other.
struct Rig {
    device: Rc<Device>,
    registry: Registry,
    cq: Rc<Cq>,
    channel: Rc<Channel>,
    ends: [(Id, Qp); 2],
    srq: Srq,
}

impl Rig {
    fn connect(device: Rc<Device>) -> Self {
        let registry = Registry::new(&device, Pool::new().unwrap(), 16, 4096).unwrap();
        registry.register_all();
        let cq = Rc::new(Cq::new(&device, 256).unwrap());
        let srq = Srq::new(&device, 16).unwrap();
        let channel = Channel::new(device.rdma).unwrap();
        let next = || until(|| channel.next_event());

        let listener = Id::new(&channel, 1).unwrap();
        listener.listen(SocketAddr::from((AT, 0)), 8, true, None).unwrap();
        let to = listener.local_addr().unwrap();
        assert_ne!(to.port(), 0);

        let client = Id::new(&channel, 2).unwrap();
        client.bind(SocketAddr::from((AT, 0))).unwrap();
        client.resolve(to, Duration::from_secs(5)).unwrap();
        assert!(matches!(next(), Event { place: 2, kind: Kind::AddressResolved, .. }));
        assert_eq!(client.device().as_deref(), Some(device.name.as_str()));
        client.resolve_route(to, Duration::from_secs(5)).unwrap();
        assert!(matches!(next(), Event { place: 2, kind: Kind::RouteResolved, .. }));
        let active = Qp::new(&device, &cq, srq.raw(), WANT).unwrap();
        let to_state = |id: &Id, qp: &Qp, state, limits| {
            let (attr, mask) = id.attr_for(state, to).unwrap();
            qp.advance(attr, mask, &PATIENCE, limits).unwrap();
        };
        to_state(&client, &active, IBV_QPS_INIT, None);
        let terms =
            |qp: &Qp| Terms { qp_num: qp.number(), responder: 4, initiator: 4, retries: 7, rnr_retries: 7 };
        client.connect(to, &terms(&active), b"hello").unwrap();

        let Event { place: 1, kind: Kind::Request(mut server), data, responder: 4, initiator: 4, .. } =
            next()
        else {
            panic!("no request")
        };
        assert_eq!((data.len(), &data[..5]), (56, &b"hello"[..]));
        server.set_place(3);
        assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
        let passive = Qp::new(&device, &cq, srq.raw(), WANT).unwrap();
        for state in [IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS] {
            to_state(&server, &passive, state, Some((4, 4)));
        }
        server.accept(to, &terms(&passive), b"welcome").unwrap();

        let Event { place: 2, kind: Kind::Response, data, .. } = next() else { panic!("no response") };
        assert_eq!(&data[..7], b"welcome");
        to_state(&client, &active, IBV_QPS_RTR, None);
        to_state(&client, &active, IBV_QPS_RTS, None);
        client.establish(to).unwrap();
        assert!(matches!(next(), Event { place: 3, kind: Kind::Established, .. }));
        Self { device, registry, cq, channel, ends: [(client, active), (server, passive)], srq }
    }

    fn post_receives(&mut self, n: usize) {
        for _ in 0..n {
            let mut buf = self.registry.own().try_alloc(4096).unwrap();
            let keys = self.registry.keys_at(buf.as_mut_ptr().addr()).unwrap();
            assert!(self.srq.post(buf, keys.local).is_ok());
        }
        self.srq.flush().unwrap();
    }

    /// So many completions, in order.
    fn completions(&self, n: usize) -> Vec<ibv_wc> {
        let mut all = Vec::new();
        let mut some = burst();
        until(|| {
            let got = self.cq.poll(&mut some).unwrap();
            all.extend_from_slice(&some[..got]);
            (all.len() >= n).then_some(())
        });
        all
    }
}

fn work(id: u64, verb: Verb, data: Data<'_>) -> Work<'_> {
    Work { id: WorkId(id), verb, data, signalled: true, inline: false }
}

fn device() -> Rc<Device> {
    Device::open("", &[AT.into()]).unwrap()
}

#[test]
fn two_ends_exchange_messages_memory_and_words() {
    hemi_guest::needs!(Rdma);
    let mut rig = Rig::connect(device());
    rig.post_receives(8);
    let mut batch = Batch::new();

    // Two sends with one doorbell: inline, and gathered from two registered pieces.
    let (mut whole, keys) = rig.registry.alloc(4096).unwrap();
    whole.put(b"the first piece and the second");
    let whole = whole.freeze();
    let piece = |range: std::ops::Range<usize>| Sge {
        address: whole[range.clone()].as_ptr().addr() as u64,
        length: range.len() as u32,
        key: keys.local,
    };
    batch.add(&work(7, Verb::Send { imm: 0x0102_0304 }, Data::Control(b"control")));
    batch.add(&work(8, Verb::Send { imm: 5 }, Data::Gather(&[piece(0..9), piece(19..30)])));
    rig.ends[0].1.post(&mut batch).unwrap();
    let done = rig.completions(4);
    assert!(done.iter().all(|c| c.status == 0), "{:?}", done.iter().map(|c| c.status).collect::<Vec<_>>());
    let sent: Vec<u64> = done.iter().map(|c| c.wr_id).filter(|id| id & RECEIVE == 0).collect();
    assert_eq!(sent, [7, 8]);
    let mut got = Vec::new();
    for c in done.iter().filter(|c| c.wr_id & RECEIVE != 0) {
        let mut buf = rig.srq.take(c.wr_id).unwrap();
        buf.set_len(c.byte_len as usize);
        assert_eq!(c.qp_num, rig.ends[1].1.number());
        got.push((u32::from_be(c.imm_data), buf.to_vec()));
    }
    assert_eq!(got, [(0x0102_0304, b"control".to_vec()), (5, b"the first the second".to_vec())]);
    assert!(rig.srq.take(done[0].wr_id | RECEIVE).is_none() || done[0].wr_id & RECEIVE == 0, "taken once");

    // The other end reads it out of our memory.
    let (mut into, into_keys) = rig.registry.alloc(4096).unwrap();
    let target = Sge { address: into.as_mut_ptr().addr() as u64, length: 9, key: into_keys.local };
    let remote = Remote { address: whole.as_ptr().addr() as u64, key: keys.remote };
    batch.add(&work(9, Verb::Read(remote), Data::Gather(&[target])));
    rig.ends[1].1.post(&mut batch).unwrap();
    let done = rig.completions(1);
    assert_eq!((done[0].wr_id, done[0].status), (9, 0));
    into.set_len(9);
    assert_eq!(&into[..], b"the first");

    // It may not write there: the region gives no such right, and the queue pair fails.
    batch.add(&work(10, Verb::Write(remote), Data::Gather(&[target])));
    batch.add(&work(11, Verb::Write(remote), Data::Gather(&[])));
    rig.ends[1].1.post(&mut batch).unwrap();
    let done = rig.completions(2);
    assert_eq!(done.iter().map(|c| (c.wr_id, c.status)).collect::<Vec<_>>(), [(10, 10), (11, 5)]);
    assert_eq!(&whole[..9], b"the first");
}

#[test]
fn a_disconnect_is_told_and_what_is_posted_is_flushed() {
    hemi_guest::needs!(Rdma);
    let rig = Rig::connect(device());
    // Nobody has posted a receive: the send waits, and the stop flushes it.
    let mut batch = Batch::new();
    let mut unsignalled = work(1, Verb::Send { imm: 0 }, Data::Control(b"never"));
    unsignalled.signalled = false;
    batch.add(&unsignalled);
    batch.add(&work(2, Verb::Send { imm: 0 }, Data::Control(b"never")));
    rig.ends[0].1.post(&mut batch).unwrap();
    assert!(rig.ends[0].1.stop());
    assert!(rig.ends[0].1.stop());
    let done = rig.completions(2);
    assert_eq!(done.iter().map(|c| (c.wr_id, c.status)).collect::<Vec<_>>(), [(1, 5), (2, 5)]);
    rig.ends[0].0.disconnect();
    let event = until(|| rig.channel.next_event());
    assert!(matches!(event.kind, Kind::Disconnected), "place {}", event.place);
    assert!(
        rig.device.is_up()
            && rig.device.next_event().is_none_or(|e| matches!(e, crate::device::Event::Other(_)))
    );
}

#[test]
fn the_completion_channel_rings_once_armed() {
    hemi_guest::needs!(Rdma);
    let mut rig = Rig::connect(device());
    rig.post_receives(1);
    let readable = |fd, most: i32| {
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor that is open.
        unsafe { libc::poll(&raw mut poll, 1, most) == 1 }
    };
    assert!(rig.cq.arm() && !readable(rig.cq.fd(), 0));
    let mut batch = Batch::new();
    batch.add(&work(1, Verb::Send { imm: 0 }, Data::Control(b"ring")));
    rig.ends[0].1.post(&mut batch).unwrap();
    assert!(readable(rig.cq.fd(), 120_000));
    assert!(rig.cq.disarm() && !rig.cq.disarm());
    assert_eq!(rig.completions(2).len(), 2);
}

#[test]
fn what_is_missing_is_told_with_its_cure() {
    hemi_guest::needs!(Rdma);
    let text = Device::open("mlx9", &[]).unwrap_err().to_string();
    assert!(
        text.contains("no device `mlx9`") && text.contains("rxe0") && text.contains("rdma link add"),
        "{text}"
    );
    let text = Device::open("rxe0", &[[192, 0, 2, 1].into()]).unwrap_err().to_string();
    assert!(text.contains("no RoCE v2 GID for 192.0.2.1") && text.contains("10.77.0.1"), "{text}");
}

#[test]
fn memory_that_is_not_the_pools_has_no_keys() {
    hemi_guest::needs!(Rdma);
    let device = device();
    let pool = Pool::new().unwrap();
    let registry = Registry::new(&device, pool.clone(), 4, 4096).unwrap();
    let with_bytes = |pool: &Pool, len: usize| {
        let mut buf = pool.try_alloc(len).unwrap();
        buf.put(b"bytes");
        buf.freeze()
    };
    let ours = with_bytes(&pool, 64);
    let keys = registry.keys(&ours).expect("registered when it is met first");
    assert_eq!(registry.keys(&ours.slice(2..3)), Some(keys));
    assert_ne!(keys, Keys::default());
    assert_eq!(registry.keys(&"static".into()), None);
    assert_eq!(registry.keys(&with_bytes(&Pool::new().unwrap(), 64)), None);
    let regions = || pool.stats().mapped;
    let before = regions();
    let mut held = Vec::new();
    while regions() == before {
        held.push(with_bytes(&pool, 64 << 10));
    }
    assert!(registry.keys(&held[held.len() - 1]).is_some(), "a region that came later");
}

/// A peer of the same kind that says what no hemi program says.
#[test]
fn a_peer_of_another_version_is_told_so() {
    hemi_guest::needs!(Rdma);
    let uri = "rdma:rxe0?ip=10.77.0.1".parse().unwrap();
    let server = crate::Verbs::open(&uri, &Pool::new().unwrap()).unwrap();
    let any = Endpoint::Ip(SocketAddr::from((AT, 0)));
    let listener = server.listen(&any, &SocketOptions::default()).unwrap();
    let to = listener.local_addr().unwrap().ip().unwrap();

    let device = device();
    let cq = Rc::new(Cq::new(&device, 64).unwrap());
    let srq = Srq::new(&device, 16).unwrap();
    let channel = Channel::new(device.rdma).unwrap();
    let mut turn = 0;
    let mut next = || {
        until(|| {
            turn += 1;
            server.poll(hemi_queue::time::Instant::from_nanos(turn * 1_000_000));
            channel.next_event()
        })
    };
    let hello = Hello { window: 32, credits: 32, buffer: 4096, rendezvous_from: 4097, largest_unit: 1 << 20 }
        .encode();
    let mut later = hello;
    later[4] = 9;
    let mut narrow = hello;
    narrow[6..8].fill(0);
    for (said, refusal) in [
        (&later[..], Refusal::Version { theirs: 9 }),
        (&narrow[..], Refusal::Window { theirs: 0 }),
        (&hello[..9], Refusal::Window { theirs: 32 }),
        (&b"GET / HTTP/1.1"[..], Refusal::NotHemi),
        (&b""[..], Refusal::NotHemi),
    ] {
        let client = Id::new(&channel, 2).unwrap();
        client.bind(SocketAddr::from((AT, 0))).unwrap();
        client.resolve(to, Duration::from_secs(5)).unwrap();
        assert!(matches!(next().kind, Kind::AddressResolved));
        client.resolve_route(to, Duration::from_secs(5)).unwrap();
        assert!(matches!(next().kind, Kind::RouteResolved));
        let qp = Qp::new(&device, &cq, srq.raw(), WANT).unwrap();
        let (attr, mask) = client.attr_for(IBV_QPS_INIT, to).unwrap();
        qp.advance(attr, mask, &PATIENCE, None).unwrap();
        let terms = Terms { qp_num: qp.number(), responder: 4, initiator: 4, retries: 7, rnr_retries: 7 };
        client.connect(to, &terms, said).unwrap();
        let event = next();
        assert!(matches!(event.kind, Kind::Rejected), "{refusal:?}");
        let told = Refusal::parse(&event.data);
        match refusal {
            // What is cut off is padded with zeros: which of its fields is missed first does not matter.
            Refusal::Window { theirs: 32 } => assert!(told.is_some()),
            _ => assert_eq!(told, Some(refusal)),
        }
    }
    assert_eq!(listener.transient_failures(), 5);
    assert!(server.is_quiet());
}

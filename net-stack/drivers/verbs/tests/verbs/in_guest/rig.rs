//! Two transports and a loop that drives them: this crate cannot see the executor.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant as Clock},
};

use hemi_queue::{
    Error, Pool, PoolConfig, Progress, Reactor, Result, Sga, Wakeup,
    time::Instant,
    transport::{Acceptor, Endpoint, SocketOptions, StreamSocket, Transport},
};
use hemi_verbs::Verbs;

/// After this long a test has hung: far beyond what a loaded machine's emulated one needs.
pub(super) const HANG: Duration = Duration::from_secs(300);

/// A link to oneself: nothing is lost, and nothing is to be taken for lost, so soft-RoCE's READs can be relied on.
pub(super) const CLEAN: (&str, &str) = (
    "rdma:rxe0?ip=10.77.0.1&buffer=16K&reads=16&timeout=4s",
    "rdma:rxe0?ip=10.77.0.1&buffer=16K&reads=16&timeout=4s",
);
/// A wire that loses 3 % each way: large units come in pieces. The connection manager's own time-out, half a second, is for the wide world.
pub(super) const LOSSY: (&str, &str) =
    ("rdma:rxe1?ip=10.78.0.1&timeout=60ms", "rdma:rxe2?ip=10.78.0.2&timeout=60ms");

#[derive(Default)]
struct Count(AtomicU64);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A server's transport and a client's, in one thread.
pub(super) struct Rig {
    pub(super) pool: Pool,
    pub(super) server: Rc<Verbs>,
    pub(super) client: Rc<Verbs>,
    woken: Arc<Count>,
    seen: AtomicU64,
    start: Clock,
}

impl Rig {
    pub(super) fn new((server, client): (&str, &str)) -> Self {
        Self::with(&PoolConfig::default(), server, client)
    }

    pub(super) fn with(pool: &PoolConfig, server: &str, client: &str) -> Self {
        let pool = Pool::with(pool).unwrap();
        let open = |uri: &str| Verbs::open(&uri.parse().unwrap(), &pool).unwrap();
        let (server, client) = (open(server), open(client));
        Self { pool, server, client, woken: Arc::default(), seen: AtomicU64::new(0), start: Clock::now() }
    }

    pub(super) fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.woken))
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_nanos(self.start.elapsed().as_nanos() as u64)
    }

    /// One turn, as the executor does it; sleeps when nothing happens, so that parking is tested all the time.
    pub(super) fn turn(&self) {
        let both = [&self.server, &self.client];
        let mut busy = false;
        for transport in both {
            busy |= transport.poll(self.now()) == Progress::Busy;
        }
        self.pool.collect();
        let woken = self.woken.0.load(Ordering::Relaxed);
        busy |= self.seen.swap(woken, Ordering::Relaxed) != woken;
        if busy || both.iter().any(|transport| transport.prepare_park() == Progress::Busy) {
            return;
        }
        let until = both.iter().filter_map(|transport| transport.deadline()).min();
        let nap = until.map_or(HANG, |at| at.saturating_since(self.now())).min(Duration::from_secs(1));
        let mut fds = both.map(|transport| {
            let Wakeup::Fd(fd) = transport.wakeup() else { panic!("no descriptor") };
            libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
        });
        // SAFETY: two descriptors that are open.
        unsafe { libc::poll(fds.as_mut_ptr(), 2, nap.as_millis() as i32 + 1) };
        for transport in both {
            transport.unpark();
        }
    }

    /// Drive until `poll` is ready.
    #[track_caller]
    pub(super) fn until<T>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        let waker = self.waker();
        let mut cx = Context::from_waker(&waker);
        let start = Clock::now();
        loop {
            if let Poll::Ready(t) = poll(&mut cx) {
                return t;
            }
            assert!(start.elapsed() < HANG, "hung: {:?} {:?}", self.server, self.client);
            self.turn();
        }
    }

    #[track_caller]
    pub(super) fn until_true(&self, mut done: impl FnMut() -> bool) {
        self.until(|_| if done() { Poll::Ready(()) } else { Poll::Pending });
    }

    pub(super) fn listen(&self) -> Rc<dyn Acceptor> {
        self.listen_with(&SocketOptions::default())
    }

    pub(super) fn listen_with(&self, options: &SocketOptions) -> Rc<dyn Acceptor> {
        self.server.listen(&Endpoint::Ip("0.0.0.0:0".parse().unwrap()), options).unwrap()
    }

    #[track_caller]
    pub(super) fn accept(&self, listener: &Rc<dyn Acceptor>) -> Rc<dyn StreamSocket> {
        self.until(|cx| listener.poll_accept(cx)).unwrap().unwrap()
    }

    /// Two ends of a connection: the server's and the client's.
    #[track_caller]
    pub(super) fn pair(&self) -> (Rc<dyn StreamSocket>, Rc<dyn StreamSocket>) {
        self.pair_with(&SocketOptions::default())
    }

    #[track_caller]
    pub(super) fn pair_with(&self, options: &SocketOptions) -> (Rc<dyn StreamSocket>, Rc<dyn StreamSocket>) {
        let listener = self.listen_with(options);
        let client = self.client.connect(&listener.local_addr().unwrap(), options).unwrap();
        let server = self.accept(&listener);
        self.until(|cx| client.poll_connected(cx)).unwrap();
        (server, client)
    }

    #[track_caller]
    pub(super) fn pop(&self, stream: &Rc<dyn StreamSocket>) -> Result<Option<Sga>> {
        self.until(|cx| stream.poll_pop(cx))
    }

    #[track_caller]
    pub(super) fn push(&self, stream: &Rc<dyn StreamSocket>, unit: impl Into<Sga>) -> Result<()> {
        self.until(|cx| stream.poll_ready(cx))?;
        stream.start_push(unit.into()).map_err(Error::from)
    }

    #[track_caller]
    pub(super) fn close(&self, stream: &Rc<dyn StreamSocket>) -> Result<()> {
        stream.close();
        self.until(|cx| stream.poll_closed(cx))
    }

    /// Both transports without a connection, and every buffer of the pool home.
    #[track_caller]
    pub(super) fn until_empty(&self) {
        self.until_true(|| self.server.is_quiet() && self.client.is_quiet());
    }
}

/// Bytes that are different everywhere.
pub(super) fn pattern(seed: u64, n: usize) -> Vec<u8> {
    let mut x = seed << 1 | 1;
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as u8
        })
        .collect()
}

//! A transport, a park and a loop that drives them: this crate cannot see the executor.
#![allow(dead_code)] // each test program uses a part of it

use std::{
    future::Future,
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant as Clock},
};

use hemi_kernel::{Backend, Kernel};
use hemi_park::{Park, ParkConfig};
use hemi_queue::{
    Buf, Error, Pool, PoolConfig, Progress, Reactor, Result, Sga, Uri,
    time::Instant,
    transport::{Acceptor, DatagramSocket, Endpoint, SocketOptions, StreamSocket, Transport},
};

/// After this long a test has hung: far beyond what a loaded machine needs.
pub(crate) const HANG: Duration = Duration::from_secs(300);

#[derive(Default)]
struct Count(AtomicU64);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) struct Rig {
    pub(crate) pool: Pool,
    pub(crate) park: Rc<Park>,
    pub(crate) kernel: Rc<Kernel>,
    woken: Arc<Count>,
    seen: AtomicU64,
    start: Clock,
}

/// One rig per backend and park that can be had here.
pub(crate) fn each(test: impl Fn(&Rig)) {
    each_with(&PoolConfig::default(), test);
}

pub(crate) fn each_with(pool: &PoolConfig, test: impl Fn(&Rig)) {
    for (uri, park) in [
        ("kernel:?backend=uring", hemi_park::Backend::Uring),
        // Nothing directly, everything through the ring.
        ("kernel:?backend=uring&hot=0&batch=1", hemi_park::Backend::Uring),
        ("kernel:?backend=uring&hot=0&batch=1&old=true", hemi_park::Backend::Uring),
        ("kernel:?backend=epoll", hemi_park::Backend::Uring),
        ("kernel:?backend=poll", hemi_park::Backend::Uring),
        ("kernel:?backend=epoll", hemi_park::Backend::Epoll),
        ("kernel:?backend=poll", hemi_park::Backend::Epoll),
    ] {
        match Rig::open(uri, park, pool) {
            Ok(rig) => {
                eprintln!("-- {uri}, parked in {park}");
                test(&rig);
            }
            Err(e) if park == hemi_park::Backend::Uring => hemi_skip::skip_part!("io_uring", "{e}"),
            Err(e) => panic!("{uri}: {e}"),
        }
    }
}

impl Rig {
    pub(crate) fn open(uri: &str, park: hemi_park::Backend, pool: &PoolConfig) -> Result<Self> {
        let pool = Pool::with(pool)?;
        let config = ParkConfig { backend: Some(park), ..ParkConfig::default() };
        let park = Park::new(&config)?;
        let uri: Uri = uri.parse()?;
        let kernel = Kernel::open(&uri, &pool, &park)?;
        if let hemi_queue::Wakeup::Fd(fd) = kernel.wakeup() {
            park.watch(fd)?;
        }
        Ok(Self { pool, park, kernel, woken: Arc::default(), seen: AtomicU64::new(0), start: Clock::now() })
    }

    pub(crate) fn is_uring(&self) -> bool {
        self.kernel.backend() == Backend::Uring
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.woken))
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(self.start.elapsed().as_nanos() as u64)
    }

    /// One turn, as the executor does it; sleeps when nothing happens, so that parking is tested all the time.
    pub(crate) fn turn(&self) {
        let mut busy = self.park.poll() == Progress::Busy;
        busy |= self.kernel.poll(self.now()) == Progress::Busy;
        self.pool.collect();
        let woken = self.woken.0.load(Ordering::Relaxed);
        busy |= self.seen.swap(woken, Ordering::Relaxed) != woken;
        if busy || self.kernel.prepare_park() == Progress::Busy {
            return;
        }
        let until = self.kernel.deadline().map(|d| d.saturating_since(self.now()));
        let nap = until.unwrap_or(HANG).min(Duration::from_millis(20));
        self.park.park(Some(nap), || true);
        self.kernel.unpark();
    }

    /// Drive until `poll` is ready.
    #[track_caller]
    pub(crate) fn until<T>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        let waker = self.waker();
        let mut cx = Context::from_waker(&waker);
        let start = Clock::now();
        loop {
            if let Poll::Ready(t) = poll(&mut cx) {
                return t;
            }
            assert!(start.elapsed() < HANG, "hung");
            self.turn();
        }
    }

    #[track_caller]
    pub(crate) fn until_true(&self, mut done: impl FnMut() -> bool) {
        self.until(|_| if done() { Poll::Ready(()) } else { Poll::Pending });
    }

    #[track_caller]
    pub(crate) fn run<F: Future>(&self, f: F) -> F::Output {
        let mut f = pin!(f);
        self.until(|cx| f.as_mut().poll(cx))
    }

    /// Nothing open, nothing in flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.turn();
        self.kernel.is_quiet()
    }

    /// Turns without expecting anything.
    pub(crate) fn idle(&self, turns: usize) {
        for _ in 0..turns {
            self.turn();
        }
    }

    pub(crate) fn listen(&self, at: &str, options: &SocketOptions) -> Rc<dyn Acceptor> {
        self.kernel.listen(&ip(at), options).unwrap()
    }

    #[track_caller]
    pub(crate) fn accept(&self, l: &Rc<dyn Acceptor>) -> Rc<dyn StreamSocket> {
        self.until(|cx| l.poll_accept(cx)).unwrap().unwrap()
    }

    #[track_caller]
    pub(crate) fn pop(&self, s: &Rc<dyn StreamSocket>) -> Result<Option<Sga>> {
        self.until(|cx| s.poll_pop(cx))
    }

    /// Pop `n` bytes exactly.
    #[track_caller]
    pub(crate) fn pop_exact(&self, s: &Rc<dyn StreamSocket>, n: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < n {
            let unit = self.pop(s).unwrap().expect("ended early");
            all.extend(unit.to_vec());
        }
        assert_eq!(all.len(), n);
        all
    }

    #[track_caller]
    pub(crate) fn push(&self, s: &Rc<dyn StreamSocket>, unit: impl Into<Sga>) -> Result<()> {
        self.until(|cx| s.poll_ready(cx))?;
        s.start_push(unit.into()).map_err(Error::from)?;
        Ok(())
    }

    #[track_caller]
    pub(crate) fn flush(&self, s: &Rc<dyn StreamSocket>) -> Result<()> {
        self.until(|cx| s.poll_flushed(cx))
    }

    #[track_caller]
    pub(crate) fn close(&self, s: &Rc<dyn StreamSocket>) -> Result<()> {
        s.close();
        self.until(|cx| s.poll_closed(cx))
    }

    #[track_caller]
    pub(crate) fn connect(&self, to: &Endpoint, options: &SocketOptions) -> Result<Rc<dyn StreamSocket>> {
        let s = self.kernel.connect(to, options)?;
        self.until(|cx| s.poll_connected(cx))?;
        Ok(s)
    }

    /// A listener and a plain std peer connected through it.
    #[track_caller]
    pub(crate) fn pair(&self, options: &SocketOptions) -> (Rc<dyn StreamSocket>, std::net::TcpStream) {
        let l = self.listen("127.0.0.1:0", options);
        let peer = std::net::TcpStream::connect(l.local_addr().unwrap().ip().unwrap()).unwrap();
        peer.set_read_timeout(Some(HANG)).unwrap();
        peer.set_write_timeout(Some(HANG)).unwrap();
        let s = self.accept(&l);
        (s, peer)
    }

    #[track_caller]
    pub(crate) fn pop_from(&self, s: &Rc<dyn DatagramSocket>) -> Result<Option<(Sga, Endpoint)>> {
        self.until(|cx| s.poll_pop_from(cx))
    }
}

pub(crate) fn ip(at: &str) -> Endpoint {
    Endpoint::Ip(at.parse().unwrap())
}

/// Bytes that are different everywhere.
pub(crate) fn pattern(seed: u64, n: usize) -> Vec<u8> {
    let mut x = seed | 1;
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as u8
        })
        .collect()
}

/// A plain peer's call, again for as long as it is interrupted: the end of an earlier rig's io_uring on this thread may
/// interrupt calls that have a timeout.
pub(crate) fn calm<T>(mut call: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

pub(crate) fn buf(bytes: Vec<u8>) -> Buf {
    Buf::from(bytes)
}

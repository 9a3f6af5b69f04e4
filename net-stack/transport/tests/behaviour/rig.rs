//! Two hosts on a simulated switch, driven by hand in virtual time.

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use hemi_net::{Device, sim::Switch};
use hemi_net_transport::{UserTransport, sim};
use hemi_queue::{
    Pool, Progress, Reactor, Result, Sga, Uri,
    time::Instant,
    transport::{Acceptor, SocketOptions, StreamSocket, Transport},
};

pub(crate) struct Rig {
    pub(crate) server: Rc<UserTransport>,
    pub(crate) client: Rc<UserTransport>,
    pub(crate) switch: Switch,
    pub(crate) pool: Pool,
    now: Cell<Instant>,
}

pub(crate) const SERVER: &str = "10.0.0.1";

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with("latency=1ms", |device| device)
    }

    /// With link parameters, in which @ is the number of the host, and something around the client's device.
    pub(crate) fn with(params: &str, wrap: impl FnOnce(Box<dyn Device>) -> Box<dyn Device>) -> Self {
        let (pool, switch) = (Pool::new().unwrap(), sim::network("rig", 7));
        let uri = |n: u8| {
            format!("sim:rig?ip=10.0.0.{n}/24&ip=fd00::{n}/64&{params}")
                .replace('@', &n.to_string())
                .parse::<Uri>()
                .unwrap()
        };
        let (server, client) = (uri(1), uri(2));
        let device = sim::open(&server, &pool, 7).unwrap();
        let server = UserTransport::open("sim", &server, device, &pool, 1).unwrap();
        let device = wrap(sim::open(&client, &pool, 7).unwrap());
        let client = UserTransport::open("sim", &client, device, &pool, 2).unwrap();
        Self { server, client, switch, pool, now: Cell::new(Instant::ZERO) }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// One turn of both hosts.
    pub(crate) fn turn(&self) -> Progress {
        let turns = [self.server.poll(self.now()), self.client.poll(self.now())];
        if turns.contains(&Progress::Busy) { Progress::Busy } else { Progress::Idle }
    }

    /// Everything that happens now.
    fn settle(&self) {
        while self.turn() == Progress::Busy {}
    }

    /// Time jumps to when something happens next; false: nothing ever does.
    fn jump(&self) -> bool {
        let next = [self.server.deadline(), self.client.deadline()].into_iter().flatten().min();
        next.inspect(|next| self.now.set(self.now().max(*next))).is_some()
    }

    /// Go on until `done`; an hour or a standstill before that is a failure.
    pub(crate) fn until<T>(&self, mut done: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        let mut cx = Context::from_waker(Waker::noop());
        let begin = self.now();
        loop {
            self.settle();
            if let Poll::Ready(t) = done(&mut cx) {
                return t;
            }
            self.settle(); // what was asked for
            assert!(self.jump(), "nothing will ever happen");
            assert!(self.now() - begin < Duration::from_secs(3600), "an hour later it has not happened");
        }
    }

    /// Let time pass.
    pub(crate) fn sleep(&self, time: Duration) {
        let end = self.now() + time;
        self.settle();
        while self.jump() && self.now() < end {
            self.settle();
        }
        self.now.set(end);
        self.settle();
    }

    pub(crate) fn listen(&self, options: &SocketOptions) -> (Rc<dyn Acceptor>, SocketAddr) {
        let any: SocketAddr = format!("{SERVER}:0").parse().unwrap();
        let listener = self.server.listen(&any.into(), options).unwrap();
        let at = listener.local_addr().unwrap().ip().unwrap();
        (listener, at)
    }

    /// A connection: the client's end and the server's.
    pub(crate) fn pair(&self, options: &SocketOptions) -> (Rc<dyn StreamSocket>, Rc<dyn StreamSocket>) {
        let (listener, at) = self.listen(options);
        let client = self.client.connect(&at.into(), options).unwrap();
        self.until(|cx| client.poll_connected(cx)).unwrap();
        let server = self.until(|cx| listener.poll_accept(cx)).unwrap().unwrap();
        (client, server)
    }

    pub(crate) fn pop(&self, stream: &Rc<dyn StreamSocket>) -> Result<Option<Sga>> {
        self.until(|cx| stream.poll_pop(cx))
    }

    /// Bytes until the end or an error, and which.
    pub(crate) fn pop_all(&self, stream: &Rc<dyn StreamSocket>) -> (usize, Result<()>) {
        let mut bytes = 0;
        loop {
            match self.pop(stream) {
                Ok(Some(unit)) => bytes += unit.len(),
                Ok(None) => return (bytes, Ok(())),
                Err(e) => return (bytes, Err(e)),
            }
        }
    }
}

/// Whether `poll` is ready now.
pub(crate) fn is_ready<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> bool {
    poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

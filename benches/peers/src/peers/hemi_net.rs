//! hemi's user-level TCP stack, driven as its reactor drives it.

use std::net::SocketAddr;
use std::time::Duration;

use hemi_net::{ConnId, Host, ListenerId, StackConfig, TcpConfig, TcpOptionsConfig, sim::Pipe};
use hemi_queue::{Pool, PoolConfig, Sga, time::Instant};

use crate::peer::Link;
use crate::rows::net::{CHUNK, MESSAGE, read};

/// Two hosts and a pipe.
pub struct HemiNet {
    client: Host<Pipe>,
    server: Host<Pipe>,
    pool: Pool,
    listener: ListenerId,
    /// The connection that is measured, seen from both ends.
    ends: Option<(ConnId, ConnId)>,
    now: Instant,
}

impl Link for HemiNet {
    fn new(mtu: u16, idle: usize) -> Self {
        let pool = pool();
        let mut link = Self::over(Pipe::pair(mtu, false, &pool), pool);
        let first_listener = link.listener;
        for n in 0..idle {
            // A port of the server for each 50,000 of the client's.
            let port = 81 + (n / 50_000) as u16;
            if n % 50_000 == 0 {
                link.listener = listen(&mut link.server, port).0;
            }
            link.connect(port);
        }
        link.listener = first_listener;
        link
    }

    fn offloading() -> Self {
        let pool = pool();
        Self::over(Pipe::pair(1500, true, &pool).map(|pipe| pipe.with_tso(64_000)), pool)
    }

    fn request(&mut self) {
        let (client, server) = self.ends.expect("made by `new`");
        self.now += Duration::from_nanos(300);
        let mut request = self.pool.try_alloc(MESSAGE).expect("memory");
        request.put(&[7; MESSAGE]);
        push(&mut self.client, client, request.freeze().into(), self.now);
        self.client.flush(self.now).expect("the pipe is whole");
        self.server.poll(self.now).expect("the pipe is whole");
        while self.server.stack.poll_event().is_some() {}
        let got = self.server.stack.tcp_pop(server, self.now).expect("open").expect("the request");
        read(&got);
        push(&mut self.server, server, got.into(), self.now);
        self.server.flush(self.now).expect("the pipe is whole");
        self.client.poll(self.now).expect("the pipe is whole");
        while self.client.stack.poll_event().is_some() {}
        let got = self.client.stack.tcp_pop(client, self.now).expect("open").expect("the response");
        assert_eq!(got.len(), MESSAGE);
        read(&got);
    }

    fn open_and_close(&mut self) {
        let (client, server) = self.connect(80);
        self.client.stack.tcp_release(client, self.now);
        self.turn();
        self.server.stack.tcp_release(server, self.now);
        self.turn();
        self.turn();
    }

    fn transfer(&mut self) {
        let (client, server) = self.ends.expect("made by `new`");
        let mut unit = self.pool.try_alloc(CHUNK).expect("memory");
        unit.set_len(CHUNK);
        push(&mut self.client, client, unit.freeze().into(), self.now);
        let mut got = 0;
        while got < CHUNK {
            self.turn();
            while let Ok(Some(bytes)) = self.server.stack.tcp_pop(server, self.now) {
                read(&bytes);
                got += bytes.len();
            }
            while self.client.stack.poll_event().is_some() || self.server.stack.poll_event().is_some() {}
        }
    }
}

impl HemiNet {
    fn over([first, second]: [Pipe; 2], pool: Pool) -> Self {
        let host = |pipe, address: &str, seed| {
            let mut config = StackConfig::with_addresses([address.parse().expect("an address")]);
            config.tcp = TcpConfig::default();
            // 100,000 connections between two addresses need more ports than the default range has.
            config.tcp.ephemeral_ports = (1024, 65_535);
            config.tx_queue = 1024;
            Host::new(pipe, config, pool.clone(), seed)
        };
        let client = host(first, "10.0.0.1/24", 1);
        let mut server = host(second, "10.0.0.2/24", 2);
        let (listener, _) = listen(&mut server, 80);
        let mut link = Self { client, server, pool, listener, ends: None, now: Instant::ZERO };
        link.ends = Some(link.connect(80));
        link
    }

    fn turn(&mut self) {
        self.now += Duration::from_nanos(300);
        self.client.poll(self.now).expect("the pipe is whole");
        self.server.poll(self.now).expect("the pipe is whole");
    }

    fn connect(&mut self, port: u16) -> (ConnId, ConnId) {
        let to = SocketAddr::from(([10, 0, 0, 2], port));
        let client = self.client.stack.tcp_connect(to, None, TcpOptionsConfig::default(), self.now);
        let client = client.expect("a port");
        loop {
            self.turn();
            if let Some(server) = self.server.stack.tcp_accept(self.listener) {
                self.turn();
                while self.client.stack.poll_event().is_some() || self.server.stack.poll_event().is_some() {}
                return (client, server);
            }
        }
    }
}

fn pool() -> Pool {
    let config = PoolConfig { limit: 1 << 30, ..PoolConfig::default() };
    Pool::with(&config).expect("memory for buffers")
}

fn listen(server: &mut Host<Pipe>, port: u16) -> (ListenerId, SocketAddr) {
    let at = SocketAddr::from(([0, 0, 0, 0], port));
    server.stack.tcp_listen(at, 1024, false, TcpOptionsConfig::default()).expect("the port is free")
}

fn push(host: &mut Host<Pipe>, conn: ConnId, unit: Sga, now: Instant) {
    host.stack.tcp_push(conn, unit, now).map_err(|(error, _)| error).expect("room in the send buffer");
}

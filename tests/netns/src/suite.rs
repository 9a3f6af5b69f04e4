//! What every device must do opposite the Linux kernel: one function per promise, each with a station that is on a link with the kernel.
//!
//! The kernel's side runs in threads of its own, with blocking sockets; the station in the caller's.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
};

use hemi_net::{ConnId, TcpOptionsConfig};
use hemi_queue::Sga;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{LIMIT, Station, stream};

/// A system call of a blocking socket, again when a signal has interrupted it (a DPDK driver sends some, an io_uring that ends too).
fn calmly<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

/// The kernel asks for an ICMP echo, with payloads from nothing to several fragments, and gets each back.
///
/// # Panics
/// When it does not.
pub fn answers_echo_requests(station: &mut Station, ours: IpAddr) {
    let (domain, protocol, kinds) = match ours {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, (8, 0)),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, (128, 129)),
    };
    let kernel = thread::spawn(move || {
        let socket = Socket::new(domain, Type::RAW, Some(protocol)).expect("a raw socket");
        socket.set_read_timeout(Some(LIMIT)).expect("a time limit");
        let to = SocketAddr::new(ours, 0).into();
        for (number, len) in [0, 1, 56, 1000, 1472, 4000].into_iter().enumerate() {
            let mut request = vec![kinds.0, 0, 0, 0, 0x68, 0x65, 0, number as u8];
            request.extend((0..len).map(|i| i as u8));
            if domain == Domain::IPV4 {
                let sum = hemi_net::wire::Sum::new().bytes(&request).finish();
                request[2..4].copy_from_slice(&sum.to_be_bytes());
            }
            socket.send_to(&request, &to).expect("sent");
            loop {
                let mut buffer = [0; 8192];
                let n = calmly(|| (&socket).read(&mut buffer)).expect("an answer in time");
                let answer = if domain == Domain::IPV4 { &buffer[20..n] } else { &buffer[..n] };
                if answer.first() == Some(&kinds.1) && answer[4..] == request[4..] {
                    break;
                }
            }
        }
    });
    station.until("echo requests are answered", |_| kernel.is_finished());
    kernel.join().expect("the kernel's side is content");
}

/// A UDP echo: datagrams of every kind of size, up to several fragments, each back as it was.
///
/// # Panics
/// When one is not.
pub fn echoes_datagrams(station: &mut Station, ours: IpAddr) {
    let any = if ours.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let at = SocketAddr::new(ours, 0);
    let (socket, at) = station.host.stack.udp_bind(at, 1 << 20, false).expect("a free port");
    let kernel = thread::spawn(move || {
        let socket = UdpSocket::bind(any).expect("a free port");
        socket.connect(at).expect("a route");
        socket.set_read_timeout(Some(LIMIT)).expect("a time limit");
        let mut sizes: Vec<usize> = (0..200).map(|i| i * 7 % 1400).collect();
        sizes.extend([1472, 1473, 3000, 9000, 20_000]);
        for (number, &len) in sizes.iter().enumerate() {
            let mut datagram = vec![0; len];
            stream::fill(number as u64, 0, &mut datagram);
            calmly(|| socket.send(&datagram)).expect("sent");
            let mut answer = vec![0; 1 << 16];
            let n = calmly(|| socket.recv(&mut answer)).unwrap_or_else(|e| panic!("datagram of {len}: {e}"));
            assert!(answer[..n] == datagram[..], "datagram of {len} came back as {n}");
        }
    });
    station.until("datagrams are echoed", |station| {
        let now = station.now();
        let stack = &mut station.host.stack;
        while let Ok(Some(datagram)) = stack.udp_recv(socket) {
            stack.udp_send(socket, datagram.payload.into(), Some(datagram.from), now).expect("room");
        }
        kernel.is_finished()
    });
    station.host.stack.udp_close(socket);
    kernel.join().expect("the kernel's side is content");
}

/// The kernel connects; `bytes` go each way at the same time, are compared byte by byte, and both sides close.
///
/// # Panics
/// When a byte is wrong, or the ends do not meet.
pub fn accepts_and_transfers(station: &mut Station, ours: IpAddr, bytes: u64) {
    let now = station.now();
    let options = TcpOptionsConfig::default();
    let at = SocketAddr::new(ours, 0);
    let (listener, at) = station.host.stack.tcp_listen(at, 16, false, options).expect("a free port");
    let kernel = thread::spawn(move || {
        let stream = TcpStream::connect(at).expect("connected");
        kernel_side(&stream, bytes);
    });
    let mut conn = None;
    station.until("a connection comes", |station| {
        conn = station.host.stack.tcp_accept(listener);
        conn.is_some()
    });
    our_side(station, conn.expect("it came"), bytes);
    station.host.stack.tcp_close_listener(listener, now);
    station.until("the kernel's side ends", |_| kernel.is_finished());
    kernel.join().expect("the kernel's side is content");
}

/// We connect to the kernel; otherwise the same.
///
/// # Panics
/// As for [`accepts_and_transfers`].
pub fn connects_and_transfers(station: &mut Station, kernels: IpAddr, bytes: u64) {
    let listener = TcpListener::bind(SocketAddr::new(kernels, 0)).expect("a free port");
    let to = listener.local_addr().expect("bound");
    let kernel = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("accepted");
        kernel_side(&stream, bytes);
    });
    let now = station.now();
    let options = TcpOptionsConfig::default();
    let conn = station.host.stack.tcp_connect(to, None, options, now).expect("a route and a port");
    our_side(station, conn, bytes);
    station.until("the kernel's side ends", |_| kernel.is_finished());
    kernel.join().expect("the kernel's side is content");
}

const DOWN: u64 = 0xd0;
const UP: u64 = 0x0b;

fn kernel_side(stream: &TcpStream, bytes: u64) {
    stream.set_read_timeout(Some(LIMIT)).expect("a time limit");
    stream.set_write_timeout(Some(LIMIT)).expect("a time limit");
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut stream = stream;
            let mut buffer = vec![0; 100_000];
            let mut at = 0;
            while at < bytes {
                let n = (bytes - at).min(buffer.len() as u64) as usize;
                stream::fill(UP, at, &mut buffer[..n]);
                stream.write_all(&buffer[..n]).expect("sent");
                at += n as u64;
            }
            stream.shutdown(Shutdown::Write).expect("half-closed");
        });
        let mut reader = stream;
        let mut buffer = vec![0; 100_000];
        let mut at = 0;
        loop {
            let n = calmly(|| reader.read(&mut buffer)).unwrap_or_else(|e| panic!("after {at} bytes: {e}"));
            if n == 0 {
                break;
            }
            assert_eq!(stream::check(DOWN, at, &buffer[..n]), Ok(()), "what the kernel received");
            at += n as u64;
        }
        assert_eq!(at, bytes, "all that we sent");
    });
}

fn our_side(station: &mut Station, conn: ConnId, bytes: u64) {
    const PUSH: usize = 20_000;
    let (mut sent, mut received, mut shut) = (0, 0, false);
    station.until("a transfer both ways", |station| {
        let now = station.now();
        let stack = &mut station.host.stack;
        assert_eq!(stack.tcp_error(conn), None, "after {received} received, {sent} sent");
        while sent < bytes && stack.tcp_send_room(conn) > 0 && stack.tcp_state(conn).is_synchronized() {
            let n = (bytes - sent).min(PUSH as u64) as usize;
            let Ok(mut buf) = stack.pool().try_alloc(n) else { break };
            stream::fill(DOWN, sent, &mut buf.spare_mut()[..n]);
            buf.set_len(n);
            stack.tcp_push(conn, Sga::from(buf), now).map_err(|(e, _)| e).expect("there was room");
            sent += n as u64;
        }
        if sent == bytes && !shut {
            stack.tcp_shutdown(conn, now);
            shut = true;
        }
        while let Some(buf) = stack.tcp_pop(conn, now).expect("no error") {
            assert_eq!(stream::check(UP, received, &buf), Ok(()), "what we received");
            received += buf.len() as u64;
        }
        received == bytes && shut && stack.tcp_is_at_end(conn) && stack.tcp_is_flushed(conn)
    });
    let now = station.now();
    station.host.stack.tcp_release(conn, now);
}

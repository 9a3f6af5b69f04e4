//! smoltcp, with buffers and settings that suit each row best: Nagle off, and no pure ACK where a response carries it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use crate::peer::Link;
use crate::rows::net::{CHUNK, MESSAGE, read};

/// Two interfaces and a pipe.
pub struct Smoltcp {
    client: End,
    server: End,
    port: u16,
    nanos: u64,
}

struct End {
    iface: Interface,
    sockets: SocketSet<'static>,
    wire: Wire,
    /// The connection that is measured, and one to open and close.
    talking: SocketHandle,
    spare: SocketHandle,
}

/// Frames on their way to one end, and buffers to reuse.
#[derive(Default)]
struct Ring {
    frames: VecDeque<Vec<u8>>,
    free: Vec<Vec<u8>>,
}

/// One end of the wire: a frame is written once by the stack, and copied once by the wire.
struct Wire {
    incoming: Rc<RefCell<Ring>>,
    outgoing: Rc<RefCell<Ring>>,
    frame: Vec<u8>,
    mtu: usize,
    /// Checksums are vouched for.
    offload: bool,
}

/// Frames that a ring takes.
const RING: usize = 512;
/// Bytes of each socket buffer in the rows about bulk, and of an idle connection's.
const BULK: usize = 256 << 10;
const SMALL: usize = 256;

impl Link for Smoltcp {
    fn new(mtu: u16, idle: usize) -> Self {
        let mut link = Self::over(mtu, false);
        for _ in 0..idle {
            let client = link.client.sockets.add(socket(SMALL));
            let server = link.server.sockets.add(socket(SMALL));
            link.connect(client, server);
        }
        link
    }

    /// It cuts nothing: the largest frames are those of the largest MTU.
    fn offloading() -> Self {
        Self::over(64_000, true)
    }

    fn request(&mut self) {
        self.nanos += 300;
        let now = self.now();
        let (client, server) = (&mut self.client, &mut self.server);
        let sent = client.talking().send_slice(&[7; MESSAGE]).expect("open");
        assert_eq!(sent, MESSAGE);
        client.poll(now);
        server.poll(now);
        // The response is made of the request where it lies: as few copies as the interface allows.
        let mut message = [0; MESSAGE];
        let got = server.talking().recv_slice(&mut message).expect("open");
        assert_eq!(got, MESSAGE);
        read(&message);
        server.talking().send_slice(&message).expect("open");
        server.poll(now);
        client.poll(now);
        let got = client.talking().recv(|bytes| {
            read(bytes);
            (bytes.len(), bytes.len())
        });
        assert_eq!(got, Ok(MESSAGE));
    }

    fn open_and_close(&mut self) {
        let (client, server) = (self.client.spare, self.server.spare);
        self.connect(client, server);
        self.client.sockets.get_mut::<Socket<'_>>(client).close();
        self.turn();
        self.server.sockets.get_mut::<Socket<'_>>(server).close();
        self.turn();
        self.turn();
        // Its TIME-WAIT would hold the socket for ten seconds.
        self.client.sockets.get_mut::<Socket<'_>>(client).abort();
        debug_assert_eq!(self.server.sockets.get::<Socket<'_>>(server).state(), State::Closed);
    }

    fn transfer(&mut self) {
        let (mut left, mut got) = (CHUNK, 0);
        while got < CHUNK {
            while left > 0 && self.client.talking().can_send() {
                let sent = self.client.talking().send(|room| {
                    let n = room.len().min(left);
                    // The application's own bytes: hemi shares them, this interface has them copied.
                    room[..n].fill(7);
                    (n, n)
                });
                left -= sent.expect("open");
            }
            self.turn();
            while self.server.talking().can_recv() {
                let n = self.server.talking().recv(|bytes| {
                    read(bytes);
                    (bytes.len(), bytes.len())
                });
                got += n.expect("open");
            }
        }
    }
}

impl Smoltcp {
    fn over(mtu: u16, offload: bool) -> Self {
        let rings: [Rc<RefCell<Ring>>; 2] = Default::default();
        let [client, server] = std::array::from_fn(|side| {
            let wire = Wire {
                incoming: rings[side].clone(),
                outgoing: rings[1 - side].clone(),
                frame: vec![0; 64 << 10],
                mtu: usize::from(mtu) + 14,
                offload,
            };
            End::new(wire, side as u8 + 1)
        });
        let mut link = Self { client, server, port: 1024, nanos: 0 };
        link.connect(link.client.talking, link.server.talking);
        link
    }

    fn now(&self) -> Instant {
        Instant::from_micros((self.nanos / 1000) as i64)
    }

    fn turn(&mut self) {
        self.nanos += 300;
        let now = self.now();
        self.client.poll(now);
        self.server.poll(now);
    }

    fn connect(&mut self, client: SocketHandle, server: SocketHandle) {
        self.server.sockets.get_mut::<Socket<'_>>(server).listen(80).expect("closed");
        self.port = if self.port == u16::MAX { 1024 } else { self.port + 1 };
        let to = (IpAddress::v4(10, 0, 0, 2), 80);
        let context = self.client.iface.context();
        self.client.sockets.get_mut::<Socket<'_>>(client).connect(context, to, self.port).expect("closed");
        while self.server.sockets.get::<Socket<'_>>(server).state() != State::Established {
            self.turn();
        }
    }
}

impl End {
    fn new(mut wire: Wire, number: u8) -> Self {
        let mut config = Config::new(EthernetAddress([2, 0, 0, 0, 0, number]).into());
        config.random_seed = u64::from(number);
        let mut iface = Interface::new(config, &mut wire, Instant::ZERO);
        let address = IpCidr::new(IpAddress::v4(10, 0, 0, number), 24);
        iface.update_ip_addrs(|addresses| addresses.push(address).expect("the first one"));
        let mut sockets = SocketSet::new(Vec::new());
        let talking = sockets.add(socket(BULK));
        let spare = sockets.add(socket(4096));
        Self { iface, sockets, wire, talking, spare }
    }

    fn poll(&mut self, now: Instant) {
        self.iface.poll(now, &mut self.wire, &mut self.sockets);
    }

    fn talking(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.talking)
    }
}

fn socket(buffer: usize) -> Socket<'static> {
    let buffers = [0, 1].map(|_| SocketBuffer::new(vec![0; buffer]));
    let [incoming, outgoing] = buffers;
    let mut socket = Socket::new(incoming, outgoing);
    socket.set_nagle_enabled(false);
    socket
}

struct Received<'a>(Vec<u8>, &'a RefCell<Ring>);
struct Room<'a>(&'a mut Vec<u8>, &'a RefCell<Ring>);

impl Device for Wire {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Room<'_>)> {
        if self.outgoing.borrow().frames.len() >= RING {
            return None;
        }
        let frame = self.incoming.borrow_mut().frames.pop_front()?;
        Some((Received(frame, &self.incoming), Room(&mut self.frame, &self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        let room = self.outgoing.borrow().frames.len() < RING;
        room.then_some(Room(&mut self.frame, &self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ethernet;
        caps.max_transmission_unit = self.mtu;
        if self.offload {
            caps.checksum = ChecksumCapabilities::ignored();
        }
        caps
    }
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, use_it: F) -> R {
        let result = use_it(&self.0);
        self.1.borrow_mut().free.push(self.0);
        result
    }
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let frame = &mut self.0[..len];
        let result = write(frame);
        let mut ring = self.1.borrow_mut();
        let mut copy = ring.free.pop().unwrap_or_else(|| Vec::with_capacity(2048));
        copy.clear();
        copy.extend_from_slice(frame);
        ring.frames.push_back(copy);
        result
    }
}

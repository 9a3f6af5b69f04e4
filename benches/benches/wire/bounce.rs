//! The floor: a frame in, a frame out, and as little in between as a kernel client takes for an answer.
//!
//! A datagram goes back as it came, with its ends exchanged and no checksum (RFC 768 allows that). A TCP segment is answered by what stands in it: its
//! acknowledgement number is our sequence number, so nothing is remembered; what is lost stays lost.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
};

use hemi_bench::{
    contestants::{Contestant, FLOOR, Failure},
    scenario::Transport,
    stop::Stop,
};
use hemi_net::{
    Device, TxFrame, TxQueue,
    wire::{Flags, Sum, protocol},
};
use hemi_queue::{Pool, Result, Sga};

use crate::echo::Time;

/// Turns between two looks at the stop flag.
const TURNS_PER_LOOK: u32 = 256;
const IP: usize = 14;
const TRANSPORT: usize = IP + 20;
const TCP_LEN: usize = 20;

/// One read and one write per frame.
pub(crate) struct Bare {
    pub(crate) at: SocketAddr,
    pub(crate) open: fn() -> Result<File>,
}

/// hemi's device, without the stack.
pub(crate) struct Driver {
    pub(crate) name: &'static str,
    pub(crate) at: SocketAddr,
    pub(crate) open: fn(&Pool) -> Result<Box<dyn Device>>,
}

impl Contestant for Bare {
    fn name(&self) -> &'static str {
        FLOOR
    }

    fn about(&self) -> &'static str {
        "one read and one write per frame"
    }

    fn serves(&self, transport: Transport) -> bool {
        transport != Transport::Units
    }

    fn serve(
        &self,
        _: Transport,
        _: SocketAddr,
        ready: &mut dyn FnMut(SocketAddr),
        stop: &Stop,
    ) -> std::result::Result<(), Failure> {
        let mut device = (self.open)()?;
        let (mut frame, mut out) = ([0; 2048], [0; 2048]);
        ready(self.at);
        let mut turn = 0_u32;
        while !(turn.is_multiple_of(TURNS_PER_LOOK) && stop.is_set()) {
            turn = turn.wrapping_add(1);
            match device.read(&mut frame) {
                Ok(n) => {
                    if let Some(len) = answer(&frame[..n], &mut out) {
                        // What the interface has no room for is lost.
                        let _ = device.write(&out[..len]);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

impl Contestant for Driver {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &'static str {
        "hemi's device, without the stack"
    }

    fn serves(&self, transport: Transport) -> bool {
        transport != Transport::Units
    }

    fn serve(
        &self,
        _: Transport,
        _: SocketAddr,
        ready: &mut dyn FnMut(SocketAddr),
        stop: &Stop,
    ) -> std::result::Result<(), Failure> {
        let mut device = (self.open)(&Pool::new()?)?;
        let (mut time, mut burst, mut queue) = (Time::new(), Vec::new(), TxQueue::new(64));
        ready(self.at);
        let mut turn = 0_u32;
        while !(turn.is_multiple_of(TURNS_PER_LOOK) && stop.is_set()) {
            turn = turn.wrapping_add(1);
            let now = time.now();
            if device.rx_burst(now, 64, &mut burst)? == 0 {
                continue;
            }
            for received in burst.drain(..) {
                let mut frame = TxFrame::new(Sga::new());
                if let Some(len) = answer(&received.bytes, frame.head_mut(TxFrame::MAX_HEAD)) {
                    frame.head_mut(len);
                    queue.push(frame);
                }
            }
            device.tx_burst(now, &mut queue)?;
        }
        Ok(())
    }
}

/// Write the answer to `frame` to the front of `out`; its length, if it has one.
fn answer(frame: &[u8], out: &mut [u8]) -> Option<usize> {
    let ip: &[u8; 20] = frame.get(IP..)?.first_chunk()?;
    if frame[12..14] != [0x08, 0x00] || ip[0] != 0x45 {
        return None;
    }
    let end = IP + usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let transport = frame.get(TRANSPORT..end)?;
    let out = out.get_mut(..end)?;
    // Both ends change places: addresses on the link and of IP; the header's checksum is the same.
    out[..6].copy_from_slice(&frame[6..12]);
    out[6..12].copy_from_slice(&frame[..6]);
    out[12..26].copy_from_slice(&frame[12..26]);
    out[26..30].copy_from_slice(&frame[30..34]);
    out[30..34].copy_from_slice(&frame[26..30]);
    match ip[9] {
        protocol::UDP => datagram(transport, out),
        protocol::TCP => segment(transport, out),
        _ => None,
    }
}

fn datagram(came: &[u8], out: &mut [u8]) -> Option<usize> {
    let to = out.get_mut(TRANSPORT..)?;
    to.copy_from_slice(came);
    to.get_mut(..4)?.rotate_left(2); // the ports
    to.get_mut(6..8)?.fill(0);
    Some(out.len())
}

fn segment(came: &[u8], out: &mut [u8]) -> Option<usize> {
    let head: &[u8; TCP_LEN] = came.first_chunk()?;
    let [a, b, c, d, s0, s1, s2, s3, k0, k1, k2, k3, offset, flags, ..] = *head;
    let flags = Flags(flags);
    let text = came.get(usize::from(offset >> 4) * 4..)?;
    let marks = u32::from(flags.has(Flags::SYN)) + u32::from(flags.has(Flags::FIN));
    if flags.has(Flags::RST) || (text.is_empty() && marks == 0) {
        return None;
    }
    let ack = u32::from_be_bytes([s0, s1, s2, s3]).wrapping_add(text.len() as u32 + marks);
    let mut answer = Flags::ACK | Flags(flags.0 & (Flags::SYN | Flags::FIN).0);
    if !text.is_empty() {
        answer |= Flags::PSH;
    }
    let len = TCP_LEN + text.len();
    let (ip, tcp) = out.get_mut(..TRANSPORT + len)?.split_at_mut(TRANSPORT);
    tcp[..12].copy_from_slice(&[c, d, a, b, k0, k1, k2, k3, 0, 0, 0, 0]);
    tcp[8..12].copy_from_slice(&ack.to_be_bytes());
    tcp[12..TCP_LEN].copy_from_slice(&[5 << 4, answer.0, 0xff, 0xff, 0, 0, 0, 0]);
    tcp[TCP_LEN..].copy_from_slice(text);
    // Options did not come along: it may be shorter.
    ip[IP + 2..IP + 4].copy_from_slice(&((20 + len) as u16).to_be_bytes());
    ip[IP + 10..IP + 12].fill(0);
    let sum = Sum::new().bytes(&ip[IP..]).finish();
    ip[IP + 10..IP + 12].copy_from_slice(&sum.to_be_bytes());
    let (source, destination) = (ip[26..30].first_chunk::<4>()?, ip[30..34].first_chunk::<4>()?);
    let pseudo = Sum::pseudo_v4((*source).into(), (*destination).into(), protocol::TCP, len as u16);
    let sum = pseudo.bytes(tcp).finish();
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    Some(TRANSPORT + len)
}

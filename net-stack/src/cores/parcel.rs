//! [`Parcel`]: a packet on its way to the core that it is for.

use std::net::IpAddr;

use hemi_queue::{Buf, Pool, SendBuf};

use crate::{
    ip::{Fragment, Packet, Quoted},
    wire::Ecn,
};

/// Up to this many bytes are copied into the receiving core's own memory: that is cheaper than to keep an account of another core's, which gets
/// its buffer back at once.
const COPIED: usize = 2048;

/// A packet that another core is to take in.
#[derive(Debug)]
pub struct Parcel {
    pub(crate) what: What,
    /// The cores that have seen it, as bits.
    pub(crate) visited: u64,
}

#[derive(Debug)]
pub(crate) enum What {
    Tcp(Packet),
    Udp(Packet),
    Error(Quoted),
    Fragment(Fragment),
}

/// A parcel between two threads: ownership of its memory passes.
pub(super) struct Packed {
    visited: u64,
    what: PackedWhat,
}

enum PackedWhat {
    Packet(PackedPacket),
    Error(Quoted),
    Fragment { packet: SendBuf, verified: bool, link_group: bool, looped: bool },
}

struct PackedPacket {
    tcp: bool,
    src: IpAddr,
    dst: IpAddr,
    ecn: Ecn,
    verified: bool,
    unicast: bool,
    /// The IP packet if it is there, else its payload; the transport's bytes begin at `at`.
    bytes: SendBuf,
    whole: bool,
    at: usize,
}

impl Parcel {
    pub(super) fn pack(self) -> Packed {
        let what = match self.what {
            What::Tcp(packet) => PackedWhat::Packet(pack(packet, true)),
            What::Udp(packet) => PackedWhat::Packet(pack(packet, false)),
            What::Error(quoted) => PackedWhat::Error(quoted),
            What::Fragment(Fragment { packet, verified, link_group, looped }) => {
                PackedWhat::Fragment { packet: packet.into_send(), verified, link_group, looped }
            }
        };
        Packed { visited: self.visited, what }
    }
}

fn pack(packet: Packet, tcp: bool) -> PackedPacket {
    let Packet { src, dst, ecn, verified, unicast, bytes, whole, mark: _ } = packet;
    let (bytes, at, whole) = match whole {
        // The payload is the packet's end.
        Some(packet) => {
            let at = packet.len().saturating_sub(bytes.len());
            drop(bytes);
            (packet, at, true)
        }
        None => (bytes, 0, false),
    };
    PackedPacket { tcp, src, dst, ecn, verified, unicast, bytes: bytes.into_send(), whole, at }
}

impl Packed {
    /// On the receiving thread, whose pool is `pool`.
    pub(super) fn unpack(self, pool: &Pool) -> Parcel {
        let what = match self.what {
            PackedWhat::Error(quoted) => What::Error(quoted),
            PackedWhat::Fragment { packet, verified, link_group, looped } => {
                What::Fragment(Fragment { packet: adopt(packet, pool), verified, link_group, looped })
            }
            PackedWhat::Packet(PackedPacket { tcp, src, dst, ecn, verified, unicast, bytes, whole, at }) => {
                let mut bytes = adopt(bytes, pool);
                let whole = whole.then(|| bytes.clone());
                bytes.advance(at);
                let packet = Packet { src, dst, ecn, verified, mark: 0, unicast, bytes, whole };
                if tcp { What::Tcp(packet) } else { What::Udp(packet) }
            }
        };
        Parcel { what, visited: self.visited }
    }
}

/// Another core's buffer as one of ours.
pub(super) fn adopt(theirs: SendBuf, pool: &Pool) -> Buf {
    if theirs.len() <= COPIED
        && let Ok(mut ours) = pool.try_alloc(theirs.len().max(1))
    {
        ours.put(&theirs);
        return ours.freeze();
    }
    theirs.into_buf()
}

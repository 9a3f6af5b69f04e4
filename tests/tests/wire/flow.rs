//! [`Flow`]: the client's end of one TCP connection, with every field in its own hands.

use std::net::IpAddr;

use hemi_net::wire::{Flags, Seq, Sum, TcpHeader, protocol};

use crate::{
    client::{Segment, Wire},
    frames::{Frame, OURS, OURS6, ip, ipv4, ipv6},
};

pub(crate) const SYN: Flags = Flags::SYN;
pub(crate) const ACK: Flags = Flags::ACK;
pub(crate) const FIN: Flags = Flags::FIN;
pub(crate) const RST: Flags = Flags::RST;
pub(crate) const NONE: Flags = Flags(0);

/// Options of a SYN: MSS 1460; the same with SACK; the same with timestamps (of 1000) and window scale 7.
pub(crate) const MSS: &[u8] = &[2, 4, 0x05, 0xb4];
pub(crate) const SACK: &[u8] = &[2, 4, 0x05, 0xb4, 1, 1, 4, 2];
pub(crate) const ALL: &[u8] = &[2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 3, 0xe8, 0, 0, 0, 0, 1, 3, 3, 7];

/// The ports of the testbed.
pub(crate) const ECHO: u16 = 7000;
pub(crate) const NAGLE: u16 = 7001;
pub(crate) const KEEP_ALIVE: u16 = 7002;
pub(crate) const CONTROL: u16 = 7003;

/// One end.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) src: String,
    pub(crate) port: u16,
    pub(crate) host_port: u16,
    /// The next sequence number to send, and the next to come.
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
    /// TSval and TSecr of what we send, if they were agreed on.
    pub(crate) timestamps: Option<(u32, u32)>,
    /// The two ECN bits of what we send.
    pub(crate) ecn: u8,
}

impl Flow {
    /// A connection that does not exist yet, from an address that no other has.
    pub(crate) fn new(wire: &mut Wire, v6: bool, host_port: u16) -> Self {
        let src = wire.fresh(v6);
        let port = 20_000 + host_port % 1000;
        Self { src, port, host_port, seq: 1_000_000, ack: 0, window: 65_535, timestamps: None, ecn: 0 }
    }

    /// One that is established over IPv4, with these options in the SYN.
    pub(crate) fn open(wire: &mut Wire, options: &[u8]) -> Self {
        Self::open_to(wire, false, ECHO, options)
    }

    pub(crate) fn open_to(wire: &mut Wire, v6: bool, host_port: u16, options: &[u8]) -> Self {
        let mut flow = Self::new(wire, v6, host_port);
        flow.connect(wire, options);
        flow
    }

    /// Establish it; the host's SYN-ACK.
    pub(crate) fn connect(&mut self, wire: &mut Wire, options: &[u8]) -> Segment {
        self.emit(wire, SYN, self.seq, None, b"", options);
        let answer = self.recv(wire, "SYN-ACK");
        self.take_syn_ack(&answer);
        self.send(wire, ACK, b"");
        answer
    }

    /// Go on from the host's SYN-ACK.
    pub(crate) fn take_syn_ack(&mut self, answer: &Segment) {
        assert_eq!((answer.header.flags, answer.header.ack.0), (SYN | ACK, self.seq.wrapping_add(1)));
        self.seq = self.seq.wrapping_add(1);
        self.ack = answer.header.seq.0.wrapping_add(1);
        if let Some(ts) = answer.options.timestamps {
            assert_eq!(ts.echo, 1000);
            self.timestamps = Some((1001, ts.value));
        }
    }

    fn host(&self) -> &'static str {
        if self.ip().is_ipv4() { OURS } else { OURS6 }
    }

    pub(crate) fn ip(&self) -> IpAddr {
        ip(&self.src)
    }

    pub(crate) fn me(&self) -> (IpAddr, u16) {
        (self.ip(), self.port)
    }

    /// A segment as a frame; `options` are behind the timestamps, padded.
    pub(crate) fn frame(
        &self,
        flags: Flags,
        seq: u32,
        ack: Option<u32>,
        data: &[u8],
        options: &[u8],
    ) -> Frame {
        let mut all = Vec::new();
        if let Some((value, echo)) = self.timestamps {
            all.extend([1, 1, 8, 10]);
            all.extend(value.to_be_bytes());
            all.extend(echo.to_be_bytes());
        }
        all.extend(options);
        all.resize(all.len().next_multiple_of(4), 0);
        let header = TcpHeader {
            src_port: self.port,
            dst_port: self.host_port,
            seq: Seq(seq),
            ack: Seq(ack.unwrap_or(0)),
            flags,
            window: self.window,
            urgent: 0,
            header_len: (20 + all.len()) as u8,
        };
        let mut body = vec![0; 20];
        header.emit(body.first_chunk_mut().expect("20"));
        body.extend(&all);
        body.extend(data);
        self.packet(body)
    }

    /// A segment's bytes, summed and with an IP header.
    pub(crate) fn packet(&self, mut body: Vec<u8>) -> Frame {
        body[16..18].fill(0);
        let pseudo = Sum::pseudo(self.ip(), ip(self.host()), protocol::TCP, body.len() as u32);
        let sum = pseudo.bytes(&body).finish();
        body[16..18].copy_from_slice(&sum.to_be_bytes());
        if self.ip().is_ipv4() {
            let mut frame = ipv4(&self.src, OURS, protocol::TCP, &body);
            frame.2[1] = self.ecn;
            frame.2[10..12].fill(0);
            let sum = Sum::new().bytes(&frame.2[..20]).finish();
            frame.2[10..12].copy_from_slice(&sum.to_be_bytes());
            frame
        } else {
            ipv6(&self.src, OURS6, protocol::TCP, &body)
        }
    }

    /// The first `len` bytes of a segment's frame, as a packet that is whole but for that.
    pub(crate) fn packet_of(&self, frame: &Frame, len: usize) -> Frame {
        self.packet(frame.2[20..20 + len].to_vec())
    }

    /// Send a segment with all fields given.
    pub(crate) fn emit(
        &self,
        wire: &mut Wire,
        flags: Flags,
        seq: u32,
        ack: Option<u32>,
        data: &[u8],
        options: &[u8],
    ) {
        wire.send(&self.frame(flags, seq, ack, data, options));
    }

    /// Send the next segment of ours.
    pub(crate) fn send(&mut self, wire: &mut Wire, flags: Flags, data: &[u8]) {
        self.emit(wire, flags, self.seq, Some(self.ack), data, b"");
        let len = data.len() as u32 + u32::from(flags.has(FIN)) + u32::from(flags.has(SYN));
        self.seq = self.seq.wrapping_add(len);
    }

    /// Send data at an offset to the next sequence number, which stays.
    pub(crate) fn send_at(&self, wire: &mut Wire, offset: i32, data: &[u8]) {
        self.emit(wire, ACK, self.seq.wrapping_add_signed(offset), Some(self.ack), data, b"");
    }

    /// Acknowledge so many bytes more than before, without SACK.
    pub(crate) fn acknowledge(&mut self, wire: &mut Wire, bytes: u32) {
        self.ack = self.ack.wrapping_add(bytes);
        self.send(wire, ACK, b"");
    }

    /// An acknowledgement with SACK blocks, relative to what is acknowledged.
    pub(crate) fn sack(&self, wire: &mut Wire, blocks: &[(u32, u32)]) {
        let mut options = vec![1, 1, 5, 2 + 8 * blocks.len() as u8];
        for (start, end) in blocks {
            options.extend(self.ack.wrapping_add(*start).to_be_bytes());
            options.extend(self.ack.wrapping_add(*end).to_be_bytes());
        }
        self.emit(wire, ACK, self.seq, Some(self.ack), b"", &options);
    }

    /// The host's next segment.
    pub(crate) fn recv(&self, wire: &mut Wire, what: &str) -> Segment {
        wire.wait(what, |seen| seen.segment(self.me()))
    }

    /// A bare ACK comes, of what was sent so far, and nothing else.
    pub(crate) fn expect_ack(&self, wire: &mut Wire, what: &str) -> Segment {
        let got = self.recv(wire, what);
        let h = &got.header;
        let seen = (h.flags.without(Flags::ECE), h.seq.0, h.ack.0, got.data.len());
        assert_eq!(seen, (ACK, self.ack, self.seq, 0), "{what}: {got:?}");
        got
    }

    /// The host is silent here.
    pub(crate) fn silence(&self, wire: &mut Wire, what: &str) {
        wire.nothing(what, |seen| seen.segment(self.me()));
    }

    /// Everything that the host has sent here by now.
    pub(crate) fn drain(&self, wire: &mut Wire) -> Vec<Segment> {
        wire.fence();
        let mut all = Vec::new();
        while let Some(i) = wire.inbox.iter().position(|s| s.segment(self.me()).is_some()) {
            all.extend(wire.inbox.remove(i).segment(self.me()));
        }
        all
    }

    /// Read and acknowledge data until so many bytes have come, in order and once.
    pub(crate) fn read(&mut self, wire: &mut Wire, len: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < len {
            let got = self.recv(wire, "data");
            assert!(!got.header.flags.any(RST | SYN), "{got:?}");
            if let Some((value, echo)) = &mut self.timestamps {
                *value += 1;
                *echo = got.options.timestamps.expect("timestamps in every segment").value;
            }
            if got.data.is_empty() {
                continue;
            }
            if got.header.seq.0 == self.ack {
                all.extend(&got.data);
                self.ack = self.ack.wrapping_add(got.data.len() as u32);
            }
            self.send(wire, ACK, b"");
        }
        all
    }

    /// It lives: what is sent comes back.
    pub(crate) fn echoes(&mut self, wire: &mut Wire, data: &[u8]) {
        self.send(wire, ACK | Flags::PSH, data);
        let back = self.read(wire, data.len());
        assert_eq!(back, data);
    }

    /// Both ends finish, this one first.
    pub(crate) fn finish(&mut self, wire: &mut Wire) {
        self.send(wire, FIN | ACK, b"");
        let fin = wire.wait("FIN", |seen| seen.segment(self.me()).filter(|s| s.header.flags.has(FIN)));
        assert_eq!((fin.header.seq.0, fin.header.ack.0), (self.ack, self.seq));
        self.acknowledge(wire, 1);
    }

    /// It is no more: an ACK is answered by RST.
    pub(crate) fn is_gone(&self, wire: &mut Wire) {
        self.emit(wire, ACK, self.seq, Some(self.ack), b"", b"");
        let answer = wire.wait("RST", |seen| seen.segment(self.me()).filter(|s| s.header.flags.has(RST)));
        assert_eq!((answer.header.flags, answer.header.seq.0), (RST, self.ack), "{answer:?}");
    }
}

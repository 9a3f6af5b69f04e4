//! Frames that hold several UDP datagrams (the kernel's UDP_SEGMENT), cut into one frame per datagram.
//!
//! TCP segments that came together may stay together: a stream has no boundaries. Datagrams have.

use hemi_net::wire::{EtherType, EthernetHeader, Ipv4Header, Ipv6Header, Sum, protocol};

const UDP_HEADER: usize = 8;

/// One datagram's frame, to be written.
pub(crate) struct Datagram<'a> {
    /// Everything up to the payload, as in the whole frame.
    head: &'a [u8],
    /// Where the IP header begins.
    ip: usize,
    /// Where the UDP header begins.
    udp: usize,
    /// Which one it is, from 0.
    number: u16,
    payload: &'a [u8],
}

/// The datagrams of a frame, each of `size` bytes of payload but the last; `None` when the frame is nothing that can be cut.
pub(crate) fn cut(frame: &[u8], size: usize) -> Option<impl Iterator<Item = Datagram<'_>>> {
    let ip = EthernetHeader::LEN;
    let (udp, end) = match EthernetHeader::parse(frame).ok()?.ethertype {
        EtherType::Ipv4 => {
            let header = frame.get(ip..ip + Ipv4Header::LEN)?;
            let len = usize::from(header[0] & 0xf) * 4;
            let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let whole = header[0] >> 4 == 4 && len >= Ipv4Header::LEN && header[9] == protocol::UDP;
            whole.then_some((ip + len, ip + total))?
        }
        EtherType::Ipv6 => {
            let header = frame.get(ip..ip + Ipv6Header::LEN)?;
            let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
            let start = ip + Ipv6Header::LEN;
            (header[6] == protocol::UDP).then_some((start, start + len))?
        }
        _ => return None,
    };
    let head = frame.get(..udp + UDP_HEADER)?;
    let payload = frame.get(udp + UDP_HEADER..end)?;
    if size == 0 {
        return None;
    }
    Some(payload.chunks(size).zip(0..).map(move |(payload, number)| Datagram {
        head,
        ip,
        udp,
        number,
        payload,
    }))
}

impl Datagram<'_> {
    /// Bytes of its frame.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.payload.len()
    }

    /// Write the frame to `out`, which has that length: lengths and the IPv4 identification and checksum are its own. The UDP
    /// checksum is left unfinished, as the kernel left it.
    pub(crate) fn write(&self, out: &mut [u8]) {
        let len = self.len();
        let Some(out) = out.get_mut(..len) else { return };
        out[..self.head.len()].copy_from_slice(self.head);
        out[self.head.len()..].copy_from_slice(self.payload);
        let udp_len = ((UDP_HEADER + self.payload.len()) as u16).to_be_bytes();
        out[self.udp + 4..self.udp + 6].copy_from_slice(&udp_len);
        let header = &mut out[self.ip..self.udp];
        if header[0] >> 4 == 6 {
            header[4..6].copy_from_slice(&udp_len);
            return;
        }
        let field = |value: u16| value.to_be_bytes();
        let ident = u16::from_be_bytes([header[4], header[5]]).wrapping_add(self.number);
        header[2..4].copy_from_slice(&field((len - self.ip) as u16));
        header[4..6].copy_from_slice(&field(ident));
        header[10..12].fill(0);
        let sum = Sum::default().bytes(header).finish();
        header[10..12].copy_from_slice(&field(sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(v6: bool, payload: usize) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        let udp_len = ((UDP_HEADER + payload) as u16).to_be_bytes();
        if v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, udp_len[0], udp_len[1], 17, 64]);
            frame.extend([0xfd; 32]);
        } else {
            let total = ((28 + payload) as u16).to_be_bytes();
            frame.extend([8, 0, 0x45, 0, total[0], total[1], 0xff, 0xff, 0, 0, 64, 17, 0, 0]);
            frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        }
        frame.extend([0x12, 0x34, 0, 53, udp_len[0], udp_len[1], 0xab, 0xcd]);
        frame.extend((0..payload).map(|i| i as u8));
        frame
    }

    #[test]
    fn each_datagram_is_a_frame_of_its_own() {
        for v6 in [false, true] {
            let whole = frame(v6, 2500);
            let head = whole.len() - 2500;
            let frames: Vec<Vec<u8>> = cut(&whole, 1000)
                .unwrap()
                .map(|datagram| {
                    let mut out = vec![0; datagram.len()];
                    datagram.write(&mut out);
                    out
                })
                .collect();
            assert_eq!(frames.iter().map(|f| f.len() - head).collect::<Vec<_>>(), [1000, 1000, 500]);
            let payload: Vec<u8> = frames.iter().flat_map(|f| &f[head..]).copied().collect();
            assert_eq!(payload, whole[head..]);
            for (number, frame) in frames.iter().enumerate() {
                let ip = &frame[EthernetHeader::LEN..];
                let udp_len = u16::from_be_bytes([frame[head - 4], frame[head - 3]]);
                assert_eq!(usize::from(udp_len), frame.len() - head + UDP_HEADER);
                if v6 {
                    assert_eq!(Ipv6Header::parse(ip).unwrap().payload_len, udp_len);
                } else {
                    let header = Ipv4Header::parse(ip).unwrap(); // its checksum is right
                    assert_eq!(header.ident, 0xffff_u16.wrapping_add(number as u16));
                    assert_eq!(header.payload_len, udp_len);
                }
            }
        }
    }

    #[test]
    fn nonsense_is_not_cut() {
        for v6 in [false, true] {
            let whole = frame(v6, 100);
            assert!(cut(&whole, 0).is_none());
            for len in 0..whole.len() {
                assert!(cut(&whole[..len], 10).is_none(), "{len}");
            }
            for at in 0..whole.len() - 100 {
                for bit in 0..8 {
                    let mut changed = whole.clone();
                    changed[at] ^= 1 << bit;
                    for datagram in cut(&changed, 10).into_iter().flatten() {
                        datagram.write(&mut vec![0; datagram.len()]); // whatever it is, nothing panics
                    }
                }
            }
        }
    }
}

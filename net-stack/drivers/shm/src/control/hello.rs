//! [`Hello`]: what each side tells the other at the beginning of a link.

use hemi_net::wire::MacAddr;

/// The first message in each direction. 32 bytes, fields in the byte order of the machine that both are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Its address.
    pub(crate) mac: MacAddr,
    /// It wants finished transport checksums, as behind an interface that cannot vouch for them.
    pub(crate) full_checksums: bool,
    /// Bytes of each ring, as a decides.
    pub(crate) ring: usize,
    /// Its process, for people.
    pub(crate) pid: u32,
}

impl Hello {
    pub(crate) const LEN: usize = 32;
    /// The last byte is the version.
    const MAGIC: [u8; 8] = *b"hemishm\x01";

    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&Self::MAGIC);
        bytes[8..14].copy_from_slice(&self.mac.0);
        bytes[14] = u8::from(self.full_checksums);
        bytes[16..24].copy_from_slice(&(self.ring as u64).to_ne_bytes());
        bytes[24..28].copy_from_slice(&self.pid.to_ne_bytes());
        bytes
    }

    /// `None`: not a hello of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().ok()?;
        if bytes[..8] != Self::MAGIC {
            return None;
        }
        let [mac @ .., full, _] = *bytes[8..].first_chunk::<8>()?;
        Some(Self {
            mac: MacAddr(mac),
            full_checksums: full != 0,
            ring: usize::try_from(u64::from_ne_bytes(*bytes[16..].first_chunk()?)).ok()?,
            pid: u32::from_ne_bytes(*bytes[24..].first_chunk()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let hello = Hello { mac: MacAddr([2, 1, 2, 3, 4, 5]), full_checksums: true, ring: 1 << 20, pid: 77 };
        let bytes = hello.encode();
        assert_eq!(Hello::decode(&bytes), Some(hello));
        assert_eq!(Hello::decode(&bytes[1..]), None);
        let mut other_version = bytes;
        other_version[7] += 1;
        assert_eq!(Hello::decode(&other_version), None);
    }
}

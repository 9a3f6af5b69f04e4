//! [`Identity`]: what a namespace is, from the structures that the device answers Identify with.
//!
//! Offsets are those of the NVM Express Base, NVM Command Set and Zoned Namespace Command Set specifications. Everything that is
//! calculated with is checked here, so that a device that talks nonsense gets an error and no arithmetic.

/// Bytes of every Identify structure.
pub(crate) const LEN: usize = 4096;
/// The largest transfer that is used, where the device allows more: more brings nothing.
const TRANSFER: u32 = 128 << 10;
/// The least memory page of a controller, which its limit counts in. (The register with the true one cannot be read from here; it is
/// never less.)
const PAGE: u32 = 4096;
const MOST_FORMATS: usize = 64;

/// What a namespace is and can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The controller's model.
    pub model: String,
    /// Bytes of a logical block.
    pub block: u32,
    /// Logical blocks.
    pub blocks: u64,
    /// The most bytes of one command: a multiple of `block`.
    pub transfer: u32,
    /// A completed write may be lost until a flush.
    pub volatile_cache: bool,
    /// Deallocate is known.
    pub deallocate: bool,
    /// The zones, of a zoned namespace.
    pub zoned: Option<Zoning>,
}

/// How a zoned namespace is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zoning {
    /// Logical blocks from one zone's first to the next's.
    pub size: u64,
    /// The most bytes of one append: a multiple of the block.
    pub append: u32,
    /// How many zones may be active at a time; none: any number.
    pub active: Option<u32>,
}

/// Why a log cannot lie on a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsuitable {
    /// An answer was shorter than it must be.
    Short,
    /// It has no blocks.
    Empty,
    /// The block size in use is not one of a log's: 512 to 32,768 bytes.
    Block {
        /// Its logarithm.
        shift: u8,
    },
    /// Blocks carry metadata.
    Metadata {
        /// Bytes per block.
        bytes: u16,
    },
    /// Protection information is on.
    Protection,
    /// A field has a value that no device has.
    Nonsense {
        /// Which.
        what: &'static str,
    },
}

impl std::fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Short => f.write_str("the device's answer to Identify is too short"),
            Self::Empty => f.write_str("the namespace has no blocks; is it attached?"),
            Self::Block { shift } => write!(
                f,
                "logical blocks of 2^{shift} bytes; a log needs 512 to 32768: choose another format (`nvme format --lbaf`)"
            ),
            Self::Metadata { bytes } => write!(
                f,
                "each block carries {bytes} bytes of metadata; choose a format without (`nvme format --lbaf`)"
            ),
            Self::Protection => {
                f.write_str("protection information is on; choose a format without (`nvme format --pi=0`)")
            }
            Self::Nonsense { what } => write!(f, "the device says {what}, which no device has"),
        }
    }
}

impl std::error::Error for Unsuitable {}

fn bytes<const N: usize>(of: &[u8], at: usize) -> Result<[u8; N], Unsuitable> {
    of.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).ok_or(Unsuitable::Short)
}

fn u16_at(of: &[u8], at: usize) -> Result<u16, Unsuitable> {
    Ok(u16::from_le_bytes(bytes(of, at)?))
}

fn u32_at(of: &[u8], at: usize) -> Result<u32, Unsuitable> {
    Ok(u32::from_le_bytes(bytes(of, at)?))
}

fn u64_at(of: &[u8], at: usize) -> Result<u64, Unsuitable> {
    Ok(u64::from_le_bytes(bytes(of, at)?))
}

/// `blocks` as bytes, at most `limit`, at least one block.
fn limited(limit: u32, block: u32) -> u32 {
    (limit / block * block).max(block)
}

/// 2^`shift` pages, where zero says "no limit".
fn pages(shift: u8) -> u32 {
    match shift {
        0 => TRANSFER,
        shift => PAGE.checked_shl(shift.into()).filter(|bytes| *bytes > 0).unwrap_or(TRANSFER).min(TRANSFER),
    }
}

impl Identity {
    /// From Identify Controller (CNS 01h) and Identify Namespace (CNS 00h).
    ///
    /// # Errors
    /// What makes the namespace unsuitable, or its answers nonsense.
    pub fn parse(controller: &[u8], namespace: &[u8]) -> Result<Self, Unsuitable> {
        let model = bytes::<40>(controller, 24)?;
        let transfer = pages(bytes::<1>(controller, 77)?[0]);
        let commands = u16_at(controller, 520)?;
        let cache = bytes::<1>(controller, 525)?[0];

        let blocks = u64_at(namespace, 0)?;
        let formats = usize::from(bytes::<1>(namespace, 25)?[0]) + 1;
        let used = bytes::<1>(namespace, 26)?[0];
        // Bits 6:5 are the upper bits of the index, since there may be 64 formats.
        let index = usize::from(used & 0x0f | (used & 0x60) >> 1);
        if index >= formats.min(MOST_FORMATS) {
            return Err(Unsuitable::Nonsense { what: "that it uses a format which it does not have" });
        }
        let metadata = u16_at(namespace, 128 + 4 * index)?;
        let shift = bytes::<1>(namespace, 130 + 4 * index)?[0];
        if blocks == 0 {
            return Err(Unsuitable::Empty);
        }
        if !(9..=15).contains(&shift) {
            return Err(Unsuitable::Block { shift });
        }
        if metadata != 0 {
            return Err(Unsuitable::Metadata { bytes: metadata });
        }
        if bytes::<1>(namespace, 29)?[0] & 0x07 != 0 {
            return Err(Unsuitable::Protection);
        }
        let block = 1 << shift;
        if blocks.checked_mul(block.into()).is_none() {
            return Err(Unsuitable::Nonsense { what: "that it has more than 2^64 bytes" });
        }
        Ok(Self {
            model: String::from_utf8_lossy(&model).trim().to_owned(),
            block,
            blocks,
            transfer: limited(transfer, block),
            volatile_cache: cache & 1 != 0,
            deallocate: commands & 1 << 2 != 0,
            zoned: None,
        })
    }

    /// Bytes that there are.
    pub fn len(&self) -> u64 {
        self.blocks * u64::from(self.block)
    }

    /// Whether there are none; a namespace that was parsed has some.
    pub fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    /// Add the zones: from the command set's own Identify Controller (CNS 06h) and Identify Namespace (CNS 05h), with the same format in use.
    ///
    /// # Errors
    /// Nonsense.
    pub fn with_zones(
        mut self,
        controller: &[u8],
        namespace: &[u8],
        plain: &[u8],
    ) -> Result<Self, Unsuitable> {
        let used = bytes::<1>(plain, 26)?[0];
        let index = usize::from(used & 0x0f | (used & 0x60) >> 1);
        let append = pages(bytes::<1>(controller, 0)?[0]).min(self.transfer);
        let size = u64_at(namespace, 2816 + 16 * index)?;
        if size == 0 || size > self.blocks {
            return Err(Unsuitable::Nonsense { what: "that its zones are larger than itself, or empty" });
        }
        // Zero-based; all ones: no limit.
        let active = u32_at(namespace, 4)?.checked_add(1);
        self.zoned = Some(Zoning { size, append: limited(append, self.block), active });
        Ok(self)
    }
}

/// The command set of a namespace (CNS 03h, a list of descriptors): 0, plain blocks, where the list does not tell.
pub(crate) fn command_set(list: &[u8]) -> u8 {
    const COMMAND_SET: u8 = 4;
    let mut rest = list;
    while let [kind, length, _, _, body @ ..] = rest {
        match (*kind, *length) {
            (0, _) | (_, 0) => break,
            (COMMAND_SET, _) => return body.first().copied().unwrap_or(0),
            (_, length) => rest = body.get(usize::from(length)..).unwrap_or_default(),
        }
    }
    0
}

/// One zone of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ZoneEntry {
    /// Sequential writes are required: the only kind that a log uses.
    pub(crate) sequential: bool,
    pub(crate) state: u8,
    /// In blocks.
    pub(crate) capacity: u64,
    pub(crate) first: u64,
    pub(crate) written: u64,
}

/// The zones of a report, as many as it holds whole.
pub(crate) fn zones(report: &[u8]) -> Result<Vec<ZoneEntry>, Unsuitable> {
    let count = u64_at(report, 0)?;
    let entries = report[64..].chunks_exact(64).take(usize::try_from(count).unwrap_or(usize::MAX));
    entries
        .map(|entry| {
            let (first, pointer) = (u64_at(entry, 16)?, u64_at(entry, 24)?);
            let (capacity, state) = (u64_at(entry, 8)?, entry[1] >> 4);
            // In a full zone, and in one that cannot be written, the pointer means nothing.
            let written = match state {
                1 => 0,
                2..=4 => pointer.saturating_sub(first).min(capacity),
                _ => capacity,
            };
            Ok(ZoneEntry { sequential: entry[0] & 0x0f == 2, state, capacity, first, written })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controller() -> Vec<u8> {
        let mut bytes = vec![0; LEN];
        bytes[24..28].copy_from_slice(b"QEMU");
        bytes[28..64].fill(b' ');
        bytes[77] = 5;
        bytes[520] = 1 << 2;
        bytes[525] = 7;
        bytes
    }

    fn namespace() -> Vec<u8> {
        let mut bytes = vec![0; LEN];
        bytes[..8].copy_from_slice(&4096_u64.to_le_bytes());
        bytes[25] = 7;
        bytes[26] = 4;
        bytes[128 + 16 + 2] = 12;
        bytes
    }

    #[test]
    fn a_namespace_is_read_as_the_figures_say() {
        let identity = Identity::parse(&controller(), &namespace()).unwrap();
        let expected = Identity {
            model: "QEMU".into(),
            block: 4096,
            blocks: 4096,
            transfer: 128 << 10,
            volatile_cache: true,
            deallocate: true,
            zoned: None,
        };
        assert_eq!(identity, expected);
        let (mut own, mut zones) = (vec![0; LEN], vec![0; LEN]);
        own[0] = 4;
        zones[4..8].copy_from_slice(&7_u32.to_le_bytes());
        zones[2816 + 64..][..8].copy_from_slice(&1024_u64.to_le_bytes());
        let zoned = identity.with_zones(&own, &zones, &namespace()).unwrap().zoned;
        assert_eq!(zoned, Some(Zoning { size: 1024, append: 64 << 10, active: Some(8) }));
    }

    #[test]
    fn what_a_log_cannot_lie_on_is_named() {
        let with = |change: fn(&mut Vec<u8>)| {
            let mut bytes = namespace();
            change(&mut bytes);
            Identity::parse(&controller(), &bytes).unwrap_err()
        };
        assert_eq!(with(|n| n[..8].fill(0)), Unsuitable::Empty);
        assert_eq!(with(|n| n[146] = 8), Unsuitable::Block { shift: 8 });
        assert_eq!(with(|n| n[146] = 200), Unsuitable::Block { shift: 200 });
        assert_eq!(with(|n| n[144] = 8), Unsuitable::Metadata { bytes: 8 });
        assert_eq!(with(|n| n[29] = 1), Unsuitable::Protection);
        assert!(matches!(with(|n| n[26] = 8), Unsuitable::Nonsense { .. }));
        assert!(matches!(with(|n| n[..8].fill(0xff)), Unsuitable::Nonsense { .. }));
        assert_eq!(with(|n| n.truncate(100)), Unsuitable::Short);
        assert_eq!(Identity::parse(&[], &[]), Err(Unsuitable::Short));
    }

    /// Whatever a device answers: a value or an error.
    #[test]
    fn no_answer_panics() {
        let mut word = 1_u64;
        let mut noise = |len: usize| -> Vec<u8> {
            let mut next = || {
                word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (word >> 33) as u8
            };
            (0..len).map(|_| next()).collect()
        };
        for round in 0..2000 {
            let len = if round % 2 == 0 { LEN } else { 64 + round };
            let (a, mut b, c) = (noise(len), noise(len), noise(len));
            if round % 4 == 0 {
                b[26] &= 7;
                b[128..160].fill(0);
                (130..160).step_by(4).for_each(|at| b[at] = 12);
                b[..8].copy_from_slice(&5000_u64.to_le_bytes());
                b[29] = 0;
            }
            if let Ok(identity) = Identity::parse(&a, &b) {
                assert!(identity.transfer.is_multiple_of(identity.block) && !identity.is_empty());
                let _ = identity.with_zones(&c, &a, &b);
            }
            command_set(&a);
            let _ = zones(&a);
        }
    }

    #[test]
    fn the_command_set_is_in_a_list_of_descriptors() {
        assert_eq!(command_set(&[1, 8, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 4, 1, 0, 0, 2, 0, 0, 0]), 2);
        assert_eq!(command_set(&[0; 64]), 0);
        assert_eq!(command_set(&[4, 1, 0]), 0);
    }

    #[test]
    fn zones_are_read_with_their_write_pointers() {
        let mut report = vec![0; 64 * 3];
        report[0] = 9; // more than fit
        let entry = &mut report[64..128];
        (entry[0], entry[1]) = (2, 0x20);
        entry[8..16].copy_from_slice(&768_u64.to_le_bytes());
        entry[16..24].copy_from_slice(&1024_u64.to_le_bytes());
        entry[24..32].copy_from_slice(&1030_u64.to_le_bytes());
        let zones = zones(&report).unwrap();
        assert_eq!(zones.len(), 2);
        let expected = ZoneEntry { sequential: true, state: 2, capacity: 768, first: 1024, written: 6 };
        assert_eq!(zones[0], expected);
    }
}

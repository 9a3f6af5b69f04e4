//! [`Passthrough`]: one NVMe command as the kernel takes it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a command does (NVM Command Set Specification, figure 19; Zoned Namespace Command Set Specification, figure 24).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// Everything that has completed becomes durable.
    Flush = 0x00,
    /// Blocks to the device.
    Write = 0x01,
    /// Blocks from the device.
    Read = 0x02,
    /// Among other things: deallocate.
    DatasetManagement = 0x09,
    /// Reset, finish, open or close a zone.
    ZoneManagementSend = 0x79,
    /// Report zones.
    ZoneManagementReceive = 0x7a,
    /// Blocks to a zone's write pointer; the completion tells where.
    ZoneAppend = 0x7d,
}

/// `struct nvme_uring_cmd`, and `struct nvme_passthru_cmd` of the ioctls: 72 bytes each, alike but for the last field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Passthrough {
    /// See [`Opcode`]; of the admin commands, Identify only.
    pub opcode: u8,
    pub(crate) flags: u8,
    pub(crate) reserved: u16,
    pub(crate) nsid: u32,
    pub(crate) cdw2: u32,
    pub(crate) cdw3: u32,
    pub(crate) metadata: u64,
    pub(crate) addr: u64,
    pub(crate) metadata_len: u32,
    /// Bytes of data.
    pub data_len: u32,
    pub(crate) cdw10: u32,
    pub(crate) cdw11: u32,
    pub(crate) cdw12: u32,
    pub(crate) cdw13: u32,
    pub(crate) cdw14: u32,
    pub(crate) cdw15: u32,
    pub(crate) timeout_ms: u32,
    pub(crate) result: u32,
}

const FUA: u32 = 1 << 30;
const DEALLOCATE: u32 = 1 << 2;

/// What becomes of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ZoneAction {
    Finish = 2,
    Reset = 4,
}

/// A range to deallocate.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Range {
    pub(crate) attributes: u32,
    pub(crate) blocks: u32,
    pub(crate) first: u64,
}

impl Passthrough {
    fn of(opcode: Opcode, nsid: u32, lba: u64) -> Self {
        let (cdw10, cdw11) = (lba as u32, (lba >> 32) as u32);
        Self { opcode: opcode as u8, nsid, cdw10, cdw11, ..Self::default() }
    }

    /// `blocks` is at least one; `opcode` is a read, a write, or an append, whose `lba` is the zone's first.
    pub(crate) fn transfer(opcode: Opcode, nsid: u32, lba: u64, blocks: u32, fua: bool) -> Self {
        // The number is zero-based, and has sixteen bits.
        let cdw12 = (blocks - 1) & 0xffff | if fua { FUA } else { 0 };
        Self { cdw12, ..Self::of(opcode, nsid, lba) }
    }

    pub(crate) fn flush(nsid: u32) -> Self {
        Self::of(Opcode::Flush, nsid, 0)
    }

    /// Deallocate one [`Range`], which is the command's data.
    pub(crate) fn deallocate(nsid: u32) -> Self {
        Self { cdw11: DEALLOCATE, ..Self::of(Opcode::DatasetManagement, nsid, 0) }
    }

    pub(crate) fn zone(nsid: u32, lba: u64, action: ZoneAction) -> Self {
        Self { cdw13: action as u32, ..Self::of(Opcode::ZoneManagementSend, nsid, lba) }
    }

    /// Report zones from the one that holds `lba` on, as many as fit into `bytes`.
    pub(crate) fn report(nsid: u32, lba: u64, bytes: u32) -> Self {
        const PARTIAL: u32 = 1 << 16;
        Self { cdw12: bytes / 4 - 1, cdw13: PARTIAL, ..Self::of(Opcode::ZoneManagementReceive, nsid, lba) }
    }

    /// The admin command Identify, of structure `cns` of command set `csi`.
    pub(crate) fn identify(nsid: u32, cns: u8, csi: u8) -> Self {
        const IDENTIFY: u8 = 0x06;
        Self { opcode: IDENTIFY, nsid, cdw10: cns.into(), cdw11: u32::from(csi) << 24, ..Self::default() }
    }

    /// The first block that it speaks of; of an append, the zone's first.
    pub fn lba(&self) -> u64 {
        u64::from(self.cdw11) << 32 | u64::from(self.cdw10)
    }

    /// How many blocks a read, write or append moves.
    pub fn blocks(&self) -> u32 {
        (self.cdw12 & 0xffff) + 1
    }

    /// Complete only when it is durable.
    pub fn fua(&self) -> bool {
        self.cdw12 & FUA != 0
    }

    /// Whether it is this command.
    pub fn is(&self, opcode: Opcode) -> bool {
        self.opcode == opcode as u8
    }

    /// A zone management command that makes the zone empty.
    pub fn is_reset(&self) -> bool {
        self.is(Opcode::ZoneManagementSend) && self.cdw13 & 0xff == ZoneAction::Reset as u32
    }

    /// The 80 bytes of a submission entry's command.
    pub(crate) fn to_entry(self) -> [u8; 80] {
        let mut bytes = [0; 80];
        bytes[..72].copy_from_slice(self.as_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the specification's figures, byte by byte.
    #[test]
    fn commands_are_laid_out_as_the_kernel_reads_them() {
        let bytes = Passthrough::transfer(Opcode::Write, 7, 0x1122_3344_5566_7788, 8, true).to_entry();
        assert_eq!(bytes[0], 1);
        assert_eq!(bytes[4..8], 7_u32.to_le_bytes());
        assert_eq!(bytes[40..48], 0x1122_3344_5566_7788_u64.to_le_bytes());
        assert_eq!(bytes[48..52], (7_u32 | 1 << 30).to_le_bytes());
        let command = Passthrough::transfer(Opcode::ZoneAppend, 1, 512, 65_536, false);
        assert_eq!((command.lba(), command.blocks(), command.fua()), (512, 65_536, false));
        assert!(Passthrough::zone(1, 0, ZoneAction::Reset).is_reset());
        assert!(!Passthrough::zone(1, 0, ZoneAction::Finish).is_reset());
        assert_eq!(Passthrough::identify(0, 5, 2).cdw11, 0x0200_0000);
    }
}

//! What a guest can have: the devices, the modules that drive them and the script that sets them up.

use std::fmt;
use std::str::FromStr;

/// A guest's devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// Two processors and the host's files, nothing else.
    Bare,
    /// Soft-RoCE: `rxe0` on `dummy0`, a clean link to oneself; `rxe1` and `rxe2` at the ends of a veth pair that loses 3 % of the packets
    /// each way. The addresses stand in `inside/rdma.sh`.
    Rdma,
    /// NVMe: `/dev/hemi-blocks` (blocks of 4 KiB), `/dev/hemi-small` (of 512 bytes), `/dev/hemi-zones` (zones of 4 MiB): links to the
    /// character devices, each with a volatile write cache.
    Nvme,
    /// Block devices: `/dev/vda` (virtio, with a volatile cache), and loop devices.
    Block,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bare, Self::Rdma, Self::Nvme, Self::Block];

    /// As the command line and `HEMI_GUEST` have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Rdma => "rdma",
            Self::Nvme => "nvme",
            Self::Block => "block",
        }
    }

    /// The modules to load, beside those that every guest needs. Dependencies are found by themselves.
    pub(crate) const fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Bare => &[],
            Self::Rdma => &[
                "crc32_generic", // rxe asks for it by its algorithm's name, which modules.dep does not know
                "rdma_rxe",
                "rdma_cm",
                "rdma_ucm",
                "ib_uverbs",
                "dummy",
                "veth",
                "sch_netem",
            ],
            Self::Nvme => &["nvme"],
            Self::Block => &["virtio_blk", "loop"],
        }
    }

    /// What the guest's first process runs before the program, as root, in a shell of busybox.
    pub(crate) const fn set_up(self) -> &'static str {
        match self {
            Self::Bare => "",
            Self::Rdma => include_str!("inside/rdma.sh"),
            Self::Nvme => include_str!("inside/nvme.sh"),
            Self::Block => include_str!("inside/block.sh"),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|group| group.name() == text)
            .ok_or_else(|| format!("there is no group `{text}`; there are: {}", known()))
    }
}

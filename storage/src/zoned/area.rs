//! Superblocks in zones: appended, in two zones in turn, for a zone cannot be written over.
//!
//! The newest whole copy counts, as it does of the two copies elsewhere. A zone is reset when the other one is full of copies, so one
//! that counts is always there.

use hemi_queue::Sga;

use crate::{DATA_START, FormatError, Superblock};

/// Zones that hold superblocks: the first two.
pub(super) const ZONES: u32 = 2;
/// From so many bytes on, the other zone is used: so much is read at open.
pub(super) const LIMIT: u64 = 1 << 20;

/// What is found in the two zones.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The newest two.
    newest: Option<(Superblock, Vec<u8>)>,
    second: Option<(Superblock, Vec<u8>)>,
    /// What there is where no superblock is: that tells most.
    other: Option<(FormatError, Vec<u8>)>,
    /// In which zone the newest lies.
    pub(super) zone: u32,
}

impl Found {
    /// Look at what was read of a zone, from a multiple of `sector` on.
    pub(super) fn look(&mut self, zone: u32, data: &Sga, sector: usize) {
        for piece in data.to_vec().chunks(sector) {
            match Superblock::decode(piece) {
                Ok(superblock) => {
                    let newer = |than: &Option<(Superblock, Vec<u8>)>| {
                        than.as_ref().is_none_or(|(known, _)| superblock.generation >= known.generation)
                    };
                    if newer(&self.newest) {
                        self.zone = zone;
                        self.second = self.newest.replace((superblock, piece.to_vec()));
                    } else if newer(&self.second) {
                        self.second = Some((superblock, piece.to_vec()));
                    }
                }
                Err(error) => {
                    let tells_more = self.other.as_ref().is_none_or(|(known, _)| {
                        *known == FormatError::NotALog && error != FormatError::NotALog
                    });
                    if tells_more && piece.iter().any(|b| *b != 0) {
                        self.other = Some((error, piece.to_vec()));
                    }
                }
            }
        }
    }

    /// The newest.
    pub(super) fn superblock(&self) -> Option<&Superblock> {
        self.newest.as_ref().map(|(superblock, _)| superblock)
    }

    /// As the first 64 KiB of a device look where nothing is zoned.
    pub(super) fn image(&self) -> Vec<u8> {
        let mut image = vec![0; DATA_START as usize];
        let Some((superblock, bytes)) = &self.newest else {
            if let Some((_, bytes)) = &self.other {
                let len = bytes.len().min(image.len());
                image[..len].copy_from_slice(&bytes[..len]);
            }
            return image;
        };
        put(&mut image, 0, bytes);
        if let Some((second, bytes)) = &self.second
            && (second.salt, second.geometry) == (superblock.salt, superblock.geometry)
        {
            put(&mut image, superblock.geometry.block() as usize, bytes);
        }
        image
    }
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    let len = bytes.len().min(80); // a superblock; its block is zero behind it
    image[at..at + len].copy_from_slice(&bytes[..len]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_superblock_is_seen_wherever_it_lies_in_its_sector() {
        let mut found = Found::default();
        let mut sector = vec![0; 512];
        sector[511] = 1;
        found.look(0, &Sga::from(sector), 512);
        assert!(found.image().iter().any(|byte| *byte != 0));
    }
}

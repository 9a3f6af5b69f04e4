//! From units to gather lists.

use hemi_queue::{AllocError, Buf, Sga};

use crate::{Config, Keys, Memory, Sge};

#[inline]
pub(super) fn address<T>(at: *const T) -> u64 {
    at.expose_provenance() as u64
}

#[inline]
pub(super) fn element<T>(at: *const T, len: usize, keys: Keys) -> Sge {
    Sge { address: address(at), length: len as u32, key: keys.local }
}

/// The gather list of `data`, and whether it goes inline; `None` where it is not registered, or in too many parts.
#[inline]
pub(super) fn gather(
    data: &Sga,
    config: &Config,
    sges: &mut [Sge],
    memory: &impl Memory,
) -> Option<(usize, bool)> {
    if data.parts() > config.max_sge.into() {
        return None;
    }
    let inline = data.len() <= config.inline.into();
    let mut count = 0;
    for (part, sge) in data.iter().zip(sges) {
        let keys = if inline { Keys::default() } else { memory.keys(part)? };
        *sge = element(part.as_ptr(), part.len(), keys);
        count += 1;
    }
    Some((count, inline))
}

/// The front of a unit, in a gather list.
pub(super) struct Piece {
    pub(super) data: Sga,
    pub(super) count: usize,
    pub(super) inline: bool,
    /// Bytes of it that are copies.
    pub(super) copied: usize,
}

/// Take up to `most` bytes off the front of `unit`: as they are where that gives `least` or all, else as a copy.
///
/// # Errors
/// No memory for a copy; the unit is whole.
pub(super) fn take_piece(
    unit: &mut Sga,
    most: usize,
    least: usize,
    config: &Config,
    sges: &mut [Sge],
    memory: &impl Memory,
) -> Result<Piece, AllocError> {
    let max_sge = usize::from(config.max_sge);
    let in_list: usize = unit.iter().take(max_sge).map(Buf::len).sum();
    if in_list == unit.len() || in_list >= least {
        let mut front = unit.split_to(in_list.min(most));
        if let Some((count, inline)) = gather(&front, config, sges, memory) {
            return Ok(Piece { data: front, count, inline, copied: 0 });
        }
        front.append(std::mem::take(unit));
        *unit = front;
    }
    let mut wanted = unit.len().min(most);
    let (mut copy, mut count, mut copied) = (Sga::new(), 0, 0);
    let mut rest = unit.clone();
    while wanted > 0 && count < max_sge {
        let (mut buf, keys) = memory.alloc(wanted)?;
        let room = buf.capacity().min(wanted);
        let n = rest.copy_to(&mut buf.spare_mut()[..room]);
        buf.set_len(n);
        rest.advance(n);
        let buf = buf.freeze();
        sges[count] = element(buf.as_ptr(), n, keys);
        copy.push(buf);
        count += 1;
        copied += n;
        wanted -= n;
    }
    unit.advance(copied);
    Ok(Piece { data: copy, count, inline: false, copied })
}

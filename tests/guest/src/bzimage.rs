//! The kernel ELF inside a bzImage.
//!
//! The image's header says where the compressed kernel lies (`payload_offset`, `payload_length`; Linux,
//! Documentation/arch/x86/boot.rst, protocol 2.08). Its first bytes tell the compression.

/// What the payload is compressed with: the program that undoes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packed {
    Zstd,
    Xz,
    Gzip,
}

/// Where `setup_sects` stands; the header begins with it.
const SETUP_SECTS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
/// All but gzip have the unpacked length behind them, four bytes that their unpackers refuse.
const TRAILER: usize = 4;

/// The compressed kernel and its compression, or what is wrong with the image.
pub(crate) fn payload(image: &[u8]) -> Result<(Packed, &[u8]), String> {
    let u32_at = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?) as usize);
    let header = || {
        let version = u16::from_le_bytes(image.get(VERSION..VERSION + 2)?.try_into().ok()?);
        let setup_sects = usize::from(*image.get(SETUP_SECTS)?);
        (image.get(MAGIC..MAGIC + 4)? == b"HdrS" && version >= 0x208).then_some(setup_sects)
    };
    let setup_sects = header().ok_or("it is no bzImage of protocol 2.08 or later")?;
    let range = || {
        // Zero stands for four, says the boot protocol.
        let sectors = if setup_sects == 0 { 4 } else { setup_sects } + 1;
        let start = u32_at(PAYLOAD_OFFSET)?.checked_add(sectors * 512)?;
        let end = start.checked_add(u32_at(PAYLOAD_LENGTH)?)?;
        image.get(start..end)
    };
    let payload = range().ok_or("its payload reaches past its end")?;
    let without_trailer = &payload[..payload.len().saturating_sub(TRAILER)];
    match payload {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok((Packed::Zstd, without_trailer)),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Ok((Packed::Xz, without_trailer)),
        [0x1f, 0x8b, ..] => Ok((Packed::Gzip, payload)),
        _ => Err("its kernel is packed by something other than zstd, xz or gzip".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(version: u16, offset: u32, payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * 512];
        image[SETUP_SECTS] = 1;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[VERSION..VERSION + 2].copy_from_slice(&version.to_le_bytes());
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&offset.to_le_bytes());
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend_from_slice(&[0xee; 3]);
        image.extend_from_slice(payload);
        image
    }

    #[test]
    fn the_payload_is_found_without_its_length_behind_it() {
        let image = image(0x20f, 3, b"\x28\xb5\x2f\xfdkernel\x01\x02\x03\x04");
        assert_eq!(payload(&image), Ok((Packed::Zstd, &b"\x28\xb5\x2f\xfdkernel"[..])));
    }

    #[test]
    fn bytes_that_are_no_image_are_refused() {
        assert!(payload(b"").is_err());
        assert!(payload(&[0; 4096]).is_err());
        assert!(payload(&image(0x207, 3, b"\x28\xb5\x2f\xfd....")).is_err(), "an old protocol");
        assert!(payload(&image(0x20f, 4, b"\x28\xb5\x2f\xfd....")).is_err(), "past the end");
        assert!(payload(&image(0x20f, u32::MAX, b"\x28\xb5\x2f\xfd....")).is_err());
        assert!(payload(&image(0x20f, 3, b"LZ4 or so")).is_err());
    }
}

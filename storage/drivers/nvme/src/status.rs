//! [`Status`]: what a completion says.

use std::{fmt, io};

/// A command's status field, without the phase: code, type, and "do not retry" (NVM Express Base Specification, figure 93).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

/// Type and code, without retry hints and "more".
const CODE: u16 = 0x7ff;

impl Status {
    /// What it means, where that is known.
    pub fn meaning(self) -> Option<&'static str> {
        Some(match self.0 & CODE {
            0x001 => "invalid opcode: the device does not know this command",
            0x002 => "invalid field: the device does not take this command with these values",
            0x004 => "the data could not be transferred",
            0x006 => "internal error of the device",
            0x007 => "the command was aborted",
            0x00b => "there is no such namespace any more, or its format has changed",
            0x020 => "the namespace is write protected",
            0x080 => "the address is behind the namespace's end",
            0x081 => "the namespace's capacity is exceeded",
            0x082 => "the namespace is not ready",
            0x084 => "the format is being changed",
            0x1b8 => "the command crosses a zone's boundary",
            0x1b9 => "the zone is full",
            0x1ba => "the zone is read-only: the device can no longer write it",
            0x1bb => "the zone is offline: the device has lost it",
            0x1bc => "the write is not at the zone's write pointer",
            0x1bd => "too many zones are active: finish or reset some",
            0x1be => "too many zones are open: close some",
            0x1bf => "the zone cannot go from its state to this one",
            0x280 => "write fault of the medium",
            0x281 => "the medium could not be read (unrecovered read error)",
            0x287 => "the blocks were deallocated or never written",
            _ => return None,
        })
    }

    /// The same as an error of the system, for whoever matches on kinds.
    fn kind(self) -> io::ErrorKind {
        match self.0 & CODE {
            0x020 | 0x1ba => io::ErrorKind::ReadOnlyFilesystem,
            0x081 | 0x1b9 => io::ErrorKind::StorageFull,
            0x00b | 0x1bb => io::ErrorKind::NotFound,
            0x001 | 0x002 => io::ErrorKind::Unsupported,
            _ => io::ErrorKind::Other,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.0 & CODE;
        match self.meaning() {
            Some(meaning) => write!(f, "NVMe status {code:#05x}: {meaning}"),
            None => write!(f, "NVMe status {code:#05x}"),
        }
    }
}

impl std::error::Error for Status {}

/// What a completion of the kernel's says: negative, an error of its own; positive, the device's status.
pub(crate) fn outcome(result: i32) -> io::Result<()> {
    match result {
        0 => Ok(()),
        errno @ ..0 => Err(io::Error::from_raw_os_error(-errno)),
        status => {
            let status = Status(status as u16);
            Err(io::Error::new(status.kind(), status))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_hints_do_not_hide_the_meaning() {
        let error = outcome(0x41b9).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(error.to_string(), "NVMe status 0x1b9: the zone is full");
        assert_eq!(outcome(-libc::EIO).unwrap_err().raw_os_error(), Some(libc::EIO));
        assert!(outcome(0x7ff).unwrap_err().to_string().ends_with("0x7ff"));
        assert!(outcome(0).is_ok());
    }
}

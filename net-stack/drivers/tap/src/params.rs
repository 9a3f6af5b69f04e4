//! [`Params`]: what a `tap:` URI says.

use std::str::FromStr;

use hemi_net::{Cidr, wire::MacAddr};
use hemi_queue::{Uri, UriError};

/// The longest name of an interface (linux/if.h: `IFNAMSIZ` with its zero).
const NAME: usize = 15;

/// The parameters of a TAP device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Params {
    pub(crate) name: String,
    /// Ours, not the kernel's.
    pub(crate) mac: MacAddr,
    pub(crate) mtu: u16,
    pub(crate) offload: bool,
    /// Addresses for the kernel's side.
    pub(crate) host: Vec<Cidr>,
}

/// `csum=`.
enum Checksums {
    Offload,
    Full,
}

impl FromStr for Checksums {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "offload" => Ok(Self::Offload),
            "full" => Ok(Self::Full),
            _ => Err("`offload` leaves checksums and segmentation to the kernel, `full` does both here"),
        }
    }
}

impl Params {
    pub(crate) fn take(uri: &Uri) -> Result<Self, UriError> {
        let name = uri.path();
        if name.is_empty() {
            return Err(uri.error("no device; write `tap:hemi0`, which is made if there is none"));
        }
        if name.len() > NAME {
            return Err(
                uri.error(format!("the name has {} bytes; an interface's has at most {NAME}", name.len()))
            );
        }
        // The kernel would take a `%d` for a number of its choice.
        if name.contains(['/', '%', ':']) || name.contains(char::is_whitespace) || matches!(name, "." | "..")
        {
            return Err(uri.error("an interface's name has no blanks, and no `/`, `%` or `:` in it"));
        }
        let mac: Option<MacAddr> = uri.take("mac")?;
        if mac.is_some_and(|mac| !mac.is_unicast()) {
            return Err(uri.error("mac= must address one station: an even first octet, not all zeroes"));
        }
        let mtu = uri.take("mtu")?.unwrap_or(1500);
        if !(576..=65_521).contains(&mtu) {
            return Err(uri.error("mtu= must be 576 to 65521"));
        }
        let offload = !matches!(uri.take("csum")?, Some(Checksums::Full));
        let host = uri.take_all("host")?;
        Ok(Self { name: name.to_owned(), mac: mac.unwrap_or_else(|| address_of(name)), mtu, offload, host })
    }
}

/// A locally administered address made from the device's name: the same in every run, so that neighbours need not learn anew.
fn address_of(name: &str) -> MacAddr {
    // FNV-1a.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut mac = [0x02; 6];
    mac[1..].copy_from_slice(&hash.to_be_bytes()[3..]);
    MacAddr(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(uri: &str) -> Result<Params, UriError> {
        let uri: Uri = uri.parse()?;
        let params = Params::take(&uri)?;
        uri.finish().map(|()| params)
    }

    #[test]
    fn names() {
        assert_eq!(take("tap:hemi0").unwrap().name, "hemi0");
        for (name, says) in [
            ("", "no device"),
            ("a-very-long-name", "16 bytes"),
            ("tap%d", "no blanks"),
            ("a b", "no blanks"),
        ] {
            let error = take(&format!("tap:{name}")).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn parameters() {
        let params =
            take("tap:x?mtu=9000&csum=full&host=10.0.0.1/24&host=fd00::1/64&mac=02:00:00:00:00:07").unwrap();
        assert_eq!((params.mtu, params.offload, params.host.len(), params.mac.0[5]), (9000, false, 2, 7));
        for wrong in ["mtu=100", "csum=some", "mac=01:00:00:00:00:01", "host=10.0.0.1/33", "x=1"] {
            assert!(take(&format!("tap:x?{wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_device_has_an_address_of_its_own() {
        let mac = |uri: &str| take(uri).unwrap().mac;
        assert_eq!(mac("tap:hemi0"), mac("tap:hemi0"));
        assert_ne!(mac("tap:hemi0"), mac("tap:hemi1"));
        assert!(mac("tap:hemi0").is_unicast());
    }
}

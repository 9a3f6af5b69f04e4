//! [`Params`]: what a `shm:` URI says.

use std::{fmt, path::PathBuf, str::FromStr};

use hemi_net::wire::MacAddr;
use hemi_queue::{Uri, UriError};

use crate::{area::Area, role::Role};

/// Bytes of each ring unless `ring=` says otherwise: a few of the largest frames, and small enough for a second-level cache.
const RING: usize = 256 << 10;
/// Two processes meet here under a name without a slash.
const FOLDER: &str = "/dev/shm";

/// The parameters of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Params {
    /// The file with the locks; the socket's name is longer by `.sock`.
    pub(crate) path: PathBuf,
    pub(crate) role: Option<Role>,
    pub(crate) mac: Option<MacAddr>,
    pub(crate) mtu: u16,
    pub(crate) full_checksums: bool,
    pub(crate) ring: usize,
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
            _ => Err(
                "`offload` leaves checksums unfinished between the two sides, `full` computes and verifies them",
            ),
        }
    }
}

impl Params {
    /// The largest packet that fits a frame of the ring, rounded down.
    const LARGEST_MTU: u16 = 65_000;

    pub(crate) fn take(uri: &Uri) -> Result<Self, UriError> {
        let path = match uri.path() {
            "" => {
                return Err(
                    uri.error("no name; write `shm:NAME` or `shm:/some/path`, the same for both sides")
                );
            }
            path if path.contains('/') => PathBuf::from(path),
            name => PathBuf::from(format!("{FOLDER}/hemi-{name}")),
        };
        // The kernel keeps a socket's path in 108 bytes.
        if path.as_os_str().len() > 100 {
            return Err(uri.error("the path is too long for a Unix socket; at most 100 bytes"));
        }
        let mac: Option<MacAddr> = uri.take("mac")?;
        if mac.is_some_and(|mac| !mac.is_unicast()) {
            return Err(uri.error("mac= must address one station: an even first octet, not all zeroes"));
        }
        let mtu = uri.take("mtu")?.unwrap_or(1500);
        if !(1280..=Self::LARGEST_MTU).contains(&mtu) {
            return Err(uri.error(format!("mtu= must be 1280 to {}", Self::LARGEST_MTU)));
        }
        let ring = uri.take("ring")?.unwrap_or(RING);
        if !Area::is_possible(ring) {
            return Err(uri.error("ring= is bytes in each direction: a power of two from 262144 to 67108864"));
        }
        let full_checksums = matches!(uri.take("csum")?, Some(Checksums::Full));
        Ok(Self { path, role: uri.take("role")?, mac, mtu, full_checksums, ring })
    }

    /// The address of `role`, unless one was given: made from the path, and locally administered.
    pub(crate) fn mac_of(&self, role: Role) -> MacAddr {
        // FNV-1a: the same on both sides and in every run.
        let hash =
            self.path.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let [.., b, c, d, e] = hash.to_be_bytes();
        self.mac.unwrap_or(MacAddr([0x02, b, c, d, e, 0x0a + role as u8]))
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shm:{}", self.path.display())
    }
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
    fn names_and_paths() {
        assert_eq!(take("shm:x").unwrap().path, PathBuf::from("/dev/shm/hemi-x"));
        assert_eq!(take("shm:/tmp/x").unwrap().path, PathBuf::from("/tmp/x"));
        assert!(take("shm:").unwrap_err().to_string().contains("shm:NAME"));
        assert!(take(&format!("shm:{}", "x".repeat(200))).unwrap_err().to_string().contains("too long"));
    }

    #[test]
    fn parameters() {
        let params = take("shm:x?mtu=9000&csum=full&role=b&ring=1048576&mac=02:00:00:00:00:07").unwrap();
        assert_eq!((params.mtu, params.full_checksums, params.ring), (9000, true, 1 << 20));
        assert_eq!((params.role, params.mac_of(Role::B).0[5]), (Some(Role::B), 7));
        for wrong in [
            "mtu=100",
            "mtu=65500",
            "csum=some",
            "role=c",
            "ring=1000",
            "ring=131072",
            "mac=01:00:00:00:00:01",
            "x=1",
        ] {
            assert!(take(&format!("shm:x?{wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_sides_have_different_addresses_and_so_have_links() {
        let (x, y) = (take("shm:x").unwrap(), take("shm:y").unwrap());
        assert_ne!(x.mac_of(Role::A), x.mac_of(Role::B));
        assert_ne!(x.mac_of(Role::A), y.mac_of(Role::A));
        assert!(x.mac_of(Role::A).is_unicast());
    }
}

//! [`MacChoice`]: which MAC address the stack has on an interface that the kernel has too.

use std::{
    hash::{BuildHasher, RandomState},
    str::FromStr,
    sync::OnceLock,
};

use hemi_net::wire::MacAddr;
use hemi_queue::{Result, Uri};

use crate::Interface;

/// The parameter `mac=`: `own`, `interface`, or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacChoice {
    /// A locally administered address of our own, made anew by every process: the same URI gives the same address on every
    /// core of a process, and different ones on one interface do not meet.
    Own,
    /// The interface's.
    Interface,
    /// This one.
    Given(MacAddr),
}

impl FromStr for MacChoice {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "own" => Ok(Self::Own),
            "interface" => Ok(Self::Interface),
            _ => match s.parse::<MacAddr>() {
                Ok(mac) if mac.is_unicast() => Ok(Self::Given(mac)),
                Ok(_) => Err("is not the address of one station"),
                Err(_) => Err("must be `own`, `interface` or an address such as 02:00:00:00:00:01"),
            },
        }
    }
}

impl MacChoice {
    /// Take the parameter from `uri`, and make the choice.
    pub fn take(uri: &Uri, interface: &Interface, default: Self) -> Result<MacAddr> {
        Ok(match uri.take("mac")?.unwrap_or(default) {
            Self::Own => own(&uri.to_string()),
            Self::Interface => interface.mac,
            Self::Given(mac) => mac,
        })
    }
}

/// A unicast, locally administered address (IEEE 802: the second-lowest bit of the first octet set, the lowest clear).
fn own(text: &str) -> MacAddr {
    static KEYS: OnceLock<RandomState> = OnceLock::new();
    let hash = KEYS.get_or_init(RandomState::new).hash_one(text).to_le_bytes();
    let mut mac = [0x02; 6];
    mac[1..].copy_from_slice(&hash[..5]);
    MacAddr(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_parsed() {
        assert_eq!("own".parse(), Ok(MacChoice::Own));
        assert_eq!("interface".parse(), Ok(MacChoice::Interface));
        let given = MacAddr([2, 0, 0, 0, 0, 0xff]);
        assert_eq!("02:00:00:00:00:ff".parse(), Ok(MacChoice::Given(given)));
        for bad in ["", "eth0", "01:00:5e:00:00:01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"] {
            assert!(bad.parse::<MacChoice>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_own_address_is_ours_and_the_same_on_every_core() {
        let lo = Interface { name: "lo".into(), index: 1, mac: MacAddr([0; 6]), mtu: 1500 };
        let take = |uri: &str| MacChoice::take(&uri.parse().unwrap(), &lo, MacChoice::Own).unwrap();
        let mac = take("packet:lo?ip=10.0.0.1/24");
        assert!(mac.is_unicast() && mac.0[0] == 2, "{mac}");
        let on_another_core = std::thread::scope(|s| s.spawn(|| take("packet:lo?ip=10.0.0.1/24")).join());
        assert_eq!(on_another_core.unwrap(), mac);
        assert_ne!(take("packet:lo?ip=10.0.0.2/24"), mac);
        assert_eq!(take("packet:lo?mac=interface"), lo.mac);
    }
}

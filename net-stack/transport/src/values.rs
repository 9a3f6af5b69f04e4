//! Values of URI parameters, as people write them.

use std::str::FromStr;

/// A number of bytes or bits: `65536`, `64K`, `2M`, `1G`. `unit` is what one K is.
fn scaled(text: &str, unit: u64) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let scale = match suffix {
        "" => 1,
        "k" | "K" => unit,
        "m" | "M" => unit.pow(2),
        "g" | "G" => unit.pow(3),
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

/// Bytes; K is 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize);

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = scaled(text, 1024).and_then(|n| usize::try_from(n).ok());
        bytes.map(Self).ok_or("write bytes, with K, M or G for powers of 1024, for example `256K`")
    }
}

/// Bits per second; K is 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) u64);

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let why = "write bits per second, with K, M or G for powers of 1000, for example `100M`";
        scaled(text, 1000).filter(|r| *r > 0).map(Self).ok_or(why)
    }
}

/// A probability: `0.01` or `1%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Chance(pub(crate) f64);

impl FromStr for Chance {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |n| (n, 100.0));
        let chance = number.parse::<f64>().ok().map(|n| n / scale);
        chance
            .filter(|c| (0.0..=1.0).contains(c))
            .map(Self)
            .ok_or("write a probability between 0 and 1, or a percentage, for example `0.01` or `1%`")
    }
}

/// A switch: `ecn` and `ecn=on` are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) bool);

impl FromStr for Flag {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "on" | "true" | "yes" | "1" => Ok(Self(true)),
            "off" | "false" | "no" | "0" => Ok(Self(false)),
            _ => Err("is `on` or `off`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(
            ["65536", "64K", "2m", "1G"].map(|t| t.parse::<Size>().map(|s| s.0)),
            [Ok(65_536), Ok(65_536), Ok(2 << 20), Ok(1 << 30)]
        );
        assert_eq!("100M".parse::<Rate>(), Ok(Rate(100_000_000)));
        assert_eq!(
            ["0.5", "50%", "0", "100%"].map(|t| t.parse::<Chance>().map(|c| c.0)),
            [Ok(0.5), Ok(0.5), Ok(0.0), Ok(1.0)]
        );
        assert_eq!(
            ["", "on", "off", "0"].map(|t| t.parse::<Flag>().map(|f| f.0)),
            [Ok(true), Ok(true), Ok(false), Ok(false)]
        );
    }

    #[test]
    fn refuses_nonsense() {
        for bad in ["", "K", "64KB", "-1", "99999999999999999999", "1.5M"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
        assert!("0".parse::<Rate>().is_err());
        for bad in ["", "2", "101%", "-0.1", "NaN", "x"] {
            assert!(bad.parse::<Chance>().is_err(), "{bad}");
        }
        assert!("maybe".parse::<Flag>().is_err());
    }
}

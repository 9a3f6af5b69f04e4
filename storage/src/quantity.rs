//! Sizes and durations as people write them in URIs: `64MiB`, `4k`, `250us`.

use std::{str::FromStr, time::Duration};

/// Bytes: a number, with `k`, `M`, `G`, `T` (or `KiB`, ...) for powers of 1024.
///
/// ```
/// use hemi_storage::ByteSize;
/// assert_eq!("64MiB".parse(), Ok(ByteSize(64 << 20)));
/// assert_eq!("4k".parse(), Ok(ByteSize(4096)));
/// assert!("many".parse::<ByteSize>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        const HOW: &str = "write a size such as 4096, 64k, 16MiB or 10G";
        let digits = s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
        let (number, unit) = s.split_at(digits);
        let shift = match unit.trim_end_matches("iB").trim_end_matches('B') {
            "" => 0,
            "k" | "K" => 10,
            "m" | "M" => 20,
            "g" | "G" => 30,
            "t" | "T" => 40,
            _ => return Err(HOW),
        };
        let number: u64 = number.parse().map_err(|_| HOW)?;
        number.checked_mul(1 << shift).map(Self).ok_or("larger than any device")
    }
}

/// A time: a number with `ns`, `us`, `ms` or `s`.
///
/// ```
/// use hemi_storage::Delay;
/// assert_eq!("250us".parse(), Ok(Delay(std::time::Duration::from_micros(250))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delay(pub Duration);

impl FromStr for Delay {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        const HOW: &str = "write a time such as 80us, 5ms or 2s";
        let digits = s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
        let (number, unit) = s.split_at(digits);
        let number: u64 = number.parse().map_err(|_| HOW)?;
        Ok(Self(match unit {
            "ns" => Duration::from_nanos(number),
            "us" => Duration::from_micros(number),
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            _ => return Err(HOW),
        }))
    }
}

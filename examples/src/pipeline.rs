//! Sensor readings, cleaned up by a pipeline of queues.
//!
//! ```text
//!  datagrams ─► filter_by (kind, on the device where it can) ─► sort_within (sequence) ─► map (parse) ─► readings
//! ```

use std::{fmt, time::Duration};

use hemi::{
    Pop, Result, Sga,
    algebra::{Predicate, filter_by, map, sort_within},
};

/// A reading as it travels: kind (1 byte), sequence number (4 bytes), value (4 bytes), big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What was measured.
    pub kind: u8,
    /// The sensor's count of its readings.
    pub sequence: u32,
    /// The value.
    pub value: i32,
}

/// Bytes of a [`Reading`].
const LEN: usize = 9;

impl Reading {
    /// The bytes of a reading.
    pub fn to_unit(self) -> Sga {
        let mut bytes = vec![self.kind];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.value.to_be_bytes());
        bytes.into()
    }

    /// The reading in a unit of at least nine bytes; missing ones count as zero.
    pub fn from_unit(unit: &Sga) -> Self {
        let mut bytes = [0; LEN];
        unit.copy_to(&mut bytes);
        let [kind, s0, s1, s2, s3, v0, v1, v2, v3] = bytes;
        let (sequence, value) = ([s0, s1, s2, s3], [v0, v1, v2, v3]);
        Self { kind, sequence: u32::from_be_bytes(sequence), value: i32::from_be_bytes(value) }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kind {} reading {} = {}", self.kind, self.sequence, self.value)
    }
}

/// The readings of one kind among the units of `source`, in the order of their sequence numbers as far as `window` units or
/// `hold` allow.
pub fn readings<Q: Pop<Unit = Sga>>(
    source: Q,
    kind: u8,
    window: usize,
    hold: Duration,
) -> impl Pop<Unit = Reading> {
    let wanted = Predicate::bytes(0, [kind]) & Predicate::length(LEN as u32..=LEN as u32);
    let ordered =
        sort_within(filter_by(source, &wanted), window, hold, |unit| Reading::from_unit(unit).sequence);
    map(ordered, |unit: Sga| Reading::from_unit(&unit))
}

/// Give every reading to `each` until the queue ends.
pub async fn serve(mut readings: impl Pop<Unit = Reading>, mut each: impl FnMut(Reading)) -> Result<()> {
    while let Some(reading) = readings.pop().await? {
        each(reading);
    }
    Ok(())
}

//! What holds for every codec: units do not depend on how the stream was cut, limits hold, nothing panics.

use hemi_queue::{Buf, Error, Pool, PoolConfig, Result, Sga};
use proptest::prelude::*;

use super::{Decoder, Encoder, Input, LengthPrefix, Lines, Room};

/// `bytes`, cut where `cuts` say; every segment is a buffer of its own.
pub(crate) fn cut(bytes: &[u8], cuts: &[usize]) -> Vec<Buf> {
    let mut at: Vec<usize> = cuts.iter().map(|c| c % (bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|w| Buf::from(bytes[w[0]..w[1]].to_vec())).collect()
}

/// All units of a stream, and how it ended.
pub(crate) fn decode_all<D: Decoder>(
    decoder: &mut D,
    segments: impl IntoIterator<Item = Buf>,
) -> (Vec<D::Unit>, Result<()>) {
    let mut input = Input::new();
    let mut units = Vec::new();
    for segment in segments {
        input.push(segment);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(unit)) => units.push(unit),
                Ok(None) => break,
                Err(e) => return (units, Err(e)),
            }
        }
    }
    loop {
        match decoder.finish(&mut input) {
            Ok(Some(unit)) => units.push(unit),
            Ok(None) => return (units, Ok(())),
            Err(e) => return (units, Err(e)),
        }
    }
}

fn encode_all<E: Encoder>(encoder: &mut E, units: &[E::Unit]) -> Vec<u8> {
    let mut room = Room::new();
    units.iter().flat_map(|unit| encoder.encode(unit, &mut room).unwrap().to_vec()).collect()
}

/// How a stream ended, without what depends on how it was cut.
pub(crate) fn ending(result: &Result<()>) -> &'static str {
    match result {
        Ok(()) => "end",
        Err(Error::UnitTooLarge { .. }) => "too large",
        Err(Error::Malformed(_)) => "malformed",
        Err(Error::Truncated { .. }) => "truncated",
        Err(_) => "other",
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(any::<usize>(), 0..40)
}

proptest! {
    #[test]
    fn length_prefixed_units_survive_any_cut(units in prop::collection::vec(bytes(), 0..20), cuts in cuts()) {
        let units: Vec<Sga> = units.into_iter().map(Sga::from).collect();
        let wire = encode_all(&mut LengthPrefix::new(), &units);
        let (decoded, end) = decode_all(&mut LengthPrefix::new(), cut(&wire, &cuts));
        prop_assert_eq!(decoded, units);
        prop_assert!(end.is_ok());
    }

    #[test]
    fn lines_survive_any_cut(
        lines in prop::collection::vec("[ -~]{0,40}", 0..20), crlf: bool, cuts in cuts(),
    ) {
        let lines: Vec<Sga> = lines.into_iter().map(Sga::from).collect();
        let wire = encode_all(&mut Lines::new().crlf(crlf), &lines);
        let (decoded, end) = decode_all(&mut Lines::new(), cut(&wire, &cuts));
        prop_assert_eq!(decoded, lines);
        prop_assert!(end.is_ok());
    }

    /// Any bytes, cut anyhow: no panic, and the same units and ending as uncut.
    #[test]
    fn any_bytes_decode_alike_however_cut(stream in bytes(), cuts in cuts(), limit in 0usize..100) {
        let whole = decode_all(&mut LengthPrefix::with_limit(limit), cut(&stream, &[]));
        let parts = decode_all(&mut LengthPrefix::with_limit(limit), cut(&stream, &cuts));
        prop_assert_eq!(&whole.0, &parts.0);
        prop_assert_eq!(ending(&whole.1), ending(&parts.1));

        let whole = decode_all(&mut Lines::with_limit(limit), cut(&stream, &[]));
        let parts = decode_all(&mut Lines::with_limit(limit), cut(&stream, &cuts));
        prop_assert_eq!(&whole.0, &parts.0);
        prop_assert_eq!(ending(&whole.1), ending(&parts.1));
        prop_assert!(parts.0.iter().all(|line| line.len() <= limit));
    }

    /// The input is its model, a vector of bytes.
    #[test]
    fn input_is_a_byte_queue(segments in prop::collection::vec(bytes(), 1..10), takes in prop::collection::vec(0usize..300, 1..20)) {
        let mut input = Input::new();
        let mut model = Vec::new();
        for segment in segments {
            model.extend_from_slice(&segment);
            input.push(Buf::from(segment));
        }
        for n in takes {
            prop_assert_eq!(input.len(), model.len());
            prop_assert_eq!(input.get(n), model.get(n).copied());
            prop_assert_eq!(input.array::<5>(n), model.get(n..).and_then(|m| m.first_chunk().copied()));
            let needle = n as u8;
            let found = model.iter().skip(n).position(|b| *b == needle).map(|i| i + n);
            prop_assert_eq!(input.find(needle, n), found);
            match input.take(n) {
                Some(unit) => {
                    let rest = model.split_off(n);
                    prop_assert_eq!(unit.to_vec(), std::mem::replace(&mut model, rest));
                }
                None => prop_assert!(n > model.len()),
            }
        }
    }
}

#[test]
fn a_unit_in_one_segment_is_a_slice_of_it() {
    let pool = Pool::new().unwrap();
    let mut buf = pool.try_alloc(64).unwrap();
    buf.put(b"\0\0\0\x02hi");
    let buf = buf.freeze();
    let mut input = Input::new();
    input.push(buf.clone());
    let unit = LengthPrefix::new().decode(&mut input).unwrap().unwrap();
    assert_eq!(unit.first().unwrap().region(), buf.get(4..).unwrap().region());
}

#[test]
fn a_length_over_the_limit_is_refused_before_its_bytes_are_there() {
    let mut input = Input::new();
    input.push(Buf::from(&[0, 0, 1, 0]));
    let mut codec = LengthPrefix::with_limit(255);
    let error = codec.decode(&mut input).unwrap_err();
    assert!(matches!(error, Error::UnitTooLarge { got: 256, limit: 255 }), "{error}");

    // The peer pops the same error, with our limit.
    let mut at_peer = Input::new();
    at_peer.extend(codec.refusal(&error).unwrap());
    let error = LengthPrefix::new().decode(&mut at_peer).unwrap_err();
    assert!(matches!(error, Error::UnitTooLarge { got: 256, limit: 255 }), "{error}");
    assert!(LengthPrefix::new().refusal(&error).is_none(), "a refusal must not be refused");
}

#[test]
fn a_stream_cut_off_says_what_is_missing() {
    for (stream, have, want) in
        [(&b"\0\0"[..], 2, 4), (b"\0\0\0\x05abc", 7, 9), (b"\xff\xff\xff\xff\0", 5, 12)]
    {
        let (_, end) = decode_all(&mut LengthPrefix::new(), cut(stream, &[]));
        match end {
            Err(Error::Truncated { have: h, want: w }) => assert_eq!((h, w), (have, want)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_pushed_unit_must_fit_the_framing() {
    let mut room = Room::new();
    let e = LengthPrefix::with_limit(2).encode(&Sga::from("abc"), &mut room).unwrap_err();
    assert!(matches!(e, Error::UnitTooLarge { got: 3, limit: 2 }));
    let e = Lines::new().encode(&Sga::from("a\nb"), &mut room).unwrap_err();
    assert!(matches!(e, Error::Malformed(_)));
}

#[test]
fn lines_take_what_people_send() {
    let (lines, end) = decode_all(&mut Lines::with_limit(4), cut(b"ab\r\n\n\r\ncd\refgh", &[3]));
    assert_eq!(lines, [Sga::from("ab"), Sga::from(""), Sga::from("")]);
    assert_eq!(ending(&end), "too large");
    let (lines, end) = decode_all(&mut Lines::with_limit(4), cut(b"abcd\r\nx\r", &[5, 6]));
    assert_eq!(lines, [Sga::from("abcd"), Sga::from("x")]);
    assert!(end.is_ok());
}

/// A peer that sends every byte in a frame of its own pins two kilobytes per byte: the input compacts.
#[test]
fn dribbled_bytes_do_not_pin_the_pool() {
    let pool = Pool::with(&PoolConfig { limit: 64 << 20, ..PoolConfig::default() }).unwrap();
    let mut input = Input::with_pool(pool.clone());
    let mut codec = LengthPrefix::new();
    let unit: Vec<u8> = (0..20_000u32).map(|i| i as u8).collect();
    let wire = codec.encode(&Sga::from(unit.clone()), &mut Room::new()).unwrap().to_vec();
    let mut decoded = None;
    for byte in wire {
        let mut frame = pool.try_alloc(2048).unwrap();
        frame.put(&[byte]);
        input.push(frame.freeze());
        assert!(input.pinned() <= 4 * input.len() + (64 << 10) + 64, "{input:?}");
        assert!(decoded.is_none());
        decoded = codec.decode(&mut input).unwrap();
    }
    assert!(pool.stats().in_use < 60, "{:?}", pool.stats());
    assert_eq!(decoded.unwrap().to_vec(), unit);
}

/// The same bound holds with the heap when the pool is drained.
#[test]
fn compaction_survives_a_drained_pool() {
    let pool = Pool::with(&PoolConfig { limit: 2 << 20, ..PoolConfig::default() }).unwrap();
    let frames: Vec<_> = std::iter::from_fn(|| pool.try_alloc(2048).ok()).collect();
    let mut input = Input::with_pool(pool.clone());
    let mut expect = Vec::new();
    for i in 0..100_000u32 {
        expect.push(i as u8);
        input.push(Buf::from(vec![i as u8]));
        assert!(input.pinned() <= 4 * input.len() + (64 << 10) + 20 * 64, "{input:?}");
    }
    drop(frames);
    let unit = input.take_all();
    assert_eq!(unit.to_vec(), expect);
}

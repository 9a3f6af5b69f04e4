//! Buffers and units against `Vec<u8>` models, on random programs, with several holders; and the edges by hand.

use std::{
    io::{Read, Write},
    thread,
};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use static_assertions::{assert_impl_all, assert_not_impl_any, const_assert_eq};

use super::*;
use crate::Error;

assert_not_impl_any!(Buf: Send, Sync);
assert_not_impl_any!(BufMut: Send, Sync, Clone);
assert_not_impl_any!(Sga: Send, Sync);
assert_not_impl_any!(Pool: Send, Sync);
assert_impl_all!(SendBuf: Send, Sync);
const_assert_eq!(size_of::<Buf>(), 24);
const_assert_eq!(size_of::<Option<Buf>>(), 24);
const_assert_eq!(size_of::<BufMut>(), 24);
const_assert_eq!(size_of::<Option<BufMut>>(), 24);
// Two buffers inline and the length of the vector.
const_assert_eq!(size_of::<Sga>(), 56);
const_assert_eq!(size_of::<Result<BufMut, AllocError>>(), 32);
const_assert_eq!(size_of::<crate::Result<Option<Sga>>>(), 64);
const_assert_eq!(size_of::<Error>(), 24);
const_assert_eq!(size_of::<crate::Result<()>>(), 24);

fn pool() -> Pool {
    let classes = [64, 256].map(|size| ClassConfig { size }).to_vec();
    Pool::with(&PoolConfig { classes, limit: 1 << 20, region: 1 }).unwrap()
}

fn pooled(pool: &Pool, bytes: &[u8]) -> Buf {
    let mut own = pool.try_alloc(bytes.len()).unwrap();
    assert_eq!(own.put(bytes), bytes.len());
    own.freeze()
}

/// One step on a set of holders; numbers are reduced to what there is.
#[derive(Clone, Debug)]
enum Step {
    Alloc(Vec<u8>),
    Foreign(Vec<u8>),
    Clone(usize),
    Drop(usize),
    Slice(usize, usize, usize),
    SplitTo(usize, usize),
    Advance(usize, usize),
    Truncate(usize, usize),
    Join(usize, usize),
    /// Take it back, write something behind the content, freeze.
    Mutate(usize, Vec<u8>),
    /// Over to another thread, and drop it there or bring it back.
    Travel(usize, bool),
    /// Into `Bytes`, kept.
    Export(usize),
    Import(usize),
    Collect,
}

fn step() -> impl Strategy<Value = Step> {
    let n = || any::<usize>();
    prop_oneof![
        4 => vec(any::<u8>(), 0..200).prop_map(Step::Alloc),
        1 => vec(any::<u8>(), 0..50).prop_map(Step::Foreign),
        3 => n().prop_map(Step::Clone),
        3 => n().prop_map(Step::Drop),
        3 => (n(), n(), n()).prop_map(|(i, a, b)| Step::Slice(i, a, b)),
        3 => (n(), n()).prop_map(|(i, a)| Step::SplitTo(i, a)),
        2 => (n(), n()).prop_map(|(i, a)| Step::Advance(i, a)),
        2 => (n(), n()).prop_map(|(i, a)| Step::Truncate(i, a)),
        4 => (n(), n()).prop_map(|(i, j)| Step::Join(i, j)),
        3 => (n(), vec(any::<u8>(), 0..80)).prop_map(|(i, v)| Step::Mutate(i, v)),
        1 => (n(), any::<bool>()).prop_map(|(i, back)| Step::Travel(i, back)),
        2 => n().prop_map(Step::Export),
        2 => n().prop_map(Step::Import),
        1 => Just(Step::Collect),
    ]
}

type Held = Vec<(Buf, Vec<u8>)>;

fn run(steps: Vec<Step>) {
    let pool = pool();
    let (mut held, mut exported): (Held, Vec<(Bytes, Vec<u8>)>) = (Vec::new(), Vec::new());
    for step in steps {
        let count = held.len().max(1);
        match step {
            Step::Alloc(v) => held.push((pooled(&pool, &v), v)),
            Step::Foreign(v) => held.push((Buf::from(v.clone()), v)),
            Step::Clone(i) => held.extend(held.get(i % count).cloned()),
            Step::Drop(i) if !held.is_empty() => drop(held.swap_remove(i % count)),
            Step::Slice(i, from, to) => {
                let Some((buf, v)) = held.get(i % count) else { continue };
                let (from, to) = (from % (v.len() + 1), to % (v.len() + 2));
                assert_eq!(buf.get(from..to).is_some(), v.get(from..to).is_some());
                if let Some(part) = buf.get(from..to) {
                    let model = v[from..to].to_vec();
                    held.push((part, model));
                }
            }
            Step::SplitTo(i, at) => {
                let Some((buf, v)) = held.get_mut(i % count) else { continue };
                let at = at % (v.len() + 2);
                let front = (buf.split_to(at), v.drain(..at.min(v.len())).collect());
                held.push(front);
            }
            Step::Advance(i, at) => {
                let Some((buf, v)) = held.get_mut(i % count) else { continue };
                let at = at % (v.len() + 2);
                buf.advance(at);
                v.drain(..at.min(v.len()));
            }
            Step::Truncate(i, at) => {
                let Some((buf, v)) = held.get_mut(i % count) else { continue };
                let at = at % (v.len() + 2);
                buf.truncate(at);
                v.truncate(at);
            }
            Step::Join(i, j) if held.len() >= 2 => {
                let (left, mut model) = held.swap_remove(i % count);
                let (right, more) = held.swap_remove(j % (count - 1));
                let before = left.holders() + right.holders();
                match left.try_join(right) {
                    Ok(joined) => {
                        model.extend(more);
                        assert_eq!(joined.holders() * 2 + 2, before);
                        held.push((joined, model));
                    }
                    Err((left, right)) => held.extend([(left, model), (right, more)]),
                }
            }
            Step::Mutate(i, more) if !held.is_empty() => {
                let (buf, mut v) = held.swap_remove(i % count);
                let (holders, pooled) = (buf.holders(), buf.region().is_some());
                match buf.try_mut() {
                    Ok(mut own) => {
                        assert!(holders == 1 && pooled, "written to while shared");
                        assert_eq!(&own[..], &v[..]);
                        let put = own.put(&more);
                        v.extend(&more[..put]);
                        if let Some(b) = own.first_mut() {
                            *b ^= 0xff;
                            v[0] ^= 0xff;
                        }
                        held.push((own.freeze(), v));
                    }
                    Err(buf) => held.push((buf, v)),
                }
            }
            Step::Travel(i, back) if !held.is_empty() => {
                let (buf, v) = held.swap_remove(i % count);
                let far = buf.into_send();
                let model = v.clone();
                let far = thread::spawn(move || {
                    assert_eq!(&far[..], &model[..]);
                    back.then_some(far)
                })
                .join()
                .unwrap();
                held.extend(far.map(|far| (far.into_buf(), v)));
            }
            Step::Export(i) if !held.is_empty() => {
                let (buf, v) = held.swap_remove(i % count);
                exported.push((buf.into_bytes(), v));
            }
            Step::Import(i) if !exported.is_empty() => {
                let at = i % exported.len();
                let (bytes, v) = exported.swap_remove(at);
                held.push((Buf::from(bytes), v));
            }
            Step::Collect => pool.collect(),
            _ => {}
        }
        for (buf, v) in &held {
            assert_eq!(&buf[..], &v[..]);
        }
        for (bytes, v) in &exported {
            assert_eq!(&bytes[..], &v[..]);
        }
    }
    drop((held, exported));
    pool.collect();
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.remote), (0, 0), "a count was lost");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn bufs_behave_like_vectors_and_every_count_comes_home(steps in vec(step(), 0..80)) {
        run(steps);
    }

    /// A receive buffer as a device fills it: pieces of any length are handed out while the rest is being written.
    #[test]
    fn split_frozen_hands_out_what_the_device_wrote(
        pieces in vec((1..40_usize, any::<u8>(), any::<bool>()), 1..40),
    ) {
        let pool = pool();
        let mut ring = pool.try_alloc(256).unwrap();
        let (mut out, mut model): (Held, Vec<u8>) = (Vec::new(), Vec::new());
        let mut stream = Sga::new();
        for (len, byte, keep) in pieces {
            let len = len.min(ring.capacity());
            ring.spare_mut()[..len].fill(byte);
            ring.set_len(len);
            let piece = ring.split_frozen(len);
            prop_assert!(ring.is_empty());
            stream.push(piece.clone());
            model.resize(model.len() + len, byte);
            if keep {
                out.push((piece, vec![byte; len]));
            }
            for (buf, v) in &out {
                prop_assert_eq!(&buf[..], &v[..]);
            }
            if ring.capacity() == 0 {
                break;
            }
        }
        // Adjacent pieces join again: one buffer, however it was cut.
        prop_assert_eq!(stream.parts(), 1);
        prop_assert!(stream == model[..]);
        drop((ring, out, stream));
        prop_assert_eq!(pool.stats().in_use, 0);
    }

    #[test]
    fn sgas_behave_like_vectors(
        parts in vec(vec(any::<u8>(), 0..100), 0..8),
        ops in vec((0..5_u8, 0..300_usize), 0..20),
    ) {
        let pool = pool();
        let mut sga: Sga = parts.iter().map(|part| pooled(&pool, part)).collect();
        let mut model = parts.concat();
        for (op, n) in ops {
            let cut = n.min(model.len());
            match op {
                0 => {
                    sga.advance(n);
                    model.drain(..cut);
                }
                1 if n > 100 => {
                    sga.truncate(n);
                    model.truncate(n);
                }
                2 => {
                    let front = sga.split_to(n);
                    let expect: Vec<u8> = model.drain(..cut).collect();
                    prop_assert!(front == expect[..]);
                    // And round to the end.
                    sga.append(front);
                    model.extend(expect);
                }
                3 => {
                    let mut out = vec![0; n];
                    let got = sga.copy_to(&mut out);
                    prop_assert_eq!(&out[..got], &model[..cut]);
                }
                _ => {
                    let mut out = vec![0; n / 4];
                    let got = sga.read(&mut out).unwrap();
                    let expect: Vec<u8> = model.drain(..got).collect();
                    prop_assert_eq!(&out[..got], &expect[..]);
                    prop_assert_eq!(got, (n / 4).min(cut));
                }
            }
            prop_assert_eq!(sga.len(), model.len());
            prop_assert_eq!(sga.is_empty(), model.is_empty());
            prop_assert!(sga == model[..]);
            prop_assert!(sga.iter().all(|part| !part.is_empty()), "no empty buffers inside");
            let slices: Vec<u8> = sga.io_slices().flat_map(|s| s.to_vec()).collect();
            prop_assert_eq!(&slices, &model);
        }
        prop_assert_eq!(sga.to_vec(), model);
        drop(sga);
        prop_assert_eq!(pool.stats().in_use, 0);
    }
}

#[test]
fn buf_mut_has_content_and_room() {
    let mut own = pool().try_alloc(64).unwrap();
    assert_eq!((own.len(), own.capacity(), own.is_empty()), (0, 64, true));
    write!(own, "{:03}", 7).unwrap();
    assert_eq!(own.spare_mut().len(), 61);
    assert_eq!(own[..], *b"007");
    own[0] = b'1';
    assert_eq!(own.put(&[9; 100]), 61, "as much as fits");
    assert_eq!(own.write(b"x").unwrap(), 0);
    own.set_len(usize::MAX);
    assert_eq!(own.len(), 64);
    own.set_len(3);
    assert_eq!(format!("{own:?}"), "BufMut(3 of 64 bytes)");
    assert_eq!(Buf::from(own), *b"107");
}

#[test]
fn try_mut_gives_the_room_behind_and_refuses_what_is_shared() {
    let pool = pool();
    let buf = pooled(&pool, b"header payload");
    let clone = buf.clone();
    let buf = buf.try_mut().unwrap_err();
    drop(clone);
    let far = buf.slice(..6).into_send();
    let mut buf = buf.try_mut().unwrap_err();
    drop(far);
    buf = buf.try_mut().expect_err("the count has not come home yet");
    pool.collect();
    buf.advance(7);
    let own = buf.try_mut().unwrap();
    assert_eq!((&own[..], own.capacity()), (&b"payload"[..], 57));
    drop(own);
    assert!(Buf::from_static(b"not ours to write").try_mut().is_err());
}

#[test]
fn ranges_are_checked_as_slices_check_them() {
    let buf = pooled(&pool(), b"0123456789");
    assert_eq!(buf.slice(..), *b"0123456789");
    assert_eq!(buf.slice(3..=4), *b"34");
    assert_eq!(buf.slice(10..), *b"");
    assert!(buf.get(0..11).is_none() && buf.get(11..).is_none());
    assert!(buf.get(..=usize::MAX).is_none());
    let (from, to) = (5, 4);
    assert!(buf.get(from..to).is_none());
    let after = (std::ops::Bound::Excluded(usize::MAX), std::ops::Bound::Unbounded);
    assert!(buf.get(after).is_none());
}

#[test]
#[should_panic(expected = "range out of bounds of a Buf of 2 bytes")]
fn slice_panics_out_of_bounds() {
    let _ = Buf::from("ab").slice(1..3);
}

#[test]
fn only_neighbours_in_one_slot_join() {
    let pool = pool();
    let mut right = pooled(&pool, b"abcd");
    let left = right.split_to(2);
    let (left, right) = (right.try_join(left).unwrap_err().1, pooled(&pool, b"abcd"));
    assert!(left.try_join(right).is_err(), "another slot");
    let whole = Buf::from(vec![1, 2, 3]);
    let (a, b) = (whole.slice(..1), whole.slice(1..));
    assert_eq!(a.try_join(b).unwrap(), [1, 2, 3]);
}

#[test]
fn foreign_memory_comes_and_goes_without_a_copy() {
    let bytes = Bytes::from(vec![7; 1000]);
    let at = bytes.as_ptr();
    let buf = Buf::from(bytes);
    assert_eq!((buf.region(), buf.pinned(), buf.holders()), (None, 1000, 1));
    let part = buf.slice(10..20);
    assert_eq!(part.into_bytes().as_ptr(), at.wrapping_add(10));
    assert_eq!(buf.clone().into_send().into_bytes().as_ptr(), at);
    assert_eq!(buf.into_send().into_buf().as_ptr(), at);
    assert_eq!(Buf::from(String::from("s")), *b"s");
    assert_eq!(Buf::from(b"array"), *b"array");
    assert!(Buf::from(Bytes::new()).into_bytes().is_empty());
}

/// Longer than 32 bits can count: reserved address space of which one page is read.
#[test]
fn foreign_memory_longer_than_4_gib_is_not_cut() {
    struct Holes(Region);
    impl AsRef<[u8]> for Holes {
        fn as_ref(&self) -> &[u8] {
            // SAFETY: a mapping of this length that lives as long as this and that nobody writes to.
            unsafe { std::slice::from_raw_parts(self.0.base().as_ptr(), self.0.len()) }
        }
    }
    let len = (4 << 30) + 4096;
    // SAFETY: a new anonymous mapping, read only, without memory behind it.
    let at = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, flags, -1, 0)
    };
    assert_ne!(at, libc::MAP_FAILED);
    // SAFETY: as the test needs it; left to the process's end.
    let region = unsafe { Region::provided(std::ptr::NonNull::new(at.cast()).unwrap(), len, Box::new(())) };
    let buf = Buf::from(Bytes::from_owner(Holes(region)));
    assert_eq!(buf.len(), len);
    assert_eq!(buf.slice((4 << 30) + 4095..), [0]);
    assert_eq!(Sga::from(buf).len(), len);
}

#[test]
fn pooled_bytes_know_their_region() {
    let pool = pool();
    let buf = pooled(&pool, &[1; 100]);
    let (region, offset) = buf.region().unwrap();
    let (part, at) = buf.slice(30..).region().unwrap();
    assert_eq!((part, at, buf.pinned()), (region, offset + 30, 256));
}

#[test]
fn a_buf_that_travelled_is_pooled_again_at_home() {
    let pool = pool();
    let far = pooled(&pool, b"there and back").into_send();
    assert_eq!((pool.stats().in_use, pool.stats().remote), (0, 1));
    let buf = thread::spawn(move || far).join().unwrap().into_buf();
    assert!(buf.region().is_some(), "not foreign at home");
    assert_eq!((pool.stats().in_use, pool.stats().remote), (1, 0));
    pool.collect();
    let far = buf.clone().into_send();
    assert_eq!((far.into_buf(), buf.holders()), (buf.clone(), 2));
    drop(buf);
    pool.collect();
    assert_eq!((pool.stats().in_use, pool.stats().remote), (0, 0));

    // And foreign when its pool has ended meanwhile.
    let far = pooled(&pool, b"late").into_send();
    drop(pool);
    let buf = far.into_buf();
    assert_eq!((buf.region(), &buf[..]), (None, &b"late"[..]));
}

#[test]
fn many_threads_give_back_at_once() {
    let pool = pool();
    let bufs: Vec<Buf> = (0..50_u8).map(|i| pooled(&pool, &[i; 64])).collect();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let far: Vec<_> = bufs.iter().map(|b| b.clone().into_bytes()).collect();
            thread::spawn(move || {
                for (i, bytes) in far.into_iter().enumerate() {
                    assert!(bytes.iter().all(|&b| usize::from(b) == i));
                    drop(bytes.clone());
                    drop(bytes);
                }
            })
        })
        .collect();
    drop(bufs);
    while pool.stats().remote > 0 {
        pool.collect();
        thread::yield_now();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn bufs_compare_hash_read_and_print_as_bytes() {
    let pool = pool();
    let (a, b) = (pooled(&pool, b"same"), Buf::from("same"));
    assert_eq!(a, b);
    let set = std::collections::HashSet::from([a]);
    assert!(set.contains(&b));
    assert_eq!(format!("{b:?}"), "Buf(4 bytes, \"same\")");
    assert_eq!(
        format!("{:?}", Buf::from(vec![0; 40])),
        format!("Buf(40 bytes, \"{}\"...)", "\\x00".repeat(32))
    );
    let mut text = String::new();
    b.clone().read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), &*b.io_slice()), ("same", &b"same"[..]));
    assert!(Buf::new().is_empty() && Buf::default() == Buf::new());
}

#[test]
fn sga_of_one_is_single_and_compares_however_it_is_cut() {
    let pool = pool();
    assert_eq!(Sga::from("one").into_single().unwrap(), *b"one");
    assert_eq!(Sga::new().into_single().unwrap(), *b"");
    assert!(Sga::from(Buf::new()).first().is_none());
    let mut two = Sga::from(pooled(&pool, b"he"));
    two.extend([Buf::new(), pooled(&pool, b"llo")]);
    assert_eq!((two.parts(), two == *b"hello", two == b"hell"[..]), (2, true, false));
    assert_eq!(format!("{two:?}"), "[Buf(2 bytes, \"he\"), Buf(3 bytes, \"llo\")]");
    let whole = Sga::from("hello");
    assert!(two == whole, "however they are cut");
    let two = two.into_single().unwrap_err();
    assert_eq!((&two).into_iter().map(Buf::len).sum::<usize>(), 5);
    assert_eq!(two.into_iter().count(), 2);
}

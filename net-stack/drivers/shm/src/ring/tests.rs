//! The ring over real shared memory: what goes in comes out, whatever the sizes; what a hostile peer writes harms nobody.

use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::{
    area::{Area, SharedRing},
    role::Role,
};

fn ring() -> (Rc<Area>, Producer<SharedRing>, Consumer<SharedRing>) {
    let (area, _fd) = Area::create(MIN_RING).expect("memory");
    let area = Rc::new(area);
    (Rc::clone(&area), Producer::new(area.ring_of(Role::A)), Consumer::new(area.ring_of(Role::A)))
}

fn frame(len: usize, seed: u64) -> Vec<u8> {
    (0..len as u64)
        .map(|i| ((i + 1).wrapping_mul(seed | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

fn push(producer: &mut Producer<SharedRing>, bytes: &[u8], unfinished: bool) -> bool {
    let room = producer.has_room(bytes.len()).expect("an honest consumer");
    if room {
        // In three parts, as a head and payload buffers come.
        let (head, rest) = bytes.split_at(bytes.len() / 3);
        let (one, two) = rest.split_at(rest.len() / 2);
        producer.push(Header { len: bytes.len(), unfinished }, [head, one, two].into_iter());
    }
    room
}

fn pop(consumer: &mut Consumer<SharedRing>, spare: usize) -> Option<(Vec<u8>, bool)> {
    let header = consumer.peek().expect("an honest producer")?;
    let mut out = vec![0xaa; header.len + spare];
    consumer.take(header, &mut out);
    assert!(out.iter().skip(header.len + 64).all(|b| *b == 0xaa), "written far behind the frame");
    out.truncate(header.len);
    consumer.tell();
    Some((out, header.unfinished))
}

#[test]
fn every_length_arrives_whole() {
    let (_area, mut producer, mut consumer) = ring();
    let lengths = (1..400).chain([1514, 4095, 4096, 9014, 65_535, MAX_FRAME]);
    for (i, len) in lengths.enumerate() {
        for spare in [0, 7, 64, 4096] {
            let bytes = frame(len, i as u64);
            assert!(push(&mut producer, &bytes, i % 2 == 0));
            assert!(pop(&mut consumer, spare) == Some((bytes, i % 2 == 0)), "{len} bytes, {spare} spare");
            assert_eq!(pop(&mut consumer, spare), None);
        }
    }
}

#[test]
fn a_full_ring_takes_no_more_and_has_room_again_once_emptied() {
    let (_area, mut producer, mut consumer) = ring();
    for lap in 0..20 {
        let bytes = frame(1000 + lap, lap as u64);
        let mut sent = 0;
        while push(&mut producer, &bytes, false) {
            sent += 1;
        }
        // At least all but what one frame, the end mark and an untold eighth can take.
        assert!(sent * bytes.len() > MIN_RING * 3 / 4, "{sent}");
        for _ in 0..sent {
            assert!(pop(&mut consumer, 64).is_some_and(|(got, _)| got == bytes));
        }
        assert_eq!(pop(&mut consumer, 64), None);
        assert!(producer.has_room(MAX_FRAME).unwrap(), "an empty ring has room for the largest frame");
    }
}

#[test]
fn headers_that_cannot_be() {
    let lines = (MIN_RING / LINE) as u64;
    let good = Header { len: 60, unfinished: true };
    assert_eq!(Header::parse(good.word(9), 9, lines), Ok(Some(good)));
    for wrong in [
        good.word(10),
        good.word(9) & !Header::VALID,
        good.word(9) | 1 << 40,
        Header { len: 0, ..good }.word(9),
        Header { len: MAX_FRAME + 1, ..good }.word(9),
        u64::MAX,
        1,
    ] {
        assert_eq!(Header::parse(wrong, 9, lines), Err(Broken::Header(wrong)));
    }
}

#[test]
fn a_head_that_cannot_be_is_not_believed() {
    for head in [u64::MAX, 1 << 40, 5000] {
        let (area, mut producer, _) = ring();
        while push(&mut producer, &[7; 1000], false) {}
        area.ring_of(Role::A).store_head(head);
        assert_eq!(producer.has_room(1000), Err(Broken::Head(head)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn frames_arrive_in_order_whatever_the_interleaving(
        steps in prop::collection::vec((any::<bool>(), prop_oneof![1_usize..200, 1_usize..2000, 1_usize..MAX_FRAME]), 1..300)
    ) {
        let (_area, mut producer, mut consumer) = ring();
        let mut expected = std::collections::VecDeque::new();
        for (i, (send, len)) in steps.into_iter().enumerate() {
            if send {
                let bytes = frame(len, i as u64);
                if push(&mut producer, &bytes, len % 2 == 0) {
                    expected.push_back((bytes, len % 2 == 0));
                } else {
                    prop_assert!(!expected.is_empty(), "an empty ring has room");
                }
            } else {
                prop_assert_eq!(pop(&mut consumer, 64), expected.pop_front());
            }
        }
        while let Some(next) = expected.pop_front() {
            prop_assert_eq!(pop(&mut consumer, 0), Some(next));
        }
        prop_assert_eq!(pop(&mut consumer, 0), None);
    }

    #[test]
    fn scribbles_end_in_an_error_or_in_garbage_but_never_out_of_bounds(
        scribbles in prop::collection::vec((any::<bool>(), any::<u32>(), any::<u8>(), 1_usize..3000), 1..400)
    ) {
        let (area, mut producer, mut consumer) = ring();
        let mut out = vec![0; MAX_FRAME];
        for (near, at, byte, len) in scribbles {
            // Near: where the words are that matter.
            area.scribble(if near { (at % 8192) as usize } else { at as usize }, byte);
            match producer.has_room(len) {
                Ok(true) => producer.push(Header { len, unfinished: false }, std::iter::once(&frame(len, 3)[..])),
                Ok(false) => {}
                Err(_) => break,
            }
            match consumer.peek() {
                Ok(Some(header)) => {
                    prop_assert!(header.len > 0 && header.len <= MAX_FRAME);
                    consumer.take(header, &mut out);
                    consumer.tell();
                }
                Ok(None) => {}
                Err(_) => break,
            }
        }
    }
}

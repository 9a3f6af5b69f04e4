//! The sending half with the test as the kernel, honest and hostile.

use hemi_net::TxFrame;
use hemi_queue::Sga;

use super::*;
use crate::{
    ring::tests::{consumer, producer},
    umem::UmemShape,
};

fn half() -> TxPath {
    let umem = Umem::new(UmemShape { chunk: 2048, received: 16, sent: 8 }).unwrap();
    TxPath::new(umem, producer(8), consumer(8))
}

fn queue(count: usize) -> TxQueue {
    let mut frames = TxQueue::new(64);
    for n in 0..count {
        let mut frame = TxFrame::new(Sga::from(vec![n as u8; 100]));
        frame.head_mut(14).fill(0xee);
        frames.push(frame);
    }
    frames
}

#[test]
fn what_has_no_chunk_stays_with_the_stack_until_one_comes_back() {
    let (mut tx, mut counters) = (half(), Counters::default());
    let mut frames = queue(20);
    let mut seen = 0;
    for taken in [8, 8, 4] {
        assert_eq!(tx.burst(&mut frames, &mut counters), Ok(taken));
        assert_eq!(tx.burst(&mut frames, &mut counters), Ok(0));
        for descriptor in tx.ring.taken_by_the_kernel() {
            let at = tx.umem.memory.at(descriptor.addr as usize, descriptor.len as usize).unwrap();
            // SAFETY: within the mapping; nobody writes to it meanwhile.
            let sent = unsafe { std::slice::from_raw_parts(at.as_ptr(), descriptor.len as usize) };
            assert_eq!((sent.len(), &sent[..14]), (114, &[0xee; 14][..]));
            assert!(sent[14..].iter().all(|&b| b == seen));
            assert!(descriptor.addr >= 16 * 2048, "a transmit chunk");
            seen += 1;
            tx.completion.given_by_the_kernel(descriptor.addr);
        }
    }
    assert_eq!((seen, frames.len()), (20, 0));
    assert!(counters.tx_full >= 2);
    tx.collect(&mut counters).unwrap();
    assert_eq!((tx.free.len(), counters.tx_bad_completion), (8, 0));
}

#[test]
fn completions_of_what_was_not_sent_are_not_believed() {
    let (mut tx, mut counters) = (half(), Counters::default());
    tx.burst(&mut queue(1), &mut counters).unwrap();
    let sent = tx.ring.taken_by_the_kernel()[0].addr;
    // A free chunk, a received one, none at all; then the right one, and that again.
    for address in [sent + 2048, 0, 15 * 2048, 24 * 2048, u64::MAX, sent, sent] {
        tx.completion.given_by_the_kernel(address);
    }
    tx.collect(&mut counters).unwrap();
    assert_eq!((tx.free.len(), counters.tx_bad_completion), (8, 6));
    let mut free = tx.free.clone();
    free.sort_unstable();
    assert_eq!(free, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_frame_larger_than_a_chunk_does_not_block_the_others() {
    let (mut tx, mut counters) = (half(), Counters::default());
    let mut frames = TxQueue::new(64);
    frames.push(TxFrame::new(Sga::from(vec![0; 2049])));
    frames.push(TxFrame::new(Sga::from(vec![1; 2048])));
    assert_eq!(tx.burst(&mut frames, &mut counters), Ok(2));
    assert_eq!((counters.tx_too_large, tx.ring.taken_by_the_kernel().len(), tx.free.len()), (1, 1, 7));
}

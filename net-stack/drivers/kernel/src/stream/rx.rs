//! The receiving half of a stream: what has arrived, and what it pins.
//!
//! A piece is charged the whole buffer that it keeps from being reused, once per run of pieces in the same buffer. At the
//! limit, small pieces in large buffers are first copied together; if that does not help, receiving pauses until a pop.
//! While a pop waits whose owner puts units together, pieces go to its [`Assembler`](hemi_queue::Assembler) instead.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use hemi_queue::{Buf, Pool, PopWaiter, time::Instant};

use crate::sys::Errno;

/// Who looks for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nobody: no task waits, or the limit is reached.
    Idle,
    /// The hot set tries every turn.
    Hot,
    /// The engine tells.
    Armed,
    /// The engine was told to stop, and has not stopped yet.
    Disarming,
}

struct Piece {
    buf: Buf,
    charge: usize,
}

pub(crate) struct Rx {
    queue: RefCell<VecDeque<Piece>>,
    charged: Cell<usize>,
    limit: usize,
    pub(crate) mode: Cell<Mode>,
    /// The engine's receive ended at the limit: a pop arms it again.
    pub(crate) paused: Cell<bool>,
    /// The engine's receive in flight.
    pub(crate) operation: Cell<Option<usize>>,
    pub(crate) misses: Cell<u32>,
    /// Hot, and not tried since it became so or since the engine told of data.
    pub(crate) untried: Cell<bool>,
    /// When data came last, to tell a busy stream from an idle one.
    pub(crate) last: Cell<Instant>,
    /// The same on the hot set's clock.
    pub(crate) seen: Cell<u64>,
    /// One of few busy streams, when data came last.
    pub(crate) near: Cell<bool>,
    /// On an edge-triggered engine: the last receive took all there was, and an edge will tell of more.
    pub(crate) drained: Cell<bool>,
    /// The engine told of the end or of an error: no edge will tell again, trying will.
    pub(crate) hung_up: Cell<bool>,
    /// The peer finished sending.
    pub(crate) ended: Cell<bool>,
    pub(crate) failed: Cell<Errno>,
    pub(crate) waiter: PopWaiter,
}

impl Rx {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            queue: RefCell::default(),
            charged: Cell::new(0),
            limit,
            mode: Cell::new(Mode::Idle),
            paused: Cell::new(false),
            operation: Cell::new(None),
            misses: Cell::new(0),
            untried: Cell::new(false),
            last: Cell::new(Instant::ZERO),
            seen: Cell::new(0),
            near: Cell::new(true),
            drained: Cell::new(false),
            hung_up: Cell::new(false),
            ended: Cell::new(false),
            failed: Cell::new(0),
            waiter: PopWaiter::new(),
        }
    }

    /// Whether more may be received.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.charged.get() < self.limit
    }

    /// Bytes until the limit.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.charged.get())
    }

    /// Whether the end or an error is known: nothing more comes.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.ended.get() || self.failed.get() != 0
    }

    /// Data arrived: to who puts units together, or here; the waiting pop is told. False: the limit is reached.
    #[inline]
    pub(crate) fn deliver(&self, pool: &Pool, buf: Buf) -> bool {
        let buf = if self.queue.borrow().is_empty() { self.waiter.offer(buf) } else { Some(buf) };
        let Some(buf) = buf else { return true };
        let more = self.put(pool, buf);
        self.waiter.wake();
        more
    }

    /// Keep data for a pop. False: the limit is reached.
    #[inline]
    fn put(&self, pool: &Pool, buf: Buf) -> bool {
        let mut queue = self.queue.borrow_mut();
        let mut charge = buf.pinned();
        let mut buf = buf;
        if let Some(back) = queue.back_mut() {
            if same_buffer(&back.buf, &buf) {
                charge = 0;
            }
            match std::mem::take(&mut back.buf).try_join(buf) {
                Ok(joined) => {
                    back.buf = joined;
                    return self.has_room();
                }
                Err((old, new)) => {
                    back.buf = old;
                    buf = new;
                }
            }
        }
        queue.push_back(Piece { buf, charge });
        self.charged.set(self.charged.get() + charge);
        if !self.has_room() {
            self.compact(&mut queue, pool);
        }
        self.has_room()
    }

    #[inline]
    pub(crate) fn take(&self) -> Option<Buf> {
        let mut queue = self.queue.borrow_mut();
        let piece = queue.pop_front()?;
        match queue.front_mut() {
            // The next piece keeps the same buffer: it takes over what that costs.
            Some(next) if next.charge == 0 => next.charge = piece.charge,
            _ => self.charged.set(self.charged.get() - piece.charge),
        }
        Some(piece.buf)
    }

    /// Copy small pieces in large buffers together, if that frees at least half.
    #[cold]
    fn compact(&self, queue: &mut VecDeque<Piece>, pool: &Pool) {
        let bytes: usize = queue.iter().map(|p| p.buf.len()).sum();
        if bytes * 2 > self.charged.get() {
            return;
        }
        let mut dense = VecDeque::new();
        let (mut charged, mut left) = (0, bytes);
        let mut into: Option<hemi_queue::BufMut> = None;
        let mut seal = |block: hemi_queue::BufMut, dense: &mut VecDeque<Piece>| {
            let buf = block.freeze();
            charged += buf.pinned();
            dense.push_back(Piece { charge: buf.pinned(), buf });
        };
        for piece in queue.iter() {
            let mut rest = &piece.buf[..];
            while !rest.is_empty() {
                let mut block = match into.take() {
                    Some(block) if block.len() < block.capacity() => block,
                    full => {
                        if let Some(full) = full {
                            seal(full, &mut dense);
                        }
                        match pool.try_alloc(left.min(pool.largest())) {
                            Ok(block) => block,
                            Err(_) => return, // drained: what there is stays as it is
                        }
                    }
                };
                let n = block.put(rest);
                left -= n;
                rest = &rest[n..];
                into = Some(block);
            }
        }
        if let Some(block) = into {
            seal(block, &mut dense);
        }
        if charged < self.charged.get() {
            *queue = dense;
            self.charged.set(charged);
        }
    }

    /// Drop everything that was not popped.
    pub(crate) fn clear(&self) {
        self.queue.take();
        self.charged.set(0);
    }
}

fn same_buffer(a: &Buf, b: &Buf) -> bool {
    match (a.region(), b.region()) {
        (Some((ra, oa)), Some((rb, ob))) => {
            let (pa, pb) = (a.pinned(), b.pinned());
            ra == rb && pa == pb && pa > 0 && oa / pa == ob / pb
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(pool: &Pool, room: usize, n: usize) -> Buf {
        let mut b = pool.try_alloc(room).unwrap();
        b.set_len(n);
        b.freeze()
    }

    #[test]
    fn small_pieces_in_large_buffers_are_compacted_before_the_limit_counts() {
        let pool = Pool::new().unwrap();
        let rx = Rx::new(256 << 10);
        for _ in 0..1000 {
            assert!(rx.put(&pool, piece(&pool, 64 << 10, 64)), "64 KB of payload fit in a limit of 256 KiB");
        }
        assert!(pool.stats().in_use < 16);
        let mut got = 0;
        while let Some(b) = rx.take() {
            got += b.len();
        }
        assert_eq!((got, rx.charged.get()), (64_000, 0));
        assert_eq!(pool.stats().in_use, 0);
    }

    #[test]
    fn full_buffers_stop_at_the_limit_and_go_on_below() {
        let pool = Pool::new().unwrap();
        let rx = Rx::new(128 << 10);
        assert!(rx.put(&pool, piece(&pool, 64 << 10, 64 << 10)));
        assert!(!rx.put(&pool, piece(&pool, 64 << 10, 64 << 10)));
        rx.take().unwrap();
        assert!(rx.has_room());
    }

    #[test]
    fn pieces_of_one_buffer_are_charged_once() {
        let pool = Pool::new().unwrap();
        let rx = Rx::new(1 << 20);
        let mut block = pool.try_alloc(64 << 10).unwrap();
        let mut parts = Vec::new();
        for _ in 0..8 {
            block.set_len(100);
            parts.push(block.split_frozen(100));
            block.set_len(10);
            drop(block.split_frozen(10)); // another stream's, in between
        }
        for part in parts {
            rx.put(&pool, part);
        }
        assert_eq!(rx.charged.get(), 64 << 10);
        for _ in 0..7 {
            rx.take().unwrap();
            assert_eq!(rx.charged.get(), 64 << 10);
        }
        rx.take().unwrap();
        assert_eq!(rx.charged.get(), 0);
    }
}

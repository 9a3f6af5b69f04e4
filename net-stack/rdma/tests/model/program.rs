//! A program at one end: pushes units, pops units, and compares each with what must come.

use hemi_queue::{Buf, Pool, Sga, time::Instant};
use hemi_rdma::{Connection, Failure, Popped, PushRefusal};

use super::Dice;

/// What the `index`th unit of a direction contains.
pub fn unit_bytes(direction: u64, index: usize, len: usize) -> Vec<u8> {
    let mut dice = Dice(direction << 32 | index as u64);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&dice.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// When a program closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// Finishes when it has pushed everything, and closes when the other has finished.
    Polite,
    /// Closes as soon as it has pushed everything.
    Early,
    /// Aborts after so many units.
    Aborting(usize),
}

#[derive(Debug)]
pub struct Program {
    direction: u64,
    sizes: Vec<usize>,
    /// Sizes of what must come.
    expected: Vec<usize>,
    pub pushed: usize,
    pub popped: usize,
    pub ended: bool,
    pub failed: Option<Failure>,
    pub closed: bool,
    finished: bool,
    pub leaving: Leaving,
}

impl Program {
    pub fn new(direction: u64, sizes: Vec<usize>, expected: Vec<usize>, leaving: Leaving) -> Self {
        Self {
            direction,
            sizes,
            expected,
            pushed: 0,
            popped: 0,
            ended: false,
            failed: None,
            closed: false,
            finished: false,
            leaving,
        }
    }

    /// Whether it has nothing more to do.
    pub fn is_done(&self) -> bool {
        self.closed || self.failed.is_some() && self.pushed == self.sizes.len()
    }

    pub fn sent_everything(&self) -> bool {
        self.pushed == self.sizes.len()
    }

    pub fn got_everything(&self) -> bool {
        self.popped == self.expected.len()
    }

    /// Up to `pushes` pushes and `pops` pops. Returns whether anything happened.
    pub fn run(
        &mut self,
        conn: &mut Connection,
        pools: [&Pool; 2],
        pushes: usize,
        pops: usize,
        dice: &mut Dice,
        now: Instant,
    ) -> bool {
        let mut busy = false;
        if self.closed {
            return false;
        }
        for _ in 0..pops {
            busy |= self.pop(conn);
        }
        for _ in 0..pushes {
            busy |= self.push(conn, pools, dice);
        }
        let all = self.sent_everything();
        let leaves = match self.leaving {
            Leaving::Polite => all && (self.ended || self.failed.is_some()),
            Leaving::Early => all,
            Leaving::Aborting(after) => self.pushed >= after || all,
        };
        if leaves {
            if matches!(self.leaving, Leaving::Aborting(_)) {
                conn.abort();
            } else {
                conn.close(now);
            }
            self.closed = true;
            busy = true;
        } else if all && !self.finished && self.leaving == Leaving::Polite {
            conn.finish();
            self.finished = true;
            busy = true;
        }
        busy
    }

    fn pop(&mut self, conn: &mut Connection) -> bool {
        if self.ended || self.failed.is_some() {
            return false;
        }
        match conn.pop() {
            Ok(Popped::Unit(unit)) => {
                let len = self.expected.get(self.popped).copied().expect("no more units than were pushed");
                let wanted = unit_bytes(self.direction ^ 1, self.popped, len);
                assert!(unit.to_vec() == wanted, "unit {} is another, or not whole", self.popped);
                self.popped += 1;
                true
            }
            Ok(Popped::End) => {
                self.ended = true;
                true
            }
            Ok(Popped::Pending) => false,
            Err(failure) => {
                self.failed = Some(failure);
                true
            }
        }
    }

    fn push(&mut self, conn: &mut Connection, pools: [&Pool; 2], dice: &mut Dice) -> bool {
        let Some(&len) = self.sizes.get(self.pushed) else { return false };
        let Some(unit) = scatter(&unit_bytes(self.direction, self.pushed, len), pools, dice) else {
            return false;
        };
        match conn.push(unit) {
            Ok(()) => self.pushed += 1,
            Err((PushRefusal::Busy, _)) => return false,
            Err((PushRefusal::Failed(failure), _)) => {
                // What had arrived is still to be popped.
                self.pushed = self.sizes.len();
                if failure == Failure::ClosedByPeer {
                    return true;
                }
            }
            Err((refusal, _)) => panic!("refused: {refusal}"),
        }
        true
    }
}

/// `bytes` as a unit of one part or many, of memory that the device knows or not. `None`: no memory now.
fn scatter(bytes: &[u8], pools: [&Pool; 2], dice: &mut Dice) -> Option<Sga> {
    let mut unit = Sga::new();
    let kind = dice.below(8);
    if kind == 0 {
        return Some(bytes.to_vec().into()); // the heap: no device knows it
    }
    let most = dice.of(&[bytes.len(), 2048, 300, 100]).max(1 + bytes.len() / 40);
    for part in bytes.chunks(most.clamp(1, 2048)) {
        let pool = if kind == 1 && dice.one_in(2) { pools[1] } else { pools[0] };
        let mut buf = pool.try_alloc(part.len()).ok()?;
        buf.put(part);
        unit.push(buf.freeze());
    }
    if dice.one_in(10) {
        unit.push(Buf::new());
    }
    Some(unit)
}

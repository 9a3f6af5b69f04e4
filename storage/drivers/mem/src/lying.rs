//! [`Lying`]: a device that breaks its word.

use hemi_queue::{Progress, Sga, Wakeup, time::Instant};
use hemi_storage::{BlockDevice, Command, CommandId, DeviceCaps, Done};

/// How it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Flushes are said to be done and never are.
    SkipFlush,
    /// Writes with FUA are done without.
    DropFua,
    /// Writes are said to be done before they are.
    AckEarly,
    /// It does not lie.
    Honest,
}

/// A device that breaks its word: the mutant that every test of durability must notice.
#[derive(Debug)]
pub struct Lying<D> {
    inner: D,
    lie: Lie,
    /// Said to be done.
    said: Vec<CommandId>,
    /// Said to be done, and in flight.
    owed: Vec<CommandId>,
}

impl<D: BlockDevice> Lying<D> {
    /// `inner`, with a lie.
    pub fn new(inner: D, lie: Lie) -> Self {
        Self { inner, lie, said: Vec::new(), owed: Vec::new() }
    }

    /// The device below.
    pub fn inner(&self) -> &D {
        &self.inner
    }
}

impl<D: BlockDevice> BlockDevice for Lying<D> {
    fn caps(&self) -> DeviceCaps {
        self.inner.caps()
    }

    fn submit(&mut self, id: CommandId, command: Command) {
        match (self.lie, command) {
            (Lie::SkipFlush, Command::Flush) => self.said.push(id),
            (Lie::DropFua, Command::Write { offset, data, .. }) => {
                self.inner.submit(id, Command::Write { offset, data, fua: false });
            }
            (Lie::AckEarly, command @ Command::Write { .. }) => {
                self.said.push(id);
                self.owed.push(id);
                self.inner.submit(id, command);
            }
            (_, command) => self.inner.submit(id, command),
        }
    }

    fn poll(&mut self, now: Instant, done: &mut Vec<Done>) -> Progress {
        // Before anything that the device has to say: a lie that the truth has overtaken is none.
        if !self.said.is_empty() {
            done.extend(self.said.drain(..).map(|id| Done { id, result: Ok(Sga::new()) }));
            return Progress::Busy;
        }
        let before = done.len();
        let progress = self.inner.poll(now, done);
        let mut at = before;
        while let Some(id) = done.get(at).map(|d| d.id) {
            match self.owed.iter().position(|owed| *owed == id) {
                Some(owed) => {
                    self.owed.swap_remove(owed);
                    done.remove(at);
                }
                None => at += 1,
            }
        }
        progress
    }

    fn deadline(&self) -> Option<Instant> {
        if self.said.is_empty() { self.inner.deadline() } else { Some(Instant::ZERO) }
    }

    fn wakeup(&self) -> Wakeup {
        self.inner.wakeup()
    }

    fn describe(&self) -> String {
        format!("{}, which lies: {:?}", self.inner.describe(), self.lie)
    }
}

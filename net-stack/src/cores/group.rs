//! [`Group`]: the stacks of one program that share their addresses.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use super::{Directory, Fact, Seat, Steered, Steering, borrowed::SentFrame, parcel::Packed};
use crate::{
    device::{Caps, Gone},
    util::rng::Rng,
};

/// Parcels that a ring between two cores holds. What comes beyond is dropped and counted, as by a NIC whose ring is full.
const PARCELS: usize = 512;
/// Facts that wait for a core.
const FACTS: usize = 256;
/// Frames of a core without a queue that wait for the one that has it. What comes beyond stays with its sender.
const FRAMES: usize = 256;

/// Wakes a core that sleeps; harmless when it does not. The executor's.
pub type Bell = Arc<dyn Fn() + Send + Sync>;

/// Where a core puts what is for another one.
pub(super) struct Out {
    pub(super) parcels: SyncSender<Packed>,
    pub(super) facts: SyncSender<Fact>,
}

/// Where it finds what another one has for it.
pub(super) struct In {
    pub(super) parcels: Receiver<Packed>,
    pub(super) facts: Receiver<Fact>,
}

/// A core's ends of all rings, until it takes its seat.
pub(super) struct Ends {
    /// By core; none to itself.
    pub(super) out: Vec<Option<Out>>,
    pub(super) from: Vec<In>,
    /// Frames to send, to core 0.
    pub(super) send: Option<SyncSender<SentFrame>>,
    /// Frames to send, from the others: core 0 only.
    pub(super) to_send: Vec<Receiver<SentFrame>>,
}

/// What several cores with the same addresses share: the rule, the directory, and the rings between them, one for each ordered pair.
///
/// Made once per program and transport; each core takes its [`Seat`], core 0 first, and gives it to its [`Host`](crate::Host).
pub struct Group {
    wanted: Steering,
    settled: OnceLock<Arc<Steering>>,
    pub(super) directory: Arc<Directory>,
    /// For what must be the same on all cores and known to nobody else: Fast Open cookies.
    pub(super) secret: [u64; 2],
    ends: Mutex<Vec<Option<Ends>>>,
    bells: Vec<OnceLock<Bell>>,
    /// What core 0's device is.
    pub(super) caps: OnceLock<Caps>,
    lost: OnceLock<(String, io::ErrorKind, Option<i32>)>,
    /// Seats taken whose program has not finished.
    running: AtomicUsize,
}

impl Group {
    /// A group of `cores` (at most [`Steering::CORES`]), whose rule has a key from `seed`.
    pub fn new(cores: usize, seed: u64) -> Arc<Self> {
        let cores = cores.clamp(1, Steering::CORES);
        let mut rng = Rng::new(seed ^ 0x7466_6f63); // not the numbers that others draw from it
        Arc::new(Self {
            wanted: Steering::random(cores, seed),
            settled: OnceLock::new(),
            directory: Arc::new(Directory::new()),
            secret: [rng.next(), rng.next()],
            ends: Mutex::new(rings(cores)),
            bells: (0..cores).map(|_| OnceLock::new()).collect(),
            caps: OnceLock::new(),
            lost: OnceLock::new(),
            running: AtomicUsize::new(0),
        })
    }

    /// How many cores it has.
    pub fn cores(&self) -> usize {
        self.bells.len()
    }

    /// Take core `index`'s seat. `bell` wakes that core. `None` when it is taken, or there is no such core.
    pub fn seat(self: &Arc<Self>, index: usize, bell: Option<Bell>) -> Option<Seat> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index)?.take()?;
        if let Some(bell) = bell {
            let _ = self.bells[index].set(bell);
        }
        self.running.fetch_add(1, Ordering::AcqRel);
        Some(Seat::new(Arc::clone(self), index, ends))
    }

    /// The rule: what core 0's device has settled, before that the one to propose to it.
    pub fn steering(&self) -> &Steering {
        self.settled.get().map_or(&self.wanted, |rule| rule)
    }

    /// What core 0's device is, once that is known.
    pub fn caps(&self) -> Option<&Caps> {
        self.caps.get()
    }

    pub(super) fn rule(&self) -> Arc<Steering> {
        Arc::clone(self.settled.get_or_init(|| Arc::new(self.wanted.clone())))
    }

    pub(super) fn settle(&self, answer: Steered) {
        if let Steered::Instead(rule) = answer
            && rule.table().iter().all(|core| usize::from(*core) < self.cores())
        {
            let _ = self.settled.set(Arc::new(rule));
        }
        self.rule();
    }

    pub(super) fn ring(&self, core: usize) {
        if let Some(bell) = self.bells.get(core).and_then(OnceLock::get) {
            bell();
        }
    }

    pub(super) fn lose(&self, gone: &Gone) {
        let _ = self.lost.set((gone.name.clone(), gone.source.kind(), gone.source.raw_os_error()));
        (0..self.cores()).for_each(|core| self.ring(core));
    }

    pub(super) fn lost(&self) -> Option<Gone> {
        let (name, kind, code) = self.lost.get()?;
        let source = code.map_or_else(|| io::Error::from(*kind), io::Error::from_raw_os_error);
        Some(Gone { name: name.clone(), source })
    }

    /// A core's program has finished.
    pub(super) fn finish(&self) {
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            (0..self.cores()).for_each(|core| self.ring(core));
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire) > 0
    }
}

fn rings(cores: usize) -> Vec<Option<Ends>> {
    let end = || Ends { out: Vec::new(), from: Vec::new(), send: None, to_send: Vec::new() };
    let mut ends: Vec<_> = (0..cores).map(|_| end()).collect();
    for from in 0..cores {
        for to in 0..cores {
            if from == to {
                ends[from].out.push(None);
                continue;
            }
            let (parcels, take_parcels) = sync_channel(PARCELS);
            let (facts, take_facts) = sync_channel(FACTS);
            ends[from].out.push(Some(Out { parcels, facts }));
            ends[to].from.push(In { parcels: take_parcels, facts: take_facts });
        }
        if from > 0 {
            let (send, to_send) = sync_channel(FRAMES);
            ends[from].send = Some(send);
            ends[0].to_send.push(to_send);
        }
    }
    ends.into_iter().map(Some).collect()
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("cores", &self.cores()).finish_non_exhaustive()
    }
}

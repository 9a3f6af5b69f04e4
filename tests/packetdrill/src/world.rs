//! [`World`]: the stack, its virtual time and the descriptors; and the thread that owns them.
//!
//! packetdrill calls from two threads: its own, and one for the calls that a script expects to block. The stack's memory belongs to one
//! thread, so calls travel to it as jobs and wait for the answer. A job is tried, and tried again whenever something has happened, until it
//! is done:
//!
//! * a call on packetdrill's *second* thread waits while the first one moves time along and delivers packets;
//! * a call on its *first* thread that blocks has nobody else to move time, so the world does, timer by timer; when nothing is
//!   left that could happen, the call fails with `EDEADLK` instead of hanging.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    mem::ManuallyDrop,
    net::IpAddr,
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, ThreadId},
    time::Duration,
};

use hemi_net::{Cidr, RxFrame, Stack, StackConfig};
use hemi_queue::{Pool, time::Instant};

use crate::{clock::Clock, flags::Flags, link, sockets::Descriptor};

/// A number of `errno.h`.
pub(crate) type Errno = i32;

/// What a try of a call came to.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// It is over.
    Done(Result<T, Errno>),
    /// It blocks, until then at the latest if there is a time.
    Wait(Option<Instant>),
}

impl<T> From<Result<T, Errno>> for Step<T> {
    fn from(result: Result<T, Errno>) -> Self {
        Self::Done(result)
    }
}

/// A job's one try: `None` when it is over (it has answered by itself), else until when it waits.
type Try = Box<dyn FnMut(&mut World) -> Option<Option<Instant>> + Send>;

struct Job {
    attempt: Try,
    /// Nobody else will move time while it waits.
    alone: bool,
}

/// packetdrill's way to the stack's thread.
pub(crate) struct Handle {
    jobs: mpsc::Sender<Job>,
    clock: Arc<Clock>,
    waiting: Arc<AtomicUsize>,
    main: ThreadId,
}

/// Start the stack's thread, on behalf of packetdrill's first thread.
pub(crate) fn start(flags: Flags) -> Handle {
    let clock = Arc::new(Clock::new(Instant::ZERO + Duration::from_secs(1)));
    let waiting = Arc::new(AtomicUsize::new(0));
    let (jobs, inbox) = mpsc::channel();
    let (theirs, counter) = (clock.clone(), waiting.clone());
    thread::spawn(move || World::new(flags, theirs, counter).run(&inbox));
    Handle { jobs, clock, waiting, main: thread::current().id() }
}

impl Handle {
    /// Do a call on the stack's thread and wait for its end.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        mut call: impl FnMut(&mut World) -> Step<T> + Send + 'static,
    ) -> Result<T, Errno> {
        let (answer, answered) = mpsc::channel();
        let attempt = Box::new(move |world: &mut World| match call(world) {
            Step::Done(result) => {
                // Nobody listens any more only when packetdrill is about to exit.
                let _ = answer.send((world.now, result));
                None
            }
            Step::Wait(until) => Some(until),
        });
        let alone = thread::current().id() == self.main;
        if self.jobs.send(Job { attempt, alone }).is_err() {
            return Err(libc::EBADF);
        }
        let (at, result) = answered.recv().map_err(|_| libc::EINTR)?;
        if !alone {
            Clock::woken_at(at);
        }
        result
    }

    /// What time it is; asking takes a microsecond.
    pub(crate) fn time(&self) -> Instant {
        let at = self.clock.tick();
        if self.waiting.load(Ordering::Acquire) > 0 {
            // A call that waits may be over by now.
            let _ = self.call(|_| Step::Done(Ok(())));
        }
        at
    }
}

/// Everything that is under test.
pub(crate) struct World {
    pub(crate) flags: Flags,
    clock: Arc<Clock>,
    waiting: Arc<AtomicUsize>,
    /// The stack's time: it follows the clock at each call.
    pub(crate) now: Instant,
    pub(crate) stack: Option<Stack>,
    /// Packets that have left the stack and were not yet looked at.
    sniffed: VecDeque<(Instant, Vec<u8>)>,
    blocked: Vec<(Job, Option<Instant>)>,
    pub(crate) descriptors: BTreeMap<i32, Descriptor>,
    /// A number for each of them that the kernel knows as well. What a script leaves open packetdrill itself closes, by the kernel's `close`; so what
    /// is left in the end is not ours to close.
    numbers: ManuallyDrop<BTreeMap<i32, File>>,
}

/// How long the world waits for a packet of a stack that has timers but nothing to say.
const PATIENCE: Duration = Duration::from_secs(3600);

impl World {
    fn new(flags: Flags, clock: Arc<Clock>, waiting: Arc<AtomicUsize>) -> Self {
        Self {
            flags,
            now: clock.now(),
            clock,
            waiting,
            stack: None,
            sniffed: VecDeque::new(),
            blocked: Vec::new(),
            descriptors: BTreeMap::new(),
            numbers: ManuallyDrop::default(),
        }
    }

    fn run(mut self, inbox: &mpsc::Receiver<Job>) {
        for job in inbox {
            self.pass(self.clock.now());
            self.begin(job);
            self.settle();
        }
    }

    fn begin(&mut self, mut job: Job) {
        loop {
            let Some(until) = (job.attempt)(self) else { return };
            if !job.alone {
                self.blocked.push((job, until));
                return self.waiting.store(self.blocked.len(), Ordering::Release);
            }
            self.settle();
            let next = [self.deadline(), until].into_iter().flatten().min();
            match next {
                Some(at) if at > self.now => self.pass(at),
                // It is due now: try again; what is due and does nothing can't be waited for.
                Some(_) if until.is_some_and(|u| u <= self.now) => {}
                Some(_) => self.pass(self.now + Duration::from_micros(1)),
                None => {
                    // The job answers by being dropped: EINTR would lie, so it is told.
                    self.deadlocked(job);
                    return;
                }
            }
            self.clock.reach(self.now);
        }
    }

    /// A call that can never end: its channel closes, which the caller sees.
    fn deadlocked(&self, job: Job) {
        eprintln!(
            "hemi-packetdrill: a call blocks at {:?}, and nothing is left that could wake it",
            self.now
        );
        drop(job);
    }

    /// The stack's time becomes `to`, and everything happens that happens until then.
    pub(crate) fn pass(&mut self, to: Instant) {
        self.settle();
        while let Some(at) =
            [self.deadline(), self.alarm()].into_iter().flatten().min().filter(|at| *at <= to)
        {
            self.now = self.now.max(at).max(self.now + Duration::from_nanos(u64::from(at <= self.now)));
            self.settle();
        }
        self.now = self.now.max(to);
        self.settle();
    }

    fn deadline(&self) -> Option<Instant> {
        [self.stack.as_ref().and_then(Stack::deadline), self.cork_alarm()].into_iter().flatten().min()
    }

    /// When the first blocked call gives up.
    fn alarm(&self) -> Option<Instant> {
        self.blocked.iter().filter_map(|(_, until)| *until).filter(|at| *at > self.now).min()
    }

    /// Let the stack send, and try the blocked calls again, until nothing moves.
    pub(crate) fn settle(&mut self) {
        loop {
            self.pull_corks();
            self.flush();
            let before = self.blocked.len();
            let mut blocked = std::mem::take(&mut self.blocked);
            blocked.retain_mut(|(job, until)| match (job.attempt)(self) {
                Some(again) => {
                    *until = again;
                    true
                }
                None => false,
            });
            self.blocked = blocked;
            self.waiting.store(self.blocked.len(), Ordering::Release);
            if self.blocked.len() == before {
                return;
            }
        }
    }

    pub(crate) fn flush(&mut self) {
        let Some(stack) = &mut self.stack else { return };
        for _ in 0..1000 {
            stack.advance(self.now);
            // Descriptors are asked, not told.
            while stack.poll_event().is_some() {}
            let mut idle = true;
            while let Some(frame) = stack.tx_queue().pop() {
                idle = false;
                match link::sent(&frame) {
                    link::Sent::Packets(packets) => {
                        self.sniffed.extend(packets.into_iter().map(|p| (self.now, p)));
                    }
                    link::Sent::Answer(answer) => stack.receive(answer, self.now),
                    link::Sent::Nothing => {}
                }
            }
            if idle {
                break;
            }
        }
        self.note_states();
    }

    // ---- the network device

    /// An IP packet arrives.
    pub(crate) fn deliver(&mut self, packet: &[u8]) -> Result<(), Errno> {
        let frame: RxFrame = link::frame_of(packet).ok_or(libc::EINVAL)?;
        let local = link::destination(packet).ok_or(libc::EINVAL)?;
        let now = self.now;
        self.stack(Some(local)).receive(frame, now);
        Ok(())
    }

    /// The next packet that leaves, waited for; `None` when none will.
    pub(crate) fn sniff(&mut self) -> Option<(Instant, Vec<u8>)> {
        let patience = self.now + PATIENCE;
        loop {
            if let Some(packet) = self.sniffed.pop_front() {
                return Some(packet);
            }
            let Some(at) = self.deadline().filter(|at| *at <= patience) else {
                self.explain();
                return None;
            };
            self.pass(at.max(self.now + Duration::from_nanos(1)));
            self.clock.reach(self.now);
        }
    }

    /// Why there may be nothing to see: what was dropped, and for which reason.
    fn explain(&self) {
        let drops = self.stack.iter().flat_map(|s| s.counters().iter());
        let drops: Vec<_> = drops.filter(|(name, n)| name.starts_with("drop_") && *n > 0).collect();
        eprintln!("hemi-packetdrill: the stack has nothing to send at {:?}; it dropped: {drops:?}", self.now);
    }

    /// packetdrill sleeps.
    pub(crate) fn sleep(&mut self, time: Duration) {
        let end = self.now.max(self.clock.now()) + time;
        self.pass(end);
        self.clock.reach(end);
    }

    // ---- the stack

    /// The stack; it is made when the first address is known. `local`: an address that it must have then.
    pub(crate) fn stack(&mut self, local: Option<IpAddr>) -> &mut Stack {
        let (flags, now) = (&self.flags, self.now);
        self.stack.get_or_insert_with(|| {
            let mut config = StackConfig::default();
            // Everything is on the link: who is a neighbour is not what scripts are about.
            let mine =
                local.filter(|ip| !ip.is_unspecified() && !ip.is_multicast()).map(|ip| Cidr::new(ip, 0));
            let fallback = ["192.168.0.1/0", "fd3d:fa7b:d17d::1/0"].map(|c| c.parse().expect("valid"));
            let fallback = fallback
                .into_iter()
                .filter(|c: &Cidr| mine.is_none_or(|m| m.address.is_ipv4() != c.address.is_ipv4()));
            config.addresses = flags.addresses.iter().copied().chain(mine).chain(fallback).collect();
            config.announce = false;
            config.tcp = flags.tcp.clone();
            if flags.freebsd {
                // Whole segments, as it makes of a connection's buffer.
                let headers = if local.is_some_and(|ip| ip.is_ipv6()) { 60 } else { 40 };
                let mss = usize::from(flags.mtu.saturating_sub(headers)).max(1);
                config.tcp.recv_buffer = config.tcp.recv_buffer.next_multiple_of(mss);
            }
            let pool = Pool::new().expect("the system has memory for a pool");
            let mut stack = Stack::new(config, link::caps(flags.mtu), pool, flags.seed);
            stack.advance(now);
            stack
        })
    }

    /// The congestion control of those who do not choose.
    pub(crate) fn congestion(&self) -> hemi_net::tcp::Algorithm {
        self.flags.tcp.congestion
    }

    /// Give a descriptor a number.
    pub(crate) fn open(&mut self, descriptor: Descriptor) -> Result<i32, Errno> {
        let number = File::open("/dev/null").map_err(|e| e.raw_os_error().unwrap_or(libc::EMFILE))?;
        let fd = number.as_raw_fd();
        self.numbers.insert(fd, number);
        self.descriptors.insert(fd, descriptor);
        Ok(fd)
    }

    /// Take a descriptor's number back.
    pub(crate) fn forget(&mut self, fd: i32) -> Result<Descriptor, Errno> {
        let descriptor = self.descriptors.remove(&fd).ok_or(libc::EBADF)?;
        self.numbers.remove(&fd);
        Ok(descriptor)
    }
}

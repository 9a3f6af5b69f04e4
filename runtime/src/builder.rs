//! [`Builder`]: how a runtime is made.

use std::{
    cell::{Cell, RefCell},
    num::NonZero,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use hemi_park::{Park, ParkConfig};
use hemi_queue::{Pool, PoolConfig, Result};

use crate::{
    Idle, Runtime,
    clock::Clock,
    context::Core,
    cores::{Groups, Start, affinity},
    exec::{Alarms, BlockingPool, Exec, Spin},
    names::Names,
    net::{self, Transports},
    rand::{self, Rng},
    shutdown,
};

/// Makes a [`Runtime`].
///
/// Every option has a default; [`build`](Self::build) makes one runtime for this thread.
///
/// ```
/// use std::time::Duration;
/// use hemi::{Idle, Runtime};
///
/// let runtime = Runtime::builder().idle(Idle::Adaptive).spin(Duration::from_micros(200)).build()?;
/// assert_eq!(runtime.block_on(async { 1 + 1 }), 2);
/// # Ok::<(), hemi::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder makes nothing until `build` or `run`"]
pub struct Builder {
    idle: Idle,
    spin: Duration,
    nets: Vec<(String, String)>,
    cores: usize,
    pool: PoolConfig,
    seed: Option<u64>,
    simulated: bool,
    blocking_threads: usize,
    watchdog: Option<Duration>,
    /// What the cores of one program share, once there is a program.
    group: Option<Group>,
}

#[derive(Clone, Debug)]
struct Group {
    shutdown: shutdown::Token,
    blocking: Arc<BlockingPool>,
    start: Arc<Start>,
    groups: Arc<Groups>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            idle: Idle::default(),
            spin: Duration::from_millis(1),
            nets: Vec::new(),
            cores: 1,
            pool: PoolConfig::default(),
            seed: None,
            simulated: false,
            blocking_threads: 32,
            watchdog: Some(Duration::from_millis(250)),
            group: None,
        }
    }
}

impl Builder {
    /// What to do when nothing is ready. Default: [`Idle::Adaptive`].
    pub fn idle(mut self, idle: Idle) -> Self {
        self.idle = idle;
        self
    }

    /// The longest that [`Idle::Adaptive`] spins before it sleeps. Default: 1 ms; what it really spins is learned.
    pub fn spin(mut self, most: Duration) -> Self {
        self.spin = most;
        self
    }

    /// Open the transport at `uri`, under its scheme's name. The first transport given is the default one. Without any,
    /// the environment variable `HEMI_NET` is asked, and then `kernel:` is opened.
    pub fn net(self, uri: impl Into<String>) -> Self {
        self.net_as("", uri)
    }

    /// Open the transport at `uri` under `name`, so that one program can join several.
    pub fn net_as(mut self, name: impl Into<String>, uri: impl Into<String>) -> Self {
        self.nets.push((name.into(), uri.into()));
        self
    }

    /// How the buffer pool is made.
    pub fn pool(mut self, pool: PoolConfig) -> Self {
        self.pool = pool;
        self
    }

    /// Derive everything random from `seed`. Default: a new seed every run.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Run in virtual time: the clock stands still while anything is runnable and then jumps to the next deadline, and
    /// `seed` decides everything random, so that one seed replays a run exactly. Nothing runnable and no deadline is a
    /// deadlock: [`Runtime::try_block_on`] returns it as an error.
    pub fn simulated(mut self, seed: u64) -> Self {
        self.simulated = true;
        self.seed(seed)
    }

    /// The most threads that [`spawn_blocking`](crate::spawn_blocking) uses. Default: 32.
    pub fn blocking_threads(mut self, most: usize) -> Self {
        self.blocking_threads = most;
        self
    }

    /// Name the task in the log when a turn takes longer than this; `None` never does. Default: 250 ms. One thread per
    /// process looks, ten times a second.
    pub fn watchdog(mut self, patience: Option<Duration>) -> Self {
        self.watchdog = patience;
        self
    }

    /// How many cores [`run`](Self::run) uses; 0 is every CPU that this process may use. Default: 1.
    ///
    /// Each core opens every transport. Over the user-level stack (`tap:`, `packet:`, `xdp:`, `shm:`, `dpdk:`) that is one stack per core with the same
    /// addresses: a listener that all cores bind is one listener, port 0 one port, and a connection is accepted on the core that its
    /// flow hashes to; a UDP socket that all bind shares its datagrams out likewise, and one with port 0 is its core's alone.
    pub fn cores(mut self, cores: usize) -> Self {
        let all = || std::thread::available_parallelism().map_or(1, NonZero::get);
        self.cores = if cores == 0 { all() } else { cores };
        self
    }

    /// Make a runtime for this thread.
    pub fn build(mut self) -> Result<Runtime> {
        self.cores = 1;
        self.build_core(0)
    }

    pub(crate) fn core_count(&self) -> usize {
        self.cores
    }

    pub(crate) fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// The same builder, with what all cores made from its clones share.
    pub(crate) fn shared(mut self) -> Self {
        self.seed.get_or_insert_with(rand::fresh_seed);
        self.group();
        self
    }

    pub(crate) fn begin_shutdown(&self) {
        if let Some(group) = &self.group {
            group.shutdown.begin();
        }
    }

    fn group(&mut self) -> Group {
        let seed = *self.seed.get_or_insert_with(rand::fresh_seed);
        let make = || Group {
            shutdown: shutdown::Token::new(),
            blocking: BlockingPool::new(self.blocking_threads),
            start: Arc::default(),
            groups: Arc::new(Groups::new(seed)),
        };
        self.group.get_or_insert_with(make).clone()
    }

    /// How the cores begin.
    pub(crate) fn start(&self) -> Arc<Start> {
        self.group.as_ref().map_or_else(Arc::default, |group| Arc::clone(&group.start))
    }

    pub(crate) fn build_core(mut self, index: usize) -> Result<Runtime> {
        let group = self.group();
        let seed = rand::core_seed(self.seed.unwrap_or_else(rand::fresh_seed), index);
        let clock = if self.simulated { Clock::simulated() } else { Clock::real() };
        let park = if self.simulated { None } else { Some(Park::new(&ParkConfig::default())?) };
        let exec = Exec::new()?;
        let core = Rc::new(Core {
            exec,
            alarms: Alarms::new(clock.read(), clock.uncertainty()),
            clock,
            spin: RefCell::new(Spin::new(self.idle, self.spin, affinity::is_alone())),
            pool: Pool::with(&self.pool)?,
            park,
            reactors: RefCell::default(),
            watched: RefCell::default(),
            transports: Transports::default(),
            names: Names::default(),
            storage: Rc::default(),
            seed,
            rng: RefCell::new(Rng::new(seed)),
            core_index: index,
            cores: self.cores,
            patience: self.watchdog,
            shutdown: group.shutdown,
            blocking: group.blocking,
            groups: group.groups,
            deaf: Cell::new(false),
            running: Cell::new(false),
        });
        core.exec.placed();
        if let Some(park) = &core.park {
            core.exec.remote().set_unparker(park.unparker());
        }
        net::open(&core, &self.uris())?;
        Ok(Runtime::new(core))
    }

    /// The transports to open: what was given, else what the environment says.
    fn uris(&self) -> Vec<(String, String)> {
        if !self.nets.is_empty() || self.simulated {
            return self.nets.clone();
        }
        match std::env::var("HEMI_NET") {
            Ok(uri) if !uri.is_empty() => vec![(String::new(), uri)],
            _ => Vec::new(),
        }
    }
}

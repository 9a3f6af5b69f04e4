//! [`Attachment`]: the program on an interface, shared by the cores that open its queues.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use hemi_link::Interface;
use hemi_net::wire::MacAddr;
use hemi_queue::{Error, Result, Uri};

use crate::{
    bpf,
    filter::Rules,
    program::{self, Others},
};

/// Where the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In the interface's driver, before the kernel has made anything of a frame.
    Driver,
    /// In the kernel's generic path, which every interface has.
    Generic,
}

impl Mode {
    /// `XDP_FLAGS_*` (linux/if_link.h).
    fn flags(self) -> u32 {
        match self {
            Self::Generic => 1 << 1,
            Self::Driver => 1 << 2,
        }
    }
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "driver" => Ok(Self::Driver),
            "generic" => Ok(Self::Generic),
            _ => Err("must be `driver` or `generic`"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Driver { "driver" } else { "generic" })
    }
}

/// Queues that an interface may have for us.
const MAX_QUEUES: u32 = 1024;

/// A program that directs an interface's frames to the sockets in its map. Detached when the last core has dropped it.
#[derive(Debug)]
pub(crate) struct Attachment {
    sockets: OwnedFd,
    /// Of one value: how many datagrams the rules have rejected.
    rejected: OwnedFd,
    link: OwnedFd,
    /// The receive queues that are ours.
    opened: Mutex<BTreeSet<u32>>,
    mac: MacAddr,
    pub(crate) mode: Mode,
}

/// An interface: the network namespace that it is in, and its number there.
type Key = (u64, u32);

/// The attachments of this process.
static ATTACHED: Mutex<BTreeMap<Key, Weak<Attachment>>> = Mutex::new(BTreeMap::new());

impl Attachment {
    /// The attachment to `interface`: the one that this process has, or a new one.
    pub(crate) fn of(
        interface: &Interface,
        mac: MacAddr,
        mode: Option<Mode>,
        uri: &Uri,
    ) -> Result<Arc<Self>> {
        let namespace = std::fs::metadata("/proc/thread-self/ns/net").map_or(0, |meta| meta.ino());
        let key = (namespace, interface.index);
        let mut attached = ATTACHED.lock().unwrap_or_else(PoisonError::into_inner);
        attached.retain(|_, weak| weak.strong_count() > 0);
        if let Some(there) = attached.get(&key).and_then(Weak::upgrade) {
            let other = if there.mac != mac {
                format!("with mac={}", there.mac)
            } else if mode.is_some_and(|mode| mode != there.mode) {
                format!("with mode={}", there.mode)
            } else {
                return Ok(there);
            };
            let why = format!("this program has {} open already, {other}; they must agree", interface.name);
            return Err(uri.error(why).into());
        }
        let new = Arc::new(Self::new(interface, mac, mode)?);
        attached.insert(key, Arc::downgrade(&new));
        Ok(new)
    }

    fn new(interface: &Interface, mac: MacAddr, mode: Option<Mode>) -> Result<Self> {
        let name = &interface.name;
        let sockets =
            bpf::socket_map(MAX_QUEUES).map_err(|e| not_permitted("make a map of sockets for", name, e))?;
        let rejected = bpf::counter().map_err(|e| not_permitted("make a counter for", name, e))?;
        let program =
            program::for_station(mac, Others::Pass, sockets.as_fd(), rejected.as_fd(), &Rules::NONE)
                .ok_or_else(|| io::Error::from_raw_os_error(libc::E2BIG))
                .and_then(|program| bpf::load(&program))
                .map_err(|e| not_permitted("load an XDP program for", name, e))?;
        let attach = |mode: Mode| bpf::link(program.as_fd(), interface.index, mode.flags());
        let (link, mode) = match mode {
            Some(mode) => (attach(mode), mode),
            None => match attach(Mode::Driver) {
                Ok(link) => (Ok(link), Mode::Driver),
                Err(e) if e.raw_os_error() == Some(libc::EBUSY) => (Err(e), Mode::Driver),
                Err(e) => {
                    tracing::info!("{name}: no XDP in the driver ({e}); trying the generic path");
                    (attach(Mode::Generic), Mode::Generic)
                }
            },
        };
        let link = link.map_err(|e| {
            let why = match e.raw_os_error() {
                Some(libc::EBUSY | libc::EEXIST) => {
                    format!("{name} (it has another XDP program; `ip link show {name}` and `bpftool net` tell which)")
                }
                Some(libc::EOPNOTSUPP) => format!("{name} (its driver has no XDP; `mode=generic` goes everywhere)"),
                _ => format!("{name} in {mode} mode"),
            };
            not_permitted("attach an XDP program to", &why, e)
        })?;
        Ok(Self { sockets, rejected, link, opened: Mutex::default(), mac, mode })
    }

    /// From now on `socket` gets the frames of receive queue `number`.
    pub(crate) fn redirect(&self, number: u32, socket: &impl AsFd) -> io::Result<()> {
        bpf::set_socket(self.sockets.as_fd(), number, socket.as_fd())?;
        self.opened().insert(number);
        Ok(())
    }

    /// From now on frames of receive queue `number` go to the kernel.
    pub(crate) fn pass(&self, number: u32) -> io::Result<()> {
        self.opened().remove(&number);
        bpf::remove_socket(self.sockets.as_fd(), number)
    }

    /// Put a program with `rules` in the place of the one there is, between two frames. False, and nothing has changed, when they can't be
    /// translated, or when other cores have queues of the interface: a datagram may then be for the same address on another core.
    pub(crate) fn filter(&self, rules: &Rules) -> bool {
        let opened = self.opened();
        let alone = rules.is_empty() || *opened == BTreeSet::from([rules.queue]);
        let (sockets, rejected) = (self.sockets.as_fd(), self.rejected.as_fd());
        let program =
            alone.then(|| program::for_station(self.mac, Others::Pass, sockets, rejected, rules)).flatten();
        let Some(program) = program else { return false };
        let put = bpf::load(&program).and_then(|new| bpf::update_link(self.link.as_fd(), new.as_fd()));
        put.inspect_err(|e| tracing::warn!("the kernel refuses queue filters ({e}); they run in software"))
            .is_ok()
    }

    /// Datagrams that rules have rejected so far.
    pub(crate) fn rejected(&self) -> u64 {
        bpf::count(self.rejected.as_fd()).unwrap_or(0)
    }

    fn opened(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a refused step, with what it takes.
pub(crate) fn not_permitted(what: &'static str, target: &str, e: io::Error) -> Error {
    match e.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            let how =
                "which takes root, or CAP_NET_RAW with CAP_BPF and CAP_NET_ADMIN, outside of user namespaces";
            Error::io(what, format_args!("{target} ({how})"), e)
        }
        _ => Error::io(what, target, e),
    }
}

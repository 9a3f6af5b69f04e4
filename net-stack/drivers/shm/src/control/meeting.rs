//! [`Meeting`]: how two sides find each other, the first time and after every death.
//!
//! ```text
//!            a: accept, b: connect                    the other's hello
//!  Waiting ──────────────────────────► Greeting ─────────────────────────► Linked
//!     ▲                                    │                                    │
//!     └────────────────────────────────────┘ wrong, gone, or silent for 1 s     │
//!     └───────────────────────────────────────────────── the link ended: restart ┘
//! ```

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    path::PathBuf,
    time::Duration,
};

use hemi_queue::time::Instant;
use rustix::{event::epoll, io::Errno};

use super::{Hello, Seat, Socket, socket};
use crate::{area::Area, role::Role};

/// Between two attempts, at first and at most. Only connecting gets slower: a look for somebody to accept is one short call.
const RETRY: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];
/// After a meeting that came to nothing.
const PAUSE: Duration = Duration::from_millis(10);
/// Who has connected says hello within this time, or is let go.
const SILENCE: Duration = Duration::from_secs(1);

/// The waiting for the other side.
#[derive(Debug)]
pub(crate) struct Meeting {
    /// Dropped last: until then nobody else may bind our path.
    seat: Seat,
    path: PathBuf,
    /// Of a.
    listener: Option<OwnedFd>,
    /// Becomes readable when anything happens on any of our sockets.
    poller: OwnedFd,
    ours: Hello,
    phase: Phase,
    /// One line about each trouble, not one per attempt.
    warned: bool,
}

#[derive(Debug)]
enum Phase {
    Waiting {
        again: Instant,
        pause: Duration,
    },
    Greeting {
        socket: Socket,
        area: Option<Area>,
        until: Instant,
    },
    /// Met: nothing to do until [`Meeting::restart`].
    Linked,
}

/// The two sides have met.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) socket: Socket,
    pub(crate) area: Area,
    /// What the other said.
    pub(crate) theirs: Hello,
}

impl Phase {
    const START: Self = Self::Waiting { again: Instant::ZERO, pause: RETRY[0] };
}

impl Meeting {
    pub(crate) fn new(seat: Seat, ours: Hello) -> io::Result<Self> {
        let path = seat.socket_path();
        let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let listener = match seat.role {
            Role::A => Some(socket::listener(&path)?),
            Role::B => None,
        };
        let meeting = Self { seat, path, listener, poller, ours, phase: Phase::START, warned: false };
        meeting.expect_visitors(true)?;
        Ok(meeting)
    }

    /// Whether a connection that comes wakes us. Only while we wait for one: another would keep us awake to no avail.
    fn expect_visitors(&self, expect: bool) -> io::Result<()> {
        let Some(listener) = &self.listener else { return Ok(()) };
        if expect {
            epoll::add(&self.poller, listener, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        } else {
            epoll::delete(&self.poller, listener)?;
        }
        Ok(())
    }

    /// Wait again, from `again` on.
    fn wait(&mut self, again: Instant, pause: Duration) {
        if !matches!(self.phase, Phase::Waiting { .. }) {
            // Cannot fail for a descriptor of ours that is not there; if it did we would still look once in a while.
            let _ = self.expect_visitors(true);
        }
        self.phase = Phase::Waiting { again, pause };
    }

    pub(crate) fn role(&self) -> Role {
        self.seat.role
    }

    /// What a parked core watches.
    pub(crate) fn fd(&self) -> RawFd {
        self.poller.as_raw_fd()
    }

    /// When [`poll`](Self::poll) should be called even if nothing happens on [`fd`](Self::fd).
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Waiting { again, .. } => self.listener.is_none().then_some(*again),
            Phase::Greeting { until, .. } => Some(*until),
            Phase::Linked => None,
        }
    }

    /// The link has ended: look for the other side again, at once.
    pub(crate) fn restart(&mut self) {
        self.wait(Instant::ZERO, RETRY[0]);
    }

    /// Look once. Only an error of our own listener is one.
    pub(crate) fn poll(&mut self, now: Instant) -> io::Result<Option<Met>> {
        if let Phase::Waiting { again, pause } = self.phase {
            if now < again {
                return Ok(None);
            }
            let pause = if self.listener.is_some() { RETRY[0] } else { (pause * 2).min(RETRY[1]) };
            self.phase = Phase::Waiting { again: now + pause, pause };
            let socket = match &self.listener {
                Some(listener) => match Socket::accept(listener) {
                    // A system at its limit has room again some time.
                    Err(e) if is_passing(&e) => return Ok(self.trouble(now, "accept", &e)),
                    answer => answer?,
                },
                None => match Socket::connect(&self.path) {
                    Err(e) => return Ok(self.trouble(now, "connect", &e)),
                    Ok(socket) => socket,
                },
            };
            let Some(socket) = socket else { return Ok(None) };
            if let Err(e) = self.greet(socket, now) {
                return Ok(self.trouble(now, "greet", &e));
            }
        }
        Ok(self.hear(now))
    }

    fn greet(&mut self, socket: Socket, now: Instant) -> io::Result<()> {
        epoll::add(&self.poller, &socket, epoll::EventData::new_u64(1), epoll::EventFlags::IN)?;
        let area = match self.role() {
            Role::A => {
                let (area, memory) = Area::create(self.ours.ring)?;
                socket.say(self.ours, Some(rustix::fd::AsFd::as_fd(&memory)))?;
                Some(area)
            }
            Role::B => {
                socket.say(self.ours, None)?;
                None
            }
        };
        self.expect_visitors(false)?;
        self.phase = Phase::Greeting { socket, area, until: now + SILENCE };
        Ok(())
    }

    fn hear(&mut self, now: Instant) -> Option<Met> {
        let Phase::Greeting { socket, area, until } = &mut self.phase else { return None };
        let heard = socket.hear().and_then(|heard| {
            let Some((theirs, memory)) = heard else { return Ok(None) };
            let area = match (area.take(), memory) {
                (Some(area), _) => area,
                (None, Some(memory)) => Area::attach(&memory, theirs.ring)?,
                (None, None) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "no memory came with the hello"));
                }
            };
            Ok(Some((theirs, area)))
        });
        match heard {
            Ok(None) if now < *until => None,
            Ok(None) => self.trouble(now, "greet", &io::ErrorKind::TimedOut.into()),
            Err(e) => self.trouble(now, "greet", &e),
            Ok(Some((theirs, area))) => {
                let Phase::Greeting { socket, .. } = std::mem::replace(&mut self.phase, Phase::Linked) else {
                    return None;
                };
                self.warned = false;
                if theirs.mac == self.ours.mac {
                    tracing::warn!(mac = %theirs.mac, "both sides of a shm link have one address; give one another mac=");
                }
                Some(Met { socket, area, theirs })
            }
        }
    }

    /// Begin again, after a pause.
    #[cold]
    fn trouble<T>(&mut self, now: Instant, doing: &str, error: &io::Error) -> Option<T> {
        if !self.warned {
            self.warned = true;
            tracing::warn!(path = %self.path.display(), %error, "cannot {doing} the other side of a shm link yet; trying again");
        }
        self.wait(now + PAUSE, PAUSE);
        None
    }
}

fn is_passing(error: &io::Error) -> bool {
    let passing = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::PERM, Errno::PROTO];
    error.raw_os_error().is_some_and(|n| passing.iter().any(|e| e.raw_os_error() == n))
}

impl Drop for Meeting {
    fn drop(&mut self) {
        if self.listener.is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

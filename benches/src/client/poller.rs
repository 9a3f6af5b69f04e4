//! Which links have something to take.

use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::link::Link;
use crate::error::Error;

/// One link is simply tried each turn; of several, epoll knows which, and is never waited for.
pub(super) enum Poller {
    Direct,
    Epoll { set: OwnedFd, events: Vec<epoll::Event> },
}

impl Poller {
    pub(super) fn new<L: Link>(links: &[L]) -> Result<Self, Error> {
        if links.len() == 1 {
            return Ok(Self::Direct);
        }
        let open = || {
            let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            for (index, link) in links.iter().enumerate() {
                epoll::add(&set, link, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
            }
            Ok(set)
        };
        let set = open().map_err(|errno: rustix::io::Errno| failed("setting up epoll", errno))?;
        Ok(Self::Epoll { set, events: Vec::with_capacity(links.len()) })
    }

    /// Whether there is one link, polled by trying.
    pub(super) fn is_direct(&self) -> bool {
        matches!(self, Self::Direct)
    }

    /// Appends the indices of links to try.
    pub(super) fn ready(&mut self, indices: &mut Vec<usize>) -> Result<(), Error> {
        match self {
            Self::Direct => indices.push(0),
            Self::Epoll { set, events } => {
                events.clear();
                let now = Timespec { tv_sec: 0, tv_nsec: 0 };
                match epoll::wait(set, spare_capacity(events), Some(&now)) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(errno) => return Err(failed("waiting for readiness", errno)),
                }
                indices.extend(events.iter().map(|event| event.data.u64() as usize));
            }
        }
        Ok(())
    }
}

fn failed(doing: &'static str, errno: rustix::io::Errno) -> Error {
    Error::Io { doing, source: errno.into() }
}

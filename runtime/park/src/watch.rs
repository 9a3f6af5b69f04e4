//! Watched descriptors on a ring: one-shot polls that are armed only for a sleep.
//!
//! While the core is awake a watched descriptor costs nothing: a poll that fired is not armed again before the next
//! sleep, and then its first check is of the level, so that nothing is missed.

use std::{cell::RefCell, os::fd::RawFd};

use io_uring::{opcode, types};

use crate::{Ring, dispatch::OWN};

#[derive(Default)]
pub(crate) struct Watches(RefCell<Vec<Watch>>);

/// An index in the list is the operation's key; a removed watch keeps its place until its poll has completed.
#[derive(Default)]
struct Watch {
    fd: Option<RawFd>,
    armed: bool,
}

/// Completions of cancels, which tell nothing.
const CANCEL: u64 = u32::MAX as u64;

impl Watches {
    pub(crate) fn add(&self, fd: RawFd) {
        let mut list = self.0.borrow_mut();
        if list.iter().any(|w| w.fd == Some(fd)) {
            return;
        }
        let watch = Watch { fd: Some(fd), armed: false };
        match list.iter_mut().find(|w| w.fd.is_none() && !w.armed) {
            Some(free) => *free = watch,
            None => list.push(watch),
        }
    }

    pub(crate) fn remove(&self, fd: RawFd, ring: &Ring) {
        let mut list = self.0.borrow_mut();
        let Some(at) = list.iter().position(|w| w.fd == Some(fd)) else { return };
        list[at].fd = None;
        if list[at].armed {
            let cancel = opcode::PollRemove::new(OWN.user_data(at as u64)).build();
            // SAFETY: a cancel names no memory.
            unsafe { ring.push(OWN, CANCEL, cancel) };
            ring.submit();
        }
    }

    /// Arm what is not: before a sleep.
    pub(crate) fn arm(&self, ring: &Ring) {
        for (at, watch) in self.0.borrow_mut().iter_mut().enumerate() {
            let Some(fd) = watch.fd else { continue };
            if !watch.armed {
                watch.armed = true;
                let poll = opcode::PollAdd::new(types::Fd(fd), libc::POLLIN as u32).build();
                // SAFETY: a poll names no memory.
                unsafe { ring.push(OWN, at as u64, poll) };
            }
        }
    }

    pub(crate) fn complete(&self, key: u64) {
        if let Some(watch) = self.0.borrow_mut().get_mut(key as usize) {
            watch.armed = false;
        }
    }
}

//! [`LinkWatch`]: is the interface still there?

use std::{io, os::fd::OwnedFd, time::Duration};

use hemi_net::Gone;
use hemi_queue::time::Instant;

use crate::{
    Interface,
    interface::{control_socket, flags, is_up, name_of},
};

/// How often an interface is looked at.
const PERIOD: Duration = Duration::from_millis(100);

/// Looks now and then whether an interface was removed or set down, which the memory shared with the kernel does not tell.
#[derive(Debug)]
pub struct LinkWatch {
    socket: OwnedFd,
    index: u32,
    name: String,
    next: Instant,
}

impl LinkWatch {
    /// Watch `interface`.
    pub fn new(interface: &Interface) -> io::Result<Self> {
        Ok(Self {
            socket: control_socket()?,
            index: interface.index,
            name: interface.name.clone(),
            next: Instant::ZERO,
        })
    }

    /// [`Gone`] if the interface is; looks at it only when a tenth of a second has passed since the last time.
    #[inline]
    pub fn check(&mut self, now: Instant) -> Result<(), Gone> {
        if now < self.next { Ok(()) } else { self.look(now) }
    }

    #[cold]
    fn look(&mut self, now: Instant) -> Result<(), Gone> {
        self.next = now + PERIOD;
        let source = match name_of(&self.socket, self.index).and_then(|name| is_up(&self.socket, &name)) {
            Ok(false) => io::Error::from_raw_os_error(libc::ENETDOWN),
            Err(e) if e.raw_os_error() == Some(libc::ENODEV) => e,
            Ok(true) | Err(_) => return Ok(()), // no answer is no bad news
        };
        Err(self.gone(source))
    }

    /// Whether its cable is plugged in, as far as the kernel tells. A system call or two, each time.
    pub fn has_carrier(&self) -> bool {
        let flags = name_of(&self.socket, self.index).and_then(|name| flags(&self.socket, &name));
        flags.map_or(true, |flags| flags & libc::IFF_RUNNING != 0) // no answer is no bad news
    }

    /// Whether it is there and up now, whatever a socket's error says of a moment ago.
    pub fn is_up(&self) -> bool {
        name_of(&self.socket, self.index).and_then(|name| is_up(&self.socket, &name)).unwrap_or(false)
    }

    /// Look at the next [`check`](Self::check), whenever it comes.
    pub fn look_soon(&mut self) {
        self.next = Instant::ZERO;
    }

    /// The interface's name when it was opened.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// That the interface is gone, as `source` says.
    pub fn gone(&self, source: io::Error) -> Gone {
        Gone { name: self.name.clone(), source }
    }
}

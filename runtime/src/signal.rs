//! Signals as futures.
//!
//! ```no_run
//! # async fn serve() {}
//! # hemi::Runtime::builder().build()?.block_on(async {
//! hemi::spawn(serve());
//! hemi::signal::shutdown().await?; // ctrl-c or SIGTERM
//! hemi::shutdown::drain(std::time::Duration::from_secs(5)).await;
//! # Ok::<(), hemi::Error>(())
//! # })?;
//! # Ok::<(), hemi::Error>(())
//! ```
//!
//! The first wait for a signal takes it over for the rest of the process: its default action (to end the process) does
//! not come back. Any number of tasks on any number of cores may wait; each gets every signal that arrives after its
//! future was made. The handler itself only writes a byte (crate `signal-hook`); a thread of its own wakes the tasks.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread,
};

use hemi_queue::{Error, Result};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::{Handle, Signals},
};
use slab::Slab;

/// Wait for SIGINT: ctrl-c at the terminal.
pub fn ctrl_c() -> Signal {
    Signal::new(&[SIGINT])
}

/// Wait for SIGTERM: a polite request to end.
pub fn terminate() -> Signal {
    Signal::new(&[SIGTERM])
}

/// Wait for SIGINT or SIGTERM, whichever comes first.
pub fn shutdown() -> Signal {
    Signal::new(&[SIGINT, SIGTERM])
}

/// Wait for SIGHUP: by custom, "read your configuration again".
pub fn hangup() -> Signal {
    Signal::new(&[SIGHUP])
}

/// What is known of signals, in this process.
struct Hub {
    handle: Option<Handle>,
    /// How often each signal has arrived. The numbers of ordinary signals are below 32.
    arrived: [u64; 32],
    waiting: Slab<(u32, Waker)>,
}

static HUB: Mutex<Hub> = Mutex::new(Hub { handle: None, arrived: [0; 32], waiting: Slab::new() });

fn hub() -> MutexGuard<'static, Hub> {
    HUB.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// Take over `signals`, starting the thread that hears them if it does not run yet.
    fn take_over(&mut self, signals: &[i32]) -> Result<()> {
        if let Some(handle) = &self.handle {
            for &signal in signals {
                handle.add_signal(signal).map_err(|e| Error::io("sigaction", signal, e))?;
            }
            return Ok(());
        }
        let mut hears = Signals::new(signals).map_err(|e| Error::io("sigaction", "", e))?;
        let handle = hears.handle();
        thread::Builder::new()
            .name("hemi-signals".into())
            .spawn(move || hears.forever().for_each(deliver))
            .map_err(|e| Error::io("start the thread for signals", "", e))?;
        self.handle = Some(handle);
        Ok(())
    }

    fn count(&self, mask: u32) -> u64 {
        (0..32).filter(|s| mask & 1 << s != 0).map(|s| self.arrived[s]).sum()
    }
}

fn deliver(signal: i32) {
    let mut woken = Vec::new();
    {
        let mut hub = hub();
        let Some(arrived) = usize::try_from(signal).ok().and_then(|s| hub.arrived.get_mut(s)) else { return };
        *arrived += 1;
        hub.waiting.retain(|_, (mask, waker)| {
            let hit = *mask & 1 << signal != 0;
            if hit {
                woken.push(waker.clone());
            }
            !hit
        });
    }
    woken.into_iter().for_each(Waker::wake);
}

/// The future of a signal: ready when it arrives, or with an error when the system refuses to hand it over.
#[must_use = "waits only when awaited"]
pub struct Signal {
    mask: u32,
    /// How many had arrived when this was made.
    seen: u64,
    key: Option<usize>,
    refused: Option<Error>,
}

impl Signal {
    fn new(signals: &[i32]) -> Self {
        let mask = signals.iter().fold(0, |mask, s| mask | 1 << s);
        let mut hub = hub();
        let refused = hub.take_over(signals).err();
        Self { mask, seen: hub.count(mask), key: None, refused }
    }
}

impl Future for Signal {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(error) = self.refused.take() {
            return Poll::Ready(Err(error));
        }
        let mut hub = hub();
        if hub.count(self.mask) > self.seen {
            self.key = None; // `deliver` took it out
            return Poll::Ready(Ok(()));
        }
        match self.key {
            Some(key) => hub.waiting[key].1.clone_from(cx.waker()),
            None => self.key = Some(hub.waiting.insert((self.mask, cx.waker().clone()))),
        }
        Poll::Pending
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut hub = hub();
        // Delivered meanwhile: the entry is gone, its key may be somebody else's.
        let kept = (hub.count(self.mask) == self.seen).then(|| hub.waiting.try_remove(key));
        drop(hub);
        drop(kept);
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").field("mask", &format_args!("{:#x}", self.mask)).finish_non_exhaustive()
    }
}

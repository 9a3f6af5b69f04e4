//! [`opened`]: a log's recovery, driven by the turn.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use hemi_queue::{Error, Progress, Result, Uri, Waiter, Wakeup, time::Instant};
use hemi_storage::{Log, LogError, Recovery};

use super::{
    Storage,
    open::{self, Place, Wanted},
    reactor::Served,
};
use crate::{context, time};
use hemi_storage::BlockDevice;

/// How long to wait for a lock: the last writes of a process that was killed hold it.
const LOCK_TRIES: u32 = 250;
const LOCK_NAP: Duration = Duration::from_millis(20);

struct Opener {
    place: RefCell<Option<Place>>,
    outcome: RefCell<Option<Result<(Log, Recovery), LogError>>>,
    waiter: Waiter,
    over: Cell<bool>,
}

/// Open or create the log at `uri`. Cancel-safe: a dropped future lets go of the device.
pub(super) async fn opened(uri: &str, wanted: Wanted) -> Result<(Log, Box<dyn BlockDevice>, Recovery)> {
    let core = context::current()?;
    let mut tries = 0;
    let place = loop {
        // Parsed again every time: a URI gives each parameter once.
        let uri: Uri = uri.parse()?;
        match open::place(&core, &uri, wanted) {
            Err(Error::Io(e)) if e.source.kind() == io::ErrorKind::ResourceBusy && tries < LOCK_TRIES => {
                tries += 1;
                time::sleep(LOCK_NAP).await;
            }
            other => break other?,
        }
    };
    let opener = Rc::new(Opener {
        place: RefCell::new(Some(place)),
        outcome: RefCell::default(),
        waiter: Waiter::new(),
        over: Cell::new(false),
    });
    Storage::add(&core, Rc::clone(&opener) as Rc<dyn Served>);
    let guard = Guard(&opener);
    let outcome = poll_fn(|cx| {
        if let Some(outcome) = opener.outcome.take() {
            return Poll::Ready(outcome);
        }
        opener.waiter.register(cx.waker());
        Poll::Pending
    })
    .await;
    let place = opener.place.take();
    drop(guard);
    let (log, found) = outcome?;
    let Some(place) = place else { return Err(Error::Closed) };
    if let Some(cut) = &found.cut {
        tracing::warn!(uri, torn = cut.torn, given_up = cut.behind.records, "{found}");
    } else {
        tracing::debug!(uri, "{found}");
    }
    Ok((log, place.device, found))
}

/// The future is done with it, one way or the other.
struct Guard<'o>(&'o Opener);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.over.set(true);
        drop(self.0.place.take());
    }
}

impl Served for Opener {
    fn poll(&self, now: Instant) -> Progress {
        let mut place = self.place.borrow_mut();
        let Some(Place { device, opening }) = &mut *place else { return Progress::Idle };
        opening.turn(&mut **device, now);
        let Some(outcome) = opening.finish() else { return Progress::Idle };
        drop(place);
        *self.outcome.borrow_mut() = Some(outcome);
        self.waiter.wake();
        Progress::Busy
    }

    fn deadline(&self) -> Option<Instant> {
        self.place.borrow().as_ref()?.device.deadline()
    }

    fn wakeup(&self) -> Wakeup {
        self.place.borrow().as_ref().map_or(Wakeup::Core, |place| place.device.wakeup())
    }

    fn yields_core(&self) -> bool {
        self.place.borrow().as_ref().is_some_and(|place| place.device.is_served_by_thread())
    }

    fn is_over(&self) -> bool {
        self.over.get()
    }

    fn shutdown(&self) {
        self.over.set(true);
    }
}

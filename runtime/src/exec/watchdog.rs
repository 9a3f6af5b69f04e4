//! Who does not yield: a thread that looks at every core's heartbeat and names the task that is being polled.
//!
//! A task that never returns cannot be found by its own core. One thread per process, started by the first runtime that
//! runs, wakes ten times a second while any does; a core tells it nothing but a turn counter and where the task that it
//! polls was spawned.

use std::{
    ptr,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use super::remote::Remote;

/// How often the cores are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A core that is being watched.
struct Watched {
    remote: &'static Remote,
    /// How long a turn may take.
    patience: Duration,
    turn: u64,
    since: Instant,
    /// When the next line about this turn is due, counted from its begin.
    next_line: Duration,
}

struct State {
    cores: Vec<Watched>,
    started: bool,
}

static STATE: Mutex<State> = Mutex::new(State { cores: Vec::new(), started: false });
static CHANGED: Condvar = Condvar::new();

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches a core until it is dropped.
pub(crate) struct Watch(Option<&'static Remote>);

/// Watch the core behind `remote`: a turn that takes longer than `patience` is reported.
pub(crate) fn watch(remote: &'static Remote, patience: Option<Duration>) -> Watch {
    let Some(patience) = patience else { return Watch(None) };
    let mut state = state();
    let turn = remote.beat.turns.load(Ordering::Relaxed);
    state.cores.push(Watched { remote, patience, turn, since: Instant::now(), next_line: patience });
    if !state.started {
        // Without the thread nobody is named; that is no reason not to run.
        let thread = thread::Builder::new().name("hemi-watchdog".into()).stack_size(64 << 10).spawn(look);
        state.started = thread.is_ok();
    }
    drop(state);
    CHANGED.notify_one();
    Watch(Some(remote))
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(remote) = self.0 {
            let mut state = state();
            if let Some(at) = state.cores.iter().rposition(|c| ptr::eq(c.remote, remote)) {
                state.cores.swap_remove(at);
            }
        }
    }
}

/// The thread.
fn look() {
    let mut state = state();
    loop {
        state = if state.cores.is_empty() {
            CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner)
        } else {
            CHANGED.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0
        };
        let now = Instant::now();
        for core in &mut state.cores {
            core.look(now);
        }
    }
}

impl Watched {
    fn look(&mut self, now: Instant) {
        let turn = self.remote.beat.turns.load(Ordering::Relaxed);
        let running = self.remote.beat.running.load(Ordering::Relaxed);
        // SAFETY: null, or a `&'static Location` that `Exec::run` stored.
        let running = unsafe { running.as_ref() };
        let Some(at) = running.filter(|_| turn == self.turn) else {
            // Another turn, or none: parked, or between polls.
            (self.turn, self.since, self.next_line) = (turn, now, self.patience);
            return;
        };
        let lasted = now.saturating_duration_since(self.since);
        if lasted >= self.next_line {
            self.next_line = lasted * 2;
            tracing::warn!(
                task = %at,
                ms = lasted.as_millis() as u64,
                "a task does not yield: it was spawned at {at}, and its core has not finished a turn for {} ms; \
                 use yield_now().await or spawn_blocking",
                lasted.as_millis(),
            );
        }
    }
}

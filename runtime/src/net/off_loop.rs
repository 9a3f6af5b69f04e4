//! One blocking call on a thread of its own, awaited.

use std::{
    future::poll_fn,
    io,
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
};

enum State<T> {
    Running(Option<Waker>),
    Done(io::Result<T>),
    Taken,
}

/// Run `call` on a thread of its own; for the rare blocking calls of the system that have no other form.
pub(super) async fn off_loop<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let state = Arc::new(Mutex::new(State::Running(None)));
    let theirs = Arc::clone(&state);
    std::thread::Builder::new().name("hemi-resolve".to_owned()).spawn(move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call))
            .unwrap_or_else(|_| Err(io::Error::other("the call panicked")));
        let before = std::mem::replace(
            &mut *theirs.lock().unwrap_or_else(PoisonError::into_inner),
            State::Done(result),
        );
        if let State::Running(Some(waker)) = before {
            waker.wake();
        }
    })?;
    poll_fn(|cx| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Taken) {
            State::Running(_) => {
                *state = State::Running(Some(cx.waker().clone()));
                Poll::Pending
            }
            State::Done(result) => Poll::Ready(result),
            State::Taken => Poll::Ready(Err(io::Error::other("asked again after the answer"))),
        }
    })
    .await
}

//! [`until()`]: waiting for something that has no future of its own.

use std::time::Duration;

use hemi::time::{now, sleep};

use crate::kernels::HANG;

/// Go on as soon as `holds`; other tasks and the devices run meanwhile.
///
/// # Panics
/// When it still does not hold after [`HANG`]: `what` says what did not happen.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let at = std::panic::Location::caller();
    async move {
        let begin = now();
        while !holds() {
            assert!(now() - begin < HANG, "{at}: this did not happen: {what}");
            sleep(Duration::from_micros(500)).await;
        }
    }
}

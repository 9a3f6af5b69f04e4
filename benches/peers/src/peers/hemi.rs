//! hemi itself.

use std::future::Future;

use crate::peer::{Outcome, Peer};

/// hemi with its default idle policy.
pub struct Hemi;

impl Peer for Hemi {
    fn run<T: 'static>(root: impl Future<Output = T> + 'static) -> T {
        let runtime = hemi::Runtime::builder().build().expect("a hemi runtime");
        runtime.block_on(async { hemi::spawn(root).await.expect("the root task") })
    }

    fn spawn<T: Outcome + 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output: Outcome> + 'static {
        hemi::spawn(task)
    }
}

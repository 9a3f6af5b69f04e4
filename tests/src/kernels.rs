//! A runtime on each backend of the kernel's sockets.

use std::{future::Future, time::Duration};

use hemi::Runtime;

/// The backends, as URIs.
pub const BACKENDS: [&str; 3] = ["kernel:?backend=uring", "kernel:?backend=epoll", "kernel:?backend=poll"];

/// A test that takes longer has hung: far beyond what a loaded machine needs.
pub const HANG: Duration = Duration::from_secs(300);

/// Call `test` with a runtime on each backend that this machine has; the others are announced as skipped.
///
/// # Panics
/// When a backend that every machine has does not open.
pub fn each(test: impl Fn(Runtime)) {
    for uri in BACKENDS {
        match Runtime::builder().net(uri).build() {
            Ok(runtime) => {
                eprintln!("-- {uri}"); // shown when the test fails
                test(runtime);
            }
            Err(e) if uri.ends_with("uring") => hemi_skip::skip_part!(uri, "{e}"),
            Err(e) => panic!("{uri}: {e}"),
        }
    }
}

/// Run `case` to its end, unless it hangs or fails.
///
/// # Panics
/// When `case` fails, or hangs.
#[track_caller]
pub fn run<T>(runtime: &Runtime, case: impl Future<Output = hemi::Result<T>>) -> T {
    let outcome = runtime.block_on(hemi::time::timeout(HANG, case));
    match outcome.unwrap_or_else(|_| panic!("not done after {HANG:?}")) {
        Ok(value) => value,
        Err(e) => panic!("{e} ({e:?})"),
    }
}

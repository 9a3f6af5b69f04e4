//! What `#[hemi::main]` and `#[hemi::test]` expand to calls of. Not for use by hand: it changes with them.
//!
//! The expansion builds a runtime, and where that fails has to do one of two things, by the type that the
//! marked function returns: a `Result` whose error can be made from an [`Error`] takes it; for anything
//! else the process (or the test) ends with the reason. A macro sees no types, so the choice is the
//! compiler's: `(&Returns::<R>::new()).failed(..)` finds [`ResultReturn`] without a further reference where
//! its bounds hold, and [`OtherReturn`] with one more reference everywhere.

use std::env;
use std::error::Error as _;
use std::marker::PhantomData;
use std::process;

use hemi_queue::Error;

/// Stands for the return type `R`.
pub struct Returns<R>(PhantomData<fn() -> R>);

impl<R> Returns<R> {
    /// A value to call `failed` on.
    #[allow(clippy::new_without_default)] // nobody but the expansion makes one
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// The function returns a `Result` that can hold our error.
pub trait ResultReturn {
    /// What it returns.
    type Returned;
    /// The error, as its return value.
    fn failed(&self, error: Error, end: fn(&Error) -> !) -> Self::Returned;
}

impl<T, E: From<Error>> ResultReturn for Returns<Result<T, E>> {
    type Returned = Result<T, E>;

    fn failed(&self, error: Error, _end: fn(&Error) -> !) -> Self::Returned {
        Err(error.into())
    }
}

/// The function returns something else.
pub trait OtherReturn {
    /// What it returns.
    type Returned;
    /// Ends with the reason.
    fn failed(&self, error: Error, end: fn(&Error) -> !) -> Self::Returned;
}

impl<R> OtherReturn for &Returns<R> {
    type Returned = R;

    fn failed(&self, error: Error, end: fn(&Error) -> !) -> R {
        end(&error)
    }
}

/// How `main` ends without a runtime: the reason on standard error, status 1.
pub fn exit(error: &Error) -> ! {
    eprintln!("hemi: {}", with_causes(error));
    process::exit(1)
}

/// How a test ends without a runtime.
#[track_caller]
pub fn panic(error: &Error) -> ! {
    panic!("no runtime for this test: {}", with_causes(error))
}

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The seed of a simulated test: the one it was written with, or `HEMI_SEED`. It is printed, which the
/// test harness shows when the test fails.
///
/// # Panics
/// When `HEMI_SEED` is no number from 0 to 2⁶⁴ − 1.
pub fn seed(written: u64) -> u64 {
    let seed = match env::var("HEMI_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|_| {
            panic!("HEMI_SEED is \"{text}\": it takes a number from 0 to 2^64 - 1");
        }),
        Err(_) => written,
    };
    println!("simulated with seed {seed}; to run this test with it again: HEMI_SEED={seed}");
    seed
}

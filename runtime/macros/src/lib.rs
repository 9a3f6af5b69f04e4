//! `#[hemi::main]` and `#[hemi::test]`: an `async fn` becomes a plain one that builds a runtime and runs it.
//!
//! Both are re-exported by the crate `hemi`, and what they expand to names that crate; nothing else is
//! needed. A function marked so has no parameters and returns anything `main` or a test may return. When
//! the runtime cannot be built, a function that returns a `Result` whose error can be made from
//! `hemi::Error` returns that error; any other says what is wrong and ends (`main` with status 1, a test by a
//! panic).
//!
//! Inside: `options` reads the arguments, `function` checks what stands below the attribute, `expand` puts
//! both together. Every mistake is a compile error at the word that is wrong, and several are told at once.
//!
//! Left out: starting a runtime inside a runtime, and building one from another source than its builder;
//! for those, call `hemi::Runtime::builder()` in a plain `fn main`.
#![forbid(unsafe_code)]

mod errors;
mod expand;
mod function;
mod options;

use proc_macro::TokenStream;

use expand::Kind;

/// Runs an `async fn main` on a hemi runtime.
///
/// | argument | what |
/// |---|---|
/// | `idle = "busy"`, `"adaptive"`, `"park"` | what the loop does when there is nothing to do (`Builder::idle`) |
/// | `net = "URI"`, several times too | the transports (`Builder::net`) |
/// | `cores = N` | the same function on N pinned threads (`Builder::cores`) |
///
/// What is left out is the builder's default; `HEMI_NET` in the environment chooses the transport then.
///
/// ```
/// #[hemi::main(idle = "busy")]
/// async fn main() -> hemi::Result<()> {
///     let task = hemi::spawn(async { 20 + 22 });
///     assert_eq!(task.await.unwrap(), 42);
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(Kind::Main, arguments.into(), item.into()).into()
}

/// Runs an `async fn` as a test, on a runtime of its own.
///
/// It takes the arguments of [`main`](macro@main), and two more:
///
/// | argument | what |
/// |---|---|
/// | `sim` | virtual time and a deterministic runtime (`Builder::simulated`) with seed 0 |
/// | `seed = N` | the same, with this seed |
///
/// In simulation, `HEMI_SEED=N` in the environment replaces the seed; a test that fails prints the one
/// it ran with. Other attributes (`#[ignore]`, `#[should_panic]`) work as they do on any test.
///
/// ```
/// #[hemi::test(sim)]
/// async fn an_hour_passes_at_once() {
///     let start = hemi::time::now();
///     hemi::time::sleep(std::time::Duration::from_secs(3600)).await;
///     assert!(hemi::time::now() - start >= std::time::Duration::from_secs(3600));
/// }
/// ```
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(Kind::Test, arguments.into(), item.into()).into()
}

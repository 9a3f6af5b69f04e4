//! Queues as the traits of other libraries.
//!
//! | call | gives | needs |
//! |---|---|---|
//! | [`into_stream(q)`](into_stream()) | a `futures` [`Stream`](futures_core::Stream) | [`Pop`](crate::Pop) |
//! | [`into_sink(q)`](into_sink()) | a `futures` [`Sink`](futures_sink::Sink) | [`Push`](crate::Push) |
//! | [`into_bytes(q)`](into_bytes()) | `futures` [`AsyncRead`](futures_io::AsyncRead), `AsyncBufRead` and `AsyncWrite`; with the feature `tokio` also tokio's | a queue of buffers |
//!
//! All are newtypes that read at most one unit ahead and come apart again with `into_parts()` or `into_inner()`.
//! A queue is the better interface (a read copies, a popped buffer does not): these are for
//! code that exists.

mod bytes;
mod sink;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(feature = "tokio")]
mod tokio;

pub use bytes::{QueueBytes, into_bytes};
pub use sink::{PushSink, into_sink};
pub use stream::{PopStream, into_stream};

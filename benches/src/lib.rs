//! The latency lab of hemi as a library.
pub mod client;
pub mod contestants;
pub mod cores;
pub mod error;
pub mod payload;
pub mod probe;
pub mod recorder;
pub mod scenario;
pub mod stop;
pub use error::Error;

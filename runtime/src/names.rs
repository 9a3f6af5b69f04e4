//! What the runtime knows by name: the tables of queue descriptors and tokens.

/// The tables of one runtime.
#[derive(Debug, Default)]
pub(crate) struct Names {}

//! Typed queues: the queue in memory, the portable [`Listener`] and [`Conn`], and the queues of one protocol.
pub mod memory;

//! Small tools without a protocol in them: a keyed hash, a seeded generator, a slab, a queue, a rate limit.

pub(crate) mod fifo;
pub(crate) mod rng;
pub(crate) mod siphash;
pub(crate) mod slab;
pub(crate) mod token_bucket;

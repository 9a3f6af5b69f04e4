//! Qtokens: names of operations in flight, and waiting for sets of them.

//! The bare queue calls of the paper, on queue descriptors.

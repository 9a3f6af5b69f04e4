//! Queues as the traits of other libraries.

//! Bad input and trouble: what peers, machines and programs do to a runtime, on every backend of the kernel's sockets.
//!
//! The peers are plain `std` sockets. What two hemi programs do to each other is in `transport.rs`.
#![forbid(unsafe_code)]

mod trouble {
    mod abandoned;
    mod addresses;
    mod churn;
    mod clock;
    mod descriptors;
    mod drops;
    mod flood;
    mod half_close;
    mod no_reader;
    mod resets;
    mod resp;
    mod tasks;
    mod units;
    mod wakers;
}

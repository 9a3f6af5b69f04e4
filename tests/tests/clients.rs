//! Other people's programs, and the kernel's sockets, against the examples on the user-level stack: over a TAP device and over
//! both kinds of packet sockets, in a network namespace of each test's own.
#![forbid(unsafe_code)]

/// The name marks what needs root and a namespace.
#[path = "clients"]
mod netns {
    mod guest;
    mod many;
    mod programs;
    mod testbed;
}

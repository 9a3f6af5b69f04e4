//! hemi's user-level network stack: sans-IO Ethernet, IP, UDP and TCP.
#![forbid(unsafe_code)]

pub mod wire;

//! Bindings to DPDK, of the version that the system has: 22.11, and later ones that keep its interface.
//!
//! Made by bindgen from an allow-list at build time, and a C shim (`shim/shim.c`) for what is `static inline` in DPDK's headers: bursts, buffers. Nothing
//! in here is more than the C below it; what it owes and promises is said in DPDK's documentation. Crate `hemi-dpdk` is the driver.
//!
//! Without the feature `bindings`, or on a system without DPDK, the crate is empty.
#![allow(missing_docs, non_camel_case_types, non_snake_case, non_upper_case_globals, unreachable_pub)]
#![allow(clippy::all, clippy::pedantic, clippy::undocumented_unsafe_blocks, unused_qualifications)]
#![allow(rustdoc::all)]

#[cfg(dpdk)]
include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

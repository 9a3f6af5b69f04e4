//! A virtual machine with devices that this machine lacks, to run programs of this machine in.
//!
//! RDMA ports, NVMe namespaces and zoned disks exist in Debian's kernel and in QEMU, not in most machines that run tests. One call,
//! [`Guest::run`], boots that kernel in QEMU with the devices of a [`Group`], sees the host's file system read-only (so that a program that
//! cargo has just built runs unchanged, with the host's libraries), runs one program, streams its output and gives its exit status back.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! let guest = hemi_guest::Guest::new(hemi_guest::Group::Rdma).time_limit(Duration::from_secs(300));
//! let code = guest.run("rdma".as_ref(), &["link".into(), "show".into()])?;
//! assert_eq!(code, 0);
//! # Ok::<(), hemi_guest::Error>(())
//! ```
//!
//! The command of the same name (`cargo run -p hemi-guest -- run --group rdma -- PROGRAM ARGS`) does the same from a shell. It also fits cargo as
//! a *runner*: with `CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="hemi-guest run --group rdma --"` in the environment, `cargo test` runs
//! each test program inside a guest of its own. Tests that are meant for it say so by [`needs!`].
//!
//! How a run goes: [`kernel`] takes the kernel from Debian's archive (never installed), [`initramfs`] makes the small first file system with
//! the group's modules, both kept under the target folder; [`job`] writes down what to run, [`qemu`] runs it and watches the clock. The
//! program finds `HEMI_GUEST=GROUP` in its environment. What it writes is gone with the guest, but for the folders of
//! [`Guest::write_to`].
//!
//! Left out on purpose: standard input; KVM (it works on few of the machines that run tests, and two ways to run are two sets of
//! timings); architectures other than x86-64; a network to the outside.
#![forbid(unsafe_code)]

mod bzimage;
mod cache;
mod cpio;
mod error;
mod group;
mod guest;
pub mod initramfs;
pub mod job;
pub mod kernel;
mod modules;
mod needs;
mod output;
pub mod qemu;
mod tools;

#[doc(hidden)]
pub use hemi_skip;

pub use error::{Error, Result};
pub use group::Group;
pub use guest::{Guest, here};
pub use tools::missing;

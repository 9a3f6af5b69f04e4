//! The latency lab of hemi as a library: who echoes how fast, measured so that the answer can be
//! believed.
//!
//! * A [`Scenario`](scenario::Scenario) says what is asked: transport, message size, connections,
//!   messages in flight, closed or open loop.
//! * A [`Contestant`](contestants::Contestant) is an echo server that the lab can start; to add one is
//!   to add a small file in `contestants/`.
//! * The [`Lab`](lab::Lab) gives each its turn, round after round, on one pinned core, drives it from
//!   another with the one [`client`], and puts a [`probe`] of the machine beside every sample.
//! * An [`Experiment`](results::Experiment) is what comes of it: a [table](report::table), a JSON file,
//!   an SVG plot, an HTML page.
//!
//! Latencies go into an HDR histogram; every echoed byte is checked ([`payload`]); an open loop counts
//! from the moment a message was due, so a server that stalls cannot hide it.
//!
//! Left out on purpose: a client that runs on several cores (one busy core must be able to drive one
//! busy server core, and the tables say when it cannot), and any clock but the client's.
//!
//! ```
//! use hemi_bench::{client, contestants::floor::Floor, cores::Cores};
//! use hemi_bench::lab::{Lab, Subject};
//! use hemi_bench::scenario::{Pace, Scenario, Transport};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), hemi_bench::Error> {
//! # let Ok(cores) = Cores::choose(None, None) else { return Ok(()) };
//! let subjects = vec![Subject::Ours(Box::new(Floor))];
//! let lab = Lab { subjects, rounds: 2, cores, drive: client::drive };
//! let experiment = lab.run(
//!     &Scenario {
//!         transport: Transport::Udp,
//!         size: 64,
//!         connections: 1,
//!         depth: 1,
//!         pace: Pace::Closed,
//!         warm_up: Duration::from_millis(2),
//!         measure: Duration::from_millis(10),
//!     },
//!     &mut |name| println!("measuring {name}"),
//! )?;
//! println!("{}", hemi_bench::report::table::render(&experiment));
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod cli;
pub mod client;
pub mod contestants;
pub mod cores;
pub mod error;
pub mod lab;
pub mod log;
pub mod payload;
pub mod probe;
pub mod recorder;
pub mod report;
pub mod results;
mod run;
pub mod scenario;
pub mod stop;

pub use error::Error;
pub use run::run;

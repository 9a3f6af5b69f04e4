//! Who is compared. A contestant is one small file: an echo server behind [`Contestant`], and a line
//! in [`all`].

#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod epoll;
pub mod floor;
pub mod hemi;
pub mod shm;

use std::fmt;
use std::net::SocketAddr;

use crate::client::{Drive, Driven};
use crate::error::Error;
use crate::scenario::{Scenario, Transport};
use crate::stop::Stop;

/// What a server failed of.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An echo server that the lab can start.
pub trait Contestant: Sync {
    /// What `--contestants` calls it, and the tables too.
    fn name(&self) -> &str;

    /// One line on how it works.
    fn about(&self) -> &str;

    /// Whether it has an echo server for this transport.
    fn serves(&self, transport: Transport) -> bool;

    /// Runs an echo server on the calling thread, which the lab has pinned: binds to `bind`, reports
    /// where it listens, echoes every byte or datagram as it comes, and returns once `stop` is set.
    fn serve(
        &self,
        transport: Transport,
        bind: SocketAddr,
        ready: &mut dyn FnMut(SocketAddr),
        stop: &Stop,
    ) -> Result<(), Failure>;

    /// Whether it can do what the scenario asks for.
    fn takes_part(&self, scenario: &Scenario) -> bool {
        self.serves(scenario.transport)
    }

    /// Drives its server from the calling thread: with the lab's client, unless that cannot reach it.
    ///
    /// # Errors
    /// As [`client::drive`](crate::client::drive).
    fn drive(&self, lab: Drive, server: SocketAddr, scenario: &Scenario) -> Result<Driven, Error> {
        lab(server, scenario)
    }
}

impl fmt::Debug for dyn Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of the contestant that all others are measured against.
pub const FLOOR: &str = "floor";

/// Every contestant there is, the floor first; `net` is the URI of the network that hemi's use, by
/// default what hemi's builder chooses.
pub fn all(net: Option<&str>) -> Vec<Box<dyn Contestant>> {
    vec![
        Box::new(floor::Floor),
        Box::new(epoll::Epoll),
        Box::new(hemi::Hemi::busy(net)),
        Box::new(hemi::Hemi::adaptive(net)),
        Box::new(shm::Shm::new()),
        #[cfg(feature = "dpdk")]
        Box::new(dpdk::Dpdk::new()),
    ]
}

/// The contestants of these names, in the order given.
///
/// # Errors
/// A name that nobody has; the error lists those there are.
pub fn named(names: &[String], net: Option<&str>) -> Result<Vec<Box<dyn Contestant>>, Error> {
    let find = |name: &String| {
        all(net).into_iter().find(|contestant| contestant.name() == name).ok_or_else(|| Error::Contestant {
            name: name.clone(),
            known: all(net)
                .iter()
                .map(|contestant| contestant.name().to_owned())
                .collect::<Vec<_>>()
                .join(", "),
        })
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_unknown_ones_answered_with_those_there_are() {
        for contestant in all(None) {
            let found = named(&[contestant.name().to_owned()], None).expect("it has this name");
            assert_eq!(found[0].name(), contestant.name());
        }
        let error = named(&["nobody".to_owned()], None).expect_err("nobody has this name");
        assert!(error.to_string().contains(FLOOR), "{error}");
    }
}

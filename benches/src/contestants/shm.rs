//! hemi without the kernel: its user-level TCP and UDP, between two threads that share a network interface in memory.
//!
//! The same echo server, and a client on hemi too, because kernel sockets do not get there. Closed loops only, as that client.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use hemi::{Idle, Runtime};

use super::{Contestant, Failure, hemi::echo_on};
use crate::client::{self, Drive, Driven};
use crate::error::Error;
use crate::scenario::{Pace, Scenario, Transport};
use crate::stop::Stop;

/// A busy hemi runtime on a `shm:` interface.
#[derive(Clone, Debug)]
pub struct Shm {
    /// Where the two sides meet.
    name: String,
}

/// The server's address on the link.
const SERVER: [u8; 4] = [10, 77, 0, 1];

impl Shm {
    /// On a link of its own.
    #[allow(clippy::new_without_default)] // every one is another link
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { name: format!("lab-{}-{number}", std::process::id()) }
    }

    fn uri(&self, transport: Transport, role: &str, host: u8) -> String {
        let kind = transport.to_string().to_lowercase();
        format!("shm:{}-{kind}?role={role}&ip=10.77.0.{host}/24", self.name)
    }
}

impl Contestant for Shm {
    fn name(&self) -> &'static str {
        "hemi-shm"
    }

    fn about(&self) -> &'static str {
        "hemi's user-level stack at both ends, over shared memory"
    }

    fn serves(&self, _: Transport) -> bool {
        true
    }

    fn takes_part(&self, scenario: &Scenario) -> bool {
        scenario.pace == Pace::Closed
    }

    fn serve(
        &self,
        transport: Transport,
        _: SocketAddr,
        ready: &mut dyn FnMut(SocketAddr),
        stop: &Stop,
    ) -> Result<(), Failure> {
        let uri = self.uri(transport, "a", SERVER[3]);
        let runtime = Runtime::builder().idle(Idle::Busy).net(&uri).build()?;
        echo_on(&runtime, transport, (SERVER, 0).into(), ready, stop)
    }

    fn drive(&self, _: Drive, server: SocketAddr, scenario: &Scenario) -> Result<Driven, Error> {
        let uri = self.uri(scenario.transport, "b", 2);
        client::hemi::drive_over(Some(&uri), server, scenario)
    }
}

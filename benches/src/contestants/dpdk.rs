//! hemi over DPDK: its user-level TCP and UDP, between two processes joined by a memif (shared memory between two poll-mode drivers), as a plain
//! user and without huge pages unless there are some free.
//!
//! The server is this program again, in a process of its own: DPDK's environment is one per process, and the link is between two of
//! them. Closed loops only, as the client is hemi's.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Contestant, Failure};
use crate::client::{self, Drive, Driven};
use crate::cores;
use crate::error::Error;
use crate::scenario::{Pace, Scenario, Transport};
use crate::stop::Stop;

/// Two busy hemi runtimes on a memif.
#[derive(Clone, Debug)]
pub struct Dpdk {
    /// Where the two processes meet.
    socket: PathBuf,
}

/// The two ends' addresses on the link.
const SERVER: &str = "10.77.0.1";
const CLIENT: &str = "10.77.0.2";

impl Dpdk {
    /// On a link of its own.
    #[allow(clippy::new_without_default)] // every one is another link
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { socket: std::env::temp_dir().join(format!("hemi-lab-{}-{number}.memif", std::process::id())) }
    }

    fn uri(&self, role: &str, address: &str) -> String {
        let socket = self.socket.display();
        format!("dpdk:net_memif0,role={role},socket={socket},socket-abstract=no?ip={address}/24")
    }
}

/// A process that does not outlive its sample.
struct Server(Child, PathBuf);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_file(&self.1);
    }
}

impl Contestant for Dpdk {
    fn name(&self) -> &'static str {
        "hemi-dpdk"
    }

    fn about(&self) -> &'static str {
        "hemi's user-level stack at both ends, over a DPDK memif between two processes"
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
        // The lab has pinned this thread, and with it the process that it starts.
        let cpu = cores::allowed().first().copied().unwrap_or(0);
        let child = Command::new(std::env::current_exe()?)
            .args(["--role", "server", "--contestants", "hemi-busy"])
            .args(["--transport", &transport.to_string().to_lowercase()])
            .args(["--net", &self.uri("server", SERVER), "--bind", &format!("{SERVER}:7000")])
            .args(["--server-cpu", &cpu.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut server = Server(child, self.socket.clone());
        let said = server.0.stdout.take().ok_or("no pipe from the server's process")?;
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        let Some(address) = line.split_whitespace().last().and_then(|word| word.parse().ok()) else {
            return Err("the server's process ended: its own message is above".into());
        };
        ready(address);
        while !stop.is_set() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn drive(&self, _: Drive, server: SocketAddr, scenario: &Scenario) -> Result<Driven, Error> {
        client::hemi::drive_over(Some(&self.uri("client", CLIENT)), server, scenario)
    }
}

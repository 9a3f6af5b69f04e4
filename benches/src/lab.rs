//! The experiment: every contestant in turn, round after round, so that all of them see the same
//! machine.
//!
//! One sample is: probe the cache line, start the contestant's server on its core, drive it from the
//! other core, stop it, probe again. A round takes one sample of each contestant; ratios are formed
//! within a round and the median over the rounds counts, so a machine that changes between rounds
//! changes no ratio.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::client::{Drive, Driven};
use crate::contestants::{Contestant, FLOOR};
use crate::cores::{self, Cores};
use crate::error::Error;
use crate::probe;
use crate::results::{Entry, Experiment, Sample};
use crate::scenario::Scenario;
use crate::stop::Stop;

/// A server that does not listen within this time will not.
const START: Duration = Duration::from_secs(60);

/// Where a contestant's echo server runs.
#[derive(Debug)]
pub enum Subject {
    /// Started by the lab, once per sample.
    Ours(Box<dyn Contestant>),
    /// Running elsewhere, started by somebody else.
    Peer(SocketAddr),
}

impl Subject {
    /// What tables and plots call it.
    pub fn name(&self) -> String {
        match self {
            Self::Ours(contestant) => contestant.name().to_owned(),
            Self::Peer(address) => format!("peer {address}"),
        }
    }
}

/// What is compared, and how often.
#[derive(Debug)]
pub struct Lab {
    /// Who takes part.
    pub subjects: Vec<Subject>,
    /// Interleaved rounds.
    pub rounds: u32,
    /// Where server and client run.
    pub cores: Cores,
    /// How the client drives a server; [`client::drive`](crate::client::drive) unless something else is to be measured. A contestant
    /// that kernel sockets do not reach has a client of its own.
    pub drive: Drive,
}

impl Lab {
    /// How many samples [`run`](Lab::run) will take of these scenarios.
    pub fn samples(&self, scenarios: &[Scenario]) -> u64 {
        let of = |scenario: &Scenario| self.subjects.iter().filter(|s| takes_part(s, scenario)).count();
        scenarios.iter().map(of).sum::<usize>() as u64 * u64::from(self.rounds)
    }

    /// Runs one scenario; `progress` is called with a contestant's name before each of its samples.
    ///
    /// # Errors
    /// The first sample that fails ends the experiment: half a comparison is none.
    pub fn run(&self, scenario: &Scenario, progress: &mut dyn FnMut(&str)) -> Result<Experiment, Error> {
        scenario.check()?;
        let subjects: Vec<&Subject> = self.subjects.iter().filter(|s| takes_part(s, scenario)).collect();
        let mut entries: Vec<Entry> = subjects.iter().map(|s| Entry::new(s.name())).collect();
        for _ in 0..self.rounds {
            for (subject, entry) in subjects.iter().zip(&mut entries) {
                progress(&entry.name);
                entry.add(self.sample(subject, scenario)?);
            }
        }
        let floor = entries.iter().position(|entry| entry.name == FLOOR);
        Ok(Experiment { scenario: scenario.clone(), entries, floor })
    }

    fn sample(&self, subject: &Subject, scenario: &Scenario) -> Result<Sample, Error> {
        let before = probe::round_trip(self.cores)?;
        let driven = match subject {
            Subject::Ours(contestant) => self.with_server(contestant.as_ref(), scenario)?,
            Subject::Peer(address) => self.on_client_core(|| (self.drive)(*address, scenario))?,
        };
        let after = probe::round_trip(self.cores)?;
        Ok(Sample::new(driven, before, after))
    }

    /// Starts the server, drives it, and ends it, whatever happens in between.
    fn with_server(&self, contestant: &dyn Contestant, scenario: &Scenario) -> Result<Driven, Error> {
        let stop = Stop::default();
        let (listening, address) = mpsc::channel();
        let name = || contestant.name().to_owned();
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                cores::pin(self.cores.server)?;
                let mut ready = |address| {
                    // The lab may have given up waiting.
                    let _ = listening.send(address);
                };
                let bind = SocketAddr::from(([127, 0, 0, 1], 0));
                contestant
                    .serve(scenario.transport, bind, &mut ready, &stop)
                    .map_err(|source| Error::Server { contestant: name(), source })
            });
            // Poll the thread too: one that failed will never report an address.
            let mut waited = Duration::ZERO;
            let step = Duration::from_millis(10);
            let driven = loop {
                match address.recv_timeout(step) {
                    Ok(address) => {
                        break self.on_client_core(|| contestant.drive(self.drive, address, scenario));
                    }
                    Err(_) if server.is_finished() || waited >= START => {
                        break Err(Error::NotReady { contestant: name(), seconds: START.as_secs() });
                    }
                    Err(_) => waited += step,
                }
            };
            stop.set();
            let served = server.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            // A server that failed explains a client that did.
            served.and(driven)
        })
    }

    fn on_client_core(&self, drive: impl FnOnce() -> Result<Driven, Error> + Send) -> Result<Driven, Error> {
        thread::scope(|scope| {
            let client = scope.spawn(|| {
                cores::pin(self.cores.client)?;
                drive()
            });
            client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

fn takes_part(subject: &Subject, scenario: &Scenario) -> bool {
    match subject {
        Subject::Ours(contestant) => contestant.takes_part(scenario),
        Subject::Peer(_) => true,
    }
}

#[cfg(test)]
mod tests;

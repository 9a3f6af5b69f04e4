//! The plain kernel client: one thread, non-blocking sockets, never asleep. The same for every
//! contestant, so that what differs between two samples is the server.
//!
//! [`drive`] opens the links of a [`Scenario`] and turns them: take what has arrived (checking every
//! byte), then send what the [`Pace`] allows. With one link it polls the socket itself, the shortest
//! path there is; with more it asks epoll, without waiting, and keeps account of the turns in which
//! there was nothing to do: what remains is the time it was busy, and says how fast it could have
//! driven a server that costs nothing (the [`ceiling`](Driven::ceiling)).

pub mod hemi;
mod link;
mod poller;
mod tcp;
mod udp;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::payload::{LONGEST, Payload};
use crate::recorder::Recorder;
use crate::scenario::{Pace, Scenario, Transport};
use link::Link;
use poller::Poller;

/// What the client saw in the measured time.
#[derive(Clone, Debug)]
pub struct Driven {
    /// One latency per message: closed loop, from the send; open loop, from when it was due.
    pub latencies: Recorder,
    /// Messages echoed per second.
    pub rate: f64,
    /// Datagrams that did not come back in time.
    pub lost: u64,
    /// Messages per second of the time the client was not waiting; only with several connections.
    pub ceiling: Option<f64>,
}

/// How a server is driven.
pub type Drive = fn(SocketAddr, &Scenario) -> Result<Driven, Error>;

/// A datagram of a closed loop not echoed by then is lost.
const LOST_AFTER: u64 = 200_000_000;
/// How long the first answer, and the stragglers of an open loop, are waited for after the end.
const GRACE: u64 = 5_000_000_000;
/// Messages one link may have in flight; an open loop over that sends late, and is charged for it.
const IN_FLIGHT: usize = 1 << 20;
/// Turns between two looks at the clock while nothing happens.
const IDLE_TURNS: u32 = 64;

/// Drives the echo server at `server` through one warm-up and one measurement.
///
/// # Errors
/// When a socket fails, the echo is not what was sent, or nothing is echoed at all.
pub fn drive(server: SocketAddr, scenario: &Scenario) -> Result<Driven, Error> {
    scenario.check()?;
    match scenario.transport {
        Transport::Tcp => Driver::new(scenario, || tcp::TcpLink::connect(server, scenario.size))?.run(),
        Transport::Udp => Driver::new(scenario, || udp::UdpLink::connect(server, scenario.size))?.run(),
        Transport::Units => Err(Error::HemiOnly),
    }
}

struct Driver<'a, L> {
    scenario: &'a Scenario,
    links: Vec<L>,
    /// Per link, when each message in flight was sent or due, oldest first.
    flights: Vec<Flight>,
    poller: Poller,
    payload: Payload,
    buffer: Vec<u8>,
    /// Whether some link holds what its socket refused.
    unsent: bool,
    begin: Instant,
    latencies: Recorder,
    echoed: u64,
    lost: u64,
}

#[derive(Default)]
struct Flight {
    /// The number of the oldest message in flight.
    first: u64,
    /// When each was sent or due, in nanoseconds since the beginning.
    stamps: VecDeque<Option<u64>>,
}

impl<'a, L: Link> Driver<'a, L> {
    fn new(scenario: &'a Scenario, connect: impl Fn() -> Result<L, Error>) -> Result<Self, Error> {
        let links = (0..scenario.connections).map(|_| connect()).collect::<Result<Vec<L>, Error>>()?;
        Ok(Self {
            scenario,
            flights: links.iter().map(|_| Flight::default()).collect(),
            poller: Poller::new(&links)?,
            links,
            payload: Payload::new(),
            buffer: vec![0; LONGEST],
            unsent: false,
            begin: Instant::now(),
            latencies: Recorder::new(),
            echoed: 0,
            lost: 0,
        })
    }

    fn run(mut self) -> Result<Driven, Error> {
        let from = nanoseconds(self.scenario.warm_up);
        let until = from + nanoseconds(self.scenario.measure);
        let mut schedule = Schedule::new(self.scenario.pace);
        let mut ready = Vec::with_capacity(self.links.len());
        let mut now = self.now();
        let (mut idle, mut idle_turns) = (0, 0);
        let (mut first, mut last) = (None, from);
        if schedule.is_none() {
            for index in 0..self.links.len() {
                self.top_up(index, now)?;
            }
        }
        // On a machine that is busy elsewhere a brief window can pass without a single answer: wait for one.
        while now < until || (self.latencies.count() == 0 && now < until + GRACE) {
            let mut active = match &mut schedule {
                // Not what falls due after the end, also when the loop goes on to wait for its first answer.
                Some(schedule) => self.send_due(schedule, now.min(until - 1))?,
                None => false,
            };
            self.flush_unsent()?;
            ready.clear();
            self.poller.ready(&mut ready)?;
            for &index in &ready {
                if let Some(arrived) = self.receive(index, from)? {
                    active = true;
                    if schedule.is_none() {
                        self.top_up(index, arrived)?;
                    }
                }
            }
            idle_turns = if active { 0 } else { idle_turns + 1 };
            // A single link in a closed loop is polled without a look at the clock, until something comes.
            if self.poller.is_direct() && schedule.is_none() && idle_turns % IDLE_TURNS != 0 {
                continue;
            }
            let turned = self.now();
            if turned >= from {
                first.get_or_insert(turned);
                last = turned;
                if !active {
                    idle += turned - now.max(from);
                }
            }
            now = turned;
            // An open loop needs no answer to go on, and keeps waiting for the late ones.
            if !active && schedule.is_none() && self.scenario.transport == Transport::Udp {
                self.expire(now)?;
            }
        }
        let elapsed = (last - first.unwrap_or(from)).max(1);
        let rate = self.echoed as f64 * 1e9 / elapsed as f64;
        let busy = elapsed.saturating_sub(idle).max(1);
        let ceiling = (!self.poller.is_direct()).then(|| self.echoed as f64 * 1e9 / busy as f64);
        if let Some(schedule) = &mut schedule {
            // What fell due while the last turn was held up belongs to the experiment too.
            self.send_due(schedule, until - 1)?;
            self.drain(from, until)?;
        }
        if self.latencies.count() == 0 {
            return Err(Error::Silence);
        }
        Ok(Driven { latencies: self.latencies, rate, lost: self.lost, ceiling })
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    /// Closed loop: fills one link up to the depth. One stamp for the burst: it goes out in one send.
    fn top_up(&mut self, index: usize, now: u64) -> Result<(), Error> {
        let (link, flight) = (&mut self.links[index], &mut self.flights[index]);
        while flight.stamps.len() < self.scenario.depth {
            flight.stamps.push_back(Some(now));
            link.offer();
        }
        self.unsent |= !link.flush(&self.payload)?;
        Ok(())
    }

    /// Open loop: sends what is due by now, over the links in turn.
    fn send_due(&mut self, schedule: &mut Schedule, now: u64) -> Result<bool, Error> {
        let mut sent = false;
        while schedule.due() <= now {
            let index = (schedule.next % self.links.len() as u64) as usize;
            let flight = &mut self.flights[index];
            if flight.stamps.len() >= IN_FLIGHT {
                break;
            }
            flight.stamps.push_back(Some(schedule.due()));
            self.links[index].offer();
            self.unsent |= !self.links[index].flush(&self.payload)?;
            schedule.next += 1;
            sent = true;
        }
        Ok(sent)
    }

    /// Tries again what a full socket buffer refused.
    fn flush_unsent(&mut self) -> Result<(), Error> {
        if self.unsent {
            self.unsent = false;
            for link in &mut self.links {
                self.unsent |= !link.flush(&self.payload)?;
            }
        }
        Ok(())
    }

    /// Takes what has arrived on one link; the time, if a whole message was among it.
    fn receive(&mut self, index: usize, from: u64) -> Result<Option<u64>, Error> {
        let Self { links, flights, payload, buffer, latencies, echoed, begin, .. } = self;
        let flight = &mut flights[index];
        let mut now = None;
        links[index].receive(buffer, payload, &mut |numbers| {
            let now = *now.get_or_insert_with(|| begin.elapsed().as_nanos() as u64);
            // Messages of one burst have one stamp, and are recorded at once.
            let (mut burst, mut messages) = (None, 0);
            for number in numbers {
                let place = number.checked_sub(flight.first).map(|place| place as usize);
                let stamp = place.and_then(|place| flight.stamps.get_mut(place)).and_then(Option::take);
                while let Some(None) = flight.stamps.front() {
                    flight.stamps.pop_front();
                    flight.first += 1;
                }
                // A datagram that was given up on, or came twice, has no stamp.
                let Some(stamp) = stamp.filter(|&stamp| stamp >= from) else { continue };
                if burst != Some(stamp) {
                    latencies.record_many(now.saturating_sub(burst.unwrap_or(now)), messages);
                    (burst, messages) = (Some(stamp), 0);
                }
                messages += 1;
                *echoed += 1;
            }
            latencies.record_many(now.saturating_sub(burst.unwrap_or(now)), messages);
        })?;
        Ok(now)
    }

    /// Closed loop: gives up on datagrams that have been away too long, and sends new ones.
    fn expire(&mut self, now: u64) -> Result<(), Error> {
        for index in 0..self.links.len() {
            let flight = &mut self.flights[index];
            while let Some(&Some(stamp)) = flight.stamps.front()
                && now.saturating_sub(stamp) > LOST_AFTER
            {
                flight.first += 1;
                flight.stamps.pop_front();
                self.lost += 1;
            }
            self.top_up(index, now)?;
        }
        Ok(())
    }

    /// After an open loop, waits for what was sent in it: the slowest must not go unrecorded.
    fn drain(&mut self, from: u64, until: u64) -> Result<(), Error> {
        let mut ready = Vec::with_capacity(self.links.len());
        while self.now() < until + GRACE && self.flights.iter().any(|flight| !flight.stamps.is_empty()) {
            self.flush_unsent()?;
            ready.clear();
            self.poller.ready(&mut ready)?;
            for &index in &ready {
                self.receive(index, from)?;
            }
        }
        // What has not come by now has taken at least this long.
        let now = self.now();
        for stamp in self.flights.iter().flat_map(|flight| flight.stamps.iter().flatten()) {
            if *stamp >= from {
                self.latencies.record(now - stamp);
                self.lost += u64::from(self.scenario.transport == Transport::Udp);
            }
        }
        Ok(())
    }
}

/// Which message of an open loop is due when.
struct Schedule {
    /// Nanoseconds between two messages.
    interval: f64,
    /// The number of the next message, over all links.
    next: u64,
}

impl Schedule {
    /// None for a closed loop, which sends when an answer has come.
    fn new(pace: Pace) -> Option<Self> {
        match pace {
            Pace::Closed => None,
            Pace::Open { rate } => Some(Self { interval: 1e9 / rate, next: 0 }),
        }
    }

    /// When the next message is due. Computed from its number, not by adding up, so that being late
    /// once moves nothing that follows.
    fn due(&self) -> u64 {
        (self.next as f64 * self.interval) as u64
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests;

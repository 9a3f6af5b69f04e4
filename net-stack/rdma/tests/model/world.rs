//! Two processes with a device each, and connections between them.

use std::time::Duration;

use hemi_queue::{Pool, time::Instant};
use hemi_rdma::{Config, Connection, Failure, Hello, Stats, Status};

use super::{Device, Dice, Program, State, device::transmit, program::Leaving};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Nothing,
    /// A queue pair of one side fails.
    QueuePair,
    /// A device event.
    Device,
    /// One process is killed; the connection manager tells the other, or its keep-alive finds out.
    Death {
        told: bool,
    },
}

/// What a run is made of, by its seed.
#[derive(Clone, Debug)]
pub struct Plan {
    pub config: [Config; 2],
    pub capacity: [u32; 2],
    pub connections: usize,
    pub trouble: Trouble,
    pub trouble_at: usize,
    pub trouble_side: usize,
    pub steps: usize,
    pub units: usize,
    pub largest: usize,
    pub leaving: [Leaving; 2],
}

impl Plan {
    pub fn new(dice: &mut Dice) -> Self {
        let trouble = match dice.below(10) {
            0 | 1 => Trouble::QueuePair,
            2 => Trouble::Device,
            3 => Trouble::Death { told: true },
            4 => Trouble::Death { told: false },
            _ => Trouble::Nothing,
        };
        let keep_alive = dice.one_in(3) || trouble == Trouble::Death { told: false };
        let mut config = || Config {
            buffer: dice.of(&[256, 300, 512, 2048]),
            window: dice.of(&[8, 8, 9, 16, 40]),
            send_depth: dice.of(&[8, 9, 16, 64]),
            max_sge: dice.of(&[1, 2, 4]),
            inline: dice.of(&[0, 64, 220]),
            reads: dice.of(&[0, 1, 2, 16]),
            rendezvous_from: dice.of(&[1, 257, 2049, u32::MAX]),
            largest_unit: 1 << 20,
            send_limit: dice.of(&[100, 5000, 100_000]),
            recv_limit: dice.of(&[1, 3000, 100_000]),
            keep_alive: keep_alive.then_some(Duration::from_secs(1)),
            close_timeout: Duration::from_secs(5),
            close_limit: None,
        };
        let config = [config(), config()];
        let connections = dice.of(&[1, 1, 1, 2, 4]);
        let leaving = |dice: &mut Dice| match dice.below(8) {
            0 => Leaving::Early,
            1 => Leaving::Aborting(dice.below(20)),
            _ => Leaving::Polite,
        };
        Self {
            capacity: [dice.of(&[1000, 34]), dice.of(&[1000, 34])],
            connections,
            trouble,
            trouble_at: dice.below(300),
            trouble_side: dice.below(2),
            steps: dice.of(&[50, 200, 600]) / connections,
            units: dice.of(&[0, 3, 20, 40]) / connections,
            largest: dice.of(&[60, 250, 1000, 6000]),
            leaving: [leaving(dice), leaving(dice)],
            config,
        }
    }
}

/// A run.
pub struct World {
    pub devices: [Device; 2],
    pub programs: Vec<[Program; 2]>,
    /// Memory that no device knows.
    foreign: Pool,
    pub now: Instant,
    dice: Dice,
    plan: Plan,
    dead: Option<usize>,
    established: Vec<bool>,
}

impl World {
    pub fn new(plan: Plan, pools: [&Pool; 3], mut dice: Dice) -> Self {
        let mut devices = [0, 1].map(|side| {
            Device::new(pools[side].clone(), plan.capacity[side], plan.config[side].buffer as usize)
        });
        let (mut programs, mut established) = (Vec::new(), Vec::new());
        let now = Instant::from_nanos(1);
        for at in 0..plan.connections {
            let tag = devices[0].qps.len() as u32;
            let [a, b] = &mut devices;
            let Ok(mut client) = Connection::connecting(tag, plan.config[0], &a.budget) else { break };
            a.post_receives();
            let hello = Hello::parse(&client.hello()).expect("ours");
            let Ok(mut server) = Connection::accepting(tag, plan.config[1], &b.budget, hello) else { break };
            b.post_receives();
            let reply = server.hello();
            client.established(Some(&reply), now);
            a.add(client, &plan.config[0]);
            b.add(server, &plan.config[1]);
            established.push(false);
            let mut sizes = || {
                (0..plan.units)
                    .map(|_| {
                        let most = dice.of(&[0, 64, 256, plan.largest]);
                        dice.below(most.min(plan.largest) + 1)
                    })
                    .collect::<Vec<_>>()
            };
            let (there, back) = (sizes(), sizes());
            let direction = 2 * at as u64;
            programs.push([
                Program::new(direction, there.clone(), back.clone(), plan.leaving[0]),
                Program::new(direction ^ 1, back, there, plan.leaving[1]),
            ]);
        }
        Self { devices, programs, foreign: pools[2].clone(), now, dice, plan, dead: None, established }
    }

    /// Anything at all, as the dice say; then everything, until nothing more happens.
    pub fn run(mut self) -> Vec<Stats> {
        for step in 0..self.plan.steps {
            if step == self.plan.trouble_at {
                self.make_trouble();
            }
            self.step();
        }
        for device in &self.devices {
            device.drained.set(false);
        }
        let mut idle = 0;
        while idle < 3 {
            if self.round() {
                idle = 0;
            } else if !self.pass_time() {
                idle += 1;
            }
        }
        self.verdict()
    }

    fn is_dead(&self, side: usize) -> bool {
        self.dead == Some(side)
    }

    fn step(&mut self) {
        let side = self.dice.below(2);
        let connections = self.programs.len();
        if connections == 0 || self.is_dead(side) {
            return;
        }
        let at = self.dice.below(connections);
        match self.dice.below(10) {
            0..3 => drop(self.program(side, at)),
            3..5 => {
                let most = self.dice.of(&[1, 3, 100]);
                self.drive(side, most);
            }
            5..7 => {
                for _ in 0..self.dice.of(&[1, 4, 20]) {
                    self.transmit(side, at);
                }
            }
            7 | 8 => {
                let most = self.dice.of(&[1, 2, 50]);
                self.devices[side].complete(at, most);
            }
            _ => {
                let drained = self.dice.one_in(10);
                self.devices[side].drained.set(drained);
                self.now += Duration::from_micros(self.dice.below(3000) as u64);
            }
        }
    }

    /// Everybody once.
    fn round(&mut self) -> bool {
        let mut busy = false;
        for side in 0..2 {
            if self.is_dead(side) {
                continue;
            }
            for at in 0..self.programs.len() {
                busy |= self.program(side, at);
            }
            busy |= self.drive(side, 50);
            for at in 0..self.programs.len() {
                while self.transmit(side, at) {
                    busy = true;
                }
                busy |= self.devices[side].complete(at, 1000);
            }
            for at in 0..self.programs.len() {
                busy |= self.devices[side ^ 1].complete(at, 1000);
            }
        }
        busy
    }

    /// Nothing happens any more: go to the next deadline of who still waits for something.
    fn pass_time(&mut self) -> bool {
        let waiting = (0..2).filter(|&side| !self.is_dead(side)).flat_map(|side| {
            let device = &self.devices[side];
            let programs = self.programs.iter().map(move |pair| &pair[side]);
            device.qps.iter().zip(programs).filter_map(|(qp, program)| {
                // A program that is done and whose close waits is the connection's business; a keep-alive alone never ends.
                let ends = program.closed || !program.is_done();
                qp.conn.deadline().filter(|_| ends)
            })
        });
        let Some(next) = waiting.min() else { return false };
        if next > Instant::from_nanos(1) + Duration::from_secs(60) {
            return false;
        }
        self.now = self.now.max(next);
        true
    }

    fn program(&mut self, side: usize, at: usize) -> bool {
        if side == 1 && !self.established[at] {
            // The connection manager's word comes when it comes.
            self.established[at] = true;
            self.devices[1].qps[at].conn.established(None, self.now);
        }
        let (pushes, pops) = (self.dice.below(4), self.dice.below(5));
        let device = &mut self.devices[side];
        let pool = device.pool.clone();
        let conn = &mut device.qps[at].conn;
        let pools = [&pool, &self.foreign];
        let busy = self.programs[at][side].run(conn, pools, pushes, pops, &mut self.dice, self.now);
        let moves = !self.programs[at][side].closed && pushes + pops < 7;
        // A program that did not try everything this time may yet do something.
        busy || moves && self.programs[at][side].run(conn, pools, 1, 1, &mut self.dice, self.now)
    }

    fn drive(&mut self, side: usize, most: usize) -> bool {
        let mut busy = self.devices[side].drive(most, self.now);
        for at in 0..self.devices[side].qps.len() {
            if self.devices[side].qps[at].conn.wants_disconnect() {
                self.disconnect(side, at);
                busy = true;
            }
        }
        busy
    }

    /// As `rdma_disconnect` does: this end's queue pair fails, the other end is told.
    fn disconnect(&mut self, side: usize, at: usize) {
        self.devices[side].flush(at);
        self.devices[side].qps[at].conn.stopped();
        let peer = &mut self.devices[side ^ 1].qps[at];
        peer.disconnect_notice = true;
    }

    fn transmit(&mut self, side: usize, at: usize) -> bool {
        let [a, b] = &mut self.devices;
        let (from, to) = if side == 0 { (a, b) } else { (b, a) };
        let to = Some(to).filter(|_| self.dead != Some(side ^ 1));
        transmit(from, to, at)
    }

    fn make_trouble(&mut self) {
        let side = self.plan.trouble_side;
        if self.programs.is_empty() {
            return;
        }
        let at = self.dice.below(self.programs.len());
        let device = &mut self.devices[side];
        match self.plan.trouble {
            Trouble::Nothing => (),
            Trouble::QueuePair => {
                device.flush(at);
                device.qps[at].conn.receive_failed(Status::LocalQueuePair);
                device.budget.posted(1); // no buffer was used
            }
            Trouble::Device => {
                device.qps[at].conn.fail(Failure::Device { what: "the port is down", errno: 0 });
            }
            Trouble::Death { told } => {
                self.dead = Some(side);
                for qp in &mut self.devices[side].qps {
                    qp.state = State::Error;
                }
                for qp in &mut self.devices[side ^ 1].qps {
                    qp.disconnect_notice |= told;
                }
            }
        }
    }

    /// What must hold when nothing happens any more.
    fn verdict(self) -> Vec<Stats> {
        let alive = |side: usize| self.dead != Some(side);
        let calm = self.plan.trouble == Trouble::Nothing;
        for (at, pair) in self.programs.iter().enumerate() {
            for (side, program) in pair.iter().enumerate() {
                let conn = &self.devices[side].qps[at].conn;
                if !alive(side) {
                    continue;
                }
                assert!(program.is_done(), "deadlock: side {side} of {at}: {program:#?} {conn:#?}");
                assert!(conn.is_quiet() || !program.closed, "side {side} of {at} is not quiet: {conn:#?}");
                let other = &pair[side ^ 1];
                // A peer that left politely has said everything; so has one that only closed early.
                let heard_out = other.leaving == Leaving::Polite || other.leaving == Leaving::Early;
                if calm && program.leaving == Leaving::Polite && heard_out {
                    assert!(program.ended && program.got_everything(), "side {side} of {at}: {program:#?}");
                }
                if calm && self.plan.leaving == [Leaving::Polite; 2] {
                    assert_eq!(conn.failure(), None, "side {side} of {at}");
                    assert!(program.failed.is_none());
                }
                if program.ended {
                    assert!(program.popped <= other.pushed);
                }
            }
        }
        for (side, device) in self.devices.iter().enumerate().filter(|(side, _)| alive(*side)) {
            assert_eq!(device.budget.now_promised(), 0, "credits of side {side} are back");
            assert_eq!(device.budget.now_posted() as usize, device.receives(), "side {side}");
        }
        let all = self.devices.iter().flat_map(|device| &device.qps);
        all.map(|qp| qp.conn.stats()).collect()
    }
}

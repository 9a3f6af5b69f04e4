//! What a second core is worth: a server with one stack per core (`Group`, as `Builder::cores(n)` makes it) on a NIC with a queue for each core that
//! steers by the stacks' own rule, and on each core the clients of its flows.
//!
//! ```text
//!   core 0: clients ═ wire ═ Stack ┐ one address, one port, one directory,
//!   core 1: clients ═ wire ═ Stack ┘ rings for what the other one owns
//! ```
//!
//! `cargo bench -p hemi-bench --bench cores [-- ROUNDS]`: twenty seconds. *apart* is the same work by two servers that know nothing of each other:
//! what this machine's second processor is worth at all. What is lost between that and *two cores* is what the cores cost each other.

mod echo;
#[path = "cores/lane.rs"]
mod lane;

use std::{
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant as Clock},
};

use echo::median;
use hemi_bench::cores::{self, Cores};
use hemi_net::{
    cores::{Group, Seat},
    sim::Pipe,
};
use hemi_queue::Pool;
use lane::Lane;

/// How long a sample takes, and how long before it nothing is counted.
const SAMPLE: Duration = Duration::from_millis(150);
const WARM_UP: Duration = Duration::from_millis(30);

/// A row: its unit of work, and how many of what one call does.
struct Row {
    name: &'static str,
    unit: &'static str,
    work: fn(&mut Lane) -> f64,
}

const ROWS: [Row; 3] = [
    Row { name: "64 B echoed, 32 connections", unit: "M/s", work: |lane| lane.request() / 1e6 },
    Row { name: "bytes one way, MTU 1500", unit: "Gbit/s", work: |lane| lane.transfer() * 8.0 / 1e9 },
    Row { name: "opened and aborted", unit: "k/s", work: |lane| lane.open() / 1e3 },
];

/// So many threads, with seats of one group or none.
#[derive(Clone, Copy)]
enum Shape {
    One,
    Two,
    Apart,
}

impl Shape {
    fn threads(self) -> usize {
        if matches!(self, Self::One) { 1 } else { 2 }
    }
}

/// Core `number`'s seat, on a NIC that takes the rule as it is: `Lane` chooses its flows by it.
fn seat(group: &Arc<Group>, number: usize) -> Seat {
    let [mut nic, _] = Pipe::pair(1500, false, &Pool::new().expect("memory"));
    let mut seat = group.seat(number, None).expect("free");
    seat.steer(&mut nic);
    seat
}

/// Units per second, of all threads together.
fn rate(shape: Shape, row: &Row, cores: Cores) -> f64 {
    let group = matches!(shape, Shape::Two).then(|| Group::new(2, 7));
    let threads = shape.threads();
    let start = Barrier::new(threads);
    let (group, start) = (&group, &start);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .zip([cores.server, cores.client])
            .map(|(number, cpu)| {
                scope.spawn(move || {
                    cores::pin(cpu).expect("pinned");
                    // Core 0 takes its seat first.
                    let mut place = None;
                    for turn in 0..threads {
                        if turn == number {
                            place = group.as_ref().map(|group| seat(group, number));
                        }
                        start.wait();
                    }
                    let mut lane = Lane::new(number, place);
                    start.wait();
                    for length in [WARM_UP, SAMPLE] {
                        let (begin, mut units) = (Clock::now(), 0.0);
                        while begin.elapsed() < length {
                            units += (row.work)(&mut lane);
                        }
                        lane.rate = units / begin.elapsed().as_secs_f64();
                    }
                    // Nobody leaves the group while the other is measured.
                    start.wait();
                    lane.rate
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("the lane is content")).sum()
    })
}

fn main() {
    let rounds = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(11_usize);
    let cores = match Cores::choose(None, None) {
        Ok(cores) => cores,
        Err(error) => return println!("{error}"),
    };
    println!(
        "| | one core | two cores | two ÷ one | apart ÷ one | two ÷ apart |\n|---|---:|---:|---:|---:|---:|"
    );
    for row in &ROWS {
        let samples: Vec<[f64; 3]> = (0..rounds)
            .map(|_| [Shape::One, Shape::Two, Shape::Apart].map(|shape| rate(shape, row, cores)))
            .collect();
        let of = |figure: fn(&[f64; 3]) -> f64| median(samples.iter().map(figure).collect());
        println!(
            "| {} | {:.2} {unit} | {:.2} {unit} | **{:.2}** | {:.2} | {:.2} |",
            row.name,
            of(|s| s[0]),
            of(|s| s[1]),
            of(|s| s[1] / s[0]),
            of(|s| s[2] / s[0]),
            of(|s| s[1] / s[2]),
            unit = row.unit
        );
    }
}

//! What the stack adds to the way to a kernel client: UDP and TCP echo of 64 bytes by a busy hemi over `tap:`, `packet:` and `xdp:`, each beside a
//! program that only turns frames round on the same device (`wire/bounce.rs`), with the same client and the same polling, in turn.
//!
//! ```text
//! cargo bench -p hemi-bench --bench wire                      # all three devices, 50 seconds; root
//! cargo bench -p hemi-bench --bench wire -- --rounds 30 tap   # one of them, longer
//! ```
//!
//! Where the host puts the two virtual processors changes within seconds, and an echo crosses from one to the other four times. So the ratios are
//! over those rounds in which the cache line's round trip said *near* beside both samples; how many those were stands behind them, and in brackets the ratio
//! over all rounds.
//!
//! Two floors stand on `tap:` and `packet:`: *bare* is one read and one write per frame and nothing of hemi, *driver* is hemi's device
//! without the stack. `xdp:` has the driver only: nothing less can be polled there.

#[path = "wire/bounce.rs"]
mod bounce;
mod echo;
#[path = "wire/place.rs"]
mod place;

use std::time::Duration;

use bounce::{Bare, Driver};
use echo::median;
use hemi_bench::{
    client,
    contestants::FLOOR,
    cores::Cores,
    lab::{Lab, Subject},
    probe::NEAR,
    report::table,
    results::{Entry, Experiment, Sample},
    scenario::{Pace, Scenario, Transport},
};
use hemi_netns::Namespace;
use place::{PLACES, Place, Stack};

/// What hemi's stack may add (issue 3).
const REACH: f64 = 1.10;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (mut rounds, mut devices) = (9, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => rounds = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(rounds),
            _ => devices.push(argument),
        }
    }
    let cores = match Cores::choose(None, None) {
        Ok(cores) => cores,
        Err(error) => return println!("{error}"),
    };
    let ground = match Namespace::enter() {
        Ok(ground) => ground,
        Err(why) => return println!("not measured: {why}"),
    };
    let mut rows = Vec::new();
    for place in &PLACES {
        if !devices.is_empty() && !devices.iter().any(|device| device == place.name) {
            continue;
        }
        (place.prepare)(&ground);
        for transport in [Transport::Udp, Transport::Tcp] {
            let experiment = measure(place, transport, rounds, cores);
            println!("{}: {}", place.name, table::render(&experiment));
            rows.push(row(place, transport, &experiment));
        }
    }
    println!(
        "| device | | floor, p50 | driver ÷ floor, near (all) | hemi ÷ floor, near (all) | reach |\n|---|---|---:|---:|---:|---:|"
    );
    for row in &rows {
        println!("{row}");
    }
}

fn measure(place: &'static Place, transport: Transport, rounds: u32, cores: Cores) -> Experiment {
    let mut subjects = Vec::new();
    if let Some(open) = place.bare {
        subjects.push(Subject::Ours(Box::new(Bare { at: place.at(), open })));
    }
    let name = if subjects.is_empty() { FLOOR } else { "driver" };
    subjects.push(Subject::Ours(Box::new(Driver { name, at: place.at(), open: place.open })));
    subjects.push(Subject::Ours(Box::new(Stack::on(place))));
    let lab = Lab { subjects, rounds, cores, drive: client::drive };
    let scenario = Scenario {
        transport,
        size: 64,
        connections: 1,
        depth: 1,
        pace: Pace::Closed,
        warm_up: Duration::from_millis(50),
        measure: Duration::from_millis(150),
    };
    lab.run(&scenario, &mut |_| {}).unwrap_or_else(|error| panic!("{}: {}", place.name, error.chain()))
}

fn row(place: &Place, transport: Transport, experiment: &Experiment) -> String {
    let by_name = |name: &str| experiment.entries.iter().find(|entry| entry.name == name);
    let floor = by_name(FLOOR).expect("it takes part");
    let ratio = |name: &str| by_name(name).map_or_else(|| "–".to_owned(), |entry| against(entry, floor));
    let p50 = floor.percentile(50.0) / 1000.0;
    let (driver, hemi) = (ratio("driver"), ratio("hemi-busy"));
    format!("| `{}:` | {transport} | {p50:.2} µs | {driver} | {hemi} | {REACH:.2} |", place.name)
}

/// The median of the rounds' ratios at the median latency: of those with both cores near each other, and of all.
fn against(entry: &Entry, floor: &Entry) -> String {
    let near = |sample: &Sample| sample.probe() < NEAR && !sample.moved();
    let of = |sample: &Sample| sample.driven.latencies.percentile(50.0) as f64;
    let rounds = || entry.samples.iter().zip(&floor.samples);
    let ratios = |all: bool| -> Vec<f64> {
        rounds().filter(|(a, b)| all || (near(a) && near(b))).map(|(a, b)| of(a) / of(b)).collect()
    };
    let (near, all) = (ratios(false), ratios(true));
    let count = near.len();
    format!("{:.2} of {count} ({:.2})", median(near), median(all))
}

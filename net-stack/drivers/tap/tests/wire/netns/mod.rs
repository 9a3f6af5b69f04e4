//! Tests that make network namespaces (the test command's suite `netns`).

mod errors;
mod limits;
mod plain_user;
mod queues;
mod services;

use hemi_net::{Device, DeviceQueue};
use hemi_netns::Station;
use hemi_queue::Pool;

/// The kernel's addresses and ours.
const KERNEL: [&str; 2] = ["10.77.0.1", "fd77::1"];
const OURS: [&str; 2] = ["10.77.0.2", "fd77::2"];
/// Gives the kernel its addresses.
const HOST: &str = "host=10.77.0.1/24&host=fd77::1/64";

fn try_open(uri: &str, pool: &Pool, queue: DeviceQueue) -> hemi_queue::Result<Box<dyn Device>> {
    let uri = uri.parse()?;
    let device = hemi_tap::open(&uri, pool, queue)?;
    uri.finish()?;
    Ok(device)
}

fn station_with(uri: &str, pool: &Pool) -> Station {
    let device = try_open(uri, pool, DeviceQueue::ONLY).unwrap_or_else(|e| panic!("{e}"));
    Station::new(device, pool, &["10.77.0.2/24", "fd77::2/64"])
}

fn station(uri: &str) -> Station {
    station_with(uri, &Pool::new().expect("memory"))
}

fn refused(uri: &str) -> String {
    match try_open(uri, &Pool::new().expect("memory"), DeviceQueue::ONLY) {
        Ok(_) => panic!("{uri} was opened"),
        Err(e) => e.to_string(),
    }
}

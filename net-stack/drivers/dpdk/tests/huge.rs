//! EAL on huge pages, which root reserves for the test and gives back. (A process of its own: EAL starts once.)
#![cfg(feature = "dpdk")]

#[path = "wire/other.rs"]
mod other;

use std::fs;

use hemi_net::DeviceQueue;
use hemi_netns::Station;
use hemi_queue::Pool;

use other::{OURS, Other, exchange};

/// Pages of 2 MiB for two processes.
const PAGES: u64 = 192;
const RESERVED: &str = "/proc/sys/vm/nr_hugepages";

#[expect(clippy::unnecessary_wraps)] // as `other` wants it
fn station(uri: &str, addresses: &[&str]) -> Option<Station> {
    let pool = Pool::new().expect("memory");
    let device = hemi_dpdk::open(&uri.parse().expect("a URI"), &pool, DeviceQueue::ONLY);
    Some(Station::new(device.unwrap_or_else(|e| panic!("{uri}: {e}")), &pool, addresses))
}

fn number(path: &str, after: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix(after));
    found.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Pages that were reserved; as many as before when it is dropped.
struct Pages {
    before: u64,
}

impl Pages {
    fn reserve() -> Result<Self, String> {
        if number("/proc/meminfo", "Hugepagesize:") != 2048 {
            return Err("huge pages are not of 2 MiB here".to_owned());
        }
        let before = number(RESERVED, "");
        let wanted = before + PAGES;
        fs::write(RESERVED, wanted.to_string()).map_err(|e| format!("{RESERVED}: {e}"))?;
        let this = Self { before };
        let free = number("/proc/meminfo", "HugePages_Free:");
        if free < PAGES { Err(format!("only {free} of {PAGES} huge pages could be had")) } else { Ok(this) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let _ = fs::write(RESERVED, self.before.to_string());
    }
}

#[test]
fn two_processes_on_huge_pages_exchange_a_stream() {
    if other::is_this() {
        return;
    }
    if hemi_dpdk::VERSION.is_none() {
        hemi_skip::skip!("no DPDK in this build");
    }
    let _pages = match Pages::reserve() {
        Ok(pages) => pages,
        Err(why) => hemi_skip::skip!("{why}"),
    };
    let socket = other::socket();
    let uri = |number, role| {
        format!("dpdk:net_memif{number},role={role},socket={},socket-abstract=no", socket.display())
    };
    // Both find the free pages by themselves.
    let other = Other::start(&uri(0, "server"));
    let mut station = station(&uri(1, "client"), &[OURS]).expect("opened");
    exchange(&mut station, 4 << 20);
    assert!(station.counter("rx_zero_copy") > 2000, "{}", station.report());
    let maps = fs::read_to_string("/proc/self/smaps").expect("our own memory");
    let huge = maps.lines().filter(|line| line.starts_with("KernelPageSize:") && line.contains(" 2048 kB"));
    assert!(huge.count() > 0, "EAL's memory is in huge pages");
    assert!(other.end());
    let _ = fs::remove_file(&socket);
}

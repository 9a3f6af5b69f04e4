//! What cannot be opened, and what is refused: each with an error that names the cause.

use hemi_net::{Device, DeviceQueue};
use hemi_queue::{Pool, Result, time::Instant};

fn open(uri: &str, pool: &Pool) -> Result<Box<dyn Device>> {
    hemi_dpdk::open(&uri.parse()?, pool, DeviceQueue::ONLY)
}

#[track_caller]
fn refused(uri: &str, why: &[&str]) {
    let says =
        open(uri, &Pool::new().unwrap()).err().unwrap_or_else(|| panic!("{uri} was opened")).to_string();
    assert!(why.iter().any(|why| says.contains(why)), "{uri}: {says}");
}

#[test]
fn what_is_not_there_is_an_error_with_dpdks_own_words() {
    if hemi_dpdk::VERSION.is_none() {
        hemi_skip::skip!("no DPDK in this build");
    }
    // The first device decides about EAL: a virtual one, without PCI.
    drop(open("dpdk:net_null20", &Pool::new().unwrap()).unwrap());
    refused("dpdk:net_nonsense0", &["cannot find net_nonsense0", "failed to initialize"]);
    refused("dpdk:0000:ff:1f.7", &["cannot find 0000:ff:1f.7"]);
    refused("dpdk:net_af_packet20,iface=hemi-none", &["cannot find net_af_packet20"]);
    refused(
        "dpdk:net_memif20,role=client,socket=/tmp/hemi-no-such.sock,socket-abstract=no",
        &["start net_memif20"],
    );
    refused("dpdk:net_null20?mtu=0", &["choose 68 or more"]);
    refused("dpdk:net_null20?mtu=67", &["choose 68 or more"]);
    refused("dpdk:net_null20?peer=mother", &["must be `trusted` or `stranger`"]);
    refused("dpdk:", &["name a port"]);
    // None of them is in the way afterwards.
    drop(open("dpdk:net_null20", &Pool::new().unwrap()).unwrap());
}

#[test]
fn a_drained_pool_drops_and_counts_and_recovers() {
    if hemi_dpdk::VERSION.is_none() {
        hemi_skip::skip!("no DPDK in this build");
    }
    let pool = Pool::new().unwrap();
    // A driver that makes frames up.
    let mut device = open("dpdk:net_null21,size=1000", &pool).unwrap();
    let counter = |device: &dyn Device, wanted: &str| {
        let mut found = 0;
        device.counters(&mut |name, value| found = if name == wanted { value } else { found });
        found
    };
    // An application that holds everything it gets: first the mbufs but a reserve, then the pool.
    let mut held = Vec::new();
    while counter(&*device, "rx_copied") < 64 {
        assert!(device.rx_burst(Instant::ZERO, 32, &mut held).unwrap() > 0);
    }
    assert_eq!(counter(&*device, "rx_zero_copy"), 2048);
    assert_eq!(counter(&*device, "rx_reserve"), counter(&*device, "rx_copied"));
    let mut hoard = Vec::new();
    for size in [64 << 10, 16 << 10, 2048] {
        hoard.extend(std::iter::from_fn(|| pool.try_alloc(size).ok()));
    }
    let before = held.len();
    device.rx_burst(Instant::ZERO, 32, &mut held).unwrap();
    assert_eq!(held.len(), before, "there is no memory");
    assert!(counter(&*device, "rx_no_memory") >= 32);
    // All of it comes back, from another thread too.
    drop(hoard);
    let far: Vec<_> = held.drain(..).map(|frame| frame.bytes.into_send()).collect();
    std::thread::spawn(move || drop(far)).join().unwrap();
    let zero_copy = counter(&*device, "rx_zero_copy");
    for _ in 0..200 {
        device.rx_burst(Instant::ZERO, 32, &mut held).unwrap();
        held.clear();
    }
    assert_eq!(counter(&*device, "rx_zero_copy"), zero_copy + 200 * 32);
}

#[test]
fn a_received_buffer_outlives_its_port() {
    if hemi_dpdk::VERSION.is_none() {
        hemi_skip::skip!("no DPDK in this build");
    }
    let pool = Pool::new().unwrap();
    let mut frames = Vec::new();
    for _ in 0..3 {
        let mut device = open("dpdk:net_null22,size=500", &pool).unwrap();
        device.rx_burst(Instant::ZERO, 32, &mut frames).unwrap();
        drop(device);
        assert!(frames.iter().all(|frame| frame.bytes.len() == 500));
        let mut mine = frames.swap_remove(0).bytes.try_mut().expect("nobody else has it");
        mine.fill(7);
    }
    assert!(frames.len() > 32);
}

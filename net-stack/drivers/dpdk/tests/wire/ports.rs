//! Ports that are opened twice, and again.

use std::thread;

use hemi_dpdk::floor::Frames;
use hemi_net::{Device, DeviceQueue};
use hemi_queue::{Pool, Result, time::Instant};

fn open(uri: &str, pool: &Pool) -> Result<Box<dyn Device>> {
    hemi_dpdk::open(&uri.parse()?, pool, DeviceQueue::ONLY)
}

#[test]
fn a_port_asked_for_otherwise_is_refused_and_goes_on() {
    if hemi_dpdk::VERSION.is_none() {
        hemi_skip::skip!("no DPDK in this build");
    }
    let pool = Pool::new().unwrap();
    let receives = |device: &mut dyn Device| {
        let mut frames = Vec::new();
        // This driver makes frames up.
        device.rx_burst(Instant::ZERO, 8, &mut frames).unwrap();
        frames.first().map(|frame| frame.bytes.len())
    };
    let mut first = open("dpdk:net_null7,size=64", &pool).unwrap();
    assert_eq!(receives(&mut *first), Some(64));
    let says = open("dpdk:net_null7,size=128", &pool).err().unwrap().to_string();
    assert!(says.contains("again, otherwise"), "{says}");
    assert_eq!(receives(&mut *first), Some(64), "it has not been closed");
    let says = open("dpdk:net_null7,size=64", &pool).err().unwrap().to_string();
    assert!(says.contains("queue 0 of net_null7, which is open already"), "{says}");
    drop(first);
    // Closed in one thread and opened in others, each time with nothing left of the last.
    let opened = std::sync::Barrier::new(2);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let pool = Pool::new().unwrap();
                opened.wait();
                let mut opened = 0;
                while opened < 20 {
                    match open("dpdk:net_null7,size=128", &pool) {
                        Ok(device) => {
                            let _ = device.describe();
                            opened += 1;
                        }
                        Err(e) => assert!(
                            e.to_string().contains("queue 0 of net_null7, which is open already"),
                            "{e}"
                        ),
                    }
                    thread::yield_now();
                }
            });
        }
    });
    let mut last = open("dpdk:net_null7,size=256", &pool).unwrap();
    assert_eq!(receives(&mut *last), Some(256));
}

#[test]
fn every_queue_pair_has_one_owner() {
    if hemi_dpdk::VERSION.is_none() {
        hemi_skip::skip!("no DPDK in this build");
    }
    let pool = Pool::new().unwrap();
    let open = |index, of| {
        let uri = format!("dpdk:net_memif30,role=server,socket=hemi-queues-{}", std::process::id());
        hemi_dpdk::open(&uri.parse()?, &pool, DeviceQueue { index, of })
    };
    let (first, second) = (open(0, 2).unwrap(), open(1, 2).unwrap());
    for (index, of, why) in
        [(0, 2, "queue 0 of"), (1, 2, "queue 1 of"), (0, 1, "again, otherwise"), (2, 2, "queue 2 of")]
    {
        let says = open(index, of).err().unwrap().to_string();
        assert!(says.contains(why), "{says}");
    }
    // What one core has left is nobody's before the last is gone.
    drop(first);
    assert!(open(0, 2).is_err());
    drop(second);
}

#[test]
fn bare_frames_fit_their_buffers() {
    if hemi_dpdk::VERSION.is_none() {
        return;
    }
    for wrong in [4000, 65_535, 65_536, 70_000] {
        let opened = Frames::open(&"dpdk:net_null31".parse().unwrap(), &vec![0; wrong]);
        let says = opened.err().unwrap().to_string();
        assert!(says.contains(&format!("a frame of {wrong} bytes")), "{says}");
    }
    let mut frames = Frames::open(&"dpdk:net_null31".parse().unwrap(), &[0; 1514]).unwrap();
    assert_eq!(frames.send(8), 8);
}

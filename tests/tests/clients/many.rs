//! Many connections at one time.

use std::io::{Read, Write};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::guest::{self, Device, V4, connect};

/// A thousand connections, all open, each of them served twice.
#[test]
fn a_thousand_connections_at_one_time() {
    const COUNT: usize = 1000;
    let net = hemi_netns::enter!();
    let limit = getrlimit(Resource::Nofile);
    // The example inherits nothing of this but the limit, of which it needs little: its sockets are its own.
    if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_err()
        || limit.maximum.is_some_and(|m| m < COUNT as u64 + 200)
    {
        hemi_skip::skip!("only {:?} descriptors are allowed", limit.maximum);
    }
    let guest = guest::start(&net, Device::Tap, "", "testbed", &["--port", "7000"]);
    let mut streams: Vec<_> = (0..COUNT).map(|_| connect((V4, 7000))).collect();
    for round in 0..2_u32 {
        for (n, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&(n as u32 * 7 + round).to_be_bytes()).expect("it is taken");
        }
        for (n, stream) in streams.iter_mut().enumerate() {
            let mut got = [0; 4];
            stream.read_exact(&mut got).expect("the echo");
            assert_eq!(u32::from_be_bytes(got), n as u32 * 7 + round);
        }
    }
    drop(streams);
    guest.stop();
}

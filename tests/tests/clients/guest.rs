//! An example as a program in a namespace, on a device of the kernel's: the host under test is 10.99.0.1 and fd99::1, the kernel
//! 10.99.0.2 and fd99::2.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream, ToSocketAddrs},
    thread,
    time::Duration,
};

use hemi_netns::Namespace;
use hemi_tests::guest::Guest;

pub(super) const V4: &str = "10.99.0.1";
pub(super) const V6: &str = "fd99::1";

/// Where nothing comes, it is a hang.
pub(super) const HANG: Duration = Duration::from_secs(120);

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Device {
    Tap,
    Packet,
    Xdp,
}

/// Start an example on a device, with more parameters in its URI, and wait until its first line.
pub(super) fn start(net: &Namespace, device: Device, more: &str, example: &str, arguments: &[&str]) -> Guest {
    let uri = match device {
        Device::Tap => "tap:hemi0?host=10.99.0.2/16&host=fd99::2/64",
        Device::Packet | Device::Xdp => {
            net.veth("h0", "k0");
            net.ip("addr add 10.99.0.2/16 dev k0");
            net.ip("addr add fd99::2/64 dev k0 nodad");
            if device == Device::Xdp {
                // AF_XDP carries no word of a checksum that is still to be finished, and veth finishes none.
                net.run("ethtool", &["-K", "k0", "tx", "off", "tso", "off", "gso", "off"]);
            }
            if device == Device::Packet { "packet:h0?mac=own" } else { "xdp:h0?mac=interface" }
        }
    };
    Guest::spawn(example, &format!("{uri}&ip={V4}/16&ip={V6}/64{more}"), arguments)
}

/// A kernel socket connected to the host.
pub(super) fn connect(at: impl ToSocketAddrs) -> TcpStream {
    let at = at.to_socket_addrs().expect("an address").next().expect("one");
    let stream = TcpStream::connect_timeout(&at, HANG).expect("it accepts");
    stream.set_read_timeout(Some(HANG)).expect("a timeout");
    stream.set_write_timeout(Some(HANG)).expect("a timeout");
    stream
}

/// Bytes without a period that a buffer could hide.
pub(super) fn pattern(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Send `bytes`, finish, and read the echo to its end; both at one time.
pub(super) fn exchange(stream: TcpStream, bytes: &[u8]) {
    let mut writer = stream.try_clone().expect("a descriptor");
    let mut reader = stream;
    thread::scope(|scope| {
        scope.spawn(move || {
            writer.write_all(bytes).expect("it is taken");
            writer.shutdown(Shutdown::Write).expect("the end is told");
        });
        let mut got = Vec::new();
        reader.read_to_end(&mut got).expect("the echo");
        assert_eq!(got.len(), bytes.len());
        assert!(got == bytes, "the echo differs");
    });
}

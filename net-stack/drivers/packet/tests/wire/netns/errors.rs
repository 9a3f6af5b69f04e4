//! What does not work says why.

use std::os::fd::BorrowedFd;

use hemi_net::DeviceQueue;
use hemi_queue::{Pool, Wakeup};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{link, station};

fn refused(uri: &str) -> String {
    let pool = Pool::new().unwrap();
    match hemi_packet::open(&uri.parse().unwrap(), &pool, DeviceQueue::ONLY) {
        Ok(_) => panic!("{uri} was opened"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn an_interface_that_is_not_there_or_down() {
    let net = hemi_netns::enter!();
    link(&net);
    let says = refused("packet:eth7");
    assert!(says.contains("no interface `eth7`; there are lo, ") && says.contains("h0"), "{says}");
    net.ip("link set h0 down");
    let says = refused("packet:h0");
    assert!(says.contains("`h0` is down; `ip link set h0 up`"), "{says}");
}

#[test]
fn parameters() {
    let net = hemi_netns::enter!();
    link(&net);
    for (uri, word) in [
        ("packet:h0?mtu=1501", "mtu=1501"),
        ("packet:h0?mac=01:00:00:00:00:00", "not the address of one station"),
        ("packet:h0?ring=1", "64 KiB"),
        ("packet:h0?offload=maybe", "`on` or `off`"),
    ] {
        let says = refused(uri);
        assert!(says.contains(word), "{says}");
    }
}

#[test]
fn no_right_to_raw_sockets() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let net = hemi_netns::enter!();
    link(&net);
    // Capabilities are the thread's; this one shall have them back.
    let says = std::thread::spawn(|| {
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::NET_RAW);
        sets.permitted.remove(CapabilitySet::NET_RAW);
        set_capabilities(None, sets).unwrap();
        refused("packet:h0")
    });
    let says = says.join().unwrap();
    for word in ["AF_PACKET", "h0", "CAP_NET_RAW", "unshare -Urn", "Operation not permitted"] {
        assert!(says.contains(word), "{word}: {says}");
    }
}

#[test]
fn an_interface_that_is_removed_or_set_down() {
    for command in ["link del h0", "link set h0 down"] {
        let net = hemi_netns::enter!();
        link(&net);
        let mut station = station("packet:h0");
        for _ in 0..3 {
            station.turn().unwrap();
        }
        net.ip(command);
        let begin = std::time::Instant::now();
        let gone = loop {
            match station.turn() {
                Err(gone) => break gone.to_string(),
                Ok(()) => assert!(begin.elapsed().as_secs() < 120, "nobody noticed `ip {command}`"),
            }
        };
        assert!(gone.contains("h0 is gone"), "{gone}");
    }
}

#[test]
fn without_a_cable_frames_go_nowhere_and_with_it_they_go_again() {
    let net = hemi_netns::enter!();
    link(&net);
    let mut station = station("packet:h0");
    net.ip("link set k0 down");
    let (socket, _) = station.host.stack.udp_bind("0.0.0.0:0".parse().unwrap(), 1 << 16, false).unwrap();
    let unit = hemi_queue::Buf::from_static(b"into the void").into();
    let (now, to) = (station.now(), "10.77.0.1:9".parse().unwrap());
    station.host.stack.udp_send(socket, unit, Some(to), now).map_err(|(e, _)| e).unwrap();
    station.until("frames go nowhere", |station| station.counter("tx_no_carrier") > 0);
    assert_eq!(station.host.device.deadline(), None, "nothing is tried again");
    net.ip("link set k0 up");
    hemi_netns::suite::answers_echo_requests(&mut station, "10.77.0.2".parse().unwrap());
}

/// Down and up again before anybody has looked: the socket keeps the error of it.
#[test]
fn an_interface_that_was_down_for_a_moment_goes_on() {
    let net = hemi_netns::enter!();
    link(&net);
    let mut station = station("packet:h0");
    hemi_netns::suite::answers_echo_requests(&mut station, "10.77.0.2".parse().unwrap());
    let Wakeup::Fd(fd) = station.host.device.wakeup() else { panic!("a descriptor") };
    let has_error = move || {
        // SAFETY: the device has it open until the end of this test.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::empty())];
        poll(&mut fds, Some(&Timespec::default())).unwrap();
        fds[0].revents().contains(PollFlags::ERR)
    };
    let bounce = || {
        net.ip("link set h0 down");
        net.ip("link set h0 up");
        assert!(has_error(), "or there is nothing to see here");
    };
    // To a sleeper, whom the error would wake for ever,
    bounce();
    station.until("the error is taken out", |_| !has_error());
    // and to one who sends, who gets it instead of an answer.
    let (socket, _) = station.host.stack.udp_bind("0.0.0.0:0".parse().unwrap(), 1 << 16, false).unwrap();
    bounce();
    let unit = hemi_queue::Buf::from_static(b"into the void").into();
    let (now, to) = (station.now(), "10.77.0.1:9".parse().unwrap());
    station.host.stack.udp_send(socket, unit, Some(to), now).map_err(|(e, _)| e).unwrap();
    station.host.flush(now).unwrap();
    hemi_netns::suite::answers_echo_requests(&mut station, "10.77.0.2".parse().unwrap());
    hemi_netns::suite::accepts_and_transfers(&mut station, "10.77.0.2".parse().unwrap(), 1 << 20);
}

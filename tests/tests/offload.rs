//! Predicates and rewrites of queues that a device runs, opposite real traffic (root).

use std::{net::UdpSocket, time::Duration};

use hemi::{
    Pop, Runtime, Sga, UdpQueue,
    algebra::{Predicate, Rewrite, RunsIn, filter_by, map_by},
    net,
    time::timeout,
};
use hemi_netns::Namespace;

/// For what hangs, not for what is slow.
const HANG: Duration = Duration::from_secs(120);
const XDP: RunsIn = RunsIn::Device("XDP");

mod netns {
    use super::*;

    /// `ha` is ours, the kernel is `10.77.0.1` and `fd77::1` on `hb`.
    fn cable(ground: &Namespace) {
        ground.veth("ha", "hb");
        ground.ip("addr add 10.77.0.1/24 dev hb");
        ground.ip("addr add fd77::1/64 dev hb nodad");
    }

    fn on_xdp(parameters: &str) -> Runtime {
        // The other end of a veth pair leaves checksums unfinished.
        let uri = format!("xdp:ha?ip=10.77.0.2/24&ip=fd77::2/64&checksum=trust{parameters}");
        Runtime::builder().net(uri).build().expect("a device")
    }

    /// What the program in the kernel has rejected so far.
    fn rejected() -> u64 {
        counter("rx_filtered")
    }

    /// What it has rewritten, and we have received.
    fn rewritten() -> u64 {
        counter("rx_rewritten")
    }

    fn counter(wanted: &str) -> u64 {
        let snapshot = net::snapshot("").expect("a stack");
        let found = snapshot.device.iter().find(|(name, _)| name == wanted);
        found.expect("the device counts it").1
    }

    /// Send numbered datagrams from the kernel's `from` to `to`: the even ones begin with `y`, the odd ones with `n`. The last begins with `y`.
    fn traffic(from: &str, to: &str) -> UdpSocket {
        let client = UdpSocket::bind((from, 0)).expect("an address of the kernel's");
        client.connect(to).expect("a way there");
        for number in 0..=200_u8 {
            let kind = if number % 2 == 0 { b'y' } else { b'n' };
            client.send(&[kind, number]).expect("the kernel sends");
        }
        client
    }

    /// The numbers that come out of `queue`, up to the last one of [`traffic`].
    async fn numbers(queue: &mut (impl Pop<Unit = Sga> + Unpin)) -> Vec<u8> {
        let mut numbers = Vec::new();
        while numbers.last() != Some(&200) {
            let popped = timeout(HANG, queue.pop()).await.expect("no hang").expect("no error");
            numbers.push(popped.expect("not closed").to_vec()[1]);
        }
        numbers
    }

    #[test]
    fn xdp_rejects_what_the_software_filter_would() {
        let ground = hemi_netns::enter!();
        cable(&ground);
        on_xdp("").block_on(async {
            let socket = UdpQueue::bind("[::]:53").await.expect("a socket");
            let mut yes = filter_by(socket, &Predicate::bytes(0, "y"));
            assert_eq!(yes.offload().pop, XDP);
            let even: Vec<u8> = (0..=200).step_by(2).collect();
            for (kernels, ours) in [("10.77.0.1", "10.77.0.2:53"), ("fd77::1", "[fd77::2]:53")] {
                let _client = traffic(kernels, ours);
                assert_eq!(numbers(&mut yes).await, even);
            }
            assert_eq!((yes.rejected(), rejected()), (0, 200), "none of them came up");
            let (mut socket, _) = yes.into_parts();
            let _client = traffic("10.77.0.1", "10.77.0.2:53");
            assert_eq!(numbers(&mut socket).await, (0..=200).collect::<Vec<u8>>(), "as before");
            assert_eq!(rejected(), 200);
        });
    }

    #[test]
    fn filters_compose_and_the_end_of_one_restores_the_rest() {
        let ground = hemi_netns::enter!();
        cable(&ground);
        on_xdp("").block_on(async {
            let bind = async |at: &str| UdpQueue::bind(at).await.expect("a socket");
            let mut yes = filter_by(bind("10.77.0.2:1").await, &Predicate::bytes(0, "y"));
            let mut high = filter_by(bind("10.77.0.2:2").await, &Predicate::range(1, 1, 100..=200));
            let mut all = bind("10.77.0.2:3").await;
            assert_eq!((yes.offload().pop, high.offload().pop), (XDP, XDP));
            let everything: Vec<u8> = (0..=200).collect();
            // The first traffic waits in the kernel for our MAC address, and only so much of it may.
            let _client = traffic("10.77.0.1", "10.77.0.2:1");
            assert_eq!(numbers(&mut yes).await, (0..=200).step_by(2).collect::<Vec<u8>>());
            let _clients = ["10.77.0.2:2", "10.77.0.2:3"].map(|to| traffic("10.77.0.1", to));
            assert_eq!(numbers(&mut high).await, (100..=200).collect::<Vec<u8>>());
            assert_eq!(numbers(&mut all).await, everything, "a queue without a predicate loses nothing");
            assert_eq!(rejected(), 200);
            drop(yes);
            let mut first = bind("10.77.0.2:1").await; // the port is free again, and so is the way to it
            let _clients = ["10.77.0.2:1", "10.77.0.2:2"].map(|to| traffic("10.77.0.1", to));
            assert_eq!(numbers(&mut first).await, everything);
            assert_eq!(numbers(&mut high).await, (100..=200).collect::<Vec<u8>>());
            assert_eq!(rejected(), 300);
        });
    }

    /// The next unit.
    async fn next(queue: &mut (impl Pop<Unit = Sga> + Unpin)) -> Vec<u8> {
        let popped = timeout(HANG, queue.pop()).await.expect("no hang").expect("no error");
        popped.expect("not closed").to_vec()
    }

    /// Datagrams as [`traffic`] sends them, with their two bytes exchanged: done twice, that would be as if never.
    async fn exchanged(queue: &mut (impl Pop<Unit = Sga> + Unpin)) -> Vec<u8> {
        let mut numbers = Vec::new();
        while numbers.last() != Some(&200) {
            let unit = next(queue).await;
            let kind = if unit[0] % 2 == 0 { b'y' } else { b'n' };
            assert_eq!(unit[1], kind, "{unit:?}");
            numbers.push(unit[0]);
        }
        numbers
    }

    #[test]
    fn xdp_rewrites_what_the_software_would_and_nothing_twice() {
        let ground = hemi_netns::enter!();
        cable(&ground);
        let everything: Vec<u8> = (0..=200).collect();
        on_xdp("").block_on(async {
            let mut socket = UdpQueue::bind("[::]:53").await.expect("a socket");
            let _before = traffic("10.77.0.1", "10.77.0.2:53");
            assert_eq!(next(&mut socket).await, [b'y', 0]);
            let mut map = map_by(socket, Rewrite::new().swap(0, 1, 1));
            assert_eq!(map.offload().pop, XDP);
            assert_eq!(exchanged(&mut map).await, everything[1..], "what arrived before is rewritten here");
            let before = rewritten();
            for (kernels, ours) in [("10.77.0.1", "10.77.0.2:53"), ("fd77::1", "[fd77::2]:53")] {
                let _client = traffic(kernels, ours);
                assert_eq!(exchanged(&mut map).await, everything);
            }
            assert_eq!(rewritten(), before + 402);
            let fragmented = UdpSocket::bind("10.77.0.1:0").expect("an address of the kernel's");
            let long: Vec<u8> = (0..4000_u32).map(|i| i as u8 ^ 1).collect();
            fragmented.send_to(&long, "10.77.0.2:53").expect("the kernel sends");
            let unit = next(&mut map).await;
            assert_eq!((unit[..2].to_vec(), &unit[2..]), (vec![0, 1], &long[2..]), "in software");
            fragmented.send_to(b"1", "10.77.0.2:53").expect("the kernel sends");
            assert_eq!(next(&mut map).await, b"1", "too short to be changed");
            assert_eq!(rewritten(), before + 402);
            let (mut socket, _) = map.into_parts();
            let _client = traffic("10.77.0.1", "10.77.0.2:53");
            assert_eq!(numbers(&mut socket).await, everything, "as before");
            assert_eq!(rewritten(), before + 402);
        });
    }

    #[test]
    fn checksums_hold_behind_a_rewrite_in_the_kernel() {
        let ground = hemi_netns::enter!();
        if hemi_skip::find_program("ethtool").is_none() {
            hemi_skip::skip!("ethtool is not installed (apt-get install ethtool)");
        }
        cable(&ground);
        ground.run("ethtool", &["-K", "hb", "tx", "off"]); // checksums as on a real wire
        let runtime =
            Runtime::builder().net("xdp:ha?ip=10.77.0.2/24&ip=fd77::2/64").build().expect("a device");
        runtime.block_on(async {
            let socket = UdpQueue::bind("[::]:53").await.expect("a socket");
            let rewrite = Rewrite::new().swap(0, 1, 1).mask(0, [0xfe]).set(2, b"changed");
            let mut map = map_by(socket, rewrite.clone());
            assert_eq!(map.offload().pop, XDP);
            for (kernels, ours) in [("10.77.0.1:0", "10.77.0.2:53"), ("[fd77::1]:0", "[fd77::2]:53")] {
                let client = UdpSocket::bind(kernels).expect("an address of the kernel's");
                for number in 0..=255_u8 {
                    let payload = [&[b'x', number][..], &vec![number; 7 + usize::from(number)]].concat();
                    client.send_to(&payload, ours).expect("the kernel sends");
                    let expect = rewrite.apply(hemi::Buf::from(payload)).to_vec();
                    assert_eq!(next(&mut map).await, expect, "a wrong checksum would be dropped");
                }
            }
            assert_eq!(rewritten(), 512);
        });
    }

    #[test]
    fn a_map_over_a_filter_runs_behind_it_and_maps_compose() {
        let ground = hemi_netns::enter!();
        cable(&ground);
        on_xdp("").block_on(async {
            let bind = async |at: &str| UdpQueue::bind(at).await.expect("a socket");
            let yes = filter_by(bind("10.77.0.2:1").await, &Predicate::bytes(0, "y"));
            // What the filter asks for is not there any more afterwards.
            let mut changed = map_by(yes, Rewrite::new().set(0, "n"));
            let mut exchanging = map_by(bind("10.77.0.2:2").await, Rewrite::new().swap(0, 1, 1));
            let mut plain = bind("10.77.0.2:3").await;
            assert_eq!((changed.offload().pop, exchanging.offload().pop), (XDP, XDP));
            let even: Vec<u8> = (0..=200).step_by(2).collect();
            let everything: Vec<u8> = (0..=200).collect();
            let _client = traffic("10.77.0.1", "10.77.0.2:1");
            for number in &even {
                assert_eq!(next(&mut changed).await, [b'n', *number]);
            }
            assert_eq!((rejected(), rewritten()), (100, 101));
            let _clients = ["10.77.0.2:2", "10.77.0.2:3"].map(|to| traffic("10.77.0.1", to));
            assert_eq!(exchanged(&mut exchanging).await, everything);
            assert_eq!(numbers(&mut plain).await, everything);
            let (mut yes, _) = changed.into_parts();
            let _clients = ["10.77.0.2:1", "10.77.0.2:2"].map(|to| traffic("10.77.0.1", to));
            assert_eq!(numbers(&mut yes).await, even, "the filter stays");
            assert_eq!(exchanged(&mut exchanging).await, everything, "and so does the other map");
            assert_eq!((yes.rejected(), rejected(), rewritten()), (0, 200, 101 + 402));
            // Too much for the device, and no less exact.
            let mut long =
                map_by(bind("10.77.0.2:4").await, Rewrite::new().swap(0, 1, 1).mask(1000, [0; 129]));
            assert_eq!(long.offload().pop, RunsIn::Software);
            let client = UdpSocket::bind("10.77.0.1:0").expect("an address of the kernel's");
            client.send_to(&[9; 1200], "10.77.0.2:4").expect("the kernel sends");
            assert_eq!(next(&mut long).await[1000..1130], [[0; 129].as_slice(), &[9]].concat());
            let _client = traffic("10.77.0.1", "10.77.0.2:2");
            assert_eq!(exchanged(&mut exchanging).await, everything, "still in the device");
        });
    }

    #[test]
    fn what_can_not_be_translated_stays_in_software_and_is_no_less_exact() {
        let ground = hemi_netns::enter!();
        cable(&ground);
        on_xdp("").block_on(async {
            let socket = UdpQueue::bind("10.77.0.2:1").await.expect("a socket");
            let long_hash = Predicate::hash_shard(0, 1000, 2, 0);
            let mut yes = filter_by(socket, &(Predicate::bytes(0, "y") | long_hash));
            assert_eq!(yes.offload().pop, RunsIn::Software);
            let _client = traffic("10.77.0.1", "10.77.0.2:1");
            assert_eq!(numbers(&mut yes).await, (0..=200).step_by(2).collect::<Vec<u8>>());
            assert_eq!((yes.rejected(), rejected()), (100, 0));
        });
    }

    #[test]
    fn rejected_datagrams_go_to_the_kernel_if_it_is_asked_for() {
        let ground = hemi_netns::enter!();
        // A host behind the other end, so that this end can be the kernel's as well as ours.
        ground.veth("ha", "hb");
        ground.ip("link set ha address 02:00:00:00:00:0a");
        ground.ip("addr add 10.77.0.2/24 dev ha");
        let peer = Namespace::name(&ground).to_owned() + "-peer";
        ground.ip(&format!("netns add {peer}"));
        let far = Removed(&ground, peer);
        ground.ip(&format!("link set hb netns {}", far.1));
        for setting in [
            "addr add 10.77.0.1/24 dev hb",
            "link set hb up",
            "neigh add 10.77.0.2 lladdr 02:00:00:00:00:0a dev hb",
        ] {
            ground.ip(&format!("-n {} {setting}", far.1));
        }
        let kernel = UdpSocket::bind("10.77.0.2:53").expect("the kernel has the address too");
        kernel.set_read_timeout(Some(HANG)).expect("a time-out");
        on_xdp("&xdp_pass=kernel").block_on(async {
            let socket = UdpQueue::bind("10.77.0.2:53").await.expect("a socket");
            let mut yes = filter_by(socket, &Predicate::bytes(0, "y"));
            assert_eq!(yes.offload().pop, XDP);
            let namespace = far.1.clone();
            let sender = hemi::spawn_blocking(move || {
                let script =
                    "for n in {1..40}; do for l in y n; do printf $l$n > /dev/udp/10.77.0.2/53; done; done";
                let command = ["netns", "exec", &namespace, "bash", "-c", script];
                std::process::Command::new("ip").args(command).status()
            });
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
            for number in 1..=40 {
                let popped = timeout(HANG, yes.pop()).await.expect("no hang").expect("no error");
                assert_eq!(text(popped.expect("not closed").to_vec()), format!("y{number}"));
            }
            assert!(sender.await.expect("no panic").expect("it runs").success());
        });
        let mut bytes = [0; 16];
        for number in 1..=40 {
            let n = kernel.recv(&mut bytes).expect("what was rejected");
            assert_eq!(bytes[..n], *format!("n{number}").as_bytes());
        }
    }

    /// A namespace beside the test's own.
    struct Removed<'a>(&'a Namespace, String);

    impl Drop for Removed<'_> {
        fn drop(&mut self) {
            let _ = self.0.try_ip(&format!("netns del {}", self.1));
        }
    }
}

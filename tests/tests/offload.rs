//! Predicates of queues that a device runs, opposite real traffic (root).

use std::{net::UdpSocket, time::Duration};

use hemi::{
    Pop, Runtime, Sga, UdpQueue,
    algebra::{Predicate, RunsIn, filter_by},
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
        let snapshot = net::snapshot("").expect("a stack");
        let found = snapshot.device.iter().find(|(name, _)| name == "rx_filtered");
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
            let (namespace, pair) = (far.1.clone(), "for n in $(seq 40); do echo y$n; echo n$n; done");
            let script = format!("{pair} | while read l; do printf $l | nc -u -w0 10.77.0.2 53; done");
            let sender = hemi::spawn_blocking(move || {
                let command = ["netns", "exec", &namespace, "sh", "-c", &script];
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

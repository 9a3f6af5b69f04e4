//! Connections and datagrams, whatever the device does, with and without loss.

use std::{net::SocketAddr, time::Duration};

use hemi_net::{
    TcpOptionsConfig,
    sim::{Faults, LinkConfig, Spreading},
};
use hemi_queue::{Buf, Sga};

use crate::world::{NICS, Nic, V4, V6, World, text};

fn link(bad: bool) -> LinkConfig {
    let mut link = LinkConfig { delay: Duration::from_millis(2), ..LinkConfig::default() };
    if bad {
        let by = Duration::from_millis(3);
        link.faults =
            Faults { loss: 0.02, duplicate: 0.01, reorder: 0.03, reorder_by: by, ..Faults::default() };
    }
    link
}

/// A server whose every core listens and takes datagrams at port 7.
fn serving(cores: usize, nic: Nic, link: LinkConfig, seed: u64) -> World {
    let mut world = World::new(cores, nic, link, seed);
    for core in 0..cores {
        world.listen(core, "[::]:7");
        world.take_datagrams(core, "[::]:7");
    }
    world
}

const TALKS: usize = 60;

#[test]
fn every_connection_is_served_by_the_core_of_its_flow() {
    for seed in 0..30_u64 {
        let cores = 2 + seed as usize % 7;
        for nic in NICS {
            let bad = seed % 3 == 2;
            let mut world = serving(cores, nic, link(bad), seed);
            for n in 0..TALKS {
                let ip = if n % 2 == 0 { format!("{V4}:7") } else { format!("[{V6}]:7") };
                world.talk(&ip, n * 300 % 9000);
            }
            world.until("connections are served", |w| w.done == TALKS);
            let label = format!("seed {seed}, {cores} cores, {nic:?}");
            let accepted: Vec<_> = world.servers.iter().map(|s| s.accepted).collect();
            assert_eq!(accepted.iter().sum::<usize>(), TALKS, "{label}");
            assert!(accepted.iter().all(|n| *n > 0), "{label}: {accepted:?}");
            assert_eq!(world.sum(|c| c.drop_cores_ring_full), 0, "{label}");
            assert_eq!(world.sum(|c| c.cores_handed_over), world.sum(|c| c.cores_taken_over), "{label}");
            if !bad && nic != Nic::Queues(Spreading::Chance) {
                let resets = world.sum(|c| c.tcp_resets_sent);
                assert_eq!(resets, 0, "{label}: nobody was sent to the wrong core");
            }
            let handed = world.sum(|c| c.cores_handed_over);
            match nic {
                Nic::Queues(Spreading::AsTold | Spreading::OwnKeyTold) => assert_eq!(handed, 0, "{label}"),
                _ => assert!(handed > 0, "{label}"),
            }
        }
    }
}

/// A seed is a world: nothing depends on threads.
#[test]
fn the_same_seed_is_the_same_run() {
    let run = || {
        let mut world = serving(4, Nic::Queues(Spreading::Chance), link(true), 11);
        (0..20).for_each(|_| world.talk(&format!("{V4}:7"), 5000));
        world.until("served", |w| w.done == 20);
        (world.now, world.report())
    };
    let (one, other) = (run(), run());
    assert!(one == other, "{:?}, {:?}", one.0, other.0);
}

#[test]
fn datagrams_whole_and_in_fragments_come_back() {
    for nic in NICS {
        let mut world = serving(4, nic, link(false), 5);
        // So many frames do not wait for a neighbour's address: it is asked for before.
        world.talk(&format!("{V4}:7"), 1);
        world.talk(&format!("[{V6}]:7"), 1);
        world.until("the neighbours are known", |w| w.done == 2);
        let sockets: Vec<_> = (0..24)
            .map(|n| {
                let (stack, now) = (&mut world.client.stack, world.now);
                let any = if n % 2 == 0 { "0.0.0.0:0" } else { "[::]:0" };
                let (socket, _) = stack.udp_bind(any.parse().unwrap(), 1 << 20, false).unwrap();
                let to: SocketAddr =
                    if n % 2 == 0 { format!("{V4}:7") } else { format!("[{V6}]:7") }.parse().unwrap();
                let payload = text(n, 0, if n % 3 == 0 { 5000 } else { 500 });
                stack.udp_send(socket, Sga::from(Buf::from(payload)), Some(to), now).unwrap();
                (n, socket)
            })
            .collect();
        let mut back = 0;
        world.until("datagrams are echoed", |w| {
            for (n, socket) in &sockets {
                while let Ok(Some(datagram)) = w.client.stack.udp_recv(*socket) {
                    assert_eq!(datagram.payload.to_vec(), text(*n, 0, datagram.payload.len()), "{nic:?}");
                    back += 1;
                }
            }
            back == sockets.len()
        });
        let echoed: Vec<_> = world.servers.iter().map(|s| s.echoed).collect();
        assert!(echoed.iter().all(|n| *n > 0), "{nic:?}: {echoed:?}");
        assert_eq!(world.sum(|c| c.ip_reassembled), 8, "{nic:?}");
        assert_eq!(world.sum(|c| c.udp_received), 24, "{nic:?}");
    }
}

/// Each core opens connections to a server elsewhere; the answers come to it.
#[test]
fn what_a_core_opens_is_its_own() {
    for seed in 0..10 {
        for nic in NICS {
            let cores = 2 + seed as usize % 7;
            let mut world = World::new(cores, nic, link(seed % 2 == 1), seed);
            let options = TcpOptionsConfig::default;
            let (listener, _) =
                world.client.stack.tcp_listen("[::]:80".parse().unwrap(), 1024, false, options()).unwrap();
            let mut conns = Vec::new();
            for core in 0..cores {
                for n in 0..20 {
                    let to: SocketAddr =
                        if n % 2 == 0 { "10.0.0.2:80" } else { "[fd00::2]:80" }.parse().unwrap();
                    let now = world.now;
                    conns
                        .push((core, world.cores[core].stack.tcp_connect(to, None, options(), now).unwrap()));
                }
            }
            world.until("all are connected", |w| {
                while w.client.stack.tcp_accept(listener).is_some() {}
                conns.iter().all(|(core, conn)| {
                    let stack = &w.cores[*core].stack;
                    assert_eq!(stack.tcp_error(*conn), None, "seed {seed}, {nic:?}");
                    stack.tcp_state(*conn) == hemi_net::tcp::State::Established
                })
            });
            let mut ends: Vec<_> = conns
                .iter()
                .map(|(core, conn)| world.cores[*core].stack.tcp_addresses(*conn).unwrap())
                .collect();
            for ((core, _), (local, remote)) in conns.iter().zip(&ends) {
                assert_eq!(
                    world.group.steering().core_of(*remote, *local),
                    *core,
                    "the port was chosen for it"
                );
            }
            ends.sort();
            ends.dedup();
            assert_eq!(ends.len(), conns.len(), "no two have one address");
            if let Nic::Queues(Spreading::AsTold | Spreading::OwnKeyTold) = nic {
                assert_eq!(world.sum(|c| c.cores_handed_over), 0, "seed {seed}, {nic:?}");
            }
        }
    }
}

/// Cores talk to each other, and to themselves, at their own address: nothing of that sees the device.
#[test]
fn the_address_is_reached_from_its_own_cores() {
    let mut world = serving(3, Nic::OneQueue, link(false), 3);
    let to: SocketAddr = format!("{V4}:7").parse().unwrap();
    let mut conns = Vec::new();
    for core in 0..3 {
        for _ in 0..12 {
            let now = world.now;
            let stack = &mut world.cores[core].stack;
            let conn = stack.tcp_connect(to, None, TcpOptionsConfig::default(), now).unwrap();
            stack.tcp_push(conn, "to ourselves".into(), now).map_err(|(e, _)| e).unwrap();
            conns.push((core, conn));
        }
    }
    world.until("all are echoed", |w| {
        conns.iter().all(|(core, conn)| {
            let stack = &w.cores[*core].stack;
            assert_eq!(stack.tcp_error(*conn), None);
            stack.snapshot(*conn).is_some_and(|s| s.recv_queue == 12)
        })
    });
    let accepted: Vec<_> = world.servers.iter().map(|s| s.accepted).collect();
    assert!(accepted.iter().sum::<usize>() == 36 && accepted.iter().all(|n| *n > 0), "{accepted:?}");
}

/// So do datagrams that go in fragments, which another core may put together.
#[test]
fn fragments_to_ourselves_are_put_together_on_another_core() {
    let mut world = serving(4, Nic::OneQueue, link(false), 3);
    let mut sockets = Vec::new();
    for core in 0..4 {
        for (any, to) in [("0.0.0.0:0", format!("{V4}:7")), ("[::]:0", format!("[{V6}]:7"))] {
            let (stack, now) = (&mut world.cores[core].stack, world.now);
            let (socket, _) = stack.udp_bind(any.parse().unwrap(), 1 << 20, false).unwrap();
            let payload = Sga::from(Buf::from(text(core as u64, 0, 5000)));
            stack.udp_send(socket, payload, Some(to.parse().unwrap()), now).map_err(|(e, _)| e).unwrap();
            sockets.push((core, socket));
        }
    }
    world.until("all have come back", |w| {
        sockets.retain(|(core, socket)| !matches!(w.cores[*core].stack.udp_recv(*socket), Ok(Some(_))));
        sockets.is_empty()
    });
    assert_eq!(world.sum(|c| c.drop_ip_bad_source), 0);
    assert!(world.sum(|c| c.cores_handed_over) > 0);
}

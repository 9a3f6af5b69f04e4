//! Who listens, who does not, and what happens when that changes.

use std::time::Duration;

use hemi_net::{
    ConnError, TcpOptionsConfig,
    sim::{LinkConfig, Spreading},
};

use crate::world::{NICS, Nic, V4, V6, World};

fn link() -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(1), ..LinkConfig::default() }
}

#[test]
fn port_0_is_one_port_on_all_cores_and_the_second_bind_of_a_core_is_refused() {
    let mut world = World::new(3, Nic::OneQueue, link(), 1);
    let at: Vec<_> = (0..3).map(|core| world.listen(core, "0.0.0.0:0")).collect();
    assert!(at.iter().all(|a| *a == at[0] && a.port() != 0), "{at:?}");
    let options = TcpOptionsConfig::default;
    for core in 0..3 {
        let again = world.cores[core].stack.tcp_listen(at[0], 8, false, options());
        assert_eq!(again, Err(ConnError::AddressInUse));
    }
    let (id, alone) =
        world.cores[1].stack.tcp_listen_as("0.0.0.0:0".parse().unwrap(), 8, false, options(), false).unwrap();
    assert_eq!(world.cores[2].stack.tcp_listen(alone, 8, false, options()), Err(ConnError::AddressInUse));
    let now = world.now;
    world.cores[1].stack.tcp_close_listener(id, now);
    assert!(world.cores[2].stack.tcp_listen(alone, 8, false, options()).is_ok());
    for _ in 0..40 {
        world.talk(&format!("{V4}:{}", at[0].port()), 100);
    }
    world.until("served", |w| w.done == 40);
}

/// Datagram sockets with a chosen port are clients: each core has its own.
#[test]
fn a_datagram_socket_with_a_chosen_port_hears_its_answers() {
    for nic in NICS {
        let mut world = World::new(4, nic, link(), 2);
        let (server, at) =
            world.client.stack.udp_bind("10.0.0.2:53".parse().unwrap(), 1 << 16, false).unwrap();
        let mut sockets = Vec::new();
        for core in 0..4 {
            let now = world.now;
            let stack = &mut world.cores[core].stack;
            let (socket, local) = stack.udp_bind("0.0.0.0:0".parse().unwrap(), 1 << 16, false).unwrap();
            stack.udp_send(socket, "who?".into(), Some(at), now).unwrap();
            assert!(sockets.iter().all(|(_, _, port)| *port != local.port()));
            sockets.push((core, socket, local.port()));
        }
        let mut heard = 0;
        world.until("every core hears its answer", |w| {
            let now = w.now;
            while let Ok(Some(d)) = w.client.stack.udp_recv(server) {
                w.client.stack.udp_send(server, d.payload.into(), Some(d.from), now).unwrap();
            }
            for (core, socket, _) in &sockets {
                while let Ok(Some(_)) = w.cores[*core].stack.udp_recv(*socket) {
                    heard += 1;
                }
            }
            heard == 4
        });
    }
}

/// A port that some of the cores listen at is served by those.
#[test]
fn a_service_of_one_core_is_reached_whatever_the_flow() {
    for nic in NICS {
        let mut world = World::new(5, nic, link(), 3);
        world.listen(3, "[::]:22");
        for n in 0..30 {
            world.talk(&if n % 2 == 0 { format!("{V4}:22") } else { format!("[{V6}]:22") }, 4000);
        }
        world.until("served", |w| w.done == 30);
        let accepted: Vec<_> = world.servers.iter().map(|s| s.accepted).collect();
        assert_eq!(accepted, [0, 0, 0, 30, 0], "{nic:?}");
    }
}

/// Cores begin and cease to listen while clients come and connections live: none is lost.
#[test]
fn connections_outlive_changes_of_who_listens() {
    for nic in NICS {
        for seed in 0..2 {
            let mut world = World::new(4, nic, link(), 40 + seed);
            world.listen(0, "[::]:80");
            (0..30).for_each(|_| world.talk(&format!("{V4}:80"), 40_000));
            let accepted = |w: &World| w.servers.iter().map(|s| s.accepted).sum::<usize>();
            world.until("the first are accepted", |w| accepted(w) == 30);
            for core in 1..4 {
                world.listen(core, "[::]:80");
            }
            (0..30).for_each(|_| world.talk(&format!("[{V6}]:80"), 40_000));
            world.until("more are accepted", |w| accepted(w) == 60);
            assert!(world.talking() > 0, "they still go on");
            for core in [0, 2] {
                let (listener, now) = (world.servers[core].listener.take().unwrap(), world.now);
                world.cores[core].stack.tcp_close_listener(listener, now);
            }
            (0..30).for_each(|_| world.talk(&format!("{V4}:80"), 1000));
            world.until("all are served", |w| w.done == 90);
            // Segments that overtake others may come when all is over.
            if nic != Nic::Queues(Spreading::Chance) {
                assert_eq!(world.sum(|c| c.tcp_resets_sent), 0, "{nic:?} {seed}");
            }
            assert_eq!(accepted(&world), 90);
        }
    }
}

/// A segment of no connection is answered with one reset, wherever it arrives.
#[test]
fn a_stray_is_answered_once() {
    for nic in NICS {
        let mut world = World::new(4, nic, link(), 9);
        let (to, now) = (format!("{V4}:9").parse().unwrap(), world.now);
        let mut conns = Vec::new();
        for _ in 0..20 {
            conns.push(world.client.stack.tcp_connect(to, None, TcpOptionsConfig::default(), now).unwrap());
        }
        world.until("all are refused", |w| {
            conns.iter().all(|c| w.client.stack.tcp_error(*c) == Some(ConnError::Refused))
        });
        assert_eq!(world.sum(|c| c.tcp_resets_sent), 20, "{nic:?}");
    }
}

/// A core that has ended: what would be its flows is served by the others.
#[test]
fn a_core_that_ends_is_no_black_hole() {
    for nic in [Nic::OneQueue, Nic::Queues(Spreading::OwnKey)] {
        let mut world = World::new(3, nic, link(), 21);
        for core in 0..3 {
            world.listen(core, "[::]:80");
        }
        (0..40).for_each(|_| world.talk(&format!("{V4}:80"), 2000));
        world.until("served", |w| w.done == 40);
        // Its program ends; the core still passes on what its queue receives.
        let (listener, now) = (world.servers[2].listener.take().unwrap(), world.now);
        world.cores[2].stack.tcp_close_listener(listener, now);
        let seat = world.cores[2].seat().unwrap();
        seat.finish();
        assert!(seat.is_needed(), "the others go on");
        (0..40).for_each(|_| world.talk(&format!("{V4}:80"), 2000));
        world.until("served by the others", |w| w.done == 80);
        if nic == Nic::OneQueue {
            // With a queue of its own gone, the device would go on to fill it; without one, the core can go.
            world.cores.pop();
            world.servers.pop();
            (0..40).for_each(|_| world.talk(&format!("{V4}:80"), 2000));
            world.until("served by those who are left", |w| w.done == 120);
        }
        for core in 0..world.cores.len() {
            world.cores[core].seat().unwrap().finish();
        }
        assert!(!world.cores[0].seat().unwrap().is_needed());
    }
}

//! What one core learns of the network, all know.

use std::{net::Ipv4Addr, time::Duration};

use hemi_net::{
    ConnId, Device, TcpOptionsConfig, TxFrame, TxQueue,
    sim::LinkConfig,
    tcp::State,
    wire::{Ecn, EtherType, EthernetHeader, Ipv4Header, Sum, icmpv4, icmpv4::IcmpV4},
};
use hemi_queue::Sga;

use crate::world::{NICS, Nic, World};

fn link() -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(1), ..LinkConfig::default() }
}

fn connect(world: &mut World, core: usize) -> ConnId {
    let (to, now) = ("10.0.0.2:80".parse().unwrap(), world.now);
    world.cores[core].stack.tcp_connect(to, None, TcpOptionsConfig::default(), now).unwrap()
}

fn established(world: &mut World, core: usize) -> ConnId {
    let conn = connect(world, core);
    world.until("connected", |w| w.cores[core].stack.tcp_state(conn) == State::Established);
    conn
}

#[test]
fn one_core_asks_for_a_neighbour_and_all_know() {
    for nic in NICS {
        let mut world = World::new(4, nic, link(), 6);
        let options = TcpOptionsConfig::default();
        world.client.stack.tcp_listen("[::]:80".parse().unwrap(), 64, false, options).unwrap();
        // The stations announce themselves at the start; nobody keeps what he has not asked for.
        world.settle();
        world.now += Duration::from_secs(1);
        world.settle();
        established(&mut world, 2);
        let known: Vec<_> = world.cores.iter().map(|c| c.stack.neighbors()).collect();
        assert!(known.iter().all(|n| *n > 0), "{nic:?}: {known:?}");
        let heard = world.client.stack.counters().rx_frames;
        let conn = connect(&mut world, 1);
        world.until("connected", |w| w.cores[1].stack.tcp_state(conn) == State::Established);
        // SYN and ACK, and no question.
        assert_eq!(world.client.stack.counters().rx_frames - heard, 2, "{nic:?}");
    }
}

/// The answer comes to the core that the device chooses, not to the one that asked.
#[test]
fn an_answer_reaches_the_core_that_asked() {
    for core in 0..4 {
        let mut world = World::new(4, Nic::OneQueue, link(), 60 + core as u64);
        world
            .client
            .stack
            .tcp_listen("[::]:80".parse().unwrap(), 64, false, TcpOptionsConfig::default())
            .unwrap();
        established(&mut world, core);
        assert!(world.now.as_nanos() < 500_000_000, "at once, not at the second question: {:?}", world.now);
    }
}

#[test]
fn a_path_mtu_that_one_core_is_told_of_is_kept_to_by_all() {
    for nic in NICS {
        let mut world = World::new(3, nic, link(), 8);
        world
            .client
            .stack
            .tcp_listen("[::]:80".parse().unwrap(), 64, false, TcpOptionsConfig::default())
            .unwrap();
        let conns = [0, 1, 2].map(|core| established(&mut world, core));
        // Something unacknowledged that the error can quote.
        let now = world.now;
        let stack = &mut world.cores[1].stack;
        stack.tcp_push(conns[1], vec![7; 1000].into(), now).map_err(|(e, _)| e).unwrap();
        stack.advance(now);
        let sent = stack.tx_queue().front().expect("a segment");
        let quote = sent.head()[14..42].try_into().expect("IPv4 and the first of TCP");
        world.cores[1].poll(now).unwrap();
        too_big(&mut world, quote, 900);
        world.until("all know", |w| {
            (0..3).all(|core| {
                let now = w.now;
                let stack = &mut w.cores[core].stack;
                if stack.tcp_is_flushed(conns[core]) {
                    stack.tcp_push(conns[core], vec![1; 400].into(), now).map_err(|(e, _)| e).unwrap();
                }
                stack.snapshot(conns[core]).unwrap().mss <= 860
            }) || w.now.as_nanos() > 60_000_000_000
        });
        for (core, conn) in conns.into_iter().enumerate() {
            let mss = world.cores[core].stack.snapshot(conn).unwrap().mss;
            assert!(mss <= 860, "{nic:?}: core {core} sends {mss}");
        }
        assert!(world.sum(|c| c.cores_facts_learned) >= 2);
    }
}

/// A router's word about a segment, from a station of its own.
fn too_big(world: &mut World, quote: [u8; 28], mtu: u16) {
    let mut router = world.switch.plug(link(), 1500, None, &world.pool);
    let packet = Ipv4Header {
        src: Ipv4Addr::new(10, 0, 0, 9),
        dst: Ipv4Addr::new(10, 0, 0, 1),
        protocol: 1,
        ttl: 64,
        dscp: 0,
        ecn: Ecn::NotCapable,
        ident: 0,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        header_len: Ipv4Header::LEN as u8,
        payload_len: 36,
    };
    let mut message = [0; 8];
    let code = icmpv4::unreachable::FRAGMENTATION_NEEDED;
    IcmpV4::Unreachable { code, mtu }.emit(&mut message, Sum::new().bytes(&quote));
    let mut frame = TxFrame::new(Sga::new());
    let head = frame.head_mut(14 + 20 + 8 + 28);
    let (dst, src) = (world.cores[0].device.caps().mac, router.caps().mac);
    EthernetHeader { dst, src, ethertype: EtherType::Ipv4 }.emit(head.first_chunk_mut().unwrap());
    packet.emit(head[14..].first_chunk_mut().unwrap());
    head[34..42].copy_from_slice(&message);
    head[42..].copy_from_slice(&quote);
    let mut queue = TxQueue::new(1);
    queue.push(frame);
    router.tx_burst(world.now, &mut queue).unwrap();
    assert!(queue.is_empty());
}

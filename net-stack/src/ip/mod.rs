//! The network layer: addresses, routes, paths, fragments, ICMP.
//!
//! [`Net`] is what the transports stand on: it has the transmit queue, the interface's addresses and routes, the neighbour cache
//! and the counters. A transport that sends keeps a [`Path`] per peer, whose head is ready to copy.
//!
//! | file | what |
//! |---|---|
//! | `addresses.rs` | which addresses are ours, and which to send from |
//! | `routes.rs` | connected, gateway, default |
//! | `path.rs` | a resolved way to a peer, cached with its headers |
//! | `output.rs` | packets out: TCP segments, datagrams, fragments |
//! | `express.rs` | the TCP segment that is like the last one |
//! | `control.rs` | the TCP segment without text: handshake, acknowledgement, FIN |
//! | `datagram.rs` | the same for a datagram |
//! | `input.rs` | packets in, up to the transport |
//! | `redirect.rs` | first hops that gateways told us of |
//! | `reassembly.rs` | fragments, within limits |
//! | `icmp.rs` | echo, errors, and what errors do |
//! | `pmtu.rs` | path MTUs: learnt, and searched for |

mod addresses;
mod control;
mod datagram;
mod express;
mod icmp;
mod input;
mod output;
mod path;
mod pmtu;
mod reassembly;
mod redirect;
mod routes;

use std::{collections::VecDeque, time::Duration};

use hemi_queue::{Pool, wheel::Wheel};

pub use addresses::Cidr;
pub(crate) use addresses::{ALL_NODES, Addresses, solicited_node};
pub(crate) use control::{Control, ControlOptions};
pub(crate) use express::Express;
pub(crate) use icmp::{Complaint, IcmpError, Quoted};
pub(crate) use input::{Fragment, Packet, Upper};
pub(crate) use output::TcpSegment;
pub(crate) use path::Path;
pub(crate) use pmtu::{PathMtus, Probe, Search};
pub(crate) use reassembly::Reassembly;
pub(crate) use redirect::Redirects;
pub use routes::Route;
pub(crate) use routes::Routes;

use crate::{
    cores::Cores,
    counters::Counters,
    device::Caps,
    frame::{RxFrame, TxQueue},
    neighbor::{Detection, Neighbors},
    tcp::FastOpenPeers,
    timer::Timer,
    util::{rng::Rng, token_bucket::TokenBucket},
};

/// What every layer shares: the way out, the clock's appointments, the counters.
pub(crate) struct Net {
    pub(crate) caps: Caps,
    pub(crate) tx: TxQueue,
    /// Packets to ourselves, which never see the device.
    pub(crate) looped: VecDeque<RxFrame>,
    /// What is received now is one of them.
    pub(crate) looping: bool,
    pub(crate) addresses: Addresses,
    pub(crate) routes: Routes,
    pub(crate) redirects: Redirects,
    pub(crate) neighbors: Neighbors,
    /// Duplicate address detection, until it is over.
    pub(crate) detection: Option<Box<Detection>>,
    pub(crate) reassembly: Reassembly,
    pub(crate) pmtu: PathMtus,
    /// Cookies of servers.
    pub(crate) fast_open: FastOpenPeers,
    pub(crate) counters: Counters,
    pub(crate) timers: Wheel<Timer>,
    pub(crate) pool: Pool,
    pub(crate) rng: Rng,
    /// RFC 4443 section 2.4 (f): error messages MUST be rate-limited. RSTs to nobody's segments share a bucket of their own.
    pub(crate) icmp_limit: TokenBucket,
    pub(crate) echo_limit: TokenBucket,
    pub(crate) reset_limit: TokenBucket,
    /// Identification of the next packet that may be fragmented.
    pub(crate) ident: u32,
    /// Bumped when a cached path may have become wrong.
    pub(crate) epoch: u32,
    pub(crate) ttl: u8,
    /// The other stacks with the same addresses, if there are any.
    pub(crate) cores: Option<Box<Cores>>,
    /// The way that was resolved last: a handshake and the connection that follows from it take the same.
    last_path: Option<Path>,
}

impl Net {
    pub(crate) fn new(caps: Caps, tx_limit: usize, pool: Pool, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let ident = rng.next() as u32;
        Self {
            caps,
            tx: TxQueue::new(tx_limit),
            looped: VecDeque::new(),
            looping: false,
            addresses: Addresses::default(),
            routes: Routes::default(),
            redirects: Redirects::default(),
            neighbors: Neighbors::new(),
            detection: None,
            reassembly: Reassembly::new(),
            pmtu: PathMtus::default(),
            fast_open: FastOpenPeers::default(),
            counters: Counters::default(),
            timers: Wheel::new(),
            pool,
            rng,
            icmp_limit: TokenBucket::new(100, Duration::from_millis(10)),
            echo_limit: TokenBucket::new(1000, Duration::from_micros(100)),
            reset_limit: TokenBucket::new(1000, Duration::from_micros(200)),
            ident,
            epoch: 0,
            ttl: 64,
            cores: None,
            last_path: None,
        }
    }
}

//! What a stack is told when it is made.

use crate::{
    ip::{Cidr, Route},
    tcp::TcpConfig,
};

/// The configuration of one stack: one interface, its addresses and routes, and TCP.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StackConfig {
    /// The interface's addresses with their networks.
    pub addresses: Vec<Cidr>,
    /// Ways to other networks.
    pub routes: Vec<Route>,
    /// Settings of TCP.
    pub tcp: TcpConfig,
    /// Frames that may wait for the device. Default: 256.
    pub tx_queue: usize,
    /// Put fragments together (default), or refuse them.
    pub reassemble: bool,
    /// Hops that our packets may take. Default: 64.
    pub ttl: u8,
    /// Ask whether anybody has our addresses before they are used (RFC 4862 section 5.4, RFC 5227 section 2.1), which takes a second for IPv6 and some five
    /// for IPv4. Default: false.
    pub detect_duplicates: bool,
    /// Follow the redirects of our gateways (RFC 1122 section 3.2.2.2, RFC 4861 section 8). Default: true.
    pub redirects: bool,
    /// Tell everyone our addresses at the start (RFC 5227 section 2.3). Default: true.
    pub announce: bool,
}

impl Default for StackConfig {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            routes: Vec::new(),
            tcp: TcpConfig::default(),
            tx_queue: 256,
            reassemble: true,
            ttl: 64,
            redirects: true,
            detect_duplicates: false,
            announce: true,
        }
    }
}

impl StackConfig {
    /// A stack with these addresses and defaults for the rest.
    pub fn with_addresses(addresses: impl IntoIterator<Item = Cidr>) -> Self {
        Self { addresses: addresses.into_iter().collect(), ..Self::default() }
    }
}

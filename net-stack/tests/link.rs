//! A station on the link speaks raw frames to a stack: ARP, NDP, IPv4, IPv6, ICMP, UDP, rule by rule.
//!
//! `link/frames.rs` builds frames and takes the answers apart; each file beside it is one protocol's rules. TCP has its own language in
//! `scripts/`.

#[path = "link/arp.rs"]
mod arp;
#[path = "link/dad.rs"]
mod dad;
#[path = "link/frames.rs"]
mod frames;
#[path = "link/icmp.rs"]
mod icmp;
#[path = "link/ipv4.rs"]
mod ipv4;
#[path = "link/ipv6.rs"]
mod ipv6;
#[path = "link/many.rs"]
mod many;
#[path = "link/ndp.rs"]
mod ndp;
#[path = "link/redirect.rs"]
mod redirect;
#[path = "link/station.rs"]
mod station;
#[path = "link/udp.rs"]
mod udp;

//! A conformance suite of our own: raw frames against the `testbed` program, as strangers' suites send them.
//!
//! The client (`wire/client.rs`) has a packet socket on the other end of the device, an address of its own on each connection (`wire/flow.rs`), and
//! no kernel that answers for it. It looks at every frame that comes: checksums, lengths, padding. The cases are functions, one rule each, in
//! the files beside; `netns.rs` plays them all against one process, over each device.
#![forbid(unsafe_code)]

#[path = "wire/client.rs"]
mod client;
#[path = "wire/crowd.rs"]
mod crowd;
#[path = "wire/flow.rs"]
mod flow;
#[path = "../../net-stack/tests/link/frames.rs"]
mod frames;
#[path = "wire/ip.rs"]
mod ip;
#[path = "wire/link.rs"]
mod link;
#[path = "wire/netns.rs"]
mod netns;
#[path = "wire/tcp_loss.rs"]
mod tcp_loss;
#[path = "wire/tcp_receive.rs"]
mod tcp_receive;
#[path = "wire/tcp_send.rs"]
mod tcp_send;
#[path = "wire/tcp_states.rs"]
mod tcp_states;

/// A rule, and what proves it.
type Case = (&'static str, fn(&mut client::Wire));

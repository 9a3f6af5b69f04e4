//! Network interfaces of this machine: what the drivers that share one with the kernel (`packet:`, `xdp:`) have in common.
//!
//! | what | where |
//! |---|---|
//! | [`Interface`] | find one by its name, learn its address, MTU and receive queues |
//! | [`MacChoice`] | which MAC address the stack has on it: the parameter `mac=` |
//! | [`Membership`] | let frames for another MAC address, and for groups, through the interface's filter |
//! | [`LinkWatch`] | has it been removed or set down? Asked ten times a second |
//! | [`Mapping`] | memory shared with the kernel |
//!
//! What it leaves out: configuring interfaces. A driver uses one as it finds it; `ip link` is for the rest.

mod interface;
mod mac;
mod mapping;
mod membership;
mod sockopt;
mod watch;

pub use interface::Interface;
pub use mac::MacChoice;
pub use mapping::Mapping;
pub use membership::Membership;
pub use sockopt::{get_option, set_int, set_option, try_set_buffer};
pub use watch::LinkWatch;

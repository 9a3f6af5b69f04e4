//! `sim:`, hosts on a simulated network: the user-level stack over links and switches in memory, in virtual or real time.
//!
//! ```text
//!   sim:NETWORK?ip=10.0.0.1/24[&latency=5ms&jitter=1ms&rate=100M&queue=64K&mark=32K][&loss=1%&...][&mac=02:..&mtu=1500]
//! ```
//!
//! Transports with the same network name on one thread are hosts on one learning switch; without a name a host is alone. The link
//! parameters (see the crate's documentation) are of this host's cable, in both directions, so that a frame between two hosts
//! takes two cables. In a simulated runtime everything is a function of the runtime's seed.

use std::{cell::RefCell, collections::HashMap};

use hemi_net::{
    Device,
    sim::{Switch, WeakSwitch},
    wire::MacAddr,
};
use hemi_queue::{Pool, Result, Uri, UriError};

use crate::wrap;

/// Plug a host into the network that `uri` names.
///
/// # Errors
/// [`Uri`](hemi_queue::Error::Uri) for a value that makes no sense.
pub fn open(uri: &Uri, pool: &Pool, seed: u64) -> Result<Box<dyn Device>> {
    let link = wrap::link(uri)?;
    let mac = mac(uri)?;
    let mtu = mtu(uri)?.unwrap_or(1500);
    Ok(Box::new(network(uri.path(), seed).plug(link, mtu, mac, pool)))
}

/// The network called `name` on this thread, made from `seed` if it is new; the empty name is always a new one. It lives as long
/// as a host is plugged in or the handle is kept.
pub fn network(name: &str, seed: u64) -> Switch {
    thread_local!(static NAMED: RefCell<HashMap<String, WeakSwitch>> = RefCell::default());
    if name.is_empty() {
        return Switch::new(seed);
    }
    NAMED.with_borrow_mut(|named| {
        named.retain(|_, switch| switch.is_alive());
        if let Some(switch) = named.get(name).and_then(WeakSwitch::upgrade) {
            return switch;
        }
        let switch = Switch::new(seed);
        named.insert(name.to_owned(), switch.downgrade());
        switch
    })
}

/// A MAC address, which must be of one station.
fn mac(uri: &Uri) -> Result<Option<MacAddr>, UriError> {
    match uri.take::<MacAddr>("mac")? {
        Some(mac) if !mac.is_unicast() => {
            Err(uri.error(format!("`mac={mac}`: this is not the address of one station")))
        }
        mac => Ok(mac),
    }
}

/// An MTU that IPv6 could live with (RFC 8200 section 5: 1280), and IPv4 in any case (RFC 791: 68).
fn mtu(uri: &Uri) -> Result<Option<u16>, UriError> {
    match uri.take::<u16>("mtu")? {
        Some(mtu) if mtu < 68 => {
            Err(uri.error(format!("`mtu={mtu}`: choose 68 or more, and 1280 or more for IPv6")))
        }
        mtu => Ok(mtu),
    }
}

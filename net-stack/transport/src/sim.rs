//! `sim:`, hosts on a simulated network: the user-level stack over links and switches in memory, in virtual or real time.
//!
//! ```text
//!   sim:NETWORK?ip=10.0.0.1/24[&latency=5ms&jitter=1ms&rate=100M&queue=64K&mark=32K][&loss=1%&...][&mac=02:..&mtu=1500]
//! ```
//!
//! Transports with the same network name on one thread are hosts on one learning switch; without a name a host is alone. The link
//! parameters (see the crate's documentation) are of this host's cable, in both directions, so that a frame between two hosts
//! takes two cables. In a simulated runtime everything is a function of the runtime's seed.
//!
//! **Several cores in one simulation.** `core=K/N` makes a transport core K of the N that a host has: give N transports the same URI but for that
//! parameter, from `core=0/N` on, and names of their own. All of them are this host, each is one stack, and what crosses from
//! core to core does so in virtual time. With `queues=N` the host's NIC has a queue for each core, over which it spreads frames as
//! `spread=` says: `told` (the default: by the rule it is told, as a NIC with RSS), `own` (by a hash of its own), `chance`. Otherwise core 0 has the only one.

use std::{
    cell::RefCell,
    collections::HashMap,
    str::FromStr,
    sync::{Arc, Weak},
};

use hemi_net::{
    Device,
    cores::{Group, Seat},
    sim::{Spread, Spreading, Switch, SwitchDevice, WeakSwitch},
    wire::MacAddr,
};
use hemi_queue::{Pool, Result, Uri, UriError};

use crate::wrap;

/// Plug a host into the network that `uri` names.
///
/// # Errors
/// [`Uri`](hemi_queue::Error::Uri) for a value that makes no sense.
pub fn open(uri: &Uri, pool: &Pool, seed: u64) -> Result<Box<dyn Device>> {
    Ok(Box::new(plug(uri, pool, seed)?))
}

fn plug(uri: &Uri, pool: &Pool, seed: u64) -> Result<SwitchDevice> {
    let link = wrap::link(uri)?;
    let mac = mac(uri)?;
    let mtu = mtu(uri)?.unwrap_or(1500);
    Ok(network(uri.path(), seed).plug(link, mtu, mac, pool))
}

/// A host's place on its network: what [`place`] found or made.
pub struct Place {
    /// The host's interface; `None` for a core without a queue of its own.
    pub device: Option<Box<dyn Device>>,
    /// The seat of one core of several.
    pub seat: Option<Seat>,
}

/// A host of several cores: what they share until all have been opened.
struct Shared {
    group: Weak<Group>,
    queues: Vec<Option<Spread<SwitchDevice>>>,
}

/// As [`open`], also for one core of several.
///
/// # Errors
/// As for [`open`]; when a core is opened out of its turn.
pub fn place(uri: &Uri, pool: &Pool, seed: u64) -> Result<Place> {
    thread_local!(static HOSTS: RefCell<HashMap<String, Shared>> = RefCell::default());
    let Some(core) = uri.take::<CoreOf>("core")? else {
        return Ok(Place { device: Some(open(uri, pool, seed)?), seat: None });
    };
    let queues = uri.take::<usize>("queues")?.unwrap_or(1).clamp(1, core.of);
    let spreading = uri.take::<SpreadBy>("spread")?.map_or(Spreading::AsTold, |s| s.0);
    // The host is what its cores' URIs have in common.
    let key = uri.to_string().replace(&format!("core={}/{}", core.index, core.of), "");
    HOSTS.with_borrow_mut(|hosts| {
        hosts.retain(|_, host| host.group.strong_count() > 0);
        let mut group = hosts.get(&key).and_then(|host| host.group.upgrade());
        if core.index == 0 {
            let made = Group::new(core.of, seed);
            let mut shared = Shared { group: Arc::downgrade(&made), queues: Vec::new() };
            if queues > 1 {
                let nic = Spread::over(plug(uri, pool, seed)?, queues, spreading, seed);
                shared.queues = nic.into_iter().map(Some).collect();
            }
            hosts.insert(key.clone(), shared);
            group = Some(made);
        }
        let why = || uri.error("the cores of a host are opened in their order, from `core=0/N` on, and once");
        let seat = group.and_then(|group| group.seat(core.index, None)).ok_or_else(why)?;
        let mine = hosts.get_mut(&key).and_then(|host| host.queues.get_mut(core.index)?.take());
        let device = match mine {
            Some(queue) => Some(Box::new(queue) as Box<dyn Device>),
            None if core.index == 0 => Some(open(uri, pool, seed)?),
            None => None,
        };
        if queues > 1 && core.index > 0 {
            // They were core 0's to use; here they are only known.
            let _ = (wrap::link(uri)?, mac(uri)?, mtu(uri)?);
        }
        Ok(Place { device, seat: Some(seat) })
    })
}

/// `2/4`: the third of four.
#[derive(Clone, Copy, Debug)]
struct CoreOf {
    index: usize,
    of: usize,
}

impl FromStr for CoreOf {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, of)) if index < of && of <= hemi_net::cores::Steering::CORES => {
                Ok(Self { index, of })
            }
            _ => Err("write which core of how many, from 0: `core=0/2`, `core=1/2`"),
        }
    }
}

struct SpreadBy(Spreading);

impl FromStr for SpreadBy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "told" => Ok(Self(Spreading::AsTold)),
            "own" => Ok(Self(Spreading::OwnKey)),
            "chance" => Ok(Self(Spreading::Chance)),
            _ => Err("write `told`, `own` or `chance`"),
        }
    }
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

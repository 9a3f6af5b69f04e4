//! Transports: chosen by URI when a runtime is built, used under a name, addressed by [`Address`].
//!
//! | scheme | what | where |
//! |---|---|---|
//! | `kernel:` | kernel sockets on io_uring, epoll or busy polling (the default) | crate `hemi-kernel` |
//! | `mem:` | in-process, virtual time (the default of a simulation) | [`mem`] |
//!
//! A further transport is one line in the table `SCHEMES`. The module deliberately knows nothing of units and descriptors.

mod address;
pub mod mem;

use std::{cell::RefCell, fmt, rc::Rc};

pub use address::Address;
use hemi_queue::{
    Error, Reactor, Result, Uri, UriError, Wakeup,
    transport::{Caps, Transport},
};

use crate::context::Core;

/// How a scheme is opened.
struct Scheme {
    name: &'static str,
    open: fn(&Core, &Uri) -> Result<Rc<dyn Transport>>,
}

/// What this build knows.
const SCHEMES: &[Scheme] = &[
    Scheme { name: "kernel", open: kernel },
    Scheme { name: "mem", open: |core, uri| Ok(Rc::new(mem::Mem::open(uri, core.seed)?)) },
];

fn kernel(core: &Core, uri: &Uri) -> Result<Rc<dyn Transport>> {
    let Some(park) = &core.park else {
        let why = "a simulation has no kernel; it runs on `mem:` or on simulated wires";
        return Err(uri.error(why).into());
    };
    Ok(hemi_kernel::Kernel::open(uri, &core.pool, park)?)
}

/// The open transports of one runtime.
#[derive(Default)]
pub(crate) struct Transports {
    open: RefCell<Vec<Named>>,
}

struct Named {
    name: String,
    transport: Rc<dyn Transport>,
}

impl Transports {
    /// The transport that `name` was given to; the empty name is the first one.
    ///
    /// A runtime for which none was named opens its default at the first use: `kernel:`, in a simulation `mem:`.
    pub(crate) fn find(core: &Core, name: &str) -> Result<Rc<dyn Transport>> {
        let this = &core.transports;
        if this.open.borrow().is_empty() {
            add(core, "", if core.is_simulated() { "mem:" } else { "kernel:" })?;
        }
        let open = this.open.borrow();
        let found = if name.is_empty() { open.first() } else { open.iter().find(|n| n.name == name) };
        if let Some(named) = found {
            return Ok(Rc::clone(&named.transport));
        }
        let names: Vec<_> = open.iter().map(|n| n.name.as_str()).collect();
        let why = format!("no transport has this name; there are: {}", names.join(", "));
        Err(UriError::new(name, why).into())
    }
}

impl fmt::Debug for Transports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.open.borrow();
        f.debug_map().entries(open.iter().map(|n| (&n.name, n.transport.describe()))).finish()
    }
}

/// Open the transports that the builder was given, as (name, URI); an empty name means the URI's scheme.
pub(crate) fn open(core: &Rc<Core>, uris: &[(String, String)]) -> Result<()> {
    uris.iter().try_for_each(|(name, uri)| add(core, name, uri))
}

fn add(core: &Core, name: &str, text: &str) -> Result<()> {
    let uri: Uri = text.parse().map_err(|_| unknown(text))?;
    let Some(scheme) = SCHEMES.iter().find(|s| s.name == uri.scheme()) else {
        return Err(unknown(text));
    };
    let transport = (scheme.open)(core, &uri)?;
    let name = if name.is_empty() { scheme.name } else { name };
    let mut open = core.transports.open.borrow_mut();
    if open.iter().any(|n| n.name == name) {
        let why = format!("the name `{name}` is taken; give this one another with net_as(name, uri)");
        return Err(UriError::new(text, why).into());
    }
    tracing::debug!(name, "{}", transport.describe());
    if let (Wakeup::Fd(fd), Some(park)) = (transport.wakeup(), &core.park) {
        park.watch(fd)?;
    }
    core.add_reactor(Rc::clone(&transport) as Rc<dyn Reactor>);
    open.push(Named { name: name.to_owned(), transport });
    Ok(())
}

#[cold]
fn unknown(uri: &str) -> Error {
    UriError::new(uri, format!("unknown scheme; this build knows: {}", schemes())).into()
}

/// The URI schemes that this build knows, for messages and `--help`.
///
/// ```
/// assert!(hemi::net::schemes().contains("mem:"));
/// ```
pub fn schemes() -> String {
    let names: Vec<_> = SCHEMES.iter().map(|s| format!("{}:", s.name)).collect();
    names.join(", ")
}

/// What the transport called `name` (empty: the default one) of the current runtime can carry.
///
/// # Errors
/// [`Error::NoRuntime`] outside of one, and when there is no such transport.
pub fn caps(name: &str) -> Result<Caps> {
    let core = crate::context::current()?;
    Ok(Transports::find(&core, name)?.caps())
}

/// A line for people about the transport called `name` (empty: the default one) of the current runtime.
///
/// # Errors
/// As for [`caps`].
pub fn describe(name: &str) -> Result<String> {
    let core = crate::context::current()?;
    Ok(Transports::find(&core, name)?.describe())
}

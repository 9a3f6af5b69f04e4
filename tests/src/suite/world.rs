//! [`World`]: where a case runs.

use std::{any::Any, future::Future, io::ErrorKind, rc::Rc, thread, time::Duration};

use hemi::{Buf, Options, Result, Runtime, Sga, rand::Rng, transport::Caps};

use crate::{
    foreign::{SocketPath, fresh_path},
    kernels::HANG,
};

/// A transport under test, and how to make runtimes on it.
///
/// Cases listen on the runtime's default transport, and connect by [`client`](Self::client): the same transport, or another
/// host's in the same runtime, so that what they exchange really crosses the network between the two.
#[derive(Clone, Debug)]
pub struct World {
    uri: String,
    /// The other host, where clients are.
    client: Option<String>,
    /// Virtual time, from this seed.
    seed: Option<u64>,
    caps: Caps,
    /// What the transports stand on: a network namespace, say.
    #[allow(dead_code)] // kept, not read
    ground: Option<Rc<dyn Any>>,
}

impl World {
    /// The transport at `uri` in real time, or why this machine cannot have it.
    pub fn real(uri: &str) -> Result<Self, String> {
        Self::open(uri, None, None)
    }

    /// The transport at `uri` in virtual time.
    pub fn simulated(uri: &str, seed: u64) -> Result<Self, String> {
        Self::open(uri, None, Some(seed))
    }

    /// Two hosts in real time: servers at `uri`, clients at `client`.
    pub fn real_pair(uri: &str, client: &str) -> Result<Self, String> {
        Self::open(uri, Some(client), None)
    }

    /// The same in virtual time.
    pub fn simulated_pair(uri: &str, client: &str, seed: u64) -> Result<Self, String> {
        Self::open(uri, Some(client), Some(seed))
    }

    /// The same world, which keeps `ground` as long as it lives.
    pub fn standing_on(self, ground: impl Any) -> Self {
        Self { ground: Some(Rc::new(ground)), ..self }
    }

    fn open(uri: &str, client: Option<&str>, seed: Option<u64>) -> Result<Self, String> {
        let caps =
            Caps { native_units: false, tcp: false, udp: false, unix: false, names: false, acked: false };
        let mut world =
            Self { uri: uri.to_owned(), client: client.map(str::to_owned), seed, caps, ground: None };
        let runtime = world.try_runtime().map_err(|e| e.to_string())?;
        world.caps = runtime.block_on(async { hemi::net::caps("") }).map_err(|e| e.to_string())?;
        Ok(world)
    }

    /// A device that was closed a moment ago may be busy still: a program that another test's thread is just starting has its
    /// descriptor, until it is loaded.
    fn try_runtime(&self) -> Result<Runtime> {
        for _ in 0..1000 {
            match self.open_runtime() {
                Err(e) if e.io_kind() == ErrorKind::ResourceBusy => thread::sleep(Duration::from_millis(10)),
                outcome => return outcome,
            }
        }
        self.open_runtime()
    }

    fn open_runtime(&self) -> Result<Runtime> {
        let mut builder = Runtime::builder().net(self.uri.as_str());
        if let Some(client) = &self.client {
            builder = builder.net_as(CLIENT, client.as_str());
        }
        match self.seed {
            Some(seed) => builder.simulated(seed).build(),
            None => builder.build(),
        }
    }

    /// What the transport can carry.
    pub fn caps(&self) -> Caps {
        self.caps
    }

    /// Whether time is virtual.
    pub fn is_simulated(&self) -> bool {
        self.seed.is_some()
    }

    /// A new runtime on the transport.
    ///
    /// # Panics
    /// When it cannot be built: the world was checked when it was made.
    pub fn runtime(&self) -> Runtime {
        self.try_runtime().unwrap_or_else(|e| panic!("{}: {e}", self.uri))
    }

    /// Run a case on a new runtime. It fails on an error, and when it takes more than [`HANG`].
    ///
    /// # Panics
    /// When the case fails.
    pub fn run<F: Future<Output = Result<()>>>(&self, case: F) {
        self.run_on(&self.runtime(), case);
    }

    /// As [`run`](Self::run), on a runtime of the caller's.
    ///
    /// # Panics
    /// When the case fails.
    pub fn run_on<F: Future<Output = Result<()>>>(&self, runtime: &Runtime, case: F) {
        let bounded = async { hemi::time::timeout(HANG, case).await };
        match runtime.try_block_on(bounded) {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(e))) => panic!("{}: {e} ({e:?})", self.uri),
            Ok(Err(_)) => panic!("{}: not done after {HANG:?}", self.uri),
            Err(e) => panic!("{}: {e}", self.uri),
        }
    }

    /// Where a listener listens: any port of the host's address, or of the loopback where it has none of its own.
    pub fn any(&self) -> String {
        any(&self.uri)
    }

    /// Where a client binds, if it must: any port of its host's address.
    pub fn client_any(&self) -> String {
        any(self.client.as_ref().unwrap_or(&self.uri))
    }

    /// How a client connects.
    pub fn client(&self) -> Options {
        self.on_client(&Options::new())
    }

    /// The same with further options.
    pub fn on_client(&self, options: &Options) -> Options {
        options.clone().on(if self.client.is_some() { CLIENT } else { "" })
    }

    /// A path that nobody has, for a Unix socket.
    pub fn path(&self, what: &str) -> SocketPath {
        fresh_path(what)
    }

    /// A case's own random choices: the same in every run.
    pub fn rng(&self, case: u64) -> Rng {
        Rng::new(self.seed.unwrap_or(1) ^ case)
    }
}

/// The name of the client's transport.
const CLIENT: &str = "client";

fn any(uri: &str) -> String {
    let params = uri.split_once('?').map_or("", |(_, params)| params);
    let ip = params.split('&').find_map(|p| p.strip_prefix("ip="));
    let ip = ip.map_or("127.0.0.1", |cidr| cidr.split_once('/').map_or(cidr, |(ip, _)| ip));
    if ip.contains(':') { format!("[{ip}]:0") } else { format!("{ip}:0") }
}

/// `len` random bytes, as a unit of one to four buffers.
pub(super) fn random_unit(rng: &mut Rng, len: usize) -> Sga {
    let bytes: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
    let parts = 1 + rng.below(4) as usize;
    bytes.chunks(len.div_ceil(parts).max(1)).map(|part| Buf::from(part.to_vec())).collect()
}

/// FNV-1a, so that what arrived can be compared without keeping what was sent.
pub(super) fn hash(unit: &Sga) -> u64 {
    unit.iter()
        .flat_map(|buf| buf.iter())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

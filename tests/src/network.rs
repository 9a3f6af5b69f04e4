//! [`Network`]: hosts with the real stack and the real runtime on one simulated network, in virtual time, from many seeds.

use std::{
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    time::Duration,
};

use hemi::{Options, Result, Runtime, time::timeout};

/// Hosts on one switch, each on a link of the same kind. Host `n` is 10.0.0.n and fd00::n, and its transport is called by
/// [`name`]; host 1 is the runtime's default.
///
/// A run is a function of its seed. [`run`](Self::run) makes many; one that fails is made again with every host's frames
/// captured, and the failure says its seed, where the captures are, and how to run it alone.
#[derive(Clone, Debug)]
pub struct Network {
    hosts: u8,
    link: String,
}

/// The name of a host's transport.
pub fn name(host: u8) -> String {
    format!("host{host}")
}

/// Options for opening queues on a host.
pub fn on(host: u8) -> Options {
    Options::new().on(name(host))
}

/// An address of a host.
pub fn at(host: u8, port: u16) -> String {
    format!("10.0.0.{host}:{port}")
}

/// The same by IPv6.
pub fn at6(host: u8, port: u16) -> String {
    format!("[fd00::{host}]:{port}")
}

impl Network {
    /// The name of the network, for those who want to cut its cables: [`hemi_net_transport::sim::network`].
    pub const NAME: &str = "lan";

    /// `hosts` hosts, each on a link with these parameters (see the crate `hemi-net-transport`).
    pub fn new(hosts: u8, link: &str) -> Self {
        Self { hosts, link: link.to_owned() }
    }

    /// Run `case` with `count` seeds, or with the one in the environment's `HEMI_SEED`.
    ///
    /// # Panics
    /// When it fails with one of them.
    pub fn run<F: Future<Output = Result<()>>>(&self, title: &str, count: u64, case: impl Fn(u64) -> F) {
        let only = std::env::var("HEMI_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
        let seeds = only.map_or(0..count, |seed| seed..seed + 1);
        for seed in seeds {
            if let Err(why) = self.once(seed, None, case(seed)) {
                self.report(title, seed, &why, || case(seed));
            }
        }
    }

    /// One run, with captures in `folder` if there is one, and why it failed.
    fn once<F: Future<Output = Result<()>>>(
        &self,
        seed: u64,
        folder: Option<&Path>,
        case: F,
    ) -> Result<(), String> {
        let mut builder = Runtime::builder().simulated(seed);
        for host in 1..=self.hosts {
            let (lan, link) = (Self::NAME, &self.link);
            let pcap = folder.map_or(String::new(), |f| format!("&pcap={}", capture(f, host).display()));
            let uri = format!("sim:{lan}?ip=10.0.0.{host}/24&ip=fd00::{host}/64&{link}{pcap}");
            builder = builder.net_as(name(host), uri);
        }
        let run = AssertUnwindSafe(|| {
            let runtime = builder.build().map_err(|e| e.to_string())?;
            // A connection gives up after a quarter of an hour; nothing takes longer than a few of those.
            let bounded = async { timeout(Duration::from_secs(3600), case).await };
            match runtime.try_block_on(bounded) {
                Ok(Ok(Ok(()))) => Ok(()),
                Ok(Ok(Err(e))) => Err(format!("{e} ({e:?})")),
                Ok(Err(_)) => Err("not done after an hour of virtual time".to_owned()),
                Err(e) => Err(e.to_string()),
            }
        });
        panic::catch_unwind(run).unwrap_or_else(|panic| Err(text_of(&*panic)))
    }

    fn report<F: Future<Output = Result<()>>>(
        &self,
        title: &str,
        seed: u64,
        why: &str,
        case: impl Fn() -> F,
    ) -> ! {
        let folder = std::env::temp_dir().join(format!("hemi-world-{title}-{seed}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the captures");
        let again = match self.once(seed, Some(&folder), case()) {
            Err(again) if again == why => "it fails in the same way when it is run again".to_owned(),
            other => {
                format!("RUN AGAIN IT DOES SOMETHING ELSE, so that not all depends on the seed: {other:?}")
            }
        };
        panic!(
            "world `{title}` fails with seed {seed}: {why}\n{again}; captures: {}/*.pcapng\nalone: HEMI_SEED={seed} cargo test -p hemi-tests --test worlds {title}",
            folder.display()
        );
    }
}

/// Where a host's frames are captured.
pub fn capture(folder: &Path, host: u8) -> PathBuf {
    folder.join(format!("{}.pcapng", name(host)))
}

/// What a panic said.
pub fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text").to_owned()
}

//! Network namespaces for tests against the real kernel: made, entered by the test's thread, and removed again, also when the test
//! panics.
//!
//! ```no_run
//! // in a test
//! fn the_kernel_pings_itself() {
//!     let net = hemi_netns::enter!(); // skips the test, loudly, where it may not make namespaces
//!     net.veth("h0", "k0");
//!     net.ip("addr add 10.9.0.1/24 dev k0");
//! }
//! # the_kernel_pings_itself();
//! ```
//!
//! [`Station`] is a user-level host over any device, driven by the test's thread; [`suite`] is what every device must do opposite the kernel.
//!
//! Names are `hemi-PID-N`; those that a killed test has left behind are removed by the next one.
#![forbid(unsafe_code)]

mod station;
mod stream;
pub mod suite;

pub use station::Station;

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::Path,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

#[doc(hidden)]
pub use hemi_skip;

/// A new namespace that the calling thread is in, or else a [`skip!`](hemi_skip::skip) of the test that says why there can be none.
#[macro_export]
macro_rules! enter {
    () => {
        match $crate::Namespace::enter() {
            ::core::result::Result::Ok(namespace) => namespace,
            ::core::result::Result::Err(why) => $crate::hemi_skip::skip!("{why}"),
        }
    };
}

const FOLDER: &str = "/run/netns";
/// How long anything may take: for what hangs, not for what is slow.
const LIMIT: Duration = Duration::from_secs(120);

/// A network namespace. The thread that made it is in it until this is dropped, and so are the threads and programs that it starts.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    home: File,
}

impl Namespace {
    /// Make a namespace with a loopback interface that is up, and go there.
    ///
    /// # Errors
    /// Why this is not possible here, in words.
    pub fn enter() -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            return Err("only root can make network namespaces".to_owned());
        }
        if hemi_skip::find_program("ip").is_none() {
            return Err("ip is not installed (apt-get install iproute2)".to_owned());
        }
        remove_leftovers();
        let name = format!("hemi-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let home = File::open("/proc/thread-self/ns/net").map_err(|e| format!("no namespaces here: {e}"))?;
        let made = run("ip", &["netns", "add", &name]);
        if !made.status.success() {
            return Err(format!("ip netns add: {}", String::from_utf8_lossy(&made.stderr).trim()));
        }
        let namespace = Self { name, home }; // from here on it is removed, whatever happens
        let file = File::open(Path::new(FOLDER).join(&namespace.name)).map_err(|e| e.to_string())?;
        go_to(&file).map_err(|e| format!("setns: {e}"))?;
        namespace.ip("link set lo up");
        Ok(namespace)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A pair of joined interfaces, both up, without IPv6 addresses of the kernel's own making.
    pub fn veth(&self, one: &str, other: &str) {
        self.ip(&format!("link add {one} type veth peer name {other}"));
        for interface in [one, other] {
            // Not every kernel has IPv6.
            let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/accept_dad"), "0");
            let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/addr_gen_mode"), "1");
            self.ip(&format!("link set {interface} up"));
        }
        // The carrier of the first comes with the second, and a worker of the kernel tells its queue, which drops everything until then.
        let begin = Instant::now();
        while [one, other]
            .iter()
            .any(|interface| !self.ip(&format!("-o link show {interface}")).contains(" state UP "))
        {
            assert!(begin.elapsed() < LIMIT, "{one} and {other} do not come up");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// `ip ARGUMENTS`, in this namespace.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub fn ip(&self, arguments: &str) -> String {
        self.run("ip", &arguments.split_whitespace().collect::<Vec<_>>())
    }

    /// The same; what this kernel can't do is an error, in words.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn try_ip(&self, arguments: &str) -> Result<String, String> {
        let output = run("ip", &arguments.split_whitespace().collect::<Vec<_>>());
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(said(&output.stdout))
        } else {
            Err(format!("ip {arguments}: {}", said(&output.stderr)))
        }
    }

    /// A program, in this namespace; what it printed.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = run(program, arguments);
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}\n{}{}",
            output.status,
            said(&output.stdout),
            said(&output.stderr)
        );
        said(&output.stdout)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // With --test-threads=1 tests share a thread.
        if let Err(e) = go_to(&self.home) {
            eprintln!("{}: cannot go back home: {e}", self.name);
        }
        run("ip", &["netns", "del", &self.name]);
    }
}

fn go_to(namespace: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

fn run(program: &str, arguments: &[&str]) -> Output {
    let path = hemi_skip::find_program(program).unwrap_or_else(|| program.into());
    Command::new(path).args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"))
}

/// Remove the namespaces of tests whose process is gone.
fn remove_leftovers() {
    for entry in fs::read_dir(FOLDER).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix("hemi-").and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            run("ip", &["netns", "del", &name]);
        }
    }
}

#[cfg(test)]
mod netns {
    use super::*;

    #[test]
    fn a_namespace_is_ours_alone_and_gone_afterwards() {
        let net = crate::enter!();
        net.veth("h0", "k0");
        let links = net.ip("-o link");
        assert!(links.contains("h0@k0") && links.lines().count() == 3, "{links}");
        let there = Path::new(FOLDER).join(net.name());
        assert!(there.exists());
        drop(net);
        assert!(!there.exists());
    }
}

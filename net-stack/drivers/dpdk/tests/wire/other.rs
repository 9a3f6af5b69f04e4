//! The process on the other side: this program again, with an echo on port 7.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use hemi_net::{ConnId, TcpOptionsConfig};
use hemi_netns::Station;

use super::station;

/// What the other process is told: its URI.
const URI: &str = "HEMI_DPDK_OTHER";
/// Where its echo is.
pub(crate) const ECHO: &str = "10.78.0.1:7";
/// Our own address.
pub(crate) const OURS: &str = "10.78.0.2/24";

/// Not a test by itself: the other process, until we close its standard input or kill it.
#[test]
fn the_other_process() {
    let Ok(uri) = env::var(URI) else { return };
    let mut station = station(&uri, &["10.78.0.1/24"]).expect("the first process has DPDK");
    let at: SocketAddr = ECHO.parse().unwrap();
    let (listener, _) = station.host.stack.tcp_listen(at, 8, false, TcpOptionsConfig::default()).unwrap();
    println!("\nready");
    std::io::stdout().flush().unwrap();
    let waits = std::thread::spawn(move || std::io::stdin().read_line(&mut String::new()).map(drop));
    let mut conns: Vec<ConnId> = Vec::new();
    while !waits.is_finished() {
        station.turn().unwrap();
        let now = station.now();
        let stack = &mut station.host.stack;
        conns.extend(std::iter::from_fn(|| stack.tcp_accept(listener)));
        conns.retain(|&conn| {
            while stack.tcp_send_room(conn) > 0 {
                let Ok(Some(buf)) = stack.tcp_pop(conn, now) else { break };
                stack.tcp_push(conn, buf.into(), now).map_err(|(e, _)| e).unwrap();
            }
            if stack.tcp_is_at_end(conn) {
                stack.tcp_shutdown(conn, now);
            }
            let over =
                stack.tcp_error(conn).is_some() || stack.tcp_is_at_end(conn) && stack.tcp_is_flushed(conn);
            if over {
                stack.tcp_release(conn, now);
            }
            !over
        });
    }
    println!("{}", station.report());
}

/// Whether this is that process: then the tests are not to be run.
pub(crate) fn is_this() -> bool {
    env::var(URI).is_ok()
}

/// A name for a socket that nobody else has.
pub(crate) fn socket() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    env::temp_dir().join(format!("hemi-dpdk-{}-{number}.sock", std::process::id()))
}

/// The other process. Dropped, it is killed.
pub(crate) struct Other {
    child: Child,
    input: Option<ChildStdin>,
}

impl Other {
    /// Start it on a device, and wait until the device is open.
    pub(crate) fn start(uri: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "other::the_other_process", "--nocapture"])
            .env(URI, uri)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let this = Self { child, input };
        let mut said = String::new();
        while !said.ends_with("\nready\n") {
            assert!(output.read_line(&mut said).unwrap() > 0, "{uri}: the other process ended:\n{said}");
        }
        // What it says later must not block it, nor end it.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        this
    }

    /// Let it end in order; whether it did.
    pub(crate) fn end(mut self) -> bool {
        drop(self.input.take());
        self.child.wait().unwrap().success()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Send `bytes` to the echo, and compare what comes back.
pub(crate) fn exchange(station: &mut Station, bytes: usize) {
    let to: SocketAddr = ECHO.parse().unwrap();
    let pattern: Vec<u8> = (0..bytes as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut conn = None;
    let (mut sent, mut received) = (0, Vec::new());
    station.until("the stream comes back", |station| {
        let now = station.now();
        let stack = &mut station.host.stack;
        // Until the link is up, nobody answers for its address.
        let id = match conn {
            Some(id) if stack.tcp_error(id).is_none() => id,
            _ => {
                assert_eq!(received.len(), 0, "the connection broke");
                sent = 0;
                let id = stack.tcp_connect(to, None, TcpOptionsConfig::default(), now).unwrap();
                if let Some(old) = conn.replace(id) {
                    stack.tcp_release(old, now);
                }
                id
            }
        };
        while sent < bytes && stack.tcp_state(id).is_synchronized() && stack.tcp_send_room(id) > 0 {
            let n = (bytes - sent).min(10_000);
            let mut buf = stack.pool().try_alloc(n).unwrap();
            buf.put(&pattern[sent..sent + n]);
            stack.tcp_push(id, buf.into(), now).map_err(|(e, _)| e).unwrap();
            sent += n;
            if sent == bytes {
                stack.tcp_shutdown(id, now);
            }
        }
        while let Ok(Some(buf)) = stack.tcp_pop(id, now) {
            received.extend_from_slice(&buf);
        }
        received.len() >= bytes && stack.tcp_is_at_end(id)
    });
    assert!(received == pattern, "{} bytes came back changed", received.len());
    let now = station.now();
    station.host.stack.tcp_release(conn.unwrap(), now);
}

//! Two processes joined by a memif: shared memory between poll-mode drivers. Takes no rights at all.

use std::{
    env, fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hemi_net::TcpOptionsConfig;
use hemi_netns::Station;

use super::station;

const SOCKET: &str = "HEMI_DPDK_MEMIF";
const BYTES: usize = 4 << 20;

/// Not a test by itself: the other process of the one below, a TCP echo at 10.78.0.1 port 7.
#[test]
fn the_other_process() {
    let Ok(socket) = env::var(SOCKET) else { return };
    let uri = format!("dpdk:net_memif0,role=server,socket={socket},socket-abstract=no");
    let mut station = station(&uri, &["10.78.0.1/24"]).expect("the first process has DPDK");
    let at: SocketAddr = "10.78.0.1:7".parse().unwrap();
    let (listener, _) = station.host.stack.tcp_listen(at, 8, false, TcpOptionsConfig::default()).unwrap();
    let mut conn = None;
    station.until("the echo is done", |station| {
        let now = station.now();
        let stack = &mut station.host.stack;
        let Some(conn) = conn else {
            conn = stack.tcp_accept(listener);
            return false;
        };
        while stack.tcp_send_room(conn) > 0 {
            let Ok(Some(buf)) = stack.tcp_pop(conn, now) else { break };
            stack.tcp_push(conn, buf.into(), now).map_err(|(e, _)| e).unwrap();
        }
        if stack.tcp_is_at_end(conn) {
            stack.tcp_shutdown(conn, now);
        }
        stack.tcp_is_at_end(conn) && stack.tcp_is_flushed(conn)
    });
    // The last acknowledgement is the other's to wait for: stay until we are told.
    let mut line = String::new();
    let waits = std::thread::spawn(move || std::io::stdin().read_line(&mut line).map(drop));
    station.until("the other has finished", |_| waits.is_finished());
}

struct Other(Child, String);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = fs::remove_file(&self.1);
    }
}

#[test]
fn two_processes_exchange_a_stream() {
    let socket = env::temp_dir().join(format!("hemi-dpdk-{}.sock", std::process::id()));
    let socket = socket.to_str().expect("a plain path").to_owned();
    let uri = format!("dpdk:net_memif0,role=client,socket={socket},socket-abstract=no");
    if env::var(SOCKET).is_ok() {
        return; // this is the other process
    }
    if hemi_dpdk::VERSION.is_none() {
        hemi_skip::skip!("no DPDK in this build");
    }
    let other = Command::new(env::current_exe().unwrap())
        .args(["--exact", "memif::the_other_process", "--nocapture"])
        .env(SOCKET, &socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut other = Other(other, socket);
    // A memif client needs its server's socket to be there.
    let begin = Instant::now();
    while !Path::new(&other.1).exists() {
        assert!(begin.elapsed() < Duration::from_secs(120), "the other process does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut station = station(&uri, &["10.78.0.2/24"]).expect("DPDK, as above");
    exchange(&mut station);
    drop(other.0.stdin.take());
    let status = other.0.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(
        station.counter("rx_zero_copy") > 0 && station.counter("tx_zero_copy") > 0,
        "{}",
        station.report()
    );
}

fn exchange(station: &mut Station) {
    let to: SocketAddr = "10.78.0.1:7".parse().unwrap();
    let pattern: Vec<u8> = (0..BYTES as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut conn = None;
    let (mut sent, mut received) = (0, Vec::new());
    station.until("the stream comes back", |station| {
        let now = station.now();
        let stack = &mut station.host.stack;
        // Until the other process is there, nobody answers for its address.
        let id = match conn {
            Some(id) if stack.tcp_error(id).is_none() => id,
            _ => {
                assert_eq!(received.len(), 0, "the connection broke");
                sent = 0;
                let id = stack.tcp_connect(to, None, TcpOptionsConfig::default(), now).unwrap();
                conn = Some(id);
                id
            }
        };
        while sent < BYTES && stack.tcp_state(id).is_synchronized() && stack.tcp_send_room(id) > 0 {
            let n = (BYTES - sent).min(10_000);
            let mut buf = stack.pool().try_alloc(n).unwrap();
            buf.put(&pattern[sent..sent + n]);
            stack.tcp_push(id, buf.into(), now).map_err(|(e, _)| e).unwrap();
            sent += n;
            if sent == BYTES {
                stack.tcp_shutdown(id, now);
            }
        }
        while let Ok(Some(buf)) = stack.tcp_pop(id, now) {
            received.extend_from_slice(&buf);
        }
        received.len() >= BYTES && stack.tcp_is_at_end(id)
    });
    assert!(received == pattern, "{} bytes came back changed", received.len());
}

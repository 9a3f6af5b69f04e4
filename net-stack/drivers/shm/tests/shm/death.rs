//! Two processes: the server is killed again and again, and each time a new one takes its place.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::hosts::{self, Time, counter, host};
use hemi_net::TcpOptionsConfig;
use hemi_queue::Buf;

/// In the other process's environment: its URI. It is this program again, with one of the tests.
const NAME: &str = "HEMI_SHM_TEST_NAME";

/// The other process. It serves echo until it is killed.
fn serve(uri: &str) {
    // Whatever happens to the test, this does not live for ever.
    let (mut host, time) = (host(uri, 2), Time::new());
    let (listener, _) =
        host.stack.tcp_listen("0.0.0.0:7".parse().unwrap(), 8, false, TcpOptionsConfig::default()).unwrap();
    let mut conns = Vec::new();
    loop {
        time.check("kill");
        let now = time.now();
        host.poll(now).unwrap();
        while let Some(conn) = host.stack.tcp_accept(listener) {
            conns.push(conn);
        }
        for &conn in &conns {
            while let Ok(Some(part)) = host.stack.tcp_pop(conn, now) {
                host.stack.tcp_push(conn, part.into(), now).map_err(|(e, _)| e).unwrap();
            }
        }
        if host.stack.tcp_counts().0 == 0 {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

/// Ends the other process even if the test fails.
struct Server(Child);

impl Server {
    fn start(uri: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "death::side_a_survives_fifty_deaths_of_side_b"])
            .env(NAME, uri)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL: it has no chance to tidy up.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lives of the server.
const LIVES: u64 = 50;

fn survive(our_role: &str) {
    let path = hosts::name();
    let uri = |role: &str| format!("shm:{}?role={role}", path.display());
    let other = if our_role == "a" { "b" } else { "a" };
    let mut host = host(&uri(our_role), 1);
    let time = Time::new();
    for life in 0..LIVES {
        let limit = Time::new();
        let server = Server::start(&uri(other));
        let to = "10.0.0.2:7".parse().unwrap();
        let unit = hosts::stream(1 + (life as usize * 997) % 100_000);
        let mut got = Vec::new();
        // A SYN that went into the void while the server was being started is sent again much later: start anew.
        'attempt: loop {
            let now = time.now();
            let conn = host.stack.tcp_connect(to, None, TcpOptionsConfig::default(), now).unwrap();
            host.stack.tcp_push(conn, Buf::from(unit.clone()).into(), now).map_err(|(e, _)| e).unwrap();
            let begun = time.now();
            got.clear();
            while got.len() < unit.len() {
                limit.check("echo");
                let now = time.now();
                host.poll(now).unwrap();
                match host.stack.tcp_pop(conn, now) {
                    Ok(Some(part)) => got.extend_from_slice(&part),
                    Ok(None) if got.is_empty() && time.now() - begun > Duration::from_secs(2) => {
                        host.stack.tcp_abort(conn, now);
                        host.stack.tcp_release(conn, now);
                        continue 'attempt;
                    }
                    Ok(None) => {}
                    Err(_) => {
                        host.stack.tcp_release(conn, now);
                        continue 'attempt;
                    }
                }
            }
            // In the middle of a conversation.
            host.stack.tcp_push(conn, Buf::from(unit.clone()).into(), now).map_err(|(e, _)| e).unwrap();
            host.poll(time.now()).unwrap();
            drop(server);
            let now = time.now();
            host.poll(now).unwrap();
            host.stack.tcp_abort(conn, now);
            host.stack.tcp_release(conn, now);
            break;
        }
        assert!(got == unit, "life {life}: the echo differs");
        // Notice the death, so that the next life is a new link.
        while host.device.describe().contains("linked") {
            limit.check("news of the death");
            host.poll(time.now()).unwrap();
        }
    }
    assert_eq!(counter(&host.device, "links"), LIVES);
    assert_eq!(counter(&host.device, "links_broken"), 0);
    assert_eq!(host.stack.tcp_counts().0, 0);
    drop(host);
    for left in [path.clone(), path.with_extension("sock")] {
        // A killed a leaves its socket; its next life, or this, removes it.
        let _ = std::fs::remove_file(left);
    }
}

#[test]
fn side_a_survives_fifty_deaths_of_side_b() {
    if let Ok(uri) = std::env::var(NAME) {
        return serve(&uri);
    }
    survive("a");
}

#[test]
fn side_b_survives_fifty_deaths_of_side_a() {
    survive("b");
}

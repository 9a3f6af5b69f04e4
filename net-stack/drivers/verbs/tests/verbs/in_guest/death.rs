//! Two processes: one of them is killed.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    task::Poll,
};

use hemi_queue::{
    Error,
    transport::{SocketOptions, StreamSocket, Transport},
};

use super::rig::{CLEAN, Rig, pattern};

/// In the other process's environment: its URI. It is this program again, with one of the tests.
const ROLE: &str = "HEMI_VERBS_TEST_SERVER";

/// The other process. It serves echo until it is killed.
fn serve(uri: &str) {
    let rig = Rig::new((uri, uri));
    let listener = rig.listen();
    println!("\nlistening {}", listener.local_addr().unwrap());
    let mut open: Vec<std::rc::Rc<dyn StreamSocket>> = Vec::new();
    rig.until::<()>(|cx| {
        while let Poll::Ready(next) = listener.poll_accept(cx) {
            open.push(next.unwrap().unwrap());
        }
        open.retain(|stream| {
            loop {
                match stream.poll_pop(cx) {
                    Poll::Ready(Ok(Some(unit))) => {
                        let _ = stream.start_push(unit);
                    }
                    Poll::Ready(_) => return false,
                    Poll::Pending => return true,
                }
            }
        });
        Poll::Pending
    });
}

/// Ends the other process even if the test fails.
pub(super) struct Server {
    child: Child,
    at: String,
}

impl Server {
    pub(super) fn start(uri: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "in_guest::death::a_killed_peer_is_a_reset_in_every_phase", "--nocapture"])
            .env(ROLE, uri)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let at = lines.find_map(|line| line.unwrap().strip_prefix("listening ").map(str::to_owned));
        Self { child, at: at.expect("it says where it listens") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL: it has no chance to tidy up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn connect(rig: &Rig, server: &Server) -> std::rc::Rc<dyn StreamSocket> {
    let at: std::net::SocketAddr = server.at.parse().unwrap();
    let client = rig.client.connect(&at.into(), &SocketOptions::default()).unwrap();
    rig.until(|cx| client.poll_connected(cx)).unwrap();
    client
}

fn echo(rig: &Rig, client: &std::rc::Rc<dyn StreamSocket>, n: usize) {
    rig.push(client, pattern(n as u64, n)).unwrap();
    assert!(rig.pop(client).unwrap().expect("an echo") == pattern(n as u64, n)[..], "{n} bytes");
}

/// What a pop says in the end, after any units that had come.
fn end(rig: &Rig, client: &std::rc::Rc<dyn StreamSocket>) -> Error {
    loop {
        match rig.pop(client) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a death is no end of the stream"),
            Err(e) => return e,
        }
    }
}

#[test]
fn a_killed_peer_is_a_reset_in_every_phase() {
    if let Ok(uri) = std::env::var(ROLE) {
        return serve(&uri);
    }
    hemi_guest::needs!(Rdma);
    let rig = Rig::new(CLEAN);
    // Idle.
    let server = Server::start(CLEAN.0);
    let client = connect(&rig, &server);
    echo(&rig, &client, 100);
    drop(server);
    let e = end(&rig, &client);
    assert!(matches!(e, Error::Reset), "{e}");
    assert!(rig.push(&client, "nobody is there").is_err());
    drop(client);

    // In the middle of units, small and large.
    for size in [64, 10_000, 1_000_000] {
        let server = Server::start(CLEAN.0);
        let client = connect(&rig, &server);
        echo(&rig, &client, size);
        let mut pushed = 0;
        while pushed < 8 && client.start_push(pattern(pushed, size).into()).is_ok() {
            pushed += 1;
        }
        for _ in 0..3 {
            rig.turn();
        }
        drop(server);
        let e = end(&rig, &client);
        assert!(!matches!(e, Error::Closed), "{size}: {e}");
        drop(client);
    }

    // While a close waits for it.
    let server = Server::start(CLEAN.0);
    let client = connect(&rig, &server);
    echo(&rig, &client, 100);
    client.start_push(pattern(1, 200_000).into()).unwrap();
    client.close();
    drop(server);
    let _ = rig.until(|cx| client.poll_closed(cx));

    // Before it answers a connect.
    let server = Server::start(CLEAN.0);
    let at: std::net::SocketAddr = server.at.parse().unwrap();
    let client = rig.client.connect(&at.into(), &SocketOptions::default()).unwrap();
    drop(server);
    let outcome = rig.until(|cx| client.poll_connected(cx));
    if outcome.is_ok() {
        assert!(!matches!(end(&rig, &client), Error::Closed));
    }
    drop(client);
    rig.until_empty();
}

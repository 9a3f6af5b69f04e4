//! What is lost of the connection manager's words, which are datagrams: no end waits for ever.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use hemi_queue::{
    Error, Reactor as _,
    transport::{SocketOptions, Transport as _},
};

use super::{
    death::{Server, connect},
    rig::{HANG, LOSSY, Rig},
};

/// A direction of the wire that loses everything, until this is dropped.
struct Cut(&'static str);

impl Cut {
    fn new(end: &'static str) -> Self {
        lose(end, "100%");
        Self(end)
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        lose(self.0, "3%");
    }
}

/// Until what was sent has left, and was lost.
fn leave() {
    thread::sleep(Duration::from_millis(300));
}

fn lose(end: &str, share: &str) {
    let words = ["qdisc", "change", "dev", end, "root", "netem", "loss", share];
    assert!(Command::new("tc").args(words).status().unwrap().success());
}

#[test]
fn a_disconnect_that_is_lost_is_said_again() {
    hemi_guest::needs!(Rdma);
    let rig = Rig::new(LOSSY);
    let (server, client) = rig.pair();
    rig.push(&client, "all is well").unwrap();
    assert!(rig.pop(&server).unwrap().unwrap() == *b"all is well");
    let cut = Cut::new("veth-b");
    client.abort();
    rig.until(|cx| client.poll_closed(cx)).unwrap();
    assert!(rig.client.is_quiet(), "the queue pair is no more, whoever has heard of it");
    leave();
    drop(cut);
    let e = rig.pop(&server).unwrap_err();
    assert!(matches!(e, Error::Reset), "{e}");
    drop((server, client));
    rig.until_empty();
}

#[test]
fn a_peer_that_dies_unheard_is_found_by_keep_alive() {
    hemi_guest::needs!(Rdma);
    let ours = format!("{}&keepalive=2s", LOSSY.1);
    let rig = Rig::new((&ours, &ours));
    let peer = Server::start(LOSSY.0);
    let client = connect(&rig, &peer);
    rig.push(&client, "are you there").unwrap();
    assert!(rig.pop(&client).unwrap().unwrap() == *b"are you there");
    let cut = Cut::new("veth-a");
    drop(peer); // killed, and what its kernel says for it is lost
    let e = rig.pop(&client).unwrap_err();
    drop(cut);
    // Soft-RoCE retries for ever; other devices say that they gave up, before we do.
    assert!(matches!(e, Error::TimedOut("keep-alive") | Error::Other(_)), "{e}");
    drop(client);
    rig.until_empty();
}

#[test]
fn a_peer_whose_word_that_it_is_ready_was_lost_is_ready_when_it_speaks() {
    hemi_guest::needs!(Rdma);
    let rig = Rig::new(LOSSY);
    let listener = rig.listen();
    let client = rig.client.connect(&listener.local_addr().unwrap(), &SocketOptions::default()).unwrap();
    // Until the server has answered, which the client does not see.
    let start = Instant::now();
    while !rig.server.describe().ends_with(" 1 connections") {
        assert!(start.elapsed() < HANG, "hung: {:?} {:?}", rig.server, rig.client);
        rig.client.poll(rig.now());
        thread::sleep(Duration::from_millis(1));
        rig.server.poll(rig.now());
    }
    let cut = Cut::new("veth-b");
    rig.until(|cx| client.poll_connected(cx)).unwrap();
    leave();
    drop(cut);
    rig.push(&client, "ready").unwrap();
    let server = rig.accept(&listener);
    assert!(rig.pop(&server).unwrap().unwrap() == *b"ready");
    // And it can be told that it is over.
    server.abort();
    let e = rig.pop(&client).unwrap_err();
    assert!(matches!(e, Error::Reset), "{e}");
    drop((server, client));
    rig.until_empty();
}

//! Foreign peers: rdma-core's `rping`, which speaks another protocol on the same kind of connection.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use hemi_queue::{
    Error,
    transport::{SocketOptions, Transport},
};
use hemi_rdma::{Failure, QueuePairError, Refusal};

use super::rig::{CLEAN, Rig};

const PORT: u16 = 7174;

struct Rping(Child);

impl Rping {
    /// `None`: not installed.
    fn start(words: &[&str]) -> Option<Self> {
        let mut command = Command::new("rping");
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().ok().map(Self)
    }

    fn said(mut self) -> String {
        let _ = self.0.kill();
        let mut all = String::new();
        for stream in [
            self.0.stdout.take().map(std::io::read_to_string),
            self.0.stderr.take().map(std::io::read_to_string),
        ] {
            all.push_str(&stream.unwrap().unwrap());
        }
        let _ = self.0.wait();
        all
    }
}

impl Drop for Rping {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_foreign_client_is_refused_and_the_next_is_served() {
    hemi_guest::needs!(Rdma);
    let rig = Rig::new(CLEAN);
    let listener = rig.listen();
    let at = listener.local_addr().unwrap().ip().unwrap();
    let port = at.port().to_string();
    let words = ["-c", "-a", "10.77.0.1", "-p", &port, "-C", "1", "-v"];
    let Some(mut rping) = Rping::start(&words) else {
        hemi_skip::skip!("rping is not installed (rdmacm-utils)")
    };
    rig.until_true(|| rping.0.try_wait().unwrap().is_some());
    let said = rping.said();
    assert!(said.contains("REJECTED"), "{said}");
    assert_eq!(listener.transient_failures(), 1);

    let client = rig.client.connect(&at.into(), &SocketOptions::default()).unwrap();
    let server = rig.accept(&listener);
    rig.push(&client, "one of us").unwrap();
    assert!(rig.pop(&server).unwrap().unwrap() == *b"one of us");
    drop((client, server));
    rig.until_empty();
}

#[test]
fn a_foreign_server_is_an_error_of_this_connection_only() {
    hemi_guest::needs!(Rdma);
    let rig = Rig::new(CLEAN);
    let port = PORT.to_string();
    let words = ["-s", "-a", "10.77.0.1", "-p", &port, "-v"];
    let Some(rping) = Rping::start(&words) else { hemi_skip::skip!("rping is not installed (rdmacm-utils)") };
    let at = format!("10.77.0.1:{PORT}").parse::<std::net::SocketAddr>().unwrap();
    let error = loop {
        let client = rig.client.connect(&at.into(), &SocketOptions::default()).unwrap();
        let outcome = rig.until(|cx| client.poll_connected(cx)).and_then(|()| rig.pop(&client).map(drop));
        match outcome {
            // It is still starting.
            Err(e) if e.raw_os_error() == Some(libc::ECONNREFUSED) => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(e) => break e,
            Ok(()) => panic!("rping speaks no protocol of ours"),
        }
    };
    let Error::Other(cause) = &error else { panic!("{error:?}") };
    let failure = cause.downcast_ref::<QueuePairError>().map(|e| &e.failure);
    assert_eq!(failure, Some(&Failure::Incompatible(Refusal::NotHemi)), "{error}");
    assert!(error.to_string().contains("10.77.0.1:7174"), "{error}");
    rig.until_empty();
    drop(rping);
}

//! No allocation per message in steady state, on any backend.

#[path = "suite/rig.rs"]
mod rig;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    rc::Rc,
    task::{Context, Poll},
    thread,
};

use hemi_meter::{Counting, Steady, Verdict};
use hemi_queue::{
    Sga,
    transport::{SocketOptions, StreamSocket, Transport},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SIZE: usize = 64;
const WINDOW: usize = 500;

#[test]
fn an_echoed_message_allocates_nothing() {
    for conns in [1, 20] {
        rig::each(|rig| {
            let l = rig.listen("127.0.0.1:0", &SocketOptions::default());
            let at = l.local_addr().unwrap().ip().unwrap();
            let client = thread::spawn(move || client(at, conns));
            let open: Vec<_> = (0..conns).map(|_| rig.accept(&l)).collect();
            for _ in 0..3 {
                echo_at_once(rig, &open);
            }
            let verdict = echo(rig, &open);
            assert!(verdict.is_clean(), "{conns} connections, {}: {verdict}", rig.kernel.describe());
            for s in &open {
                s.close();
            }
            drop(open);
            rig.until_true(|| client.is_finished());
            client.join().unwrap();
        });
    }
}

/// One message on the way on each connection, until the server closes them.
fn client(at: SocketAddr, conns: usize) {
    let mut all: Vec<_> = (0..conns).map(|_| TcpStream::connect(at).unwrap()).collect();
    let mut got = [0; SIZE];
    loop {
        for conn in &mut all {
            if conn.write_all(&[7; SIZE]).is_err() {
                return;
            }
        }
        for conn in &mut all {
            if conn.read_exact(&mut got).is_err() {
                return;
            }
        }
    }
}

/// Every connection's message is answered in the same turn: no later burst is larger, so this is what the transport's
/// lists have to hold.
fn echo_at_once(rig: &rig::Rig, open: &[Rc<dyn StreamSocket>]) {
    let mut units: Vec<Sga> = open.iter().map(|_| Sga::new()).collect();
    rig.until(|cx| {
        for (s, unit) in open.iter().zip(&mut units) {
            if unit.len() < SIZE
                && let Poll::Ready(more) = s.poll_pop(cx)
            {
                unit.append(more.unwrap().expect("the client goes on"));
            }
        }
        if units.iter().all(|unit| unit.len() == SIZE) { Poll::Ready(()) } else { Poll::Pending }
    });
    for (s, unit) in open.iter().zip(units) {
        s.start_push(unit).unwrap();
    }
}

/// Every message is answered as it comes, until the meter has a verdict.
fn echo(rig: &rig::Rig, open: &[Rc<dyn StreamSocket>]) -> Verdict {
    let waker = rig.waker();
    let mut cx = Context::from_waker(&waker);
    let mut steady = Steady::over(WINDOW);
    rig.until(|_| {
        for s in open {
            if let Poll::Ready(unit) = s.poll_pop(&mut cx) {
                s.start_push(unit.unwrap().expect("the client goes on")).unwrap();
                if let Some(verdict) = steady.operation() {
                    return Poll::Ready(verdict);
                }
            }
        }
        Poll::Pending
    })
}

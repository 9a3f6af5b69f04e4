//! No allocation per message in steady state: neither in the sockets nor in the stack below them.

#[path = "behaviour/rig.rs"]
#[allow(dead_code)] // a part of it is enough here
mod rig;

use std::{
    net::SocketAddr,
    task::{Context, Poll, Waker},
};

use hemi_meter::{Counting, Steady};
use hemi_queue::{
    Buf,
    transport::{DatagramSocket, Endpoint, SocketOptions, Transport},
};
use rig::Rig;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WINDOW: usize = 500;

#[test]
fn an_echoed_message_allocates_nothing() {
    let rig = Rig::new();
    let (client, server) = rig.pair(&SocketOptions::default());
    let unit = rig.pool.copy_from(&[7; 64]).unwrap();
    let mut steady = Steady::over(WINDOW);
    let verdict = loop {
        client.start_push(unit.clone()).unwrap();
        let request = rig.pop(&server).unwrap().unwrap();
        server.start_push(request).unwrap();
        assert_eq!(rig.pop(&client).unwrap().unwrap().len(), 64);
        if let Some(verdict) = steady.operation() {
            break verdict;
        }
    };
    assert!(verdict.is_clean(), "{verdict}");
}

#[test]
fn an_echoed_datagram_allocates_nothing() {
    let rig = Rig::new();
    let at = |n: u8| Endpoint::Ip(SocketAddr::from(([10, 0, 0, n], 0)));
    let options = SocketOptions::default();
    let (client, server) =
        (rig.client.bind(&at(2), &options).unwrap(), rig.server.bind(&at(1), &options).unwrap());
    let to = server.local_addr().unwrap();
    let unit = rig.pool.copy_from(&[7; 64]).unwrap();
    let mut steady = Steady::over(WINDOW);
    let echo = |socket: &dyn DatagramSocket, cx: &mut Context<'_>| match socket.poll_pop_from(cx) {
        Poll::Ready(popped) => Poll::Ready(popped.unwrap().unwrap()),
        Poll::Pending => Poll::Pending,
    };
    assert!(echo(&*client, &mut Context::from_waker(Waker::noop())).is_pending());
    let verdict = loop {
        client.start_push_to(unit.clone(), Some(&to)).unwrap();
        let (request, from) = rig.until(|cx| echo(&*server, cx));
        server.start_push_to(request, Some(&from)).unwrap();
        let (reply, _) = rig.until(|cx| echo(&*client, cx));
        assert_eq!(reply.iter().map(Buf::len).sum::<usize>(), 64);
        if let Some(verdict) = steady.operation() {
            break verdict;
        }
    };
    assert!(verdict.is_clean(), "{verdict}");
}

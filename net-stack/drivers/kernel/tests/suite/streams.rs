//! Streams that go well.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    task::Poll,
    thread,
};

use hemi_queue::transport::{SocketOptions, StreamSocket};

use crate::rig::{Rig, buf, each, pattern};

fn options() -> SocketOptions {
    SocketOptions::default()
}

/// Echo everything until the peer is done.
fn echo(rig: &Rig, s: &std::rc::Rc<dyn StreamSocket>) -> usize {
    let mut bytes = 0;
    while let Some(unit) = rig.pop(s).unwrap() {
        bytes += unit.len();
        rig.push(s, unit).unwrap();
    }
    rig.close(s).unwrap();
    bytes
}

#[test]
fn echoes_megabytes_unharmed() {
    const N: usize = 8 << 20;
    each(|rig| {
        let (s, peer) = rig.pair(&options());
        let mut writer = peer.try_clone().unwrap();
        let sender = thread::spawn(move || {
            let data = pattern(7, N);
            let mut rest = &data[..];
            let mut step = 1;
            while !rest.is_empty() {
                let n = rest.len().min(step);
                writer.write_all(&rest[..n]).unwrap();
                rest = &rest[n..];
                step = (step * 3 + 1) % 200_003;
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut reader: TcpStream = peer;
        let receiver = thread::spawn(move || {
            let mut got = Vec::new();
            reader.read_to_end(&mut got).unwrap();
            assert!(got == pattern(7, N), "{} bytes", got.len());
        });
        assert_eq!(echo(rig, &s), N);
        sender.join().unwrap();
        receiver.join().unwrap();
    });
}

#[test]
fn ping_pong_of_single_bytes() {
    each(|rig| {
        let (s, mut peer) = rig.pair(&options());
        let client = thread::spawn(move || {
            for i in 0..500_u32 {
                peer.write_all(&[i as u8]).unwrap();
                let mut b = [0];
                peer.read_exact(&mut b).unwrap();
                assert_eq!(b[0], i as u8);
            }
        });
        echo(rig, &s);
        client.join().unwrap();
    });
}

#[test]
fn active_open_to_a_std_listener() {
    each(|rig| {
        let l = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = l.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut c, _) = l.accept().unwrap();
            let mut got = Vec::new();
            c.read_to_end(&mut got).unwrap();
            c.write_all(&got).unwrap();
        });
        let s = rig.connect(&at.into(), &options()).unwrap();
        assert_eq!(s.peer_addr().unwrap(), at.into());
        for i in 0..10 {
            rig.push(&s, buf(pattern(i, 1000))).unwrap();
        }
        s.shutdown().unwrap();
        let got = rig.pop_exact(&s, 10_000);
        let want: Vec<u8> = (0..10).flat_map(|i| pattern(i, 1000)).collect();
        assert!(got == want);
        assert!(rig.pop(&s).unwrap().is_none());
        server.join().unwrap();
    });
}

#[test]
fn many_connections_at_once() {
    const CONNS: usize = 200;
    each(|rig| {
        let l = rig.listen("127.0.0.1:0", &options());
        let at = l.local_addr().unwrap().ip().unwrap();
        let client = thread::spawn(move || {
            let mut all: Vec<_> = (0..CONNS).map(|_| TcpStream::connect(at).unwrap()).collect();
            for round in 0..5 {
                for (i, c) in all.iter_mut().enumerate() {
                    c.write_all(&pattern((round * CONNS + i) as u64, 300)).unwrap();
                }
                for (i, c) in all.iter_mut().enumerate() {
                    let mut got = [0; 300];
                    c.read_exact(&mut got).unwrap();
                    assert!(got[..] == pattern((round * CONNS + i) as u64, 300)[..]);
                }
            }
        });
        let mut open = Vec::new();
        let mut ended = 0;
        rig.until(|cx| {
            while let Poll::Ready(next) = l.poll_accept(cx) {
                open.push(next.unwrap().unwrap());
            }
            open.retain(|s| {
                loop {
                    match s.poll_pop(cx) {
                        Poll::Ready(Ok(Some(unit))) => s.start_push(unit).unwrap(),
                        Poll::Ready(Ok(None)) => {
                            ended += 1;
                            return false;
                        }
                        Poll::Ready(Err(e)) => panic!("{e}"),
                        Poll::Pending => return true,
                    }
                }
            });
            if ended == CONNS { Poll::Ready(()) } else { Poll::Pending }
        });
        client.join().unwrap();
    });
}

/// With Fast Open asked for at both ends, whatever the kernel makes of it: connects, requests in both orders, answers. Where the kernel does it
/// (`net.ipv4.tcp_fastopen=3`), all but the first connect are open at once.
#[test]
fn fast_open_or_not_every_exchange_works() {
    each(|rig| {
        let mut options = options();
        options.fast_open = 16;
        let listener = rig.listen("127.0.0.1:0", &options);
        let at = listener.local_addr().unwrap();
        for round in 0..4 {
            let client = rig.connect(&at, &options).unwrap();
            if round % 2 == 0 {
                rig.push(&client, buf(vec![7; 300])).unwrap();
                let server = rig.accept(&listener);
                assert_eq!(rig.pop_exact(&server, 300), vec![7; 300]);
                rig.push(&server, buf(vec![8; 5])).unwrap();
                assert_eq!(rig.pop_exact(&client, 5), vec![8; 5]);
            } else {
                // The server speaks first: nothing is there for the SYN to carry.
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                assert!(client.poll_pop(&mut cx).is_pending());
                let server = rig.accept(&listener);
                rig.push(&server, buf(vec![9; 5])).unwrap();
                assert_eq!(rig.pop_exact(&client, 5), vec![9; 5]);
            }
        }
    });
}

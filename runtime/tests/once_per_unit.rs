//! A task is woken once for each unit, not for each segment: units are put together in the reactor's turn (HotOS '19).

use std::{
    future::poll_fn,
    io::Write,
    net::{SocketAddr, TcpStream},
    pin::pin,
    thread,
    time::Duration,
};

use futures::FutureExt;
use hemi::{
    Buf, Conn, Error, Listener, Options, Pop, Push, Result, Runtime, Sga, TcpListener, TcpQueue,
    framing::{Decoder, Framed, Input, LengthPrefix, Lines, resp::RespServer},
    spawn,
    time::sleep,
};

const PIECES: usize = 100;

/// What `future` gave, and how often it was polled for that.
async fn polls<F: Future>(future: F) -> (F::Output, u32) {
    let (mut future, mut count) = (pin!(future), 0);
    let output = poll_fn(|cx| {
        count += 1;
        future.as_mut().poll(cx)
    })
    .await;
    (output, count)
}

/// Byte streams in virtual time: pieces arrive exactly when they are sent.
fn world(case: impl Future<Output = Result<()>>) {
    Runtime::builder().net("mem:?stream=bytes").simulated(3).build().unwrap().block_on(case).unwrap();
}

async fn pair() -> Result<(Conn, Conn)> {
    let mut listener = Options::new().raw().listen("here").await?;
    let dribbler = Options::new().raw().connect("here").await?;
    let conn = listener.pop().await?.unwrap();
    drop(listener);
    sleep(Duration::from_millis(1)).await; // what the listener's end wakes is not counted
    Ok((dribbler, conn))
}

/// Sends `wire` in `PIECES` pieces, a millisecond apart.
fn dribble(mut to: Conn, wire: Vec<u8>) -> hemi::JoinHandle<Result<Conn>> {
    spawn(async move {
        for piece in wire.chunks(wire.len().div_ceil(PIECES)) {
            sleep(Duration::from_millis(1)).await;
            to.push(piece.to_vec()).await?;
        }
        Ok(to)
    })
}

/// `payload` behind its length.
fn unit(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes(), payload].concat()
}

#[test]
fn a_connection_of_units() {
    world(async {
        let mut listener = Listener::bind("units").await?;
        let dribbler = Options::new().raw().connect("units").await?;
        let mut conn = listener.pop().await?.unwrap();
        let dribbling = dribble(dribbler, unit(&[7; 796]));
        let (popped, polls) = polls(conn.pop()).await;
        assert_eq!(popped?, Some(Sga::from(vec![7; 796])));
        assert_eq!(polls, 2, "when it began to wait, and when the unit was whole");
        drop(dribbling.await.unwrap()?);
        assert_eq!(conn.pop().await?, None);
        Ok(())
    });
}

#[test]
fn every_codec() {
    world(async {
        let line = "x".repeat(799);
        let (dribbler, conn) = pair().await?;
        let dribbling = dribble(dribbler, format!("{line}\n").into());
        let mut lines = Framed::new(conn, Lines::new());
        let (popped, count) = polls(lines.pop()).await;
        assert_eq!(popped?, Some(Sga::from(line.clone())));
        assert_eq!(count, 2);
        drop(dribbling);

        let (dribbler, conn) = pair().await?;
        let dribbling = dribble(dribbler, format!("*2\r\n$3\r\nGET\r\n$799\r\n{line}\r\n").into());
        let mut requests = Framed::new(conn, RespServer::new());
        let (popped, count) = polls(requests.pop()).await;
        assert!(popped?.unwrap().is("GET"));
        assert_eq!(count, 2);
        drop(dribbling);

        let (dribbler, conn) = pair().await?;
        let dribbling = dribble(dribbler, unit(&[1; 5000]));
        let mut units = Framed::new(conn, LengthPrefix::new());
        let (popped, count) = polls(units.pop()).await;
        assert_eq!((popped?.unwrap().len(), count), (5000, 2));
        drop(dribbling);
        Ok(())
    });
}

/// Also when it is over the receive limit: what is put together does not lie at the socket.
#[test]
fn a_unit_over_the_receive_limit() {
    world(async {
        let mut listener = Options::new().recv_limit(16 << 10).listen("large").await?;
        let dribbler = Options::new().raw().connect("large").await?;
        let mut conn = listener.pop().await?.unwrap();
        let dribbling = dribble(dribbler, unit(&vec![3; 1 << 20]));
        let (popped, polls) = polls(conn.pop()).await;
        assert_eq!((popped?.unwrap().len(), polls), (1 << 20, 2));
        drop(dribbling);
        Ok(())
    });
}

#[test]
fn a_dropped_pop_and_what_lies_behind_the_unit_are_not_lost() {
    world(async {
        let (mut dribbler, conn) = pair().await?;
        let mut lines = Framed::new(conn, Lines::new());
        assert!(lines.pop().now_or_never().is_none()); // dropped, and what arrives is put together all the same
        for piece in ["on", "e\ntw", "o\nthr"] {
            dribbler.push(piece).await?;
            sleep(Duration::from_millis(1)).await;
        }
        let parts = lines.into_parts();
        assert_eq!(parts.decoded.unwrap()?, Sga::from("one"), "it was decoded in the reactor's turn");
        let mut rest = Framed::new(parts.queue, parts.codec).with_unread(parts.unread);
        assert_eq!(rest.pop().await?, Some(Sga::from("two")));
        dribbler.push("ee\nby").await?;
        assert_eq!(rest.pop().await?, Some(Sga::from("three")));
        // Taken apart while it waits, the byte queue's next pop gets everything.
        assert!(rest.pop().now_or_never().is_none());
        let mut parts = rest.into_parts();
        assert_eq!(parts.unread, Sga::from("by"));
        dribbler.push("tes").await?;
        sleep(Duration::from_millis(1)).await;
        assert_eq!(parts.queue.pop().await?, Some(Sga::from("tes")));
        Ok(())
    });
}

#[test]
fn the_end_and_errors_wake_too() {
    world(async {
        for (wire, limit) in [(&b"cut of"[..], 100), (b"far too long", 5)] {
            let (mut peer, conn) = pair().await?;
            let popping = spawn(async move { Framed::new(conn, Lines::with_limit(limit)).pop().await });
            sleep(Duration::from_millis(1)).await;
            peer.push(wire).await?;
            sleep(Duration::from_millis(1)).await;
            assert_eq!(popping.is_finished(), limit == 5, "the decoder's refusal is told at once");
            drop(peer);
            match popping.await.unwrap() {
                Ok(line) => assert_eq!(line, Some(Sga::from("cut of"))),
                Err(e) => assert!(matches!(e, Error::UnitTooLarge { limit: 5, .. }), "{e:?}"),
            }
        }
        Ok(())
    });
}

struct Panics;

impl Decoder for Panics {
    type Unit = ();

    fn decode(&mut self, input: &mut Input) -> Result<Option<()>> {
        assert!(input.len() < 3, "the decoder's own fault");
        Ok(None)
    }
}

#[test]
fn a_panic_of_a_decoder_is_its_tasks() {
    world(async {
        let (mut peer, conn) = pair().await?;
        let popping = spawn(async move { Framed::reader(conn, Panics).pop().await });
        for _ in 0..3 {
            sleep(Duration::from_millis(1)).await;
            peer.push("x").await?;
        }
        let error = popping.await.unwrap_err();
        assert_eq!(error.panic_message(), Some("the decoder's own fault"));
        Ok(())
    });
}

/// On kernel sockets, whatever of the pieces the kernel joins.
fn from_a_plain_peer(at: SocketAddr, wire: Vec<u8>) -> thread::JoinHandle<TcpStream> {
    thread::spawn(move || {
        let mut peer = TcpStream::connect(at).unwrap();
        peer.set_nodelay(true).unwrap();
        for piece in wire.chunks(wire.len().div_ceil(PIECES)) {
            peer.write_all(piece).unwrap();
            thread::sleep(Duration::from_micros(500));
        }
        peer
    })
}

#[test]
fn on_every_backend_of_the_kernel() {
    for net in ["uring", "uring&hot=0&batch=1", "uring&hot=0&old=true", "epoll", "poll"] {
        let runtime = match Runtime::builder().net(format!("kernel:?backend={net}")).build() {
            Ok(runtime) => runtime,
            Err(e) if net.contains("uring") => {
                hemi_skip::skip_part!(net, "{e}");
                continue;
            }
            Err(e) => panic!("{net}: {e}"),
        };
        let outcome: Result<()> = runtime.block_on(async {
            let mut listener = Options::new().recv_limit(16 << 10).listen("127.0.0.1:0").await?;
            let at = listener.local_addr()?.ip().unwrap();
            for len in [796, 300_000] {
                let peer = from_a_plain_peer(at, unit(&vec![9; len]));
                let mut conn = listener.pop().await?.unwrap();
                let (popped, polls) = polls(conn.pop()).await;
                assert_eq!(popped?, Some(Sga::from(vec![9; len])));
                assert!(polls <= 2, "{net}: {polls} polls for one unit of {len} bytes");
                drop(peer.join().unwrap());
                assert_eq!(conn.pop().await?, None);
            }

            let mut listener = TcpListener::bind("127.0.0.1:0").await?;
            let peer =
                from_a_plain_peer(listener.local_addr()?, [[b'y'; 799].as_slice(), b"\nrest"].concat());
            let mut lines: Framed<TcpQueue, Lines> =
                Framed::new(listener.pop().await?.unwrap(), Lines::new());
            let (popped, polls) = polls(lines.pop()).await;
            assert_eq!(popped?, Some(Sga::from(vec![b'y'; 799])));
            assert!(polls <= 2, "{net}: {polls} polls for one line");
            let mut peer = peer.join().unwrap();
            peer.write_all(b" of it\n").unwrap();
            assert_eq!(lines.pop().await?, Some(Sga::from("rest of it")));
            // Bytes again.
            let mut bytes = lines.into_parts().queue;
            peer.write_all(b"plain").unwrap();
            assert_eq!(bytes.pop().await?, Some(Buf::from("plain")));
            Ok(())
        });
        outcome.unwrap();
    }
}

//! Units that are too large, cut short, or no units at all, from peers that speak bytes.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

use hemi::{Conn, Error, Options, Pop, Push, Runtime, rand::Rng};
use hemi_tests::{foreign, kernels};

const LIMIT: usize = 10_000;

async fn pair() -> hemi::Result<(TcpStream, Conn)> {
    let mut listener = Options::new().unit_limit(LIMIT).listen("127.0.0.1:0").await?;
    let at = listener.local_addr()?.ip().expect("a socket address");
    let peer = foreign::connect(at);
    Ok((peer, listener.pop().await?.expect("the listener is open")))
}

fn each(case: impl AsyncFn() -> hemi::Result<()>) {
    kernels::each(|runtime: Runtime| {
        let pool = kernels::run(&runtime, async {
            case().await?;
            hemi::pool()
        });
        drop(runtime);
        assert_eq!(pool.stats().in_use, 0, "buffers are still held");
    });
}

#[test]
fn over_the_limit() {
    each(async || {
        let (mut peer, mut conn) = pair().await?;
        peer.write_all(b"\0\0\0\x05first").unwrap();
        peer.write_all(&20_000_u32.to_be_bytes()).unwrap(); // announced, never sent
        assert_eq!(conn.pop().await?.expect("what came before it").to_vec(), b"first");
        let error = conn.pop().await.expect_err("the limit");
        assert!(matches!(error, Error::UnitTooLarge { got: 20_000, limit: 10_000 }), "{error:?}");
        assert!(error.to_string().contains("raise the limit"), "{error}");
        assert!(conn.pop().await?.is_none(), "the stream is over");
        conn.close().await?;
        let mut told = Vec::new();
        peer.read_to_end(&mut told).unwrap();
        assert_eq!(told[..4], [0xff; 4], "the peer is told by a refusal");
        Ok(())
    });
}

#[test]
fn four_gigabytes_are_announced_and_no_memory_is_taken() {
    each(async || {
        let (mut peer, mut conn) = pair().await?;
        peer.write_all(&0xffff_fffe_u32.to_be_bytes()).unwrap();
        peer.write_all(&[7; 5000]).unwrap();
        let error = conn.pop().await.expect_err("the limit");
        assert!(matches!(error, Error::UnitTooLarge { got: 0xffff_fffe, .. }), "{error:?}");
        // At most a first region of each of the four classes.
        assert!(hemi::pool()?.stats().mapped <= 8 << 20);
        Ok(())
    });
}

#[test]
fn of_our_own_are_refused_and_the_connection_goes_on() {
    each(async || {
        let (mut peer, mut conn) = pair().await?;
        let error = conn.push(vec![0; LIMIT + 1]).await.expect_err("over the limit");
        assert!(matches!(error, Error::UnitTooLarge { got: 10_001, limit: 10_000 }), "{error:?}");
        conn.push("small").await?;
        conn.close().await?;
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"\0\0\0\x05small", "nothing of the large one was sent");
        Ok(())
    });
}

#[test]
fn cut_short_by_the_end() {
    for (sent, have, want) in [(&b"\0\0\0\x08four"[..], 8, 12), (b"\0\0\x01", 3, 4), (b"\0\0\0\x01", 4, 5)] {
        each(async || {
            let (mut peer, mut conn) = pair().await?;
            peer.write_all(b"\0\0\0\x02ok").unwrap();
            peer.write_all(sent).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            assert_eq!(conn.pop().await?.expect("it came whole").to_vec(), b"ok");
            let error = conn.pop().await.expect_err("half a unit");
            assert!(
                matches!(error, Error::Truncated { have: h, want: w } if (h, w) == (have, want)),
                "{sent:?}: {error:?}"
            );
            assert!(conn.pop().await?.is_none());
            Ok(())
        });
    }
}

#[test]
fn byte_by_byte() {
    each(async || {
        let (peer, mut conn) = pair().await?;
        peer.set_nodelay(true).unwrap();
        let wire = foreign::thread(move || {
            let mut peer = &peer;
            for byte in (0..50_u8).flat_map(|n| [0, 0, 0, 3, n, n, n]) {
                peer.write_all(&[byte]).unwrap();
            }
            peer.shutdown(Shutdown::Write).unwrap();
        });
        for n in 0..50_u8 {
            assert_eq!(conn.pop().await?.expect("a unit").to_vec(), [n; 3]);
        }
        assert!(conn.pop().await?.is_none());
        wire.await;
        Ok(())
    });
}

/// Whatever a peer sends: the stream ends, with units, an error or both, and what was not malformed is delivered.
#[test]
fn random_bytes() {
    each(async || {
        let mut listener = Options::new().unit_limit(LIMIT).listen("127.0.0.1:0").await?;
        let at = listener.local_addr()?.ip().expect("a socket address");
        for seed in 0..60 {
            let mut rng = Rng::new(seed);
            let mut bytes = vec![0; 1 + rng.below(3000) as usize];
            bytes.fill_with(|| rng.next_u64() as u8);
            // Half of them begin with some good units.
            let good = rng.below(4).saturating_sub(1);
            let mut peer = foreign::connect(at);
            let mut conn = listener.pop().await?.expect("the listener is open");
            for n in 0..good as u8 {
                peer.write_all(&[0, 0, 0, 1, n]).unwrap();
            }
            peer.write_all(&bytes).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            for n in 0..good as u8 {
                assert_eq!(conn.pop().await?.expect("a good one").to_vec(), [n], "seed {seed}");
            }
            let mut left = bytes.len();
            let end = loop {
                match conn.pop().await {
                    Ok(Some(unit)) => left -= unit.len(), // never more than was sent
                    other => break other,
                }
            };
            assert!(
                matches!(
                    end,
                    Ok(None)
                        | Err(Error::UnitTooLarge { .. } | Error::Truncated { .. } | Error::Malformed(_))
                ),
                "seed {seed}: {end:?}"
            );
            assert!(left > 0 || matches!(end, Ok(None)), "seed {seed}");
        }
        Ok(())
    });
}

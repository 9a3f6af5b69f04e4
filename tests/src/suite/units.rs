//! Units and bytes arrive whole and in order.

use std::rc::Rc;

use hemi::{Conn, Listener, Pop, Push, Result, Sga, TcpListener, UnixListener, UnixQueue, spawn};

use super::{
    World,
    world::{hash, random_unit},
};

/// Serve echoes of units until the listener is closed.
pub(super) async fn serve(mut listener: Listener) -> Result<()> {
    while let Some(conn) = listener.pop().await? {
        spawn(echo(conn));
    }
    Ok(())
}

pub(super) async fn echo(mut conn: Conn) -> Result<()> {
    while let Some(unit) = conn.pop().await? {
        conn.push(unit).await?;
    }
    conn.close().await
}

/// Random units of 0 to 200,000 bytes, many under way at once, come back in order and unharmed.
pub fn echo_of_random_units(world: &World) {
    world.run(async {
        let listener = Listener::bind(world.any()).await?;
        let at = listener.local_addr()?;
        spawn(serve(listener));
        let (mut replies, mut requests) = world.client().connect(at).await?.split();
        let mut rng = world.rng(1);
        let units: Vec<Sga> = (0..100)
            .map(|n| {
                let most = [64, 3000, 200_000][n % 3];
                let len = rng.below(most) as usize;
                random_unit(&mut rng, len)
            })
            .collect();
        let hashes: Vec<u64> = units.iter().map(hash).collect();
        let pushing = spawn(async move {
            for unit in units {
                requests.push(unit).await?;
            }
            requests.finish().await
        });
        for (n, expected) in hashes.into_iter().enumerate() {
            let unit = replies.pop().await?.unwrap_or_else(|| panic!("ended before unit {n}"));
            assert_eq!(hash(&unit), expected, "unit {n} of {} bytes", unit.len());
        }
        assert!(replies.pop().await?.is_none());
        pushing.await.unwrap()
    });
}

/// A unit of no bytes arrives as one, between others and alone.
pub fn an_empty_unit_is_a_unit(world: &World) {
    world.run(async {
        let mut listener = Listener::bind(world.any()).await?;
        let mut client = world.client().connect(listener.local_addr()?).await?;
        let mut server = listener.pop().await?.unwrap();
        for unit in ["", "a", "", "", "b"] {
            client.push(unit).await?;
        }
        client.close().await?;
        for unit in ["", "a", "", "", "b"] {
            assert_eq!(server.pop().await?, Some(Sga::from(unit)));
        }
        assert_eq!(server.pop().await?, None);
        Ok(())
    });
}

/// 100 connections with 20 units each way at once do not mix.
pub fn many_connections(world: &World) {
    world.run(async {
        let listener = Listener::bind(world.any()).await?;
        let at = Rc::new(listener.local_addr()?);
        spawn(serve(listener));
        let clients: Vec<_> = (0..100_u64)
            .map(|client| {
                let at = Rc::clone(&at);
                let (mut rng, connect) = (world.rng(client), world.client());
                spawn(async move {
                    let mut conn = connect.connect(&*at).await?;
                    for _ in 0..20 {
                        let len = rng.below(2000) as usize;
                        let unit = random_unit(&mut rng, len);
                        conn.push(unit.clone()).await?;
                        assert_eq!(conn.pop().await?, Some(unit));
                    }
                    conn.close().await
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap()?;
        }
        Ok(())
    });
}

/// Both ends push a megabyte before either pops all of it.
pub fn both_directions_at_once(world: &World) {
    world.run(async {
        let mut listener = Listener::bind(world.any()).await?;
        let client = world.client().connect(listener.local_addr()?).await?;
        let server = listener.pop().await?.unwrap();
        let one_side = |conn: Conn, mut rng: hemi::rand::Rng| async move {
            let (mut pops, mut pushes) = conn.split();
            let pushing = spawn(async move {
                let mut sum = 0_u64;
                for _ in 0..64 {
                    let unit = random_unit(&mut rng, 16 << 10);
                    sum = sum.wrapping_add(hash(&unit));
                    pushes.push(unit).await?;
                }
                pushes.finish().await?;
                Ok::<u64, hemi::Error>(sum)
            });
            let mut sum = 0_u64;
            while let Some(unit) = pops.pop().await? {
                sum = sum.wrapping_add(hash(&unit));
            }
            Ok::<(u64, u64), hemi::Error>((pushing.await.unwrap()?, sum))
        };
        let a = spawn(one_side(client, world.rng(1)));
        let b = spawn(one_side(server, world.rng(2)));
        let (a, b) = (a.await.unwrap()?, b.await.unwrap()?);
        assert_eq!((a.0, a.1), (b.1, b.0));
        Ok(())
    });
}

/// TCP queues give the bytes as a stream, whatever the pieces.
pub fn bytes_by_tcp(world: &World) {
    if !world.caps().tcp {
        return unsupported(world);
    }
    world.run(async {
        let mut listener = TcpListener::bind(world.any()).await?;
        let client = world.client().connect_tcp(listener.local_addr()?).await?;
        let server = listener.pop().await?.unwrap();
        assert_eq!(client.peer_addr()?, server.local_addr()?);
        assert_eq!(server.peer_addr()?, client.local_addr()?);
        stream(world, client, server).await
    });
}

/// The typed queues say what to use where the transport has no TCP.
fn unsupported(world: &World) {
    world.run(async {
        let Err(e) = TcpListener::bind(world.any()).await else { panic!("no TCP, and a listener") };
        assert!(matches!(e, hemi::Error::Unsupported(_)) && e.to_string().contains("Listener and Conn"));
        Ok(())
    });
}

/// The same by a Unix path.
pub fn bytes_by_unix(world: &World) {
    if !world.caps().unix {
        return;
    }
    world.run(async {
        let path = world.path("stream");
        let mut listener = UnixListener::bind(&path)?;
        let client = UnixQueue::connect(&path).await?;
        let server = listener.pop().await?.unwrap();
        stream(world, client, server).await
    });
}

async fn stream<Q>(world: &World, mut client: Q, mut server: Q) -> Result<()>
where
    Q: Pop<Unit = hemi::Buf> + Push<Unit = hemi::Buf> + 'static,
{
    let mut rng = world.rng(3);
    let sent: Vec<hemi::Buf> = (0..200)
        .map(|_| {
            let bytes: Vec<u8> = (0..rng.below(5000)).map(|_| rng.next_u64() as u8).collect();
            bytes.into()
        })
        .collect();
    let all: Vec<u8> = sent.iter().flat_map(|b| b.iter().copied()).collect();
    let pushing = spawn(async move {
        for buf in sent {
            client.push(buf).await?;
        }
        client.finish().await?;
        Ok::<Q, hemi::Error>(client)
    });
    let mut got = Vec::new();
    while let Some(buf) = server.pop().await? {
        assert!(!buf.is_empty(), "a pop of bytes gives bytes");
        got.extend_from_slice(&buf);
    }
    assert!(got == all, "{} of {} bytes, or other ones", got.len(), all.len());
    drop(pushing.await.unwrap()?);
    Ok(())
}

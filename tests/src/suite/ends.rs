//! How connections end: half-close, close, drop, reset, at every stage.

use hemi::{Conn, Error, Listener, Pop, Push, Result, Sga, spawn, time::sleep};
use std::time::Duration;

use super::{
    World,
    world::{hash, random_unit},
};

async fn pair(world: &World) -> Result<(Conn, Conn)> {
    let mut listener = Listener::bind(world.any()).await?;
    let client = world.client().connect(listener.local_addr()?).await?;
    Ok((client, listener.pop().await?.unwrap()))
}

/// After `finish` the peer sees the end and can still answer.
pub fn half_close(world: &World) {
    world.run(async {
        let (mut client, mut server) = pair(world).await?;
        client.push("question").await?;
        client.finish().await?;
        assert_eq!(server.pop().await?, Some(Sga::from("question")));
        assert_eq!(server.pop().await?, None);
        assert_eq!(server.pop().await?, None, "the end stays the end");
        server.push("answer").await?;
        server.push("and more").await?;
        server.close().await?;
        assert_eq!(client.pop().await?, Some(Sga::from("answer")));
        assert_eq!(client.pop().await?, Some(Sga::from("and more")));
        assert_eq!(client.pop().await?, None);
        assert!(client.push("late").await.is_err());
        Ok(())
    });
}

const UNITS: usize = 50;

/// What was pushed before an end arrives: `end` closes or drops.
async fn delivers<E, F>(world: &World, end: E) -> Result<()>
where
    E: FnOnce(Conn) -> F + 'static,
    F: Future<Output = Result<()>>,
{
    let (mut client, mut server) = pair(world).await?;
    let mut rng = world.rng(4);
    let units: Vec<Sga> = (0..UNITS).map(|_| random_unit(&mut rng, 20_000)).collect();
    let hashes: Vec<u64> = units.iter().map(hash).collect();
    let pushing = spawn(async move {
        for unit in units {
            client.push(unit).await?;
        }
        end(client).await
    });
    for expected in hashes {
        assert_eq!(hash(&server.pop().await?.expect("a unit was lost")), expected);
    }
    assert!(server.pop().await?.is_none());
    pushing.await.unwrap()
}

/// `close().await` returns when everything was sent, and the peer gets all of it.
pub fn close_delivers_everything(world: &World) {
    world.run(delivers(world, Conn::close));
}

/// Dropping the connection closes it in the background; nothing pushed is lost.
pub fn drop_delivers_everything(world: &World) {
    world.run(delivers(world, |conn| async move {
        drop(conn);
        Ok(())
    }));
}

/// After `abort` the peer gets an error, not the end, whether it pops or pushes.
pub fn abort_resets_the_peer(world: &World) {
    world.run(async {
        let (client, mut server) = pair(world).await?;
        client.abort();
        let e = loop {
            match server.pop().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("an abort looked like an orderly end"),
                Err(e) => break e,
            }
        };
        assert!(matches!(e, Error::Reset), "{e:?}");
        let refused = pushes_until_refused(&mut server).await;
        assert!(matches!(refused, Error::Reset | Error::BrokenPipe), "{refused:?}");
        Ok(())
    });
}

async fn pushes_until_refused(conn: &mut Conn) -> Error {
    for _ in 0..1000 {
        if let Err(e) = conn.push(vec![7; 1000]).await {
            return e;
        }
        sleep(Duration::from_micros(200)).await;
    }
    panic!("a peer that is gone took a thousand pushes");
}

/// A peer that is gone before the first unit, between units and inside a unit: an error or the end, and the listener
/// serves the next one.
pub fn a_peer_that_resets_at_each_stage(world: &World) {
    world.run(async {
        let mut listener = Listener::bind(world.any()).await?;
        let at = listener.local_addr()?;
        for stage in 0..4 {
            let mut client = world.client().connect(&at).await?;
            let mut server = listener.pop().await?.unwrap();
            match stage {
                0 => {}
                1 => client.push("a unit").await?,
                2 => {
                    client.push("a unit").await?;
                    assert!(server.pop().await?.is_some());
                }
                _ => {
                    client = client.raw();
                    client.push(&[0, 0, 1, 0, b'x']).await?; // 5 bytes of 260
                    sleep(Duration::from_millis(5)).await;
                }
            }
            client.abort();
            let mut units = 0;
            let end = loop {
                match server.pop().await {
                    Ok(Some(_)) => units += 1,
                    other => break other,
                }
            };
            assert!(units <= 1);
            assert!(matches!(end, Err(Error::Reset)), "stage {stage}: {end:?}");
        }
        let mut client = world.client().connect(&at).await?;
        client.push("still there").await?;
        let mut server = listener.pop().await?.unwrap();
        assert_eq!(server.pop().await?, Some(Sga::from("still there")));
        Ok(())
    });
}

/// A waiting accept gets `None`; later connects are refused.
pub fn a_listener_that_closes(world: &World) {
    world.run(async {
        let mut listener = Listener::bind(world.any()).await?;
        let at = listener.local_addr()?;
        listener.close();
        assert!(listener.pop().await?.is_none());
        drop(listener);
        assert!(world.client().connect(&at).await.is_err());
        Ok(())
    });
}

/// A runtime that ends with pops, pushes, accepts and connects in flight lets go of all of them.
pub fn operations_in_flight_at_the_end(world: &World) {
    let runtime = world.runtime();
    world.run_on(&runtime, async {
        let mut listener = Listener::bind(world.any()).await?;
        let at = listener.local_addr()?;
        for _ in 0..20 {
            let mut client = world.client().connect(&at).await?;
            let mut server = listener.pop().await?.unwrap();
            spawn(async move { while client.push(vec![1; 10_000]).await.is_ok() {} });
            spawn(async move {
                let _ = server.pop().await;
                std::future::pending::<()>().await;
                drop(server);
            });
        }
        spawn(async move { while let Ok(Some(_)) = listener.pop().await {} });
        let connect = world.client();
        spawn(async move { connect.connect(&at).await.map(drop) });
        sleep(Duration::from_millis(5)).await;
        Ok(())
    });
    drop(runtime);
}

//! Back-pressure: who does not read stops who writes, and nobody else.

use std::{cell::Cell, rc::Rc, time::Duration};

use hemi::{Conn, Error, Listener, Options, Pop, Push, Result, Sga, spawn, time::timeout};

use super::{World, units::serve};

const UNIT: usize = 10_000;

/// A peer that never pops: pushes wait after a bounded number; when it pops at last, all arrive.
pub fn a_peer_that_never_reads(world: &World) {
    world.run(async {
        let small = Options::new().send_limit(64 << 10).recv_limit(64 << 10).send_buffer(64 << 10);
        let mut listener = small.clone().recv_buffer(64 << 10).listen(world.any()).await?;
        let mut client = world.on_client(&small).connect(listener.local_addr()?).await?;
        let mut server = listener.pop().await?.unwrap();
        let mut pushed = 0_u32;
        while timeout(Duration::from_millis(100), client.push(unit(pushed))).await.is_ok() {
            pushed += 1;
            assert!(pushed < 5000, "50 MB went to a peer that does not read");
        }
        pushed += 1; // the one that waits is not retracted
        let reading = spawn(async move {
            let mut got = 0;
            while let Some(next) = server.pop().await? {
                assert_eq!(next, unit(got));
                got += 1;
            }
            Ok::<u32, Error>(got)
        });
        client.close().await?;
        assert_eq!(reading.await.unwrap()?, pushed);
        Ok(())
    });
}

fn unit(n: u32) -> Sga {
    let mut bytes = n.to_be_bytes().to_vec();
    bytes.resize(UNIT, n as u8);
    bytes.into()
}

/// A peer that sends without end to an owner that never pops holds a bounded amount, and other connections of the
/// same runtime go on meanwhile.
pub fn an_owner_that_never_pops(world: &World) {
    world.run(async {
        let mut deaf = Options::new().recv_limit(128 << 10).listen(world.any()).await?;
        let deaf_at = deaf.local_addr()?;
        let listener = Listener::bind(world.any()).await?;
        let at = listener.local_addr()?;
        spawn(serve(listener));
        let sent = Rc::new(Cell::new(0_usize));
        let flood = {
            let (sent, connect) = (Rc::clone(&sent), world.client());
            spawn(async move {
                let mut conn = connect.connect(deaf_at).await?;
                loop {
                    conn.push(vec![9; UNIT]).await?;
                    sent.set(sent.get() + UNIT);
                }
                #[allow(unreachable_code)]
                Ok::<(), Error>(())
            })
        };
        let held = deaf.pop().await?.unwrap();
        let mut conn = world.client().connect(at).await?;
        for n in 0..300 {
            conn.push(unit(n)).await?;
            assert_eq!(conn.pop().await?, Some(unit(n)));
        }
        let before = sent.get();
        hemi::time::sleep(Duration::from_millis(300)).await;
        let after = sent.get();
        assert!(before > 0 && after < 32 << 20, "{after} bytes went to an owner that never pops");
        for n in 0..300 {
            conn.push(unit(n)).await?;
            assert_eq!(conn.pop().await?, Some(unit(n)));
        }
        flood.abort();
        drop(held);
        Ok(())
    });
}

/// Push futures dropped while they wait: every unit accepted arrives once and in order, and the queue stays bounded by
/// refusing with `Busy`.
pub fn a_push_future_that_is_dropped(world: &World) {
    world.run(async {
        let small = Options::new().send_limit(50_000).recv_limit(50_000).send_buffer(16 << 10);
        let mut listener = small.clone().recv_buffer(16 << 10).listen(world.any()).await?;
        let mut client = world.on_client(&small).connect(listener.local_addr()?).await?;
        let mut server = listener.pop().await?.unwrap();
        let mut accepted = 0_u32;
        let mut refused = false;
        for _ in 0..2000 {
            match timeout(Duration::from_millis(2), client.push(unit(accepted))).await {
                Ok(Err(Error::Busy)) => {
                    refused = true;
                    break;
                }
                Ok(Err(e)) => return Err(e),
                Ok(Ok(())) | Err(_) => accepted += 1, // dropped while it waited: it goes out whole
            }
        }
        assert!(refused, "{accepted} units of {UNIT} bytes were accepted");
        let reading = spawn(async move { read_all(&mut server, accepted).await });
        client.close().await?;
        reading.await.unwrap()
    });
}

async fn read_all(server: &mut Conn, units: u32) -> Result<()> {
    for n in 0..units {
        assert_eq!(server.pop().await?, Some(unit(n)), "unit {n} of {units}");
    }
    assert_eq!(server.pop().await?, None);
    Ok(())
}

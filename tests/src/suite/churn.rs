//! Connections come and go.

use std::rc::Rc;

use hemi::{Error, Listener, Pop, Push, spawn};

use super::World;

/// 10,000 connections, 50 at a time, each with one unit there and back, every third one dropped with a unit under way:
/// none is lost and nothing is left behind.
pub fn ten_thousand_connections(world: &World) {
    const CONNECTIONS: u32 = 10_000;
    const AT_ONCE: u32 = 50;
    world.run(async {
        let mut listener = Listener::bind(world.any()).await?;
        let at = Rc::new(listener.local_addr()?);
        let serving = spawn(async move {
            let mut served = 0;
            while served < CONNECTIONS {
                let mut conn = listener.pop().await?.unwrap();
                served += 1;
                spawn(async move {
                    while let Some(unit) = conn.pop().await? {
                        conn.push(unit).await?;
                    }
                    Ok::<(), Error>(())
                });
            }
            Ok::<u32, Error>(served)
        });
        let clients: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let (at, connect) = (Rc::clone(&at), world.client());
                spawn(async move {
                    for n in 0..CONNECTIONS / AT_ONCE {
                        let mut conn = connect.connect(&*at).await?;
                        conn.push(n.to_be_bytes().to_vec()).await?;
                        if n % 3 > 0 {
                            assert_eq!(conn.pop().await?.unwrap().to_vec(), n.to_be_bytes());
                        }
                    }
                    Ok::<(), Error>(())
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap()?;
        }
        assert_eq!(serving.await.unwrap()?, CONNECTIONS);
        Ok(())
    });
}

//! Dropping a pop in a `select!` loses nothing, on every kind of queue.

use std::{future::Future, pin::pin, time::Duration};

use futures::future::{Either, select};
use hemi::{
    Error, Listener, Pop, Push, Sga, TcpListener, UdpQueue, rand::Rng, spawn, time::sleep, yield_now,
};

use super::World;

/// `future`, unless a few turns or a moment pass first; then it is dropped.
async fn impatient<T>(rng: &mut Rng, future: impl Future<Output = T>) -> Option<T> {
    let turns = rng.below(4);
    let patience = async {
        for _ in 0..turns {
            yield_now().await;
        }
        if turns == 0 {
            sleep(Duration::from_micros(30)).await;
        }
    };
    match select(pin!(future), pin!(patience)).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}

const UNITS: u32 = 400;

fn unit(n: u32) -> Sga {
    let mut bytes = n.to_be_bytes().to_vec();
    bytes.resize(4 + (n as usize * 37) % 3000, n as u8);
    bytes.into()
}

/// Units.
pub fn a_dropped_pop_loses_nothing(world: &World) {
    world.run(async {
        let mut listener = Listener::bind(world.any()).await?;
        let mut client = world.client().connect(listener.local_addr()?).await?;
        let mut server = listener.pop().await?.unwrap();
        let mut slow = world.rng(10);
        let pushing = spawn(async move {
            for n in 0..UNITS {
                client.push(unit(n)).await?;
                if slow.below(4) == 0 {
                    sleep(Duration::from_micros(slow.below(60))).await;
                }
            }
            client.close().await
        });
        let mut rng = world.rng(11);
        let (mut next, mut dropped) = (0, 0);
        loop {
            match impatient(&mut rng, server.pop()).await {
                None => dropped += 1,
                Some(popped) => match popped? {
                    Some(got) => {
                        assert_eq!(got, unit(next));
                        next += 1;
                    }
                    None => break,
                },
            }
        }
        assert_eq!(next, UNITS);
        assert!(dropped > 0, "no pop was ever dropped: the test tests nothing");
        pushing.await.unwrap()
    });
}

/// Bytes.
pub fn a_dropped_byte_pop_loses_nothing(world: &World) {
    if !world.caps().tcp {
        return;
    }
    world.run(async {
        let mut listener = TcpListener::bind(world.any()).await?;
        let mut client = world.client().connect_tcp(listener.local_addr()?).await?;
        let mut server = listener.pop().await?.unwrap();
        let mut slow = world.rng(12);
        let pushing = spawn(async move {
            for n in 0..UNITS {
                client.push(vec![n as u8; 1 + n as usize % 900]).await?;
                if slow.below(4) == 0 {
                    sleep(Duration::from_micros(slow.below(60))).await;
                }
            }
            client.close().await
        });
        let mut rng = world.rng(13);
        let mut got = Vec::new();
        loop {
            if let Some(popped) = impatient(&mut rng, server.pop()).await {
                match popped? {
                    Some(buf) => got.extend_from_slice(&buf),
                    None => break,
                }
            }
        }
        let all: Vec<u8> = (0..UNITS).flat_map(|n| vec![n as u8; 1 + n as usize % 900]).collect();
        assert!(got == all, "{} bytes of {}", got.len(), all.len());
        pushing.await.unwrap()
    });
}

/// Connections.
pub fn a_dropped_accept_loses_nothing(world: &World) {
    world.run(async {
        let mut listener = Listener::bind(world.any()).await?;
        let at = listener.local_addr()?;
        let connect = world.client();
        let clients = spawn(async move {
            for n in 0..50 {
                let mut conn = connect.connect(&at).await?;
                conn.push(unit(n)).await?;
                conn.close().await?;
            }
            Ok::<(), Error>(())
        });
        let mut rng = world.rng(14);
        let mut next = 0;
        while next < 50 {
            if let Some(conn) = impatient(&mut rng, listener.pop()).await {
                let mut conn = conn?.unwrap();
                assert_eq!(conn.pop().await?, Some(unit(next)));
                next += 1;
            }
        }
        clients.await.unwrap()
    });
}

/// Datagrams.
pub fn a_dropped_datagram_pop_loses_nothing(world: &World) {
    if !world.caps().udp {
        return;
    }
    world.run(async {
        let mut server = UdpQueue::bind(world.any()).await?;
        let at = server.local_addr()?;
        let mut client = world.client().bind_udp(world.client_any()).await?;
        let mut rng = world.rng(15);
        for n in 0..UNITS {
            client.push_to(unit(n), at).await?; // one under way at a time: none is dropped for want of room
            loop {
                if let Some(popped) = impatient(&mut rng, server.pop_from()).await {
                    assert_eq!(popped?.unwrap().0, unit(n));
                    break;
                }
            }
        }
        Ok::<(), Error>(())
    });
}

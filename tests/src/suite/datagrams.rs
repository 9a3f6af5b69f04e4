//! Datagrams: one is one unit, with its sender.

use std::time::Duration;

use hemi::{Error, Pop, Push, UdpQueue, UnixDatagram, spawn, time::timeout, transport::Endpoint};

use super::{World, world::random_unit};

/// Datagrams of all sizes come back from where they were sent to.
pub fn udp_echo(world: &World) {
    if !world.caps().udp {
        return;
    }
    world.run(async {
        let mut server = UdpQueue::bind(world.any()).await?;
        let at = server.local_addr()?;
        spawn(async move {
            while let Some((unit, from)) = server.pop_from().await? {
                server.push_to(unit, from).await?;
            }
            Ok::<(), Error>(())
        });
        let mut client = world.client().bind_udp(world.client_any()).await?;
        let mut rng = world.rng(20);
        for len in [0, 1, 2, 100, 1472, 1473, 9000, 30_000, 65_507] {
            let unit = random_unit(&mut rng, len);
            client.push_to(unit.clone(), at).await?;
            let (got, from) = client.pop_from().await?.unwrap();
            assert_eq!(got.len(), len);
            assert!(got == unit && from == at);
        }
        Ok(())
    });
}

/// A connected socket talks to its peer only.
pub fn udp_connected(world: &World) {
    if !world.caps().udp {
        return;
    }
    world.run(async {
        let mut a = UdpQueue::bind(world.any()).await?;
        let mut b = world.client().bind_udp(world.client_any()).await?;
        let mut stranger = world.client().bind_udp(world.client_any()).await?;
        a.connect(b.local_addr()?).await?;
        b.connect(a.local_addr()?).await?;
        assert_eq!(a.peer_addr()?, b.local_addr()?);
        stranger.push_to("not for you", b.local_addr()?).await?;
        a.push("hello").await?;
        assert_eq!(b.pop().await?.unwrap().to_vec(), b"hello");
        assert!(timeout(Duration::from_millis(20), b.pop()).await.is_err(), "the stranger got through");
        b.push("hello yourself").await?;
        assert_eq!(a.pop().await?.unwrap().to_vec(), b"hello yourself");
        Ok(())
    });
}

/// A datagram that cannot be is refused, and the socket goes on.
pub fn udp_too_large(world: &World) {
    if !world.caps().udp {
        return;
    }
    world.run(async {
        let mut a = UdpQueue::bind(world.any()).await?;
        let at = a.local_addr()?;
        let refused = async {
            a.push_to(vec![0; 70_000], at).await?;
            a.flush().await
        };
        let e = refused.await.unwrap_err();
        assert!(matches!(e, Error::UnitTooLarge { .. }), "{e:?}");
        a.push_to("small", at).await?;
        assert_eq!(a.pop_from().await?.unwrap().0.to_vec(), b"small");
        Ok(())
    });
}

/// Unix datagrams by path.
pub fn unix_datagrams(world: &World) {
    if !world.caps().unix {
        return;
    }
    world.run(async {
        let (server_path, client_path) = (world.path("server"), world.path("client"));
        let mut server = UnixDatagram::bind(&server_path)?;
        let mut client = UnixDatagram::bind(&client_path)?;
        for n in 0..20_u8 {
            client.push_to(vec![n; 1 + usize::from(n) * 50], &server_path).await?;
            let (unit, from) = server.pop_from().await?.unwrap();
            assert_eq!(from, Endpoint::Unix(client_path.to_path_buf()));
            server.push_to(unit, &client_path).await?;
            assert_eq!(client.pop_from().await?.unwrap().0.to_vec(), vec![n; 1 + usize::from(n) * 50]);
        }
        let nobody = client.push_to("x", &world.path("nobody")).await;
        let lost = match nobody {
            Ok(()) => client.flush().await.is_err() || client.pop_from().await.is_err(),
            Err(_) => true,
        };
        assert!(lost, "a datagram to nobody was taken without a word");
        Ok(())
    });
}

//! The limit of a unit's size.

use hemi::{Error, Listener, Options, Pop, Push, Sga, time::timeout};

use super::World;
use crate::kernels::HANG;

/// A unit of exactly the limit passes; a larger push is refused, gives an error, and harms nothing.
pub fn units_up_to_the_limit(world: &World) {
    world.run(async {
        let options = Options::new().unit_limit(1000);
        let mut listener = options.listen(world.any()).await?;
        let mut client = world.on_client(&options).connect(listener.local_addr()?).await?;
        let mut server = listener.pop().await?.unwrap();
        client.push(vec![1; 1000]).await?;
        let e = client.push(vec![2; 1001]).await.unwrap_err();
        assert!(matches!(e, Error::UnitTooLarge { got: 1001, limit: 1000 }), "{e:?}");
        client.push(vec![3; 10]).await?;
        assert_eq!(server.pop().await?, Some(Sga::from(vec![1; 1000])));
        assert_eq!(server.pop().await?, Some(Sga::from(vec![3; 10])));
        Ok(())
    });
}

/// A peer with a larger limit: its unit is an error here, then the queue has ended; over a byte stream the peer is told.
pub fn a_peer_over_the_limit(world: &World) {
    world.run(async {
        let mut listener = Options::new().unit_limit(1000).listen(world.any()).await?;
        let mut client = world.client().connect(listener.local_addr()?).await?;
        let mut server = listener.pop().await?.unwrap();
        client.push(vec![1; 10]).await?;
        client.push(vec![2; 5000]).await?;
        assert_eq!(server.pop().await?, Some(Sga::from(vec![1; 10])));
        let e = server.pop().await.unwrap_err();
        assert!(matches!(e, Error::UnitTooLarge { got: 5000, limit: 1000 }), "{e:?}");
        assert!(!matches!(server.pop().await, Ok(Some(_))), "nothing comes after an error");
        let told = client.pop().await;
        if world.caps().native_units {
            assert!(matches!(told, Err(Error::Reset)), "{told:?}");
        } else {
            assert!(matches!(told, Err(Error::UnitTooLarge { got: 5000, limit: 1000 })), "{told:?}");
        }
        Ok(())
    });
}

/// Over a byte stream, a peer that ends in the middle of a unit is not taken for one that has ended.
pub fn a_stream_that_ends_inside_a_unit(world: &World) {
    if world.caps().native_units {
        return; // units do not come in pieces there
    }
    world.run(async {
        let mut listener = Listener::bind(world.any()).await?;
        let mut client = world.client().raw().connect(listener.local_addr()?).await?;
        let mut server = listener.pop().await?.unwrap();
        client.push(&[0, 0, 0, 2, b'o', b'k', 0, 0, 0, 9, b'x']).await?;
        client.finish().await?;
        assert_eq!(server.pop().await?, Some(Sga::from("ok")));
        let e = timeout(HANG, server.pop()).await.unwrap().unwrap_err();
        assert!(matches!(e, Error::Truncated { have: 5, want: 13 }), "{e:?}");
        Ok(())
    });
}

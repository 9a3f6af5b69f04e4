//! Opening what cannot be opened.

use std::{io::ErrorKind, time::Duration};

use hemi::{Error, Listener, Options, TcpListener, time::now};

use super::World;

/// A connect that nobody answers is refused, and says where.
pub fn nobody_listens(world: &World) {
    world.run(async {
        let listener = Listener::bind(world.any()).await?;
        let at = listener.local_addr()?;
        listener.close();
        drop(listener);
        let e = world.client().connect(&at).await.unwrap_err();
        assert_eq!(e.io_kind(), ErrorKind::ConnectionRefused, "{e:?}");
        let text = e.to_string();
        assert!(text.contains(&at.to_string()) && text.contains("nobody listens"), "{text}");
        Ok(())
    });
}

/// An address is taken once; when its listener is gone it is free again.
pub fn an_address_in_use(world: &World) {
    world.run(async {
        let listener = Listener::bind(world.any()).await?;
        let at = listener.local_addr()?;
        let e = Listener::bind(&at).await.unwrap_err();
        assert_eq!(e.io_kind(), ErrorKind::AddrInUse, "{e:?}");
        assert!(e.to_string().contains(&at.to_string()), "{e}");
        drop(listener);
        let mut tries = 0;
        while Listener::bind(&at).await.is_err() {
            tries += 1;
            assert!(tries < 20_000, "the address is still taken");
            hemi::time::sleep(Duration::from_millis(5)).await; // a drop closes in the background
        }
        Ok(())
    });
}

/// Addresses of a wrong form, and transports of an unknown name, are errors that say what is right.
pub fn an_unfit_address(world: &World) {
    world.run(async {
        for bad in ["127.0.0.1:port", ":80", "::1:80"] {
            let e = world.client().connect(bad).await.unwrap_err();
            assert!(e.to_string().contains("ip:port"), "{bad}: {e}");
        }
        if world.caps().tcp {
            let e = TcpListener::bind("unix:/run/x").await.unwrap_err();
            assert!(e.to_string().contains("IP address"), "{e}");
        }
        if !world.caps().names {
            let e = Listener::bind("chat").await.unwrap_err();
            assert!(e.to_string().contains("knows no names"), "{e}");
        }
        let e = Listener::bind_on("front", world.any()).await.unwrap_err();
        assert!(matches!(e, Error::Uri(_)) && e.to_string().contains("there are:"), "{e}");
        Ok(())
    });
}

/// With the backlog full and nobody accepting, a connect gives up when it was told to.
pub fn a_timeout_of_connect(world: &World) {
    world.run(async {
        let listener = Options::new().backlog(1).listen(world.any()).await?;
        let at = listener.local_addr()?;
        // A transport may accept ahead of the application; then connects never wait, and there is nothing to see.
        let connect = world.client().connect_timeout(Duration::from_millis(50));
        let mut held = Vec::new();
        for _ in 0..64 {
            let before = now();
            match connect.connect(&at).await {
                Ok(conn) => held.push(conn),
                Err(e) => {
                    assert!(matches!(e, Error::TimedOut("connect")), "{e:?}");
                    assert!(now() - before >= Duration::from_millis(50), "early");
                    break;
                }
            }
        }
        Ok(())
    });
}

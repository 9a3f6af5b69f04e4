//! Tokens on the queues of a transport.

use hemi::{Completion, Error, Listener, Pop, Push, Sga, qd};

use super::World;

/// Submitted pops and pushes complete in the order they were submitted; a close ends those that are left.
pub fn tokens_on_handles(world: &World) {
    world.run(async {
        let mut listener = Listener::bind(world.any()).await?;
        let client = world.client().connect(listener.local_addr()?).await?;
        let server = listener.pop().await?.unwrap();
        let pops: Vec<_> = (0..20).map(|_| server.submit_pop().unwrap()).collect();
        let pushes: Vec<_> = (0..10_u8).map(|n| client.submit_push(vec![n; 100]).unwrap()).collect();
        for push in pushes {
            assert!(matches!(push.await?, Completion::Pushed));
        }
        for (n, pop) in pops[..10].iter().copied().enumerate() {
            let Completion::Popped(Some(unit)) = pop.await? else { panic!("no unit") };
            assert_eq!(unit, Sga::from(vec![n as u8; 100]));
        }
        assert!(matches!(pops[0].await, Err(Error::StaleToken)));
        let last = pops[19];
        let waiting = hemi::spawn(last);
        hemi::yield_now().await;
        drop(server);
        assert!(matches!(waiting.await.unwrap(), Err(Error::Closed)));
        drop(client);
        Ok(())
    });
}

/// A borrowing pop that comes after submitted ones gets the unit after theirs.
pub fn tokens_and_borrowing_take_turns(world: &World) {
    world.run(async {
        let mut listener = Listener::bind(world.any()).await?;
        let mut client = world.client().connect(listener.local_addr()?).await?;
        let mut server = listener.pop().await?.unwrap();
        let first = server.submit_pop()?;
        let second = server.submit_pop()?;
        let third = hemi::spawn(async move { server.pop().await });
        hemi::yield_now().await;
        for n in 1..=3_u8 {
            client.push(vec![n]).await?;
        }
        assert_eq!(third.await.unwrap()?.unwrap().to_vec(), [3]);
        for (token, n) in [(first, 1), (second, 2)] {
            // The queue was dropped with its task; unclaimed results are dropped with it.
            match token.await {
                Ok(Completion::Popped(Some(unit))) => assert_eq!(unit.to_vec(), [n]),
                Err(Error::Closed | Error::StaleToken) => {}
                other => panic!("{other:?}"),
            }
        }
        Ok(())
    });
}

/// A submitted accept gives a descriptor, on which the bare calls work.
pub fn accept_by_token(world: &World) {
    world.run(async {
        let listener = Listener::bind(world.any()).await?;
        let accept = listener.submit_accept()?;
        let mut client = world.client().connect(listener.local_addr()?).await?;
        let Completion::Accepted(Some(server)) = accept.await? else { panic!("no connection") };
        client.push("to a bare descriptor").await?;
        let Completion::Popped(Some(unit)) = qd::pop(server)?.await? else { panic!("no unit") };
        assert_eq!(unit, Sga::from("to a bare descriptor"));
        qd::push(server, Sga::from("and back"))?.await?;
        assert_eq!(client.pop().await?, Some(Sga::from("and back")));
        qd::close(server)?;
        assert_eq!(client.pop().await?, None);
        assert!(matches!(qd::pop(server), Err(Error::BadQd)));
        Ok(())
    });
}

/// A submitted connect tells when it is established, or why not.
pub fn connect_by_token(world: &World) {
    world.run(async {
        let mut listener = Listener::bind(world.any()).await?;
        let at = listener.local_addr()?;
        let (mut client, token) = world.client().submit_connect(at.clone())?;
        assert!(matches!(token.await?, Completion::Connected));
        client.push("hello").await?;
        assert_eq!(listener.pop().await?.unwrap().pop().await?, Some(Sga::from("hello")));
        drop(listener);
        hemi::time::sleep(std::time::Duration::from_millis(20)).await;
        let (_refused, token) = world.client().submit_connect(at)?;
        assert!(token.await.is_err());
        Ok(())
    });
}

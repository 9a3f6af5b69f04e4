//! Options of open queues, and their halves.

use std::time::Duration;

use hemi::{Error, Listener, Pop, Push, Sga};

use super::World;

/// Every option can be set, before and after; a linger of zero makes a close a reset.
pub fn every_option_is_taken(world: &World) {
    world.run(async {
        let options = hemi::Options::new()
            .nodelay(false)
            .keep_alive(Duration::from_secs(30))
            .recv_buffer(64 << 10)
            .send_buffer(64 << 10)
            .recv_limit(64 << 10)
            .send_limit(64 << 10)
            .connect_timeout(Duration::from_secs(10))
            .backlog(16);
        let mut listener = options.listen(world.any()).await?;
        let client = world.on_client(&options).connect(listener.local_addr()?).await?;
        let mut server = listener.pop().await?.unwrap();
        client.set_nodelay(true)?;
        client.set_keep_alive(Some(Duration::from_secs(60)))?;
        client.set_keep_alive(None)?;
        client.set_recv_buffer(32 << 10)?;
        client.set_send_buffer(32 << 10)?;
        client.set_linger(Some(Duration::ZERO))?;
        drop(client);
        assert!(matches!(server.pop().await, Err(Error::Reset)));
        Ok(())
    });
}

/// The halves work apart, the connection lives until both are gone, and halves of one queue join again.
pub fn halves(world: &World) {
    world.run(async {
        let mut listener = Listener::bind(world.any()).await?;
        let (pops, mut pushes) = world.client().connect(listener.local_addr()?).await?.split();
        let mut server = listener.pop().await?.unwrap();
        let (other_pops, other_pushes) = world.client().connect(listener.local_addr()?).await?.split();
        pushes.push("by the half").await?;
        assert_eq!(server.pop().await?, Some(Sga::from("by the half")));
        let (pops, other_pushes) = pops.unsplit(other_pushes).unwrap_err();
        other_pops.unsplit(other_pushes).unwrap().close().await?;
        let mut whole = pops.unsplit(pushes).unwrap();
        whole.push("by the whole").await?;
        let (mut pops, pushes) = whole.split();
        drop(pushes); // not a half-close
        assert_eq!(server.pop().await?, Some(Sga::from("by the whole")));
        server.push("answer").await?;
        assert_eq!(pops.pop().await?, Some(Sga::from("answer")));
        drop(pops);
        assert_eq!(server.pop().await?, None);
        Ok(())
    });
}

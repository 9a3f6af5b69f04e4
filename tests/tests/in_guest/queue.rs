//! What only RDMA has, by the public API: each other's memory, as futures and as tokens.

use hemi::{
    Completion, Conn, Error, Listener, Pop, Push, RdmaQueue, RegionError, RemoteRegion, Result, Rights,
    token::{self, TokenSet},
};
use hemi_tests::suite::World;

use super::{CLEAN, LOSSY};

async fn pair(world: &World) -> Result<(RdmaQueue, RdmaQueue)> {
    let mut listener = Listener::bind(world.any()).await?;
    let client: Conn = world.client().connect(listener.local_addr()?).await?;
    let server = listener.pop().await?.expect("a connection");
    Ok((RdmaQueue::new(client)?, RdmaQueue::new(server)?))
}

/// The peer's region, as it is told of it.
async fn told(from: &mut RdmaQueue, to: &mut RdmaQueue, region: &RemoteRegion) -> Result<RemoteRegion> {
    from.conn().push(region.encode().to_vec()).await?;
    let bytes = to.conn().pop().await?.expect("a region");
    Ok(RemoteRegion::parse(&bytes.to_vec()).expect("a region"))
}

/// Soft-RoCE's reads and atomics can be relied on where nothing is lost.
fn clean() -> World {
    World::real(CLEAN).unwrap()
}

#[test]
fn writes_arrive_before_the_units_behind_them() {
    hemi_guest::needs!(Rdma);
    let world = World::real_pair(LOSSY.0, LOSSY.1).unwrap();
    world.run(async {
        let (mut client, mut server) = pair(&world).await?;
        let ours = server.export(50_000, Rights::WRITE)?;
        let region = told(&mut server, &mut client, &ours.descriptor()).await?;
        for n in 1..20_u8 {
            let data = vec![n; usize::from(n) * 200];
            let written = client.submit_write_at(&region, 0, data.clone())?;
            client.conn().push("written").await?;
            assert_eq!(server.conn().pop().await?.unwrap().to_vec(), b"written");
            let mut seen = vec![0; data.len()];
            ours.read(0, &mut seen).unwrap();
            assert!(seen == data, "{n}: the unit came before the bytes");
            assert!(matches!(written.await?, Completion::Written));
        }
        Ok(())
    });
}

#[test]
fn reads_writes_and_words_are_futures() {
    hemi_guest::needs!(Rdma);
    let world = clean();
    world.run(async {
        let (mut client, mut server) = pair(&world).await?;
        let ours = server.export(10_000, Rights::ALL)?;
        let region = told(&mut server, &mut client, &ours.descriptor()).await?;
        client.write_at(&region, 16, vec![7; 5000]).await?;
        assert_eq!(client.read_at(&region, 15, 3).await?.to_vec(), [0, 7, 7]);
        assert_eq!(client.fetch_add(&region, 8, 5).await?, 0);
        assert_eq!(client.compare_swap(&region, 8, 5, 9).await?, 5);
        assert_eq!(ours.word(8).unwrap(), 9);
        let Err(Error::Other(why)) = client.read_at(&region, 9_999, 2).await else { panic!("it is outside") };
        assert!(matches!(why.downcast_ref(), Some(RegionError::Outside { .. })), "{why}");
        // A future that is dropped does not stop what it began.
        drop(client.write_at(&region, 0, vec![1; 8]));
        client.conn().push("written").await?;
        assert_eq!(server.conn().pop().await?.unwrap().to_vec(), b"written");
        assert_eq!(ours.word(0).unwrap(), 0x0101_0101_0101_0101);
        Ok(())
    });
}

#[test]
fn reads_writes_and_words_are_tokens() {
    hemi_guest::needs!(Rdma);
    let world = clean();
    world.run(async {
        let (mut client, mut server) = pair(&world).await?;
        let ours = server.export(10_000, Rights::ALL)?;
        let region = told(&mut server, &mut client, &ours.descriptor()).await?;

        // Begun when they are submitted, done in that order.
        let write = client.submit_write_at(&region, 16, vec![7; 5000])?;
        let read = client.submit_read_at(&region, 15, 3)?;
        let add = client.submit_fetch_add(&region, 8, 5)?;
        let swap = client.submit_compare_swap(&region, 8, 5, 9)?;
        assert!(matches!(swap.await?, Completion::Word(5)));
        assert!(matches!(token::wait(write, None).await?, Completion::Written));
        let Completion::Read(bytes) = read.await? else { panic!("not a read") };
        assert_eq!(bytes.to_vec(), [0, 7, 7]);
        assert!(matches!(add.await?, Completion::Word(0)));
        assert_eq!(ours.word(8).unwrap(), 9);

        // In a set, beside a pop of the same queue.
        let mut set = TokenSet::new();
        let pop = client.conn().submit_pop()?;
        set.insert(pop)?;
        for _ in 0..20 {
            set.insert(client.submit_fetch_add(&region, 0, 1)?)?;
        }
        server.conn().push("a unit").await?;
        let (mut words, mut units) = (Vec::new(), 0);
        while words.len() + units < 21 {
            match set.next().await.expect("so many").1? {
                Completion::Word(word) => words.push(word),
                Completion::Popped(Some(unit)) => units += usize::from(unit == *b"a unit"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((words, units), ((0..20).collect(), 1));

        // What has begun cannot be taken back; what may not be does not begin.
        let read = client.submit_read_at(&region, 0, 10_000)?;
        assert!(matches!(read.cancel(), Err(Error::TooLate)));
        let Err(Error::Other(why)) = client.submit_read_at(&region, 1, 10_000) else {
            panic!("it is outside")
        };
        assert!(matches!(why.downcast_ref(), Some(RegionError::Outside { .. })), "{why}");
        // The queue is closed before it is done: who waits is told.
        let late = client.submit_read_at(&region, 0, 10_000)?;
        let waits = hemi::spawn(late);
        hemi::yield_now().await;
        drop(client);
        assert!(matches!(waits.await.unwrap(), Ok(Completion::Read(_)) | Err(Error::Closed)));
        Ok(())
    });
}

#[test]
fn a_region_that_was_withdrawn_ends_this_connection_only() {
    hemi_guest::needs!(Rdma);
    let world = clean();
    world.run(async {
        let (mut client, mut server) = pair(&world).await?;
        let (mut other, mut other_server) = pair(&world).await?;
        let ours = server.export(100, Rights::READ)?;
        let region = told(&mut server, &mut client, &ours.descriptor()).await?;
        assert_eq!(client.read_at(&region, 0, 100).await?.len(), 100);
        assert!(client.submit_write_at(&region, 0, "x").is_err(), "it may only be read");
        drop(ours);
        let error = client.submit_read_at(&region, 0, 1)?.await.unwrap_err().to_string();
        assert!(error.contains("IBV_WC_REM_ACCESS_ERR"), "{error}");
        assert!(client.conn().push("too late").await.is_err());
        other.conn().push("goes on").await?;
        assert_eq!(other_server.conn().pop().await?.unwrap().to_vec(), b"goes on");
        Ok(())
    });
}

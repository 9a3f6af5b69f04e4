//! A predicate that the kernel runs as the socket's own filter means the same as in software.

use hemi::{
    Pop, Push, Result, Runtime, Sga, UdpQueue,
    algebra::{Filter, Predicate, RunsIn, filter_by},
    rand::Rng,
};

/// A length that no random datagram has: it ends a round, and every filter lets it through.
const LAST: usize = 99;

fn on_every_backend(case: impl AsyncFn() -> Result<()>) {
    for net in ["kernel:?backend=uring", "kernel:?backend=epoll", "kernel:?backend=poll"] {
        match Runtime::builder().net(net).build() {
            Ok(runtime) => runtime.block_on(case()).unwrap_or_else(|e| panic!("{net}: {e}")),
            Err(e) if net.contains("uring") => hemi_skip::skip_part!(net, "{e}"),
            Err(e) => panic!("{net}: {e}"),
        }
    }
}

async fn pair() -> Result<(UdpQueue, UdpQueue)> {
    let (receiver, mut sender) = (UdpQueue::bind("127.0.0.1:0").await?, UdpQueue::bind("127.0.0.1:0").await?);
    sender.connect(receiver.local_addr()?).await?;
    Ok((receiver, sender))
}

/// Few values, so that tests hit often.
fn bytes(rng: &mut Rng, most: u64) -> Vec<u8> {
    (0..rng.below(most)).map(|_| rng.below(3) as u8).collect()
}

/// Everything that a socket filter can say.
fn predicate(rng: &mut Rng, depth: u32) -> Predicate {
    let at = rng.below(12) as u32;
    match rng.below(if depth == 0 { 8 } else { 11 }) {
        0 => Predicate::all(),
        1 => Predicate::none(),
        2 => Predicate::bytes(at, bytes(rng, 12)),
        3 => Predicate::mask(at, bytes(rng, 12), bytes(rng, 12)),
        4 => {
            let (width, low, high) = (1 + rng.below(4) as u8, rng.below(3), rng.below(4));
            Predicate::range(
                at,
                width,
                low << (8 * (u64::from(width) - 1))..=high << (8 * (u64::from(width) - 1)) | 0xff,
            )
        }
        5 => Predicate::range(at, 8, 0..=u64::MAX),
        6 => Predicate::hash_shard(at, rng.below(20) as u32, 1 + rng.below(3) as u32, rng.below(3) as u32),
        7 => Predicate::length(rng.below(20) as u32..=rng.below(30) as u32),
        8 => !predicate(rng, depth - 1),
        9 => predicate(rng, depth - 1) & predicate(rng, depth - 1),
        _ => predicate(rng, depth - 1) | predicate(rng, depth - 1),
    }
}

/// What the kernel lets through, looked at behind the filter, which would test it again.
async fn received<P>(filter: &mut Filter<&mut UdpQueue, P, Sga>) -> Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    loop {
        let datagram = filter.get_mut().pop().await?.expect("open").to_vec();
        if datagram.len() == LAST {
            return Ok(all);
        }
        all.push(datagram);
    }
}

#[test]
fn the_kernel_and_software_agree_on_random_traffic() {
    on_every_backend(async || {
        let (mut receiver, mut sender) = pair().await?;
        let mut rng = Rng::new(2019);
        for round in 0..150 {
            let wanted = predicate(&mut rng, 3);
            let program = wanted.compile();
            let mut filter =
                filter_by(&mut receiver, &(wanted.clone() | Predicate::length(LAST as u32..=LAST as u32)));
            assert_eq!(filter.offload().pop, RunsIn::Device("SO_ATTACH_FILTER"), "{wanted:?}");
            assert_eq!(filter.offload().push, RunsIn::Software);
            let mut expected = Vec::new();
            for _ in 0..20 {
                let datagram = bytes(&mut rng, 30);
                if program.matches(&datagram) {
                    expected.push(datagram.clone());
                }
                sender.push(datagram).await?;
            }
            sender.push(vec![0; LAST]).await?;
            assert_eq!(received(&mut filter).await?, expected, "round {round}: {wanted:?}");
        }
        Ok(())
    });
}

#[test]
fn it_is_detached_with_the_filter() {
    on_every_backend(async || {
        let (mut receiver, mut sender) = pair().await?;
        let gets = Predicate::bytes(0, "GET ");
        let mut filter = filter_by(&mut receiver, &gets);
        sender.push("PUT /").await?;
        sender.push("GET /").await?;
        assert_eq!(filter.pop().await?, Some(Sga::from("GET /")));
        assert_eq!(filter.rejected(), 0, "the kernel rejected it");
        drop(filter);
        sender.push("PUT /again").await?;
        assert_eq!(receiver.pop().await?, Some(Sga::from("PUT /again")));

        let (mut receiver, _) = filter_by(receiver, &gets).into_parts();
        sender.push("PUT /apart").await?;
        assert_eq!(receiver.pop().await?, Some(Sga::from("PUT /apart")));

        // What had arrived before is tested here.
        sender.push("PUT /early").await?;
        sender.push("GET /early").await?;
        let mut filter = filter_by(receiver, &gets);
        assert_eq!(filter.pop().await?, Some(Sga::from("GET /early")));
        assert_eq!(filter.rejected(), 1);
        Ok(())
    });
}

#[test]
fn what_a_socket_filter_cannot_say_stays_in_software() {
    on_every_backend(async || {
        let (mut receiver, mut sender) = pair().await?;
        let wide = Predicate::range(0, 8, 1..=1 << 40);
        let mut filter = filter_by(&mut receiver, &wide);
        assert_eq!(filter.offload().pop, RunsIn::Software);
        sender.push(vec![0xff; 8]).await?;
        sender.push(vec![0, 0, 0, 1, 0, 0, 0, 0]).await?;
        assert_eq!(filter.pop().await?.unwrap().to_vec(), [0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(filter.rejected(), 1);
        Ok(())
    });
    // And so it does on queues that are no sockets.
    let filter = filter_by(hemi::queue::<Sga>(1), &Predicate::all());
    assert_eq!(filter.offload().pop, RunsIn::Software);
}

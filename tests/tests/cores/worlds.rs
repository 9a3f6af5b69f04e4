//! A host of 2 to 8 cores in a simulated network, with the real runtime and the echo example: a run is a function of its seed.

use std::{cell::Cell, rc::Rc};

use futures::{future::try_join_all, join};
use hemi::{Conn, Error, Options, Pop, Push, Result, Runtime, spawn};
use hemi_examples::echo::{self, Totals};

/// The name of a core's transport.
fn core(index: usize) -> String {
    format!("core{index}")
}

fn world(cores: usize, device: &str, link: &str, seed: u64) -> Runtime {
    let mut builder = Runtime::builder().simulated(seed);
    for index in 0..cores {
        let uri = format!("sim:lan?ip=10.0.0.1/24&ip=fd00::1/64&{link}&core={index}/{cores}{device}");
        builder = builder.net_as(core(index), uri);
    }
    builder.net_as("client", format!("sim:lan?ip=10.0.0.2/24&ip=fd00::2/64&{link}")).build().expect("a world")
}

async fn there_and_back(conn: Conn, number: usize) -> Result<()> {
    let sent: Vec<u8> = (0..number * 577 % 9000).map(|i| (i * 7 + number) as u8).collect();
    let expected = sent.clone();
    let (mut replies, mut requests) = conn.split();
    let (got, pushed) = join!(
        async {
            let mut all = Vec::new();
            while let Some(unit) = replies.pop().await? {
                all.extend(unit.to_vec());
            }
            Ok::<_, Error>(all)
        },
        async {
            requests.push(sent).await?;
            requests.finish().await
        }
    );
    pushed?;
    assert!(got? == expected, "connection {number}");
    Ok(())
}

#[test]
fn every_core_of_a_simulated_host_serves() {
    const CLIENTS: usize = 80;
    for seed in 0..21_u64 {
        let cores = 2 + seed as usize % 7;
        let device = ["", "&queues=8&spread=own", "&queues=8&spread=told"][seed as usize % 3]
            .replace('8', &cores.to_string());
        let link = if seed % 2 == 0 { "latency=2ms" } else { "latency=2ms&loss=2%&reorder=2%&dup=1%" };
        let runtime = world(cores, &device, link, seed);
        let totals: Vec<Rc<Cell<Totals>>> = (0..cores).map(|_| Rc::default()).collect();
        let outcome: Result<()> = runtime.block_on(async {
            for (index, totals) in totals.iter().enumerate() {
                let options = Options::new().on(core(index)).reuse_port(true).raw();
                spawn(echo::serve(options.listen("[::]:7").await?, Rc::clone(totals)));
            }
            let clients = (0..CLIENTS).map(|number| async move {
                let to = if number % 2 == 0 { "10.0.0.1:7" } else { "[fd00::1]:7" };
                there_and_back(Options::new().on("client").raw().connect(to).await?, number).await
            });
            try_join_all(clients).await?;
            for index in 0..cores {
                let counters = hemi::net::snapshot(&core(index))?.counters;
                assert_eq!(counters.drop_cores_ring_full, 0);
                assert!(counters.tcp_passive_opens > 0, "core {index} of {cores} has no connection");
            }
            Ok(())
        });
        outcome.unwrap_or_else(|e| panic!("seed {seed}, {cores} cores: {e}"));
        let accepted: u64 = totals.iter().map(|t| t.get().connections).sum();
        assert_eq!(accepted, CLIENTS as u64, "seed {seed}");
    }
}

/// A core that opens its transport out of turn, or twice, is told.
#[test]
fn cores_are_opened_in_their_order() {
    for (uris, says) in [
        (&["sim:order?ip=10.0.0.1/24&core=1/2"][..], "in their order"),
        (
            &[
                "sim:order?ip=10.0.0.1/24&core=0/2",
                "sim:order?ip=10.0.0.1/24&core=1/2",
                "sim:order?ip=10.0.0.1/24&core=1/2",
            ],
            "and once",
        ),
        (&["sim:order?ip=10.0.0.1/24&core=2/2"], "write which core of how many"),
    ] {
        let mut builder = Runtime::builder().simulated(1);
        for (number, uri) in uris.iter().enumerate() {
            builder = builder.net_as(format!("t{number}"), *uri);
        }
        let error = builder.build().expect_err("refused").to_string();
        assert!(error.contains(says), "{error}");
    }
}

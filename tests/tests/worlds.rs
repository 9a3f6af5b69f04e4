//! Worlds: the examples' server functions on the real runtime and the real stack, on networks that lose, repeat, reorder and
//! damage frames, in virtual time. A run is a function of its seed.

use std::{cell::Cell, fs, io::ErrorKind, panic, rc::Rc, time::Duration};

use futures::{future::try_join_all, join};
use hemi::{
    Conn, Error, Options, Pop, Push, Result, Sga,
    algebra::split,
    framing::{
        Framed, Lines,
        resp::{Request, RespClient, Value},
    },
    spawn,
    time::{now, sleep, timeout},
};
use hemi_examples::{chat, echo, kv, relay, wordcount};
use hemi_net_transport::sim;
use hemi_tests::network::{Network, at, at6, capture, name, on, text_of};

/// Some frame in ten meets with something.
const BAD: &str =
    "latency=2ms&jitter=300us&loss=2%&burst=1&dup=2%&reorder=3%&reorder_by=5ms&corrupt=1%&rate=100M";

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = hemi::rand::Rng::new(seed);
    (0..len).map(|_| rng.next_u64() as u8).collect()
}

async fn read_all(conn: &mut impl Pop<Unit = Sga>) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(unit) = conn.pop().await? {
        all.extend(unit.to_vec());
    }
    Ok(all)
}

/// Connect, also when three questions for the neighbour's address in a row are lost.
async fn connect(options: Options, to: String) -> Result<Conn> {
    for _ in 0..9 {
        match options.connect(&to).await {
            Err(e) if e.io_kind() == ErrorKind::HostUnreachable => {}
            outcome => return outcome,
        }
    }
    options.connect(&to).await
}

/// Send everything in pieces, finish, and read until the end.
async fn there_and_back(conn: Conn, sent: &[u8]) -> Result<Vec<u8>> {
    let (mut replies, mut requests) = conn.split();
    let (got, pushed) = join!(read_all(&mut replies), async {
        for piece in sent.chunks(3000) {
            requests.push(piece.to_vec()).await?;
        }
        requests.finish().await
    });
    pushed?;
    got
}

#[test]
fn echo_over_a_bad_network() {
    Network::new(4, BAD).run("echo_over_a_bad_network", 12, |seed| async move {
        let totals = Rc::new(Cell::new(echo::Totals::default()));
        spawn(echo::serve(on(1).raw().listen("[::]:7").await?, Rc::clone(&totals)));
        let clients = (0..9_u8).map(|n| async move {
            let to = if n % 2 == 0 { at(1, 7) } else { at6(1, 7) };
            let sent = noise(seed + u64::from(n), 7000 * usize::from(n));
            let got = there_and_back(connect(on(2 + n % 3).raw(), to).await?, &sent).await?;
            assert!(got == sent, "client {n}: {} bytes of {}", got.len(), sent.len());
            Ok::<(), Error>(())
        });
        try_join_all(clients).await?;
        assert_eq!((totals.get().connections, totals.get().bytes), (9, 36 * 7000));
        Ok(())
    });
}

#[test]
fn relay_between_two_bad_networks_worth_of_loss() {
    Network::new(3, BAD).run("relay_between_two_bad_networks_worth_of_loss", 10, |seed| async move {
        spawn(echo::serve(on(1).raw().listen(at(1, 7)).await?, Rc::default()));
        let front = on(2).raw().listen(at(2, 80)).await?;
        let _neighbours = connect(on(2), at(1, 7)).await?; // the relay asks once
        spawn(relay::serve(front, at(1, 7).into(), on(2).raw()));
        let sent = noise(seed, 80_000);
        let got = there_and_back(connect(on(3).raw(), at(2, 80)).await?, &sent).await?;
        assert!(got == sent, "{} bytes of {}", got.len(), sent.len());
        Ok(())
    });
}

#[test]
fn chat_tells_everybody_everything_in_order() {
    const GUESTS: u8 = 5;
    const LINES: u32 = 15;
    Network::new(GUESTS + 1, BAD).run("chat_tells_everybody_everything_in_order", 10, |_| async {
        spawn(chat::serve(on(1).listen(at(1, 6667)).await?, 1000));
        let mut guests = Vec::new();
        for host in 2..=GUESTS + 1 {
            guests.push(Framed::new(connect(on(host).raw(), at(1, 6667)).await?, Lines::new()));
            sleep(Duration::from_secs(90)).await; // the room sees them in this order, whatever was lost of the handshake
        }
        let talks = guests.into_iter().enumerate().map(|(number, guest)| async move {
            let (mut hears, mut says) = split(guest);
            let saying = async {
                for n in 0..LINES {
                    says.push(format!("{n}")).await?;
                }
                Ok::<_, Error>(says) // not dropped: a guest who leaves is an event of its own
            };
            let hearing = async {
                let mut next = [0; GUESTS as usize];
                while next.iter().enumerate().any(|(from, n)| from != number && *n < LINES) {
                    let line = hears.pop().await?.expect("the room is open").to_vec();
                    let line = String::from_utf8(line).expect("text");
                    let Some(said) = line.strip_prefix("guest ") else { continue }; // comings and goings
                    let (from, n) = said.split_once(": ").expect("guest N: TEXT");
                    let from = from.parse::<usize>().expect("a number") - 1;
                    assert_eq!(n, next[from].to_string(), "guest {} hears guest {}", number + 1, from + 1);
                    next[from] += 1;
                }
                Ok::<_, Error>(hears)
            };
            let (said, heard) = join!(saying, hearing);
            Ok::<_, Error>((said?, heard?))
        });
        drop(try_join_all(talks).await?);
        Ok(())
    });
}

#[test]
fn kv_counts_every_increment_once() {
    Network::new(4, BAD).run("kv_counts_every_increment_once", 10, |_| async {
        spawn(kv::serve(on(1).listen(at(1, 6379)).await?, Rc::default()));
        let clients = (2..=4_u8).map(|host| async move {
            let conn = connect(on(host).raw(), at(1, 6379)).await?;
            let (mut replies, mut requests) = split(Framed::new(conn, RespClient::new()));
            let mut last = 0;
            for _ in 0..20 {
                requests.push(["INCR", "n"].into_iter().collect::<Request>()).await?;
                let Some(Value::Integer(n)) = replies.pop().await? else { panic!("not a number") };
                assert!(n > last, "{n} after {last}");
                last = n;
            }
            Ok::<i64, Error>(last)
        });
        let last = try_join_all(clients).await?;
        assert_eq!(last.into_iter().max(), Some(60));
        Ok(())
    });
}

#[test]
fn wordcount_answers_whoever_asks_again() {
    Network::new(2, BAD).run("wordcount_answers_whoever_asks_again", 10, |_| async {
        spawn(wordcount::serve(on(1).bind_udp(at(1, 7004)).await?));
        let mut client = on(2).bind_udp(at(2, 0)).await?;
        client.connect(at(1, 7004)).await?;
        for _ in 0..30 {
            client.push("?").await?;
            if let Ok(Ok(answer)) = timeout(Duration::from_secs(1), client.pop()).await {
                assert!(answer.is_some());
                return Ok(());
            }
        }
        panic!("thirty datagrams there and back, and none survived");
    });
}

/// Both cables of a path are cut for a while, in the middle of everything.
#[test]
fn connections_survive_an_outage() {
    Network::new(2, "latency=5ms&rate=10M").run("connections_survive_an_outage", 6, |seed| async move {
        spawn(echo::serve(on(1).raw().listen(at(1, 7)).await?, Rc::default()));
        let sent = noise(seed, 300_000);
        spawn(async move {
            sleep(Duration::from_millis(150 + seed % 6 * 25)).await; // both ends know of the connection
            let lan = sim::network(Network::NAME, 0);
            lan.set_cut(0, true);
            sleep(Duration::from_secs(40)).await;
            lan.set_cut(0, false);
        });
        let before = now();
        let got = there_and_back(connect(on(2).raw(), at(1, 7)).await?, &sent).await?;
        assert!(got == sent && now() - before > Duration::from_secs(40));
        let snapshot = hemi::net::snapshot(&name(2))?;
        assert!(snapshot.counters.tcp_retransmits > 0, "the outage did nothing");
        Ok(())
    });
}

/// A peer that is gone for good: the connection ends with an error, in bounded time.
#[test]
fn a_peer_that_never_comes_back_is_an_error() {
    Network::new(2, "latency=5ms").run("a_peer_that_never_comes_back_is_an_error", 2, |_| async {
        let mut listener = on(1).listen(at(1, 7)).await?;
        let mut conn = connect(on(2), at(1, 7)).await?;
        let _server = listener.pop().await?;
        sim::network(Network::NAME, 0).set_cut(0, true);
        conn.push("is anybody there?").await?;
        let e = conn.pop().await.unwrap_err();
        assert!(matches!(e.io_kind(), ErrorKind::TimedOut | ErrorKind::HostUnreachable), "{e:?}");
        Ok(())
    });
}

/// Waiting for what can never happen is an error, not a hang.
#[test]
fn a_deadlock_is_an_error() {
    let failure = panic::catch_unwind(|| {
        Network::new(2, "latency=1ms").run("a_deadlock_is_an_error", 1, |_| async {
            let mut listener = on(1).listen(at(1, 7)).await?;
            let _client = connect(on(2), at(1, 7)).await?;
            let mut server = listener.pop().await?.expect("a connection");
            server.pop().await.map(drop) // idle, without keep-alive: no frame and no timer
        });
    });
    // The timeout of the world is the only appointment that is left.
    let text = text_of(&*failure.unwrap_err());
    assert!(text.contains("an hour of virtual time"), "{text}");
    fs::remove_dir_all(captures(&text)).expect("removed");
}

/// What a failing world says, and that it is true.
#[test]
fn a_failing_seed_prints_itself_and_replays_exactly() {
    let failure = panic::catch_unwind(|| {
        Network::new(2, BAD).run("a_failing_seed", 50, |seed| async move {
            spawn(echo::serve(on(1).raw().listen(at(1, 7)).await?, Rc::default()));
            let sent = noise(seed, 30_000);
            let before = now();
            there_and_back(connect(on(2).raw(), at(1, 7)).await?, &sent).await?;
            // Down to the nanosecond: a text that no other run has.
            assert!(seed < 2, "done after {:?}", now() - before);
            Ok(())
        });
    });
    let text = text_of(&*failure.unwrap_err());
    assert!(text.contains("fails with seed 2: done after") && text.contains("HEMI_SEED=2"), "{text}");
    assert!(text.contains("fails in the same way"), "{text}");
    let folder = captures(&text);
    for host in [1, 2] {
        let capture = fs::read(capture(folder.as_ref(), host)).expect("a capture");
        assert!(capture.len() > 30_000, "{} bytes", capture.len());
    }
    fs::remove_dir_all(folder).expect("removed");
}

/// The folder that a failure names.
fn captures(text: &str) -> &str {
    text.split("captures: ").nth(1).and_then(|t| t.split("/*.pcapng").next()).expect("a folder")
}

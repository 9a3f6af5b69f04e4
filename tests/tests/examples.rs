//! The examples' server functions: in deterministic simulation (over `mem:` as a byte stream, in virtual time), and over
//! kernel sockets with the clients that people use.

use std::{cell::Cell, rc::Rc, time::Duration};

use futures::join;
use hemi::{
    Conn, Listener, Options, Pop, Push, Result, Runtime, Sga, UdpQueue,
    algebra::split,
    framing::{
        Framed, Lines,
        resp::{Request, RespClient, Value},
    },
    spawn,
    time::{now, sleep, timeout},
};
use hemi_examples::{chat, echo, kv, pipeline, relay, wordcount};

/// A world of byte streams that arrive in small pieces, late, in virtual time.
fn world(test: impl Future<Output = Result<()>>) {
    let runtime = Runtime::builder()
        .net("mem:?stream=bytes&mss=100&latency=50us&jitter=10us")
        .simulated(42)
        .build()
        .unwrap();
    runtime
        .block_on(async { timeout(Duration::from_secs(600), test).await.expect("ten virtual minutes") })
        .unwrap();
}

async fn raw(to: &str) -> Result<Conn> {
    Options::new().raw().connect(to).await
}

/// Everything until the end.
async fn read_all(conn: &mut impl Pop<Unit = Sga>) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(unit) = conn.pop().await? {
        all.extend(unit.to_vec());
    }
    Ok(all)
}

fn noise(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn echo_gives_every_client_its_own_bytes_back_and_counts_them() {
    world(async {
        let totals = Rc::new(Cell::new(echo::Totals::default()));
        spawn(echo::serve(Options::new().raw().listen("echo").await?, Rc::clone(&totals)));
        let clients = (0..20).map(|n| async move {
            let sent = noise(1000 * n);
            let (mut replies, mut requests) = raw("echo").await?.split();
            let (got, pushed) = join!(read_all(&mut replies), async {
                requests.push(sent.clone()).await?;
                requests.finish().await
            });
            pushed?;
            assert_eq!(got?, sent);
            Ok::<(), hemi::Error>(())
        });
        futures::future::try_join_all(clients).await?;
        let totals = totals.get();
        assert_eq!((totals.connections, totals.bytes), (20, 190_000));
        Ok(())
    });
}

#[test]
fn echo_keeps_units_when_framed_and_datagrams_always() {
    world(async {
        let totals = Rc::new(Cell::new(echo::Totals::default()));
        spawn(echo::serve(Listener::bind("units").await?, Rc::clone(&totals)));
        let mut conn = Conn::connect("units").await?;
        for len in [0, 1, 100, 5000] {
            conn.push(noise(len)).await?;
        }
        for len in [0, 1, 100, 5000] {
            assert_eq!(conn.pop().await?.unwrap().to_vec(), noise(len));
        }
        let socket = UdpQueue::bind("127.0.0.1:7000").await?;
        spawn(echo::serve_datagrams(socket, Rc::clone(&totals)));
        let mut client = UdpQueue::bind("127.0.0.1:0").await?;
        client.connect("127.0.0.1:7000").await?;
        client.push("datagram").await?;
        assert_eq!(client.pop().await?.unwrap().to_vec(), b"datagram");
        assert_eq!(totals.get().units, 5);
        Ok(())
    });
}

async fn guest() -> Result<Framed<Conn, Lines>> {
    let guest = Framed::new(raw("room").await?, Lines::new());
    sleep(Duration::from_millis(1)).await; // the room sees the guests in this order
    Ok(guest)
}

async fn hears(guest: &mut Framed<Conn, Lines>, line: &str) -> Result<()> {
    assert_eq!(guest.pop().await?.map(|l| String::from_utf8(l.to_vec()).unwrap()).as_deref(), Some(line));
    Ok(())
}

#[test]
fn chat_tells_everybody_else() {
    world(async {
        spawn(chat::serve(Listener::bind("room").await?, 100));
        let (mut a, mut b) = (guest().await?, guest().await?);
        hears(&mut a, "* guest 2 is here").await?;
        b.push("hello").await?;
        hears(&mut a, "guest 2: hello").await?;
        a.push("hello yourself").await?;
        hears(&mut b, "guest 1: hello yourself").await?;
        drop(a);
        hears(&mut b, "* guest 1 has left").await?;
        Ok(())
    });
}

#[test]
fn chat_disconnects_who_does_not_read_and_harms_nobody_else() {
    world(async {
        spawn(chat::serve(Listener::bind("room").await?, 100));
        let (mut speaks, mut hears_all, mut never_reads) = (guest().await?, guest().await?, guest().await?);
        hears(&mut speaks, "* guest 2 is here").await?;
        hears(&mut speaks, "* guest 3 is here").await?;
        hears(&mut hears_all, "* guest 3 is here").await?;
        let line = "x".repeat(1000);
        let mut gone = false;
        for n in 0..3000 {
            speaks.push(format!("{n} {line}")).await?;
            let mut heard = hears_all.pop().await?.unwrap().to_vec();
            if heard.starts_with(b"*") {
                assert_eq!(heard, b"* guest 3 has left (does not read)");
                gone = true;
                heard = hears_all.pop().await?.unwrap().to_vec();
            }
            assert!(heard.starts_with(format!("guest 1: {n} ").as_bytes()));
        }
        assert!(gone, "three megabytes fit in no connection");
        hears(&mut speaks, "* guest 3 has left (does not read)").await?;
        while let Ok(Some(_)) = never_reads.pop().await {}
        Ok(())
    });
}

#[test]
fn chat_refuses_endless_lines() {
    world(async {
        spawn(chat::serve(Listener::bind("room").await?, 100));
        let mut a = guest().await?;
        let mut endless = raw("room").await?;
        hears(&mut a, "* guest 2 is here").await?;
        endless.push("y".repeat(chat::LINE + 2)).await?;
        hears(&mut a, "* guest 2 has left (connection failed)").await
    });
}

#[test]
fn relay_passes_bytes_and_ends_in_both_directions() {
    world(async {
        let totals = Rc::new(Cell::new(echo::Totals::default()));
        spawn(echo::serve(Options::new().raw().listen("target").await?, totals));
        let front = Options::new().raw().listen("front").await?;
        spawn(relay::serve(front, "target".into(), Options::new().raw()));
        let sent = noise(500_000);
        let (mut replies, mut requests) = raw("front").await?.split();
        let (got, pushed) = join!(read_all(&mut replies), async {
            for chunk in sent.chunks(7000) {
                requests.push(chunk.to_vec()).await?;
            }
            requests.finish().await // the echo server ends when it has seen this, and so do we
        });
        pushed?;
        assert_eq!(got?, sent);
        Ok(())
    });
}

#[test]
fn relay_lets_go_of_a_client_whose_target_is_not_there() {
    world(async {
        let front = Options::new().raw().listen("front").await?;
        spawn(relay::serve(front, "nobody".into(), Options::new().raw()));
        let mut conn = raw("front").await?;
        assert!(!matches!(conn.pop().await, Ok(Some(_))));
        Ok(())
    });
}

#[test]
fn pipeline_filters_and_puts_in_order() {
    world(async {
        let reading = |kind, sequence, value| pipeline::Reading { kind, sequence, value };
        let arriving = hemi::queue_unbounded::<Sga>();
        for unit in [reading(1, 3, 30), reading(2, 0, 0), reading(1, 1, -10), reading(1, 2, 20)] {
            arriving.try_push(unit.to_unit())?;
        }
        arriving.try_push("too short".split_at(5).0.into())?;
        let late = arriving.clone();
        spawn(async move {
            sleep(Duration::from_millis(15)).await;
            let _ = late.try_push(reading(1, 0, 7).to_unit());
            late.close();
        });
        let mut got = Vec::new();
        let begin = now();
        let readings = pipeline::readings(arriving, 1, 64, Duration::from_millis(20));
        pipeline::serve(readings, |r| got.push((r.sequence, r.value))).await?;
        assert_eq!(got, [(0, 7), (1, -10), (2, 20), (3, 30)]);
        assert!(now() - begin < Duration::from_millis(21));
        Ok(())
    });
}

#[test]
fn kv_answers_what_redis_would() {
    world(async {
        spawn(kv::serve(Listener::bind("kv").await?, Rc::default()));
        let (mut replies, mut requests) = split(Framed::new(raw("kv").await?, RespClient::new()));
        let cases: &[(&[&'static str], Value)] = &[
            (&["PING"], Value::Simple("PONG".into())),
            (&["SET", "k", "v"], Value::ok()),
            (&["get", "k"], Value::bulk("v")),
            (&["GET", "none"], Value::Null),
            (&["EXISTS", "k", "none", "k"], Value::Integer(2)),
            (&["INCR", "n"], Value::Integer(1)),
            (&["INCR", "k"], Value::error("ERR value is not an integer or out of range")),
            (&["DEL", "k", "none"], Value::Integer(1)),
            (&["DBSIZE"], Value::Integer(1)),
            (&["NO\nSUCH"], Value::error("ERR unknown command or wrong number of arguments: 'NO\\nSUCH'")),
        ];
        // All at once: requests may be pipelined.
        for (words, _) in cases {
            requests.push(words.iter().copied().collect::<Request>()).await?;
        }
        for (words, reply) in cases {
            assert_eq!(replies.pop().await?.as_ref(), Some(reply), "{words:?}");
        }
        Ok(())
    });
}

#[test]
fn kv_tells_a_malformed_client_why_and_serves_the_others() {
    world(async {
        spawn(kv::serve(Listener::bind("kv").await?, Rc::default()));
        let mut bad = raw("kv").await?;
        bad.push("*1\r\n:1\r\n").await?;
        let told = String::from_utf8(read_all(&mut bad).await?).unwrap();
        assert!(told.starts_with("-ERR Protocol error: "), "{told}");
        let mut good = Framed::new(raw("kv").await?, RespClient::new());
        good.push(Request::from_iter(["PING"])).await?;
        assert_eq!(good.pop().await?, Some(Value::Simple("PONG".into())));
        Ok(())
    });
}

#[test]
fn wordcount_counts() {
    world(async {
        spawn(wordcount::serve(UdpQueue::bind("127.0.0.1:7004").await?));
        let mut client = UdpQueue::bind("127.0.0.1:0").await?;
        client.connect("127.0.0.1:7004").await?;
        for (text, answer) in [
            ("To be, or not to be", "6 words, 4 different\n"),
            ("!?", "6 words, 4 different\n"),
            ("?", "2 be\n2 to\n1 not\n1 or\n"),
        ] {
            client.push(text).await?;
            assert_eq!(client.pop().await?.unwrap().to_vec(), answer.as_bytes());
        }
        Ok(())
    });
}

/// With the programs that people have, over kernel sockets.
mod peers_wire {
    use std::{
        io::{Read, Write},
        net::{SocketAddr, TcpStream, UdpSocket},
        path::Path,
        process::{Command, Stdio},
        sync::mpsc,
        thread,
    };

    use futures::{FutureExt, select_biased};
    use hemi::shutdown;

    use super::*;

    /// A server on a thread of its own.
    struct Server {
        addr: SocketAddr,
        udp: SocketAddr,
        stop: shutdown::Token,
        thread: thread::JoinHandle<Result<()>>,
    }

    impl Server {
        fn start<F: Future<Output = Result<()>>>(
            serve: impl FnOnce(Listener, UdpQueue) -> F + Send + 'static,
        ) -> Self {
            let (ready, started) = mpsc::channel();
            let thread = thread::spawn(move || {
                Runtime::builder().net("kernel:").build()?.block_on(async {
                    let listener = Options::new().raw().listen("127.0.0.1:0").await?;
                    let addr = listener.local_addr()?.ip().unwrap();
                    let socket = UdpQueue::bind("127.0.0.1:0").await?;
                    ready.send((addr, socket.local_addr()?, shutdown::token())).unwrap();
                    select_biased! {
                        () = shutdown::begun().fuse() => Ok(()),
                        ended = serve(listener, socket).fuse() => ended,
                    }
                })
            });
            let (addr, udp, stop) = started.recv().unwrap();
            Self { addr, udp, stop, thread }
        }

        fn stop(self) {
            self.stop.begin();
            self.thread.join().unwrap().unwrap();
        }
    }

    fn echo_server() -> Server {
        Server::start(|listener, socket| async move {
            let totals = Rc::new(Cell::new(echo::Totals::default()));
            spawn(echo::serve_datagrams(socket, Rc::clone(&totals)));
            echo::serve(listener, totals).await
        })
    }

    /// What `program` prints when it is given `input`.
    fn talk(program: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was found a moment ago");
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let output = thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(input));
            let mut output = Vec::new();
            stdout.read_to_end(&mut output).unwrap();
            output
        });
        child.wait().unwrap();
        output
    }

    #[test]
    fn nc_talks_to_echo() {
        let nc = hemi_skip::program!("nc", "netcat-openbsd");
        let server = echo_server();
        let port = server.addr.port().to_string();
        assert_eq!(talk(&nc, &["-N", "127.0.0.1", &port], b"hello\n"), b"hello\n");
        server.stop();
    }

    #[test]
    fn socat_gets_a_megabyte_back() {
        let socat = hemi_skip::program!("socat", "socat");
        let server = echo_server();
        let sent = noise(1 << 20);
        let got = talk(&socat, &["-t30", "-", &format!("TCP:{},shut-down", server.addr)], &sent);
        assert!(got == sent, "{} bytes of {} came back", got.len(), sent.len());
        server.stop();
    }

    #[test]
    fn std_sockets_talk_to_echo() {
        let server = echo_server();
        let mut clients: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(server.addr).unwrap()).collect();
        for round in 0..10u8 {
            for (n, client) in clients.iter_mut().enumerate() {
                client.write_all(&[round, n as u8]).unwrap();
            }
            for (n, client) in clients.iter_mut().enumerate() {
                let mut reply = [0; 2];
                client.read_exact(&mut reply).unwrap();
                assert_eq!(reply, [round, n as u8]);
            }
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(hemi_tests::kernels::HANG)).unwrap();
        socket.send_to(b"datagram", server.udp).unwrap();
        let mut reply = [0; 16];
        let (n, from) = socket.recv_from(&mut reply).unwrap();
        assert_eq!((&reply[..n], from), (&b"datagram"[..], server.udp));
        server.stop();
    }

    /// A person types commands.
    #[test]
    fn nc_talks_to_kv() {
        let nc = hemi_skip::program!("nc", "netcat-openbsd");
        let server = Server::start(|listener, _| kv::serve(listener, Rc::default()));
        let port = server.addr.port().to_string();
        let said = talk(&nc, &["127.0.0.1", &port], b"SET k \"a b\"\r\nGET k\nQUIT\n");
        assert_eq!(String::from_utf8(said).unwrap(), "+OK\r\n$3\r\na b\r\n+OK\r\n");
        server.stop();
    }
}

//! Malformed RESP, from plain clients.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr},
};

use hemi::{
    Error, Pop, Push, Runtime, TcpListener,
    framing::{
        Framed,
        resp::{RespLimits, RespServer, Value},
    },
    spawn,
};
use hemi_tests::{foreign, kernels};

/// An inline command without an end.
static ENDLESS: [u8; 70_000] = [b'a'; 70_000];

/// Answers every request with its number of words, until the client errs.
async fn serve(mut listener: TcpListener) -> hemi::Result<()> {
    while let Some(conn) = listener.pop().await? {
        spawn(async move {
            let limits = RespLimits { unit: 64 << 10, elements: 100, depth: 8 };
            let mut conn = Framed::new(conn, RespServer::new().with_limits(limits));
            while let Some(request) = conn.pop().await? {
                conn.push(Value::Integer(request.words().len() as i64)).await?;
            }
            Ok::<_, Error>(())
        });
    }
    Ok(())
}

/// Send `bytes`, and read what the server says before it ends the connection.
fn ask(at: SocketAddr, bytes: &[u8], end: bool) -> String {
    let mut peer = foreign::connect(at);
    peer.write_all(bytes).unwrap();
    if end {
        peer.shutdown(Shutdown::Write).unwrap();
    }
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).expect("ended, not reset: the answer would be lost");
    String::from_utf8(answer).unwrap()
}

#[test]
fn is_answered_with_the_reason_and_ends_the_connection() {
    // What Redis answers to these is `-ERR Protocol error: ...` and an end as well.
    let malformed: [&[u8]; 12] = [
        b"*1\r\n+simple\r\n",               // not a bulk string
        b"*x\r\n",                          // not a number
        b"*1\r\n$-7\r\n",                   // no such length
        b"*1\r\n$3\r\nfourfive\r\n",        // longer than announced
        b"*1\r\n$99999999999999999999\r\n", // more than a number holds
        b"*1\r\n$100000\r\n",               // over the unit's limit
        b"*101\r\n",                        // over the elements' limit
        b"*4294967295\r\n",                 // and far over it
        b"*1\n$1\n",                        // no carriage return
        b"*1\r\n*1\r\n$1\r\na\r\n",         // a request is flat
        b"\"unbalanced\r\n",                // inline
        &ENDLESS,                           // an inline command without an end
    ];
    kernels::each(|runtime: Runtime| {
        kernels::run(&runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let at = listener.local_addr()?;
            spawn(serve(listener));
            foreign::thread(move || {
                for bytes in malformed {
                    // Good requests before it are answered first.
                    let sent = [b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n", bytes].concat();
                    let answer = ask(at, &sent, false);
                    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
                    let refusal = answer.strip_prefix(":2\r\n:1\r\n");
                    let refusal = refusal.unwrap_or_else(|| panic!("{shown:?}: {answer:?}"));
                    assert!(refusal.starts_with("-ERR Protocol error: "), "{shown:?}: {answer:?}");
                    assert_eq!(refusal.matches("\r\n").count(), 1, "{shown:?}: {answer:?}");
                }
            })
            .await;
            Ok(())
        });
    });
}

#[test]
fn cut_short_by_the_end_is_an_error() {
    kernels::each(|runtime: Runtime| {
        kernels::run(&runtime, async {
            let mut listener = TcpListener::bind("127.0.0.1:0").await?;
            let at = listener.local_addr()?;
            let peer = foreign::thread(move || ask(at, b"PING\r\n*2\r\n$3\r\nGET\r\n$5\r\nab", true));
            let mut conn = Framed::new(listener.pop().await?.expect("open"), RespServer::new());
            assert!(conn.pop().await?.expect("the first").is("PING"));
            let error = conn.pop().await.expect_err("half a request");
            assert!(matches!(error, Error::Truncated { .. }), "{error:?}");
            assert!(conn.pop().await?.is_none());
            drop(conn);
            assert_eq!(peer.await, "");
            Ok(())
        });
    });
}

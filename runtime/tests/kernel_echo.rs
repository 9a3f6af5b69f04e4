//! The queue types on the kernel's sockets, spoken to by plain `std` clients.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream, UdpSocket},
};

use hemi::{Pop, Push, Runtime, TcpListener, UdpQueue, spawn};

fn runtimes() -> Vec<Runtime> {
    ["kernel:", "kernel:?backend=epoll", "kernel:?backend=poll"]
        .map(|uri| Runtime::builder().net(uri).build().unwrap())
        .into()
}

#[test]
fn a_tcp_echo_server_serves_a_plain_client() {
    for runtime in runtimes() {
        let (tell, told) = std::sync::mpsc::channel::<std::net::SocketAddr>();
        let client = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(told.recv().unwrap()).unwrap();
            let sent: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
            let mut writer = stream.try_clone().unwrap();
            let copy = sent.clone();
            let writing = std::thread::spawn(move || {
                writer.write_all(&copy).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            writing.join().unwrap();
            assert!(got == sent, "the echo differs");
        });
        runtime
            .block_on(async move {
                let mut listener = TcpListener::bind("127.0.0.1:0").await?;
                tell.send(listener.local_addr()?).unwrap();
                let mut conn = listener.pop().await?.unwrap();
                assert_eq!(conn.local_addr()?, listener.local_addr()?);
                spawn(async move {
                    while let Some(buf) = conn.pop().await? {
                        conn.push(buf).await?;
                    }
                    conn.close().await
                })
                .await
                .unwrap()
            })
            .unwrap();
        client.join().unwrap();
    }
}

#[test]
fn a_udp_echo_server_serves_a_plain_client() {
    for runtime in runtimes() {
        let (tell, told) = std::sync::mpsc::channel::<std::net::SocketAddr>();
        let client = std::thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(told.recv().unwrap()).unwrap();
            socket.set_read_timeout(Some(std::time::Duration::from_secs(300))).unwrap();
            let mut got = [0; 2000];
            for n in 0..50_u8 {
                socket.send(&[n; 1200]).unwrap();
                let len = socket.recv(&mut got).unwrap(); // on a thread without a ring: not interrupted
                assert_eq!(got[..len], [n; 1200]);
            }
        });
        runtime
            .block_on(async move {
                let mut socket = UdpQueue::bind("127.0.0.1:0").await?;
                tell.send(socket.local_addr()?).unwrap();
                for _ in 0..50 {
                    let (unit, from) = socket.pop_from().await?.unwrap();
                    socket.push_to(unit, from).await?;
                }
                socket.close().await
            })
            .unwrap();
        client.join().unwrap();
    }
}

#[test]
fn a_host_name_is_resolved_off_the_loop() {
    let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname") else { return };
    let runtime = Runtime::builder().net("kernel:").build().unwrap();
    runtime.block_on(async {
        let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut client = hemi::TcpQueue::connect(("localhost", port)).await.unwrap();
        client.push("hi").await.unwrap();
        let mut server = listener.pop().await.unwrap().unwrap();
        assert_eq!(server.pop().await.unwrap().unwrap().as_ref(), b"hi");
        // A name of the machine's own, if it has one, goes through the system's resolver; one that cannot be, fails.
        drop(TcpListener::bind((name.trim(), 0)).await);
        let e = hemi::TcpQueue::connect("no-such-host.invalid:7000").await.unwrap_err();
        assert!(e.to_string().contains("no-such-host.invalid:7000"), "{e}");
    });
}

//! Two cores share one interface in shared memory; the client is another stack, on a core of its own.

use hemi::{Conn, Options, Pop, Push, Result, Runtime};

use crate::program::{PORT, all_worked, serve};

#[test]
fn two_cores_share_one_link() {
    const CLIENTS: usize = 60;
    let link = format!("shm:cores-{}", std::process::id());
    let client = format!("{link}?ip=10.77.0.1/24");
    let cores = serve(2, &format!("{link}?ip=10.77.0.2/24"), move || {
        let runtime = Runtime::builder().net(client).build().expect("the other side");
        runtime.block_on(async {
            for number in 0..CLIENTS {
                there_and_back(number).await.unwrap_or_else(|e| panic!("connection {number}: {e}"));
            }
        });
    });
    all_worked(&cores, CLIENTS as u64);
    assert_eq!(cores[1].counter("rx_frames"), 0, "core 0 has the queue");
}

async fn there_and_back(number: usize) -> Result<()> {
    let mut conn: Conn = Options::new().raw().connect(("10.77.0.2", PORT)).await?;
    let sent: Vec<u8> = (0..200 + number * 131).map(|i| (i * 31 + number) as u8).collect();
    conn.push(sent.clone()).await?;
    let mut got = Vec::new();
    while got.len() < sent.len() {
        got.extend(conn.pop().await?.expect("not the end").to_vec());
    }
    assert!(got == sent, "{} bytes of {}", got.len(), sent.len());
    conn.close().await
}

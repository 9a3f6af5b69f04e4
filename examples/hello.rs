//! An echo server that `nc` can talk to: `cargo run --example hello`, then `nc 127.0.0.1 7000`.

use hemi::{Pop, Push, TcpListener, spawn};

#[hemi::main]
async fn main() -> hemi::Result<()> {
    let mut listener = TcpListener::bind("127.0.0.1:7000").await?;
    println!("listening tcp {}", listener.local_addr()?);
    while let Some(mut conn) = listener.pop().await? {
        spawn(async move {
            while let Some(buf) = conn.pop().await? {
                conn.push(buf).await?; // the same memory, never copied
            }
            conn.close().await
        });
    }
    Ok(())
}

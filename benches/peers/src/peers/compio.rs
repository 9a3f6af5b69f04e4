//! compio on io_uring. It brings no channel of its own, so its queue rows run the `futures` channel.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::TcpListener;
use compio::runtime::{ResumeUnwind, Runtime, spawn};

use super::local_pool;
use crate::peer::{ECHO_BUFFER, Echo, Outcome, Peer, Queues, Timers};

/// The contestant.
pub struct Compio;

impl Peer for Compio {
    fn run<T: 'static>(root: impl Future<Output = T> + 'static) -> T {
        let runtime = Runtime::new().expect("a compio runtime");
        runtime.block_on(async { spawn(root).await.resume_unwind().expect("the root task") })
    }

    fn spawn<T: Outcome + 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output: Outcome> + 'static {
        spawn(task)
    }
}

impl Timers for Compio {
    fn sleep(after: Duration) -> impl Future<Output = ()> + 'static {
        compio::time::sleep(after)
    }
}

impl Queues for Compio {
    type Unbounded = local_pool::Unbounded;
    type Bounded = local_pool::Bounded;
}

impl Echo for Compio {
    fn serve(bind: SocketAddr, ready: impl FnOnce(SocketAddr) + 'static) -> io::Result<()> {
        Self::run(async move {
            let listener = TcpListener::bind(bind).await?;
            ready(listener.local_addr()?);
            loop {
                let (mut conn, _) = listener.accept().await?;
                conn.set_nodelay(true)?;
                spawn(async move {
                    let mut buffer = Vec::with_capacity(ECHO_BUFFER);
                    loop {
                        let (read, filled) = conn.read(buffer).await.into();
                        if !matches!(read, Ok(1..)) {
                            break;
                        }
                        let (written, mut emptied) = conn.write_all(filled).await.into();
                        if written.is_err() {
                            break;
                        }
                        emptied.clear();
                        buffer = emptied;
                    }
                })
                .detach();
            }
        })
    }
}

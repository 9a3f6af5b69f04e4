//! hemi.

use std::{
    cell::Cell,
    future::poll_fn,
    net::SocketAddr,
    path::Path,
    pin::pin,
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

use hemi::{Buf, Error, LogQueue, Lsn, Pool, Pop, Push, Runtime, TcpListener, TcpQueue};

use super::{
    Failure,
    contestant::{Appended, Contestant, Load},
};
use crate::{recorder::Recorder, stop::Stop};

/// hemi's log as it comes, with more parameters in the URI if any.
#[derive(Clone, Debug)]
pub struct Hemi {
    name: String,
    more: &'static str,
}

impl Hemi {
    /// With its defaults.
    pub fn plain() -> Self {
        Self { name: "hemi".into(), more: "" }
    }

    /// With `RWF_DSYNC`.
    pub fn dsync() -> Self {
        Self { name: "hemi, sync=dsync".into(), more: "&sync=dsync" }
    }

    /// With `fdatasync` after each write.
    pub fn flushing() -> Self {
        Self { name: "hemi, sync=flush".into(), more: "&sync=flush" }
    }

    fn uri(&self, path: &Path) -> String {
        format!("log:{}?overwrite=true{}", path.display(), self.more)
    }

    /// Push `units` units of `size` bytes, `waiting` at a time, without waiting for them to be durable; then make them so. Returns
    /// the time that took.
    ///
    /// # Errors
    /// The log's.
    pub fn relaxed(&self, path: &Path, size: usize, waiting: usize, units: u64) -> Result<Duration, Failure> {
        let uri = self.uri(path);
        Ok(Runtime::builder().build()?.block_on(async {
            let log = LogQueue::create(&uri).await?;
            let unit = unit(size)?;
            let left = Rc::new(Cell::new(units));
            let begun = Instant::now();
            let tasks: Vec<_> = (0..waiting)
                .map(|_| {
                    let (unit, left, log) = (unit.clone(), Rc::clone(&left), log.another());
                    hemi::spawn(async move {
                        let mut log = log?;
                        while left.get() > 0 {
                            left.set(left.get() - 1);
                            log.push_relaxed(unit.clone()).await?;
                        }
                        Ok::<(), Error>(())
                    })
                })
                .collect();
            for task in tasks {
                task.await??;
            }
            log.flush().await?;
            let took = begun.elapsed();
            log.close().await?;
            Ok::<Duration, Error>(took)
        })?)
    }

    /// Pop all records of the log at `path`: bytes, and the time that took.
    ///
    /// # Errors
    /// The log's.
    pub fn pop_all(&self, path: &Path) -> Result<(u64, Duration), Failure> {
        let uri = format!("log:{}?mode=ro", path.display());
        Ok(Runtime::builder().build()?.block_on(async {
            let mut log = LogQueue::open(&uri).await?;
            let (begun, mut bytes) = (Instant::now(), 0);
            while let Some(unit) = log.pop().await? {
                bytes += unit.len() as u64;
            }
            let took = begun.elapsed();
            log.close().await?;
            Ok::<_, Error>((bytes, took))
        })?)
    }
}

/// A unit of `size` bytes, in a pool of its own.
///
/// # Errors
/// No memory.
pub fn unit(size: usize) -> Result<Buf, Error> {
    let mut buffer = Pool::new()?.try_alloc(size)?;
    buffer.put(&vec![0x5a; size]);
    Ok(buffer.freeze())
}

impl Contestant for Hemi {
    fn name(&self) -> &str {
        &self.name
    }

    fn append(&self, path: &Path, load: &Load) -> Result<Appended, Failure> {
        let (uri, load) = (self.uri(path), *load);
        Ok(Runtime::builder().build()?.block_on(async {
            let log = LogQueue::create(&uri).await?;
            let unit = unit(load.size)?;
            let begun = Instant::now();
            let tasks: Vec<_> = (0..load.waiting)
                .map(|_| {
                    let (unit, log) = (unit.clone(), log.another());
                    hemi::spawn(async move {
                        let (mut log, mut latencies, mut units) = (log?, Recorder::new(), 0);
                        let mut before = begun;
                        while before - begun < load.time {
                            log.push(unit.clone()).await?;
                            let now = Instant::now();
                            latencies.record((now - before).as_nanos() as u64);
                            (before, units) = (now, units + 1);
                        }
                        Ok::<_, Error>((units, latencies))
                    })
                })
                .collect();
            let (mut units, mut latencies) = (0, Recorder::new());
            for task in tasks {
                let (more, theirs) = task.await??;
                units += more;
                latencies.merge(&theirs);
            }
            let elapsed = begun.elapsed();
            log.close().await?;
            Ok::<_, Error>(Appended { units, elapsed, latencies })
        })?)
    }

    fn echo(
        &self,
        path: &Path,
        ready: &mut dyn FnMut(SocketAddr),
        stop: &Stop,
    ) -> Option<Result<(), Failure>> {
        Some(echo(&self.uri(path), ready, stop))
    }
}

fn echo(uri: &str, ready: &mut dyn FnMut(SocketAddr), stop: &Stop) -> Result<(), Failure> {
    Runtime::builder().build()?.block_on(async {
        let log = LogQueue::create(uri).await?;
        let mut listener = TcpListener::bind("127.0.0.1:0").await?;
        ready(listener.local_addr()?);
        let served = log.another()?;
        let serve = async {
            while let Some(conn) = listener.pop().await? {
                // A client that resets its connection ends the task and nothing else.
                drop(hemi::spawn(append_and_answer(conn, served.another()?)));
            }
            Ok::<(), Error>(())
        };
        let (mut serve, mut stop) = (pin!(serve), pin!(stop.clone()));
        poll_fn(|cx| match serve.as_mut().poll(cx) {
            Poll::Pending => stop.as_mut().poll(cx).map(Ok),
            ended @ Poll::Ready(_) => ended,
        })
        .await
    })?;
    Ok(())
}

async fn append_and_answer(mut conn: TcpQueue, mut log: LogQueue) -> Result<(), Error> {
    while let Some(buf) = conn.pop().await? {
        let _: Lsn = log.push(buf.clone()).await?;
        conn.push(buf).await?;
    }
    conn.close().await
}

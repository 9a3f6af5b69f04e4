//! tokio: `tokio::fs` and `sync_data`, each append by itself or by one writer task for all.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    rc::Rc,
    time::Instant,
};

use hemi_bench::{
    log::{
        Failure,
        contestant::{Appended, Contestant, Load},
    },
    recorder::Recorder,
    stop::Stop,
};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::{Mutex, mpsc, oneshot},
    task::{LocalSet, spawn_local},
};

/// Appends that one write takes at most.
const BATCH: usize = 1024;

/// A current-thread runtime with a `LocalSet`.
pub struct Tokio {
    /// One task writes for all; what waits shares one `sync_data`.
    pub group: bool,
}

type Job = (Vec<u8>, oneshot::Sender<()>);

/// How a unit gets to the file.
#[derive(Clone)]
enum Log {
    Alone(Rc<Mutex<File>>),
    Group(mpsc::Sender<Job>),
}

impl Log {
    async fn create(path: PathBuf, group: bool) -> io::Result<Self> {
        let file = File::create(path).await?;
        if !group {
            return Ok(Self::Alone(Rc::new(Mutex::new(file))));
        }
        let (jobs, queue) = mpsc::channel(BATCH);
        spawn_local(write(file, queue));
        Ok(Self::Group(jobs))
    }

    async fn append(&self, unit: &[u8]) -> io::Result<()> {
        match self {
            Self::Alone(file) => {
                let mut file = file.lock().await;
                file.write_all(unit).await?;
                file.flush().await?; // to the file's own buffer's end
                file.sync_data().await
            }
            Self::Group(jobs) => {
                let (done, durable) = oneshot::channel();
                let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
                jobs.send((unit.to_vec(), done)).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
                durable.await.map_err(gone)
            }
        }
    }
}

/// The writer: ends, and lets all waiters fail, with the first error.
async fn write(mut file: File, mut queue: mpsc::Receiver<Job>) -> io::Result<()> {
    let (mut jobs, mut bytes) = (Vec::new(), Vec::new());
    while queue.recv_many(&mut jobs, BATCH).await > 0 {
        bytes.clear();
        jobs.iter().for_each(|(unit, _)| bytes.extend_from_slice(unit));
        file.write_all(&bytes).await?;
        file.flush().await?;
        file.sync_data().await?;
        for (_, done) in jobs.drain(..) {
            // Who has gone is not told.
            let _ = done.send(());
        }
    }
    Ok(())
}

impl Contestant for Tokio {
    fn name(&self) -> &str {
        if self.group { "tokio fs, group commit in one writer task" } else { "tokio fs + sync_data" }
    }

    fn append(&self, path: &Path, load: &Load) -> Result<Appended, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (path, load, group) = (path.to_owned(), *load, self.group);
        let appended = LocalSet::new().block_on(&runtime, async move {
            let log = Log::create(path, group).await?;
            let begun = Instant::now();
            let tasks: Vec<_> = (0..load.waiting)
                .map(|_| {
                    let log = log.clone();
                    spawn_local(async move {
                        let unit = vec![0x5a; load.size];
                        let (mut latencies, mut units, mut before) = (Recorder::new(), 0, begun);
                        while before - begun < load.time {
                            log.append(&unit).await?;
                            let now = Instant::now();
                            latencies.record((now - before).as_nanos() as u64);
                            (before, units) = (now, units + 1);
                        }
                        Ok::<_, io::Error>((units, latencies))
                    })
                })
                .collect();
            let (mut units, mut latencies) = (0, Recorder::new());
            for task in tasks {
                let (more, theirs) = task.await??;
                units += more;
                latencies.merge(&theirs);
            }
            Ok::<_, io::Error>(Appended { units, elapsed: begun.elapsed(), latencies })
        })?;
        Ok(appended)
    }

    fn echo(
        &self,
        path: &Path,
        ready: &mut dyn FnMut(SocketAddr),
        stop: &Stop,
    ) -> Option<Result<(), Failure>> {
        self.group.then(|| serve(path.to_owned(), ready, stop).map_err(Into::into))
    }
}

fn serve(path: PathBuf, ready: &mut dyn FnMut(SocketAddr), stop: &Stop) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let log = Log::create(path, true).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        ready(listener.local_addr()?);
        loop {
            tokio::select! {
                () = stop.clone() => return Ok(()),
                conn = listener.accept() => {
                    let (conn, log) = (conn?.0, log.clone());
                    spawn_local(append_and_answer(conn, log));
                }
            }
        }
    })
}

async fn append_and_answer(mut conn: TcpStream, log: Log) -> io::Result<()> {
    conn.set_nodelay(true)?;
    let mut buffer = vec![0; 16 << 10];
    loop {
        let n = conn.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        log.append(&buffer[..n]).await?;
        conn.write_all(&buffer[..n]).await?;
    }
}

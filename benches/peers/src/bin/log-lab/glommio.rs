//! glommio: a `DmaFile`, a block and an `fdatasync` per append.

use std::{cell::Cell, net::SocketAddr, path::Path, rc::Rc, time::Instant};

use futures::future::join_all;
use glommio::{GlommioError, LocalExecutorBuilder, io::DmaFile, spawn_local};
use hemi_bench::{
    log::{
        Failure,
        contestant::{Appended, Contestant, Load},
    },
    recorder::Recorder,
    stop::Stop,
};

/// What `O_DIRECT` writes at least.
const BLOCK: usize = 4096;
/// Space that the file has from the start.
const SPACE: u64 = 256 << 20;

/// The contestant.
pub struct Glommio;

type Result<T> = std::result::Result<T, GlommioError<()>>;

impl Contestant for Glommio {
    fn name(&self) -> &str {
        "glommio DmaFile + fdatasync"
    }

    fn append(&self, path: &Path, load: &Load) -> std::result::Result<Appended, Failure> {
        let (path, load) = (path.to_owned(), *load);
        let executor = LocalExecutorBuilder::default().make().map_err(|e| e.to_string())?;
        executor
            .run(async move {
                let file = Rc::new(DmaFile::create(&path).await?);
                file.pre_allocate(SPACE, false).await?;
                let end = Rc::new(Cell::new(0));
                let begun = Instant::now();
                let tasks = (0..load.waiting).map(|_| {
                    let (file, end) = (Rc::clone(&file), Rc::clone(&end));
                    spawn_local(async move {
                        let (mut latencies, mut units, mut before) = (Recorder::new(), 0, begun);
                        while before - begun < load.time {
                            let mut buffer = file.alloc_dma_buffer(BLOCK);
                            buffer.as_bytes_mut()[..load.size.min(BLOCK)].fill(0x5a);
                            let at = end.replace(end.get() + BLOCK as u64);
                            file.write_at(buffer, at).await?;
                            file.fdatasync().await?;
                            let now = Instant::now();
                            latencies.record((now - before).as_nanos() as u64);
                            (before, units) = (now, units + 1);
                        }
                        Result::Ok((units, latencies))
                    })
                });
                let (mut units, mut latencies) = (0, Recorder::new());
                for outcome in join_all(tasks).await {
                    let (more, theirs) = outcome?;
                    units += more;
                    latencies.merge(&theirs);
                }
                let elapsed = begun.elapsed();
                file.close_rc().await?;
                Result::Ok(Appended { units, elapsed, latencies })
            })
            .map_err(|e| e.to_string().into())
    }

    fn echo(
        &self,
        _: &Path,
        _: &mut dyn FnMut(SocketAddr),
        _: &Stop,
    ) -> Option<std::result::Result<(), Failure>> {
        None
    }
}

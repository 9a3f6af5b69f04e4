//! What is put around a device on any URI: a bad link, a capture, a trace.

use std::{
    fs::File,
    io::BufWriter,
    time::{Duration, SystemTime},
};

use hemi_net::{
    Device,
    device::{Fault, Pcap, Trace},
    sim::{Faults, LinkConfig},
};
use hemi_queue::{Error, Pool, Result, Span, Uri, UriError};

use crate::values::{Chance, Flag, Rate, Size};

/// Wrap `device` as `uri` says: faults next to the device, the capture and the trace next to the stack.
pub(crate) fn wrap(
    uri: &Uri,
    mut device: Box<dyn Device>,
    pool: &Pool,
    seed: u64,
    core: usize,
) -> Result<Box<dyn Device>> {
    let link = link(uri)?;
    if link != LinkConfig::default() {
        device = Box::new(Fault::new(device, link, pool.clone(), seed));
    }
    if let Some(Flag(true)) = uri.take("trace")? {
        device = Box::new(Trace::new(device));
    }
    if let Some(mut path) = uri.take::<String>("pcap")? {
        if core > 0 {
            path = format!("{path}.{core}");
        }
        let failed = |e| Error::io("write the capture", &path, e);
        let file = File::create(&path).map_err(failed)?;
        device = Box::new(Pcap::new(device, BufWriter::new(file), epoch(uri)).map_err(failed)?);
    }
    Ok(device)
}

/// The wall-clock time of the runtime's clock at zero, nearly; a simulated network has none.
fn epoch(uri: &Uri) -> Duration {
    if uri.scheme() == "sim" {
        return Duration::ZERO;
    }
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Take the parameters of a link out of `uri`.
pub(crate) fn link(uri: &Uri) -> Result<LinkConfig, UriError> {
    let span = |key| Ok::<_, UriError>(uri.take::<Span>(key)?.map_or(Duration::ZERO, |s| s.0));
    let chance = |key| Ok::<_, UriError>(uri.take::<Chance>(key)?.map_or(0.0, |c| c.0));
    let size = |key| Ok::<_, UriError>(uri.take::<Size>(key)?.map_or(0, |s| s.0));
    let reorder = chance("reorder")?;
    let reorder_by = uri.take::<Span>("reorder_by")?.map(|s| s.0);
    let reorder_by = match reorder_by {
        None if reorder > 0.0 => Duration::from_millis(1),
        by => by.unwrap_or_default(),
    };
    Ok(LinkConfig {
        delay: span("latency")?,
        rate: uri.take::<Rate>("rate")?.map_or(0, |r| r.0),
        queue: size("queue")?,
        mark: size("mark")?,
        path_mtu: size("path_mtu")?,
        faults: Faults {
            loss: chance("loss")?,
            burst: uri.take::<u32>("burst")?.unwrap_or(0),
            duplicate: chance("dup")?,
            reorder,
            reorder_by,
            corrupt: chance("corrupt")?,
            jitter: span("jitter")?,
        },
    })
}

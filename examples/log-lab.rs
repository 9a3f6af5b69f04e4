//! The log lab.
use hemi::*;
use hemi_bench::log::hemi::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (uri, size, waiting, n) =
        (&a[1], a[2].parse().unwrap(), a[3].parse().unwrap(), a[4].parse().unwrap());
    let timed = a.len() > 5;
    let rt = Runtime::builder().build().unwrap();
    rt.block_on(async {
        let log = LogQueue::create(uri).await?;
        let until = if timed {
            Until::Time(std::time::Duration::from_secs_f64(a[5].parse().unwrap()))
        } else {
            Until::Units(n)
        };
        let done = append(&log, size, waiting, timed, until).await?;
        eprintln!(
            "{} units in {:?}: {:.0}/s p50 {} p99 {} {:?}",
            done.units,
            done.elapsed,
            done.units as f64 / done.elapsed.as_secs_f64(),
            done.latencies.percentile(50.0),
            done.latencies.percentile(99.0),
            log.stats()
        );
        log.close().await
    })
    .unwrap();
}

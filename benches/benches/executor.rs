//! Tasks and timers. The comparison with other runtimes is in `peers/`; here one watches hemi's own.

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hemi::{Runtime, spawn, time, yield_now};

/// Operations per iteration: one `block_on` is shared by so many.
const OPS: u64 = 1_024;

fn tasks(criterion: &mut Criterion) {
    let runtime = Runtime::builder().build().expect("a runtime");
    let mut group = criterion.benchmark_group("task");
    group.throughput(Throughput::Elements(OPS));
    group.bench_function("spawn + join", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                for i in 0..OPS {
                    black_box(spawn(async move { black_box(i) }).await.expect("no panic"));
                }
            });
        });
    });
    group.bench_function("yield_now", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                for _ in 0..OPS {
                    yield_now().await;
                }
            });
        });
    });
    group.finish();
}

fn timers(criterion: &mut Criterion) {
    let runtime = Runtime::builder().build().expect("a runtime");
    let mut group = criterion.benchmark_group("timer");
    group.throughput(Throughput::Elements(OPS));
    for others in [0, 10_000] {
        let armed = runtime.block_on(async {
            let mut armed: Vec<_> = (0..others).map(|i| Box::pin(time::sleep(far(i)))).collect();
            for timer in &mut armed {
                assert!(still_pending(timer.as_mut()).await, "it is far away");
            }
            armed
        });
        group.bench_function(format!("insert + cancel, {others} others"), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    for i in 0..OPS {
                        let timer = pin!(time::sleep(far(i)));
                        black_box(still_pending(timer).await);
                    }
                });
            });
        });
        runtime.block_on(async { drop(armed) });
    }
    group.finish();
}

/// Polls once.
async fn still_pending<F: Future>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// 10 to 75 seconds away, scattered.
fn far(i: u64) -> Duration {
    Duration::from_secs(10) + Duration::from_millis(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48)
}

criterion_group!(benches, tasks, timers);
criterion_main!(benches);

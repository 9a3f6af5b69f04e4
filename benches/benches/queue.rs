//! The queue in memory: within one task, and between two.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hemi::{Buf, Pool, Runtime, queue, queue_unbounded};

/// Units per iteration between two tasks.
const UNITS: u64 = 1_024;

fn unit() -> Buf {
    let mut buffer = Pool::new().expect("memory for a pool").try_alloc(64).expect("a fresh pool");
    buffer.put(&[0x5a; 64]);
    buffer.freeze()
}

fn same_task(criterion: &mut Criterion) {
    let (queue, unit) = (queue(16), unit());
    criterion.bench_function("try_push + try_pop", |bencher| {
        bencher.iter(|| {
            queue.try_push(unit.clone()).expect("room");
            black_box(queue.try_pop().expect("a unit"))
        });
    });
}

fn two_tasks(criterion: &mut Criterion) {
    let runtime = Runtime::builder().build().expect("a runtime");
    let mut group = criterion.benchmark_group("push and pop between two tasks");
    group.throughput(Throughput::Elements(UNITS));
    for capacity in [Some(1), Some(16), Some(256), None] {
        let name = capacity.map_or("unbounded".to_owned(), |capacity| format!("capacity {capacity}"));
        let unit = unit();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let queue = capacity.map_or_else(queue_unbounded, queue);
                let (pushing, unit) = (queue.clone(), unit.clone());
                runtime.block_on(async move {
                    let producer = hemi::spawn(async move {
                        for _ in 0..UNITS {
                            pushing.push(unit.clone()).await?;
                        }
                        Ok::<(), hemi::Error>(())
                    });
                    for _ in 0..UNITS {
                        black_box(queue.pop().await.expect("a queue in memory"));
                    }
                    producer.await.expect("no panic").expect("the consumer is there");
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, same_task, two_tasks);
criterion_main!(benches);

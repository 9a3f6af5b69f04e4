//! Buffers: what a unit costs before it goes anywhere.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hemi::Pool;

/// The sizes of a small request, a page, and a large unit.
const SIZES: [usize; 3] = [64, 4096, 16_384];

fn alloc_drop(criterion: &mut Criterion) {
    let pool = Pool::new().expect("memory for a pool");
    let mut group = criterion.benchmark_group("Pool::try_alloc + drop");
    for size in SIZES {
        group.bench_function(size.to_string(), |bencher| {
            bencher.iter(|| black_box(pool.try_alloc(black_box(size)).expect("room")));
        });
    }
    group.finish();
}

fn put_freeze(criterion: &mut Criterion) {
    let pool = Pool::new().expect("memory for a pool");
    let bytes = [0x5a; 64];
    criterion.bench_function("alloc, put 64 bytes, freeze, drop", |bencher| {
        bencher.iter(|| {
            let mut buffer = pool.try_alloc(64).expect("room");
            buffer.put(black_box(&bytes));
            black_box(buffer.freeze())
        });
    });
}

fn share(criterion: &mut Criterion) {
    let pool = Pool::new().expect("memory for a pool");
    let mut buffer = pool.try_alloc(4096).expect("room");
    buffer.put(&[0x5a; 4096]);
    let buf = buffer.freeze();
    criterion.bench_function("Buf::clone + drop", |bencher| bencher.iter(|| black_box(buf.clone())));
    criterion.bench_function("Buf::slice + drop", |bencher| {
        bencher.iter(|| black_box(buf.slice(black_box(64)..black_box(128))));
    });
    criterion.bench_function("Buf::split_to x 64", |bencher| {
        bencher.iter(|| {
            let mut rest = buf.clone();
            for _ in 0..64 {
                black_box(rest.split_to(64));
            }
        });
    });
}

criterion_group!(benches, alloc_drop, put_freeze, share);
criterion_main!(benches);

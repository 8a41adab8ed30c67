//! Times of counting and rendering: `cargo bench -p ops-metrics --bench hot_paths -- --save-baseline NAME`, and `--baseline NAME`
//! to compare.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot start has nothing to say"
)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

ops_metrics::define! {
    /// Without a label.
    counter bench_plain_total {}
    /// With one label.
    counter bench_one_total { a: &'static str }
    /// With three labels.
    counter bench_three_total { a: &'static str, b: &'static str, c: &'static str }
    /// Durations with a label.
    histogram bench_seconds { a: &'static str }
    /// Series that are rendered.
    gauge bench_series { shard: u16 }
}

fn calls(criterion: &mut Criterion) {
    ops_metrics::init(ops_metrics::Config::new()).unwrap();
    let mut group = criterion.benchmark_group("call by labels");
    group.bench_function(BenchmarkId::new("increment", 0), |b| {
        b.iter(|| bench_plain_total().inc());
    });
    group.bench_function(BenchmarkId::new("increment", 1), |b| {
        b.iter(|| bench_one_total(black_box("x")).inc());
    });
    group.bench_function(BenchmarkId::new("increment", 3), |b| {
        b.iter(|| bench_three_total(black_box("x"), black_box("y"), black_box("z")).inc());
    });
    group.bench_function(BenchmarkId::new("observe", 1), |b| {
        b.iter(|| bench_seconds(black_box("x")).observe(black_box(0.123)));
    });
    group.finish();
}

fn render(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("render by series");
    let mut made = 0;
    for count in [100_u16, 1000, 5000] {
        for shard in made..count {
            bench_series(shard).set(1.5);
        }
        made = count;
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| black_box(ops_metrics::render()));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = calls, render
}
criterion_main!(benches);

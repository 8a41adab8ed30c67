//! Times of a line: `cargo bench -p ops-log --bench hot_paths -- --save-baseline NAME`, and `--baseline NAME` to compare.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot start has nothing to say"
)]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dev::ten_fields::Memory;
use dev::{ten_bound_fields, ten_fields};
use ops_log::{Config, Output, Pipeline, debug, info};

fn pipeline(json: bool) -> Pipeline {
    let output = Output::writer(Memory::new()).json(json).color(false);
    Pipeline::new(Config::new().stdout(false).output(output)).unwrap()
}

fn fields(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("line by fields");
    for (form, json) in [("json", true), ("people", false)] {
        let pipeline = pipeline(json);
        let log = pipeline.logger("api");
        group.bench_function(BenchmarkId::new(form, 0), |b| {
            b.iter(|| info!(log, "request_completed"));
        });
        group.bench_function(BenchmarkId::new(form, 1), |b| {
            b.iter(|| info!(log, "request_completed", status = 200_u16));
        });
        group.bench_function(BenchmarkId::new(form, 10), |b| {
            b.iter(|| ten_fields!([info], log));
        });
    }
    let pipeline = pipeline(true);
    let log = pipeline.logger("api");
    group.bench_function(BenchmarkId::new("disabled", 10), |b| {
        b.iter(|| ten_fields!([debug], log));
    });
    group.finish();
}

fn bound_fields(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("line by bound fields");
    let pipeline = pipeline(true);
    let one = pipeline.logger("api").bind("status", 200_u16);
    let ten = ten_bound_fields!(pipeline.logger("api"));
    for (count, log) in [(1, one), (10, ten)] {
        group.bench_function(BenchmarkId::new("json", count), |b| {
            b.iter(|| info!(log, "request_completed"));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = fields, bound_fields
}
criterion_main!(benches);

//! Times of a span: `cargo bench -p ops-trace --bench hot_paths -- --save-baseline NAME`, and `--baseline NAME` to compare.
//!
//! Sampled spans go to a queue that is full most of the time: `ratios` measures the cost of an export.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot start has nothing to say"
)]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ops_trace::{Config, Tracer, span};

fn tracer(ratio: f64) -> Tracer {
    let config = Config::new("bench").sampling_ratio(ratio);
    Tracer::new(config.environment([("OTEL_TRACES_EXPORTER", "none")])).unwrap()
}

fn spans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("span by attributes");
    for (name, ratio) in [("sampled", 1.0), ("not sampled", 0.0)] {
        let tracer = tracer(ratio);
        group.bench_function(BenchmarkId::new(name, 0), |b| {
            b.iter(|| drop(span!(tracer: tracer, "work")));
        });
        group.bench_function(BenchmarkId::new(name, 3), |b| {
            b.iter(|| {
                drop(
                    span!(tracer: tracer, "work", table = "users", operation = "SELECT", rows = 7),
                );
            });
        });
        group.bench_function(BenchmarkId::new(name, 10), |b| {
            b.iter(|| {
                drop(span!(
                    tracer: tracer, "work", a = "users", b = "SELECT", c = 7, d = 0.5, e = true,
                    f = "users", g = "SELECT", h = 7, i = 0.5, j = true
                ));
            });
        });
        tracer.shutdown_blocking(Duration::from_secs(1));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = spans
}
criterion_main!(benches);

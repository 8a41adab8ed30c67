//! Times of the cache. To compare two versions:
//! `cargo bench -p data-cache --no-default-features --bench hot_paths -- --save-baseline NAME`, then `--baseline NAME`.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot start has nothing to say"
)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use data_cache::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use data_cache::{Cache, Config, Params, params};

const SQL: &str = "SELECT id, value, name FROM measurements WHERE id < $limit ORDER BY id";

/// Returns a result of three columns.
fn result(rows: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let values: ArrayRef = Arc::new(Float64Array::from_iter_values(
        (0..rows).map(|row| row as f64 / 7.0),
    ));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..rows).map(|row| format!("name {row}")),
    ));
    RecordBatch::try_from_iter([("id", ids), ("value", values), ("name", names)]).unwrap()
}

fn open(dir: &Path, settings: &str) -> Cache {
    let config = Config::from_yaml("bench", &format!("query_cache: {settings}")).unwrap();
    Cache::open_with(dir, &config).unwrap()
}

fn by_rows(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("by rows");
    for rows in [1, 1000, 100_000] {
        let batches = [result(rows)];
        for (tier, settings) in [
            ("memory", "{max_size_mb: 0}"),
            ("parquet", "{memory_mb: 0, codec: parquet}"),
            ("ipc", "{memory_mb: 0, codec: ipc}"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let cache = open(dir.path(), settings);
            let set = || cache.set(SQL, &batches, &Params::new(), None).unwrap();
            group.bench_function(BenchmarkId::new(format!("set, {tier}"), rows), |b| {
                b.iter(set);
            });
            group.bench_function(BenchmarkId::new(format!("hit, {tier}"), rows), |b| {
                b.iter(|| cache.get(black_box(SQL), &Params::new()).unwrap());
            });
        }
    }
    group.finish();
}

fn by_entries(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("by entries");
    for entries in [1_i64, 1000, 20_000] {
        let cache = open(Path::new("nowhere"), "{max_size_mb: 0}");
        let batches = [result(1)];
        for limit in 0..entries {
            let bound = params! { limit: limit };
            cache.set(SQL, &batches, &bound, None).unwrap();
        }
        let bound = params! { limit: 0 };
        group.bench_function(BenchmarkId::new("hit, memory", entries), |b| {
            b.iter(|| cache.get(black_box(SQL), &bound).unwrap());
        });
        let unknown = params! { limit: -1 };
        group.bench_function(BenchmarkId::new("miss", entries), |b| {
            b.iter(|| cache.get(black_box(SQL), &unknown).is_none());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = by_rows, by_entries
}
criterion_main!(benches);

//! Times of a read: `cargo bench -p ops-secrets --bench hot_paths -- --save-baseline NAME`, and `--baseline NAME` to compare.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot start has nothing to say"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ops_secrets::testing::MemorySource;
use ops_secrets::{AwsMode, Config, Secrets};

/// Creates secrets with this many names in the catalog, all of which are in a source in memory.
fn secrets(count: usize) -> Secrets {
    let ssm = MemorySource::new();
    let mut catalog = "secrets:\n".to_owned();
    for at in 0..count {
        let path = format!("/kearney-platform/prod/secret_{at}");
        ssm.set(&path, "pk.eyJ1Ijoia2Vhcm5leSJ9");
        let _ = writeln!(
            catalog,
            "  secret_{at}: {{env_var: OPS_BENCH_{at}, aws_path: {path}}}"
        );
    }
    let config = Config::default().catalog_text(catalog).aws(AwsMode::On);
    let config = config
        .dotenv("/nonexistent/.env")
        .ttl(Duration::from_secs(24 * 3600));
    let secrets = Secrets::new(config.sources(&ssm, &MemorySource::new())).unwrap();
    secrets.get("secret_0").blocking().unwrap();
    secrets
}

fn reads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read by entries of the catalog");
    for count in [1, 100, 10_000] {
        let secrets = secrets(count);
        group.bench_function(BenchmarkId::new("warm hit", count), |b| {
            b.iter(|| secrets.get(black_box("secret_0")).blocking());
        });
        group.bench_function(BenchmarkId::new("not in the catalog", count), |b| {
            b.iter(|| secrets.get(black_box("OPS_BENCH_NOT_SET")).blocking());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = reads
}
criterion_main!(benches);

//! Cost of a read compared with hand-written code of an application,
//! taken in turns in one process: `cargo bench -p ops-secrets`.
#![expect(clippy::unwrap_used, reason = "a bench")]

use std::alloc::System;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use ops_secrets::testing::MemorySource;
use ops_secrets::{AwsMode, Config, Secrets};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Variable that is set to a secret-like value.
const SET: &str = "OPS_BENCH_SET";
const CATALOG: &str = "secrets:
  mapbox_token: {env_var: OPS_BENCH_MAPBOX_ACCESS_TOKEN, aws_path: /kearney-platform/prod/mapbox_token}
  registry_api_key: {env_var: OPS_BENCH_REGISTRY_API_KEY, aws_path: /kearney-platform/prod/registry_api_key}
  from_env: {env_var: OPS_BENCH_FROM_ENV}
";

fn main() {
    if std::env::var_os(SET).is_none() {
        std::process::exit(again_with_variables());
    }
    let ssm = MemorySource::new();
    ssm.set(
        "/kearney-platform/prod/mapbox_token",
        "pk.eyJ1Ijoia2Vhcm5leSJ9",
    );
    let config = Config::default().catalog_text(CATALOG).aws(AwsMode::On);
    let config = config
        .dotenv("/nonexistent/.env")
        .ttl(Duration::from_secs(24 * 3600));
    let secrets = Secrets::new(config.sources(&ssm, &MemorySource::new())).unwrap();
    secrets.get("mapbox_token").blocking().unwrap();

    let by_hand: HashMap<String, String> = ["mapbox_token", "registry_api_key", "from_env"]
        .map(|name| (name.to_owned(), "pk.eyJ1Ijoia2Vhcm5leSJ9".to_owned()))
        .into();
    let hit = || drop(black_box(secrets.get(black_box("mapbox_token")).blocking()));
    let hit_by_variable = || {
        drop(black_box(
            secrets
                .get(black_box("OPS_BENCH_MAPBOX_ACCESS_TOKEN"))
                .blocking(),
        ))
    };
    let peer_hit = || match std::env::var(black_box("OPS_BENCH_MAPBOX_ACCESS_TOKEN")) {
        Ok(value) => drop(black_box(value)),
        Err(_) => drop(black_box(by_hand.get(black_box("mapbox_token")))),
    };
    let shared: HashMap<String, Arc<str>> = by_hand
        .clone()
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    let shared = RwLock::new(shared);
    let peer_shared = || {
        let secrets = shared.read().unwrap();
        drop(black_box(secrets.get(black_box("mapbox_token")).cloned()));
    };
    let env_hit = || drop(black_box(secrets.get(black_box("from_env")).blocking()));
    let uncataloged = || drop(black_box(secrets.get(black_box(SET)).blocking()));
    let env_var = || drop(black_box(std::env::var(black_box("OPS_BENCH_FROM_ENV"))));

    let with_ttl = || {
        let asked = secrets.get(black_box("mapbox_token"));
        drop(black_box(asked.ttl(Duration::from_secs(600)).blocking()));
    };

    let mut ratios = dev::ratio::Ratios::from_args();
    ratios.at_most(
        "warm hit of an AWS secret",
        1.3,
        hit,
        ("env::var + HashMap::get", peer_hit),
    );
    // almost half of a hit is a read of the environment, which the peer does not do
    ratios.aimed_at(
        "warm hit of an AWS secret",
        1.5,
        hit,
        ("RwLock<HashMap<String, Arc<str>>>", peer_shared),
    );
    ratios.at_most(
        "warm hit by its variable's name",
        1.3,
        hit_by_variable,
        ("env::var + HashMap::get", peer_hit),
    );
    ratios.at_most(
        "hit in the environment",
        2.0,
        env_hit,
        ("env::var", env_var),
    );
    ratios.at_most(
        "the same without a catalog entry",
        2.0,
        uncataloged,
        ("env::var", env_var),
    );
    ratios.report("warm hit with a time to live of its own", with_ttl);
    ratios.exactly("allocations of 1000 warm hits", 0, allocations(hit));
    let with_ttl = allocations(with_ttl);
    ratios.exactly(
        "allocations of 1000 warm hits with a time to live of their own",
        0,
        with_ttl,
    );
    ratios.exactly(
        "allocations of 1000 warm hits, awaited",
        0,
        awaited(&secrets),
    );
    ratios.finish();
}

/// Starts this program again with the variables set: a process cannot set its own variables safely.
fn again_with_variables() -> i32 {
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(std::env::args_os().skip(1));
    let secret = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
    // the shorter the environment, the faster it is read
    again.env_clear();
    again.envs([(SET, secret), ("OPS_BENCH_FROM_ENV", secret)]);
    again.status().unwrap().code().unwrap_or(1)
}

fn allocations(work: impl Fn()) -> usize {
    let region = Region::new(ALLOCATOR);
    (0..1000).for_each(|_| work());
    region.change().allocations
}

fn awaited(secrets: &Secrets) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let region = Region::new(ALLOCATOR);
        for _ in 0..1000 {
            drop(black_box(secrets.get("mapbox_token").await));
        }
        region.change().allocations
    })
}

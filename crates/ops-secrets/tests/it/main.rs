//! The crate through its public API.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

#[cfg(feature = "aws-agent")]
mod agent;
#[cfg(all(feature = "ssm", feature = "secretsmanager"))]
mod aws_places;
#[cfg(all(feature = "ssm", feature = "secretsmanager"))]
mod bulk;
mod cache;
mod catalog;
#[cfg(all(feature = "ssm", feature = "secretsmanager"))]
mod credentials;
mod dotenv;
mod failures;
mod files;
mod hygiene;
mod listeners;
mod lookups;
#[cfg(all(feature = "ssm", feature = "secretsmanager"))]
mod moto;
#[cfg(all(feature = "ssm", feature = "secretsmanager"))]
mod no_aws;
#[cfg(target_os = "linux")]
mod postgres;
mod precedence;
#[cfg(all(feature = "ssm", feature = "secretsmanager"))]
mod proxy;
#[cfg(all(feature = "ssm", feature = "secretsmanager"))]
mod reach;
mod rotation;
#[cfg(all(feature = "ssm", feature = "secretsmanager"))]
mod services;
mod stuck;
#[cfg(feature = "vault")]
mod vault;
#[cfg(feature = "vault")]
mod vault_tokens;

use std::time::{Duration, Instant};

use ops_secrets::testing::{ManualClock, MemorySource};
use ops_secrets::{AwsMode, Config, Error, Secret, Secrets};

/// The overview's catalog, as the repository ships it.
const CATALOG: &str = include_str!("../../../../configs/secrets.yaml");

const TOKEN_PATH: &str = "/kearney-platform/prod/mapbox_token";

/// Resolver with sources in memory, a clock that stands still and no `.env` file.
struct Bench {
    ssm: MemorySource,
    sm: MemorySource,
    clock: ManualClock,
    secrets: Secrets,
}

impl Bench {
    fn new(adjust: impl FnOnce(Config) -> Config) -> Self {
        let (ssm, sm, clock) = (MemorySource::new(), MemorySource::new(), ManualClock::new());
        let secrets = Secrets::new(adjust(
            config().aws(AwsMode::On).sources(&ssm, &sm).clock(&clock),
        ))
        .unwrap();
        Self {
            ssm,
            sm,
            clock,
            secrets,
        }
    }

    fn token(&self) -> Result<Secret, Error> {
        self.secrets.get("mapbox_token").blocking()
    }
}

/// Time limit for what happens immediately or never.
const SOON: Duration = Duration::from_secs(60);

fn wait_until(mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < limit, "nothing happened for a minute");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Measures repeatedly until a time is below the limit: a real defect exceeds it each time, a busy machine does not.
fn assert_within(limit: Duration, mut take: impl FnMut() -> Duration) {
    let mut times = Vec::new();
    while times.len() < 50 {
        let took = take();
        assert!(took < SOON, "{took:?}");
        if took < limit {
            return;
        }
        times.push(took);
    }
    panic!("never within {limit:?}: {times:?}");
}

/// Returns a configuration without anything of this machine: no variables, no `.env`, no EC2.
fn config() -> Config {
    let nothing: [(&str, &str); 0] = [];
    Config::default()
        .catalog_text(CATALOG)
        .environment(nothing)
        .dotenv("/nonexistent/.env")
        .secrets_folder("/nonexistent/secrets")
        .dmi_path("/nonexistent/sys_vendor")
}

//! A test of your own service with sources in memory that fail on command, and a clock that you move:
//! `cargo run -p ops-secrets --example in_tests --features testing`.
#![expect(clippy::print_stdout, reason = "an example")]

use std::time::Duration;

use ops_secrets::testing::{ManualClock, MemorySource};
use ops_secrets::{AwsMode, Config, ErrorKind, SecretError, Secrets};

const CATALOG: &str = "secrets: {api_key: {aws_path: /service/api_key}}";

fn main() -> Result<(), SecretError> {
    let (ssm, secrets_manager, clock) =
        (MemorySource::new(), MemorySource::new(), ManualClock::new());
    let config = Config::default().catalog_text(CATALOG).aws(AwsMode::On);
    let secrets = Secrets::new(config.sources(&ssm, &secrets_manager).clock(&clock))?;

    ssm.set("/service/api_key", "first");
    println!(
        "fetched from {}",
        secrets.get("api_key").blocking()?.source()
    );

    ssm.fail("/service/api_key", ErrorKind::Throttled);
    clock.advance(Duration::from_secs(400));
    let stale = secrets.get("api_key").blocking()?;
    println!(
        "throttled: the last value is served, {} time so far",
        secrets.stats().stale_served
    );
    assert_eq!(stale.expose(), "first");

    ssm.fail("/service/api_key", ErrorKind::AccessDenied);
    clock.advance(Duration::from_secs(400));
    if let Err(error) = secrets.get("api_key").or("never used").blocking() {
        println!("denied: {error}");
    }
    Ok(())
}

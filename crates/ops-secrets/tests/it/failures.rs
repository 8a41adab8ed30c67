//! Failures as the report tells them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ops_secrets::testing::ManualClock;
use ops_secrets::{
    ErrorKind, FetchError, FetchResult, SecretSource, Secrets, Source, SourceFuture, SourceValue,
};

use crate::config;

/// A store that has everything, until it denies everything.
struct Store(Arc<AtomicBool>);

impl Source for Store {
    fn name(&self) -> &'static str {
        "vault"
    }

    fn fetch<'a>(&'a self, names: &'a [String], _: Instant) -> SourceFuture<'a> {
        let denies = self.0.load(Ordering::Relaxed);
        let answer = move |_: &String| -> FetchResult {
            match denies {
                false => Ok(SourceValue::new("the-value")),
                true => Err(FetchError::failed(ErrorKind::AccessDenied, "no")),
            }
        };
        Box::pin(async move { names.iter().map(answer).collect() })
    }
}

#[test]
fn a_report_tells_which_source_failed_and_how_long_ago() {
    let (denies, clock) = (Arc::new(AtomicBool::new(false)), ManualClock::new());
    let config = config()
        .catalog_text("secrets: {a: {}}")
        .source(Store(Arc::clone(&denies)));
    let secrets = Secrets::new(config.clock(&clock)).unwrap();
    assert!(secrets.report().to_string().contains("not asked for yet"));
    secrets.get("a").blocking().unwrap();
    assert_eq!(secrets.report().secrets[0].last_error_source, None);
    denies.store(true, Ordering::Relaxed);
    secrets.get("a").ttl_seconds(0.0).blocking().unwrap_err();
    clock.advance(Duration::from_secs(90));
    let report = secrets.report();
    let failed = report.secrets[0].last_error_source;
    assert_eq!(failed, Some(SecretSource::Custom("vault")));
    assert_eq!(report.secrets[0].last_error_age_seconds, Some(90));
}

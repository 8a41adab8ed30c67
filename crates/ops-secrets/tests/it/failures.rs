//! Failures in the report.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ops_secrets::testing::ManualClock;
use ops_secrets::{
    AwsMode, ErrorKind, FetchError, FetchResult, Health, SecretSource, Secrets, Source,
    SourceFuture, SourceValue,
};
use parking_lot::Mutex;

use crate::{Bench, config};

/// Store that has everything, until it denies everything.
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
    assert!(secrets.report().to_string().contains("not queried yet"));
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

#[test]
fn a_source_that_has_nothing_is_not_reported_as_the_one_that_failed() {
    let kinds = [ErrorKind::Unauthenticated, ErrorKind::Unavailable];
    for (kind, has_store) in kinds
        .into_iter()
        .flat_map(|kind| [(kind, false), (kind, true)])
    {
        let bench = Bench::new(|config| {
            let config = config
                .catalog_text("secrets: {a: {aws_path: /a}}")
                .aws(AwsMode::Auto)
                .environment([("AWS_PROFILE", "some")]);
            match has_store {
                true => config.source(Failing(Arc::default())),
                false => config,
            }
        });
        bench.ssm.fail("/a", kind);
        assert!(
            bench
                .secrets
                .get("a")
                .optional_blocking()
                .unwrap()
                .is_none()
        );
        let secret = &bench.secrets.report().secrets[0];
        let message = format!("/a: injected: {}", kind.as_str());
        assert_eq!(secret.last_error, Some(kind));
        assert_eq!(secret.last_error_source, Some(SecretSource::AwsSsm));
        assert_eq!(secret.last_error_detail.as_deref(), Some(&*message));
    }
}

/// Store whose names are the kinds of their failures; it never responds for `late`.
struct Failing(Arc<Mutex<Option<ErrorKind>>>);

impl Source for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn fetch<'a>(&'a self, names: &'a [String], _: Instant) -> SourceFuture<'a> {
        let kind = *self.0.lock();
        Box::pin(async move {
            if names.iter().any(|name| name == "late") {
                std::future::pending::<()>().await;
            }
            let answer = |name: &String| match (name.as_str(), kind) {
                ("good", _) => Ok(SourceValue::new("the-value")),
                (_, None) => Err(FetchError::Absent),
                (_, Some(kind)) => Err(FetchError::failed(kind, format!("no {name}"))),
            };
            names.iter().map(answer).collect()
        })
    }
}

#[test]
fn a_source_that_answered_for_none_of_its_names_is_not_healthy() {
    let fails = Arc::new(Mutex::new(None));
    let config = config()
        .catalog_text("secrets: {a: {}, b: {}, good: {}, late: {}}")
        // one name gets no response, the others do
        .deadline(Duration::from_secs(5))
        .source(Failing(Arc::clone(&fails)));
    let secrets = Secrets::new(config).unwrap();
    let ask = |name: &str| secrets.get(name).ttl_seconds(0.0).optional_blocking();
    let health = || secrets.report().sources[0].health.clone();
    let down = |why: &str| Health::Unhealthy(why.to_owned());
    assert_eq!(health(), Health::Unknown);
    ask("late").unwrap_err();
    assert_eq!(health(), down("no response within the deadline"));
    ask("a").unwrap();
    assert_eq!(health(), Health::Healthy, "it has none");
    let of_the_source = [
        ErrorKind::Transient,
        ErrorKind::Throttled,
        ErrorKind::Unauthenticated,
    ];
    for kind in of_the_source {
        *fails.lock() = Some(kind);
        ask("a").unwrap_err();
        assert_eq!(health(), down("no a"), "{kind:?}");
        ask("good").unwrap();
        assert_eq!(health(), Health::Healthy);
    }
    *fails.lock() = Some(ErrorKind::AccessDenied);
    ask("b").unwrap_err();
    assert_eq!(health(), Health::Healthy, "it answered about that name");
}

#[test]
fn an_absent_remote_value_has_no_age() {
    let clock = ManualClock::new();
    let config = config()
        .catalog_text("secrets: {a: {default: built-in}, good: {}}")
        .source(Failing(Arc::default()));
    let secrets = Secrets::new(config.clock(&clock)).unwrap();
    secrets.warm_up_blocking();
    clock.advance(Duration::from_secs(7));
    let report = secrets.report();
    let (absent, found) = (&report.secrets[0], &report.secrets[1]);
    assert_eq!(absent.source, SecretSource::Default);
    assert_eq!(
        (absent.age_seconds, absent.next_refresh_seconds),
        (None, None)
    );
    assert!(!absent.not_asked_yet);
    assert_eq!(found.age_seconds, Some(7));
}

#[test]
fn the_error_shows_why_no_store_was_queried_for_a_name() {
    let catalog = "secrets: {here: {}, there: {aws_path: 'ssm:/there'}}";
    let bench = Bench::new(|config| config.catalog_text(catalog));
    let message = |secrets: &Secrets, name: &str| {
        let missing = secrets.get(name).blocking().unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Missing);
        missing.to_string()
    };
    let of = |name: &str| message(&bench.secrets, name);
    assert!(of("thero").contains("aws_ssm (thero: not queried, not in the catalog)"));
    assert!(of("here").contains("aws_ssm (here: not queried, no usable aws_path in the catalog)"));
    assert!(of("there").contains("aws_ssm (/there: not found)"));
    let nowhere = Secrets::new(config().catalog_text(catalog)).unwrap();
    assert!(
        !message(&nowhere, "thero").contains("not queried"),
        "no store is there"
    );
}

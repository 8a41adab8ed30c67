use std::sync::{Arc, Mutex};

use ops_secrets::{ErrorKind, Secrets};

use crate::{Bench, TOKEN_PATH, config};

type Told = Arc<Mutex<Vec<(String, String, bool)>>>;

fn listen(secrets: &Secrets) -> Told {
    let message = Told::default();
    let into = Arc::clone(&message);
    secrets.on_resolved(move |resolved| {
        let line = (
            resolved.name.clone(),
            resolved.secret.expose().to_owned(),
            resolved.retired,
        );
        into.lock().unwrap().push(line);
    });
    message
}

fn line(name: &str, value: &str, retired: bool) -> (String, String, bool) {
    (name.into(), value.into(), retired)
}

#[test]
fn a_listener_hears_what_is_in_use_and_what_is_replaced() {
    let bench = Bench::new(|config| config);
    bench.ssm.set(TOKEN_PATH, "first-value");
    bench.token().unwrap();
    let message = listen(&bench.secrets);
    assert_eq!(
        *message.lock().unwrap(),
        [line("mapbox_token", "first-value", false)]
    );
    bench.ssm.set(TOKEN_PATH, "second-value");
    let fresh = || {
        bench
            .secrets
            .get("MAPBOX_ACCESS_TOKEN")
            .ttl_seconds(0.0)
            .blocking()
            .unwrap()
    };
    fresh();
    fresh();
    let changes = [
        line("mapbox_token", "second-value", false),
        line("mapbox_token", "first-value", true),
    ];
    assert_eq!(message.lock().unwrap()[1..], changes);
}

#[test]
fn a_value_that_another_name_still_has_is_not_retired() {
    let catalog = "secrets: {a_key: {aws_path: /a}, b_key: {aws_path: /b}}";
    let bench = Bench::new(|config| config.catalog_text(catalog));
    let fetch = |name: &str| bench.secrets.get(name).ttl_seconds(0.0).blocking().unwrap();
    bench.ssm.set("/a", "shared-value");
    bench.ssm.set("/b", "shared-value");
    fetch("a_key");
    fetch("b_key");
    let message = listen(&bench.secrets);
    bench.ssm.set("/a", "another-value");
    fetch("a_key");
    let heard = |name, value, retired| {
        message
            .lock()
            .unwrap()
            .contains(&line(name, value, retired))
    };
    assert!(heard("a_key", "another-value", false));
    assert!(!heard("a_key", "shared-value", true));
    bench.ssm.set("/b", "another-value");
    fetch("b_key");
    assert!(heard("b_key", "shared-value", true));
}

#[test]
fn validation_has_the_kind_that_all_failures_share() {
    let catalog = "secrets: {a: {required: true, aws_path: /a}, b: {required: true, aws_path: /b}}";
    let bench = Bench::new(|config| config.catalog_text(catalog));
    bench.ssm.fail("/a", ErrorKind::Throttled);
    bench.ssm.fail("/b", ErrorKind::Throttled);
    let error = bench.secrets.validate_blocking().unwrap_err();
    assert!(
        error.kind() == ErrorKind::Throttled && error.is_retryable(),
        "{error}"
    );
    bench.ssm.set("/a", "value-of-a");
    bench.ssm.remove("/b");
    bench.clock.advance(std::time::Duration::from_secs(60));
    let error = bench.secrets.validate_blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(
        error
            .to_string()
            .contains("1 required secret cannot be resolved: `b`"),
        "{error}"
    );
}

#[test]
fn short_values_defaults_and_what_is_not_sensitive_are_not_reported() {
    let catalog =
        "secrets: {open_token: {sensitive: false}, registry_api_key: {default: a-long-default}}";
    let variables = [
        ("OPEN_TOKEN", "a-public-value"),
        ("SHORT_TOKEN", "1234567"),
        ("DATABASE_HOST", "db.internal"),
        ("CACHE_URL", "redis://cache.internal:6379/0?at=a:b@c"),
        ("GIT_URL", "ssh://git@git.internal"),
        ("OTHER_TOKEN", "a-secret-value"),
        ("DATABASE_URL", "postgres://app:hunter2@db.internal/shop"),
    ];
    let secrets = Secrets::new(config().catalog_text(catalog).environment(variables)).unwrap();
    let message = listen(&secrets);
    for name in [
        "open_token",
        "SHORT_TOKEN",
        "DATABASE_HOST",
        "CACHE_URL",
        "GIT_URL",
        "OTHER_TOKEN",
        "DATABASE_URL",
        "registry_api_key",
    ] {
        secrets.get(name).blocking().unwrap();
    }
    let url = "postgres://app:hunter2@db.internal/shop";
    assert_eq!(
        *message.lock().unwrap(),
        [
            line("OTHER_TOKEN", "a-secret-value", false),
            line("DATABASE_URL", url, false),
        ]
    );
}

#[test]
fn a_url_with_a_password_is_reported_whatever_it_is_called() {
    let reports = |value: &'static str| {
        let secrets = Secrets::new(config().environment([("BACKEND_URL", value)])).unwrap();
        let message = listen(&secrets);
        secrets.get("BACKEND_URL").blocking().unwrap();
        let message = message.lock().unwrap();
        *message == [line("BACKEND_URL", value, false)]
    };
    for value in [
        "postgres://app:hunter2@db.internal/shop",
        "postgres://app:pa/ss@db.internal/shop",
        "postgres://app:pa?ss@db.internal",
        "postgres://app:p@ss#word@db.internal",
        "redis://a.internal,redis://:hunter2@b.internal",
        "redis://a.internal:6379 redis://:hunter2@b.internal",
        "postgres://db:db@a.internal,postgres://app:hunter2@b.internal",
    ] {
        assert!(reports(value), "{value}");
    }
    for value in [
        "postgres://postgres:postgres@db.internal/shop",
        "postgres://app:@db.internal/shop",
        "https://db.internal:8080/a@b",
        "http://[::1]:8080/a:b@c",
        "http://[::1]/a:b@c",
        "mongodb://a.internal:1,b.internal:2/?mail=a:b@c",
        "https://www.internal/a:b@c",
        "https://www.internal and a:b@c",
    ] {
        assert!(!reports(value), "{value}");
    }
}

#[test]
fn a_value_of_many_urls_is_looked_at_once() {
    for value in [
        "redis://cache.internal:6379,".repeat(20_000),
        "postgres://db:db@".repeat(30_000),
        "a://".repeat(100_000) + "b@",
    ] {
        let secrets = Secrets::new(config().environment([("NODES", value)])).unwrap();
        let message = listen(&secrets);
        let begin = std::time::Instant::now();
        secrets.get("NODES").blocking().unwrap();
        let took = begin.elapsed();
        assert!(took < std::time::Duration::from_secs(30), "{took:?}");
        assert!(message.lock().unwrap().is_empty());
    }
}

#[test]
fn validation_names_all_missing_required_secrets_in_one_error() {
    let catalog = "secrets: {a: {required: true}, b: {required: true, aws_path: /b}, c: {}}";
    let bench = Bench::new(|config| config.catalog_text(catalog));
    let error = bench.secrets.validate_blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    let message = error.to_string();
    assert!(
        message.contains("2 required secrets cannot be resolved: `a`, `b`"),
        "{message}"
    );
}

#[test]
fn a_secret_shows_itself_through_one_door_and_compares_by_value() {
    let secrets = Secrets::new(config().environment([
        ("A_KEY", "planted"),
        ("B_KEY", "planted"),
        ("C_KEY", "other"),
    ]))
    .unwrap();
    let [a, b, c] = ["A_KEY", "B_KEY", "C_KEY"].map(|name| secrets.get(name).blocking().unwrap());
    assert_eq!(
        format!("{a} {a:?} {a:#?} {a:>30}"),
        "[REDACTED] [REDACTED] [REDACTED] [REDACTED]"
    );
    assert!(a == b && a != c && a.ct_eq("planted") && !a.ct_eq("planteD") && !a.ct_eq("plant"));
}

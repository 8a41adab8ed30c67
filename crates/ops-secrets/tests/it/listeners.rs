//! Listeners are foreign code: no lookup depends on them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ops_secrets::{SecretSource, Secrets};

use crate::{Bench, SOON, TOKEN_PATH, config};

#[test]
fn a_listener_that_panics_costs_no_lookup_and_no_other_listener() {
    // a caller that waits because of a panic gets an error after this time
    let deadline = SOON;
    let bench = Bench::new(|config| config.deadline(deadline));
    bench.ssm.set(TOKEN_PATH, "first-value");
    let heard = Arc::new(AtomicUsize::new(0));
    bench.secrets.on_resolved(|_| panic!("planted"));
    bench.secrets.on_resolved_batch(|_| panic!("planted"));
    let counting = Arc::clone(&heard);
    bench.secrets.on_resolved(move |_| {
        counting.fetch_add(1, Ordering::Relaxed);
    });
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let secret = bench.token().unwrap();
                assert_eq!(secret.expose(), "first-value");
            });
        }
    });
    assert_eq!(heard.load(Ordering::Relaxed), 1, "announced once");
    bench.ssm.set(TOKEN_PATH, "second-value");
    bench.secrets.invalidate("mapbox_token");
    bench.secrets.warm_up_blocking();
    assert_eq!(
        heard.load(Ordering::Relaxed),
        3,
        "the new one, and the end of the old one"
    );
    assert_eq!(bench.secrets.stats().listener_failures, 4);
}

#[test]
fn a_listener_may_ask_for_any_secret_on_any_thread() {
    let bench = Bench::new(|config| {
        config
            .environment([("OTHER_TOKEN", "other-value")])
            // a caller and a listener that wait for each other continue after this time
            .deadline(Duration::from_secs(1))
    });
    bench.ssm.set(TOKEN_PATH, "first-value");
    bench
        .sm
        .set("kearney-platform/prod/registry_api_key", "a-long-key");
    let secrets = bench.secrets.clone();
    bench.secrets.on_resolved(move |_| {
        for name in ["mapbox_token", "registry_api_key", "OTHER_TOKEN"] {
            secrets.get(name).blocking().unwrap();
            let secrets = secrets.clone();
            let elsewhere = std::thread::spawn(move || secrets.get(name).blocking().unwrap());
            elsewhere.join().unwrap();
        }
    });
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| bench.token().unwrap());
        }
    });
    let known = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&known);
    bench.secrets.on_resolved_batch(move |batch| {
        let names = batch.iter().map(|resolved| resolved.name.clone());
        into.lock().unwrap().extend(names);
    });
    bench.secrets.get("registry_api_key").blocking().unwrap();
    assert!(
        known
            .lock()
            .unwrap()
            .contains(&"registry_api_key".to_owned())
    );
}

#[test]
fn a_value_is_announced_before_anybody_gets_it() {
    let bench = Bench::new(|config| config);
    bench.ssm.set(TOKEN_PATH, "first-value");
    let announced = Arc::new(Mutex::new(std::collections::HashSet::new()));
    let into = Arc::clone(&announced);
    bench.secrets.on_resolved(move |resolved| {
        std::thread::yield_now();
        into.lock()
            .unwrap()
            .insert(resolved.secret.expose().to_owned());
    });
    for round in 0..50 {
        let value = format!("value-number-{round}");
        bench.ssm.set(TOKEN_PATH, &value);
        bench.secrets.invalidate("mapbox_token");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let secret = bench.token().unwrap();
                    assert!(announced.lock().unwrap().contains(secret.expose()));
                });
            }
        });
    }
}

#[test]
fn ten_thousand_secrets_are_announced_in_one_batch_and_in_linear_time() {
    let count = 10_000;
    let lines: String = (0..count)
        .map(|n| format!("  s{n}: {{aws_path: /a/s{n}, required: true}}\n"))
        .collect();
    let bench = Bench::new(|config| {
        config
            .catalog_text(format!("secrets:\n{lines}"))
            .deadline(SOON)
    });
    let set = |word: &str| {
        for n in 0..count {
            bench
                .ssm
                .set(&format!("/a/s{n}"), &format!("{word}-value-{n}"));
        }
    };
    set("first");
    let batches = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&batches);
    bench
        .secrets
        .on_resolved_batch(move |batch| into.lock().unwrap().push(batch.len()));
    let start = Instant::now();
    bench.secrets.validate_blocking().unwrap();
    set("second");
    for n in 0..count {
        bench.secrets.invalidate(&format!("s{n}"));
    }
    bench.secrets.validate_blocking().unwrap();
    println!("{:?}", start.elapsed());
    assert_eq!(*batches.lock().unwrap(), [count, 2 * count]);
    // a quadratic step would take minutes
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn an_optional_missing_secret_is_none_or_an_error_that_calls_it_not_found() {
    let catalog = "secrets: {a: {aws_path: /a, required: false}, b: {required: true}}";
    let bench = Bench::new(|config| config.catalog_text(catalog));
    assert!(
        bench
            .secrets
            .get("a")
            .optional_blocking()
            .unwrap()
            .is_none()
    );
    let message = bench.secrets.get("a").blocking().unwrap_err().to_string();
    assert!(
        message.contains("`a` was not found") && !message.contains("required"),
        "{message}"
    );
    let message = bench.secrets.get("b").blocking().unwrap_err().to_string();
    assert!(message.contains("`b` is required and missing"), "{message}");
    assert_eq!(
        bench.secrets.get("a").source_blocking().unwrap(),
        SecretSource::Missing
    );
    let uncataloged = Secrets::new(config()).unwrap();
    let message = uncataloged.get("C").blocking().unwrap_err().to_string();
    assert!(message.contains("was not found"), "{message}");
}

#[test]
fn names_that_sound_like_secrets_are_announced_and_others_are_not() {
    let secret = [
        "DB_PASS",
        "db.pass",
        "PASS",
        "SMTP_PWD",
        "GPG_PASSPHRASE",
        "DOOR_PASSCODE",
        "JWT",
        "SESSION_COOKIE",
        "DB_CONNECTION_STRING",
    ];
    let plain = ["COMPASS_URL", "BYPASS", "PASSENGER_NAME", "COOKIE_DOMAIN"];
    let names = || secret.iter().chain(&plain);
    let variables = names().map(|name| (*name, format!("the value of {name}")));
    let secrets = Secrets::new(config().environment(variables)).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&heard);
    secrets.on_resolved(move |resolved| into.lock().unwrap().push(resolved.name.clone()));
    for name in names() {
        secrets.get(name).blocking().unwrap();
    }
    assert_eq!(*heard.lock().unwrap(), secret);
}

/// Subscriber of log events that panics on each event.
struct Broken;

impl tracing::Subscriber for Broken {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        panic!("planted");
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_subscriber_that_panics_costs_no_resolver() {
    let made = tracing::subscriber::with_default(Broken, || Secrets::new(config()));
    assert!(made.is_ok());
}

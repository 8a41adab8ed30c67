use std::sync::{Arc, Mutex};

use ops_secrets::{ErrorKind, Secrets};
use proptest::prelude::*;

use crate::{Bench, TOKEN_PATH, config};

type Told = Arc<Mutex<Vec<(String, String, bool)>>>;

fn listen(secrets: &Secrets) -> Told {
    let told = Told::default();
    let into = Arc::clone(&told);
    secrets.on_resolved(move |resolved| {
        let line = (
            resolved.name.clone(),
            resolved.secret.expose().to_owned(),
            resolved.retired,
        );
        into.lock().unwrap().push(line);
    });
    told
}

fn line(name: &str, value: &str, retired: bool) -> (String, String, bool) {
    (name.into(), value.into(), retired)
}

#[test]
fn a_listener_hears_what_is_in_use_and_what_is_replaced() {
    let bench = Bench::new(|config| config);
    bench.ssm.set(TOKEN_PATH, "first-value");
    bench.secrets.get("mapbox_token").blocking().unwrap();
    let told = listen(&bench.secrets);
    assert_eq!(
        *told.lock().unwrap(),
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
    assert_eq!(told.lock().unwrap()[1..], changes);
}

#[test]
fn short_values_defaults_and_what_is_not_sensitive_are_not_told() {
    let catalogue =
        "secrets: {open_token: {sensitive: false}, registry_api_key: {default: a-long-default}}";
    let variables = [
        ("OPEN_TOKEN", "a-public-value"),
        ("SHORT_TOKEN", "1234567"),
        ("DATABASE_HOST", "db.internal"),
        ("OTHER_TOKEN", "a-secret-value"),
    ];
    let secrets = Secrets::new(config().catalogue_text(catalogue).environment(variables)).unwrap();
    let told = listen(&secrets);
    for name in [
        "open_token",
        "SHORT_TOKEN",
        "DATABASE_HOST",
        "OTHER_TOKEN",
        "registry_api_key",
    ] {
        secrets.get(name).blocking().unwrap();
    }
    assert_eq!(
        *told.lock().unwrap(),
        [line("OTHER_TOKEN", "a-secret-value", false)]
    );
}

#[test]
fn validation_names_all_missing_required_secrets_in_one_error() {
    let catalogue = "secrets: {a: {required: true}, b: {required: true, aws_path: /b}, c: {}}";
    let bench = Bench::new(|config| config.catalogue_text(catalogue));
    let error = bench.secrets.validate_blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    let told = error.to_string();
    assert!(
        told.contains("2 required secrets cannot be had: `a`, `b`"),
        "{told}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// The marker's letters are in no message of ours.
    #[test]
    fn a_planted_value_is_in_no_text_of_ours(tail in "[QXZ]{6,40}", place in 0_usize..5) {
        let planted = format!("QXZ{tail}");
        let folder = tempfile::tempdir().unwrap();
        let dotenv = folder.path().join(".env");
        let quoted = format!("MAPBOX_ACCESS_TOKEN=\"{planted}\n{planted}\nREGISTRY_API_KEY={planted}\n");
        std::fs::write(&dotenv, quoted).unwrap();
        let json = format!("{{\"other\": \"{planted}\"}}");
        let bench = Bench::new(|config| {
            let config = config.dotenv(&dotenv).production(place == 1);
            match place {
                0 => config.environment([("MAPBOX_ACCESS_TOKEN", &planted), ("REGISTRY_API_KEY", &planted)]),
                1 => config.catalogue_text(format!("secrets: {{mapbox_token: {{required: true, default: {planted}}}}}")),
                2 => config.catalogue_text("secrets: {mapbox_token: {aws_path: '/kearney-platform/prod/mapbox_token#a.b'}}"),
                _ => config,
            }
        });
        bench.ssm.set(TOKEN_PATH, if place == 2 { &json } else { &planted });
        if place == 3 {
            bench.ssm.remove(TOKEN_PATH);
        }
        let (lines, subscriber) = capture();
        let told = tracing::subscriber::with_default(subscriber, || {
            let mut told = String::new();
            for name in ["mapbox_token", "registry_api_key", "MAPBOX_ACCESS_TOKEN", &format!("{planted}/"), "X_TOKEN"] {
                let asked = bench.secrets.get(name).ttl_seconds(0.0).blocking();
                told += &format!("{asked:?} {:?}", asked.as_ref().map(ToString::to_string));
                told += &asked.err().map(|error| format!("{error} {error:?} {:?}", error.tried())).unwrap_or_default();
            }
            let report = bench.secrets.report();
            told += &format!("{report} {report:?} {} {:?}", serde_json::to_string(&report).unwrap(), bench.secrets.stats());
            told += &format!("{:?} {:?}", bench.secrets, bench.secrets.validate_blocking());
            told
        });
        prop_assert!(!told.contains("QXZ"), "{}", told);
        let lines = lines.lock().unwrap();
        prop_assert!(!lines.contains("QXZ"), "{}", lines);
    }
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

/// All events of this thread, as text.
fn capture() -> (Arc<Mutex<String>>, impl tracing::Subscriber) {
    struct Lines(Arc<Mutex<String>>);
    impl tracing::field::Visit for Lines {
        fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
            *self.0.lock().unwrap() += &format!("{field}={value:?} ");
        }
    }
    impl tracing::Subscriber for Lines {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            metadata.target() == "ops_secrets"
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            event.record(&mut Lines(Arc::clone(&self.0)));
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }
    let lines = Arc::new(Mutex::new(String::new()));
    (Arc::clone(&lines), Lines(lines))
}

//! Values that change while they are in use.

use std::sync::RwLock;
use std::time::Duration;

use ops_secrets::testing::MemorySource;
use ops_secrets::{AwsMode, ErrorKind, MIN_REFRESH_INTERVAL};

use crate::{Bench, SOON, TOKEN_PATH};

#[test]
fn a_password_that_changes_a_hundred_times_fails_no_query() {
    let bench = Bench::new(|config| config);
    let server = RwLock::new("password-0".to_owned());
    bench.ssm.set(TOKEN_PATH, "password-0");
    let is_accepted = |secret: &ops_secrets::Secret| *server.read().unwrap() == secret.expose();
    let query = || {
        let secret = bench.token().unwrap();
        if is_accepted(&secret) {
            return;
        }
        let next = bench.secrets.refresh_after_failure_blocking("mapbox_token");
        assert!(is_accepted(&next.unwrap()));
    };
    query();
    for change in 1..=100 {
        let new = format!("password-{change}");
        bench.ssm.set(TOKEN_PATH, &new);
        *server.write().unwrap() = new;
        bench.clock.advance(MIN_REFRESH_INTERVAL);
        let before = bench.ssm.calls().len();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(query);
            }
        });
        assert_eq!(bench.ssm.calls().len(), before + 1, "one lookup for all");
    }
}

#[test]
fn a_refresh_asks_at_most_once_per_interval_and_keeps_a_value_that_is_fresh() {
    let bench = Bench::new(|config| config);
    bench.ssm.set(TOKEN_PATH, "first-value");
    let refresh = || bench.secrets.refresh_after_failure_blocking("mapbox_token");
    for _ in 0..5 {
        assert_eq!(refresh().unwrap().expose(), "first-value");
    }
    assert_eq!(bench.ssm.calls().len(), 1);
    bench.clock.advance(MIN_REFRESH_INTERVAL);
    bench.ssm.fail(TOKEN_PATH, ErrorKind::Throttled);
    assert_eq!(refresh().unwrap().expose(), "first-value");
    assert_eq!(bench.ssm.calls().len(), 2);
    bench.clock.advance(MIN_REFRESH_INTERVAL);
    bench.ssm.fail(TOKEN_PATH, ErrorKind::AccessDenied);
    assert_eq!(refresh().unwrap_err().kind(), ErrorKind::AccessDenied);
}

#[test]
fn a_watch_yields_the_value_and_then_each_change() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mapbox_token");
    let write = |text: &str| {
        let new = folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &file).unwrap();
    };
    let bench = Bench::new(|config| config.secrets_folder(folder.path()));
    let mut watch = bench.secrets.watch("mapbox_token");
    watch = watch.every(Duration::from_millis(2));
    assert!(watch.changed_blocking(Duration::from_millis(20)).is_none());
    let limit = SOON;
    for value in ["first-value", "second-value", "third-value"] {
        write(value);
        assert_eq!(watch.changed_blocking(limit).unwrap().expose(), value);
    }
    assert!(watch.changed_blocking(Duration::from_millis(20)).is_none());
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.unwrap().block_on(watch.changed())
        });
        write("fourth-value");
        assert_eq!(asking.join().unwrap().expose(), "fourth-value");
    });
}

#[test]
fn a_watch_takes_no_default_for_a_value_of_an_aws_that_cannot_be_asked() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Unauthenticated] {
        let bench = Bench::new(|config| {
            let catalog = "secrets: {a: {aws_path: 'ssm:/a', default: built-in}}";
            let config = config.catalog_text(catalog).aws(AwsMode::Auto);
            config.environment([("AWS_PROFILE", "some")])
        });
        let mut watch = bench.secrets.watch("a").every(Duration::from_millis(1));
        let mut next = |limit| {
            let changed = watch.changed_blocking(Duration::from_millis(limit));
            changed.map(|secret| secret.expose().to_owned())
        };
        bench.ssm.fail("/a", kind);
        assert_eq!(next(60_000).unwrap(), "built-in", "nothing was known");
        bench.ssm.set("/a", "first-value");
        bench.clock.advance(Duration::from_secs(90));
        assert_eq!(next(60_000).unwrap(), "first-value");
        bench.ssm.fail("/a", kind);
        bench.clock.advance(Duration::from_secs(5000));
        assert_eq!(
            bench.secrets.get("a").blocking().unwrap().expose(),
            "built-in"
        );
        assert_eq!(next(20), None);
        bench.ssm.set("/a", "second-value");
        bench.clock.advance(Duration::from_secs(90));
        assert_eq!(next(60_000).unwrap(), "second-value");
        bench.ssm.remove("/a");
        bench.clock.advance(Duration::from_secs(5000));
        assert_eq!(next(60_000).unwrap(), "built-in", "AWS has none any more");
    }
}

#[test]
fn a_watch_takes_no_value_of_a_store_for_that_of_an_aws_that_cannot_be_asked() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Unauthenticated] {
        let store = MemorySource::new();
        let bench = Bench::new(|config| {
            let config = config.catalog_text("secrets: {a: {aws_path: 'ssm:/a', path: a}}");
            let config = config.aws(AwsMode::Auto).source(store.clone());
            config.environment([("AWS_PROFILE", "some")])
        });
        store.set("a", "of-the-store");
        let mut watch = bench.secrets.watch("a").every(Duration::from_millis(1));
        let mut next = |limit| {
            let changed = watch.changed_blocking(Duration::from_millis(limit));
            changed.map(|secret| secret.expose().to_owned())
        };
        bench.ssm.fail("/a", kind);
        assert_eq!(next(60_000).unwrap(), "of-the-store", "nothing was known");
        bench.ssm.set("/a", "first-value");
        bench.clock.advance(Duration::from_secs(5000));
        assert_eq!(next(60_000).unwrap(), "first-value");
        bench.ssm.fail("/a", kind);
        bench.clock.advance(Duration::from_secs(5000));
        let asked = bench.secrets.get("a").blocking().unwrap();
        assert_eq!(asked.expose(), "of-the-store");
        assert_eq!(next(20), None);
        bench.ssm.set("/a", "second-value");
        bench.clock.advance(Duration::from_secs(5000));
        assert_eq!(next(60_000).unwrap(), "second-value");
        bench.ssm.remove("/a");
        bench.clock.advance(Duration::from_secs(5000));
        assert_eq!(
            next(60_000).unwrap(),
            "of-the-store",
            "AWS has none any more"
        );
    }
}

#[test]
fn a_json_secret_is_read_into_a_type_and_a_wrong_one_is_not_repeated() {
    #[derive(serde::Deserialize)]
    struct Login {
        user: String,
        port: u16,
    }
    let bench = Bench::new(|config| config);
    let read = || bench.secrets.get_as_blocking::<Login>("mapbox_token");
    bench
        .ssm
        .set(TOKEN_PATH, "{\"user\": \"ada\", \"port\": 5432}");
    let login = read().unwrap();
    assert_eq!((login.user.as_str(), login.port), ("ada", 5432));
    for text in [
        "{\"user\": \"ada\", \"port\": \"planted\"}",
        "planted",
        "{\"planted\": 1}",
    ] {
        bench.ssm.set(TOKEN_PATH, text);
        bench.secrets.invalidate("mapbox_token");
        let Err(error) = read() else {
            panic!("{text} was read")
        };
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(!format!("{error} {error:?}").contains("planted"), "{error}");
    }
}

#[test]
fn the_longest_times_are_times_too() {
    let bench = Bench::new(|config| config);
    bench.ssm.set(TOKEN_PATH, "first-value");
    let mut watch = bench.secrets.watch("mapbox_token").every(Duration::MAX);
    let first = watch.changed_blocking(Duration::MAX).unwrap();
    assert_eq!(first.expose(), "first-value");
    assert!(watch.changed_blocking(Duration::from_millis(1)).is_none());
    let asked = bench.secrets.get("mapbox_token").ttl(Duration::MAX);
    assert_eq!(asked.blocking().unwrap_err().kind(), ErrorKind::Config);
}

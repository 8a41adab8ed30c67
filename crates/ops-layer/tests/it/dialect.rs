//! Five crates, one dialect: starting, configuring, waiting, failing and shutting
//! down have the same shape in each, as described under "The same in every crate" in
//! docs/architecture.md. Each part has its own handle here, beside the process's.

use std::error::Error;
use std::time::Duration;

use ops_layer::cache::Cache;
use ops_layer::log::Pipeline;
use ops_layer::metrics::testing::Registry;
use ops_layer::secrets::Secrets;
use ops_layer::trace::Tracer;
use ops_layer::{cache, log, metrics, secrets, trace};

const BUDGET: Duration = Duration::from_secs(10);

/// Returns the text of each cause, the outermost first.
fn causes(error: &dyn Error) -> Vec<String> {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect()
}

/// Configures each part from a text, starts it, uses it, waits for it with a limit, and shuts it down.
#[tokio::test]
async fn each_is_a_config_a_handle_and_an_end_with_a_limit() {
    let folder = tempfile::tempdir().unwrap();

    let config: log::Config = serde_yaml::from_str("{ level: info, stdout: false }").unwrap();
    let pipeline = Pipeline::new(config).unwrap();
    log::info!(pipeline.root(), "used");
    assert!(pipeline.flush(BUDGET));
    assert_eq!(pipeline.recent(1).len(), 1);

    let config: trace::Config = serde_yaml::from_str("{ sampling_ratio: 1 }").unwrap();
    let config = config.service_name("it").endpoint("http://127.0.0.1:9");
    let tracer = Tracer::new(config).unwrap();
    trace::span!(tracer: tracer, "used").in_scope(|_| {});
    // nothing listens there: the span is counted as dropped, within the limit
    assert_eq!(tracer.shutdown(BUDGET).await.dropped(), 1);

    let config: metrics::Config = serde_yaml::from_str("{ series_max: 10 }").unwrap();
    let registry = Registry::with(&config).unwrap();
    registry.run(|| metrics::catalog::cache_hits_total("query").inc());
    assert!(registry.render().contains("cache_hits_total"));

    let config: secrets::Config = serde_yaml::from_str("{ aws: off, ttl_seconds: 60 }").unwrap();
    let config = config.catalog_text("secrets: {}");
    let secrets = Secrets::new(config.environment([("DIALECT", "a value")])).unwrap();
    // one lazy value: awaited, or blocked on
    assert_eq!(secrets.get("DIALECT").await.unwrap().expose(), "a value");
    assert_eq!(
        secrets.get("DIALECT").blocking().unwrap().expose(),
        "a value"
    );

    let text = "query_cache: { max_size_mb: 1 }";
    let config: cache::Config = serde_yaml::from_str(text).unwrap();
    let cache = Cache::open_with(folder.path(), &config).unwrap();
    assert!(cache.flush(BUDGET));
}

/// Refuses an unknown key with the key, its line, and the known keys.
#[test]
fn each_refuses_an_unknown_key_with_its_line_and_the_known_ones() {
    let text = "\nnowhere: 1\n";
    let refused = [
        serde_yaml::from_str::<log::Config>(text).err(),
        serde_yaml::from_str::<trace::Config>(text).err(),
        serde_yaml::from_str::<metrics::Config>(text).err(),
        serde_yaml::from_str::<secrets::Config>(text).err(),
        serde_yaml::from_str::<cache::Config>(text).err(),
    ];
    for error in refused {
        let error = error.unwrap().to_string();
        for part in ["unknown field `nowhere`", "expected", "line 2"] {
            assert!(error.contains(part), "{error}");
        }
    }
}

/// Fails the start for an invalid setting, with a message that names it and repeats no cause.
#[test]
fn each_fails_at_the_start_with_an_error_that_names_the_setting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below_a_file = file.join("below");

    let log = Pipeline::new(log::Config::new().stdout(false).file(&below_a_file)).unwrap_err();
    let trace = Tracer::new(trace::Config::new("it").sampling_ratio(2.0)).unwrap_err();
    let metrics = Registry::with(&metrics::Config::new().series_max(0)).unwrap_err();
    let secrets = secrets::Config::default().catalog_text("secrets: {}");
    let secrets = Secrets::new(secrets.ttl(Duration::ZERO)).unwrap_err();
    let cache = Cache::open_with(&below_a_file, &cache::Config::default()).unwrap_err();

    assert_eq!(log.kind(), log::ErrorKind::Io);
    assert_eq!(trace.kind(), trace::ErrorKind::Config);
    assert_eq!(metrics.kind(), metrics::ErrorKind::Config);
    assert_eq!(secrets.kind(), secrets::ErrorKind::Config);
    assert_eq!(cache.kind(), cache::ErrorKind::Io);
    let _: [&(dyn Error + Send + Sync); 5] = [
        &log as &log::Error,
        &trace as &trace::Error,
        &metrics as &metrics::Error,
        &secrets as &secrets::Error,
        &cache as &cache::Error,
    ];
    let all: [(&dyn Error, &str); 5] = [
        (&log, "file"),
        (&trace, "2"),
        (&metrics, "0"),
        (&secrets, "ttl_seconds"),
        (&cache, "file"),
    ];
    for (error, names) in all {
        let causes = causes(error);
        assert!(causes[0].contains(names), "{causes:?}");
        assert!(
            causes[0].chars().next().is_some_and(|c| !c.is_uppercase()),
            "{causes:?}"
        );
        for pair in causes.windows(2) {
            assert!(!pair[0].contains(&pair[1]), "a cause twice: {causes:?}");
        }
    }
}

/// Refuses a second start of the process's own part. A second configuration
/// of the log is applied, because existing loggers have to follow it.
#[test]
fn a_second_start_in_the_process_is_an_error_that_leaves_the_first_at_work() {
    let ops = &*crate::OPS;
    let again = trace::init(trace::Config::new("again")).unwrap_err();
    assert!(again.to_string().contains("already"), "{again}");
    let again = secrets::init(secrets::Config::default()).unwrap_err();
    assert!(again.to_string().contains("already"), "{again}");
    let again = metrics::init(metrics::Config::new()).unwrap_err();
    assert!(again.to_string().contains("already"), "{again}");
    let again = cache::init(&cache::Config::default()).unwrap_err();
    assert!(again.to_string().contains("already"), "{again}");
    let again = cache::install(ops.cache().clone()).unwrap_err();
    assert!(again.to_string().contains("already"), "{again}");
    assert!(trace::global().is_some());
    assert!(secrets::global().is_ok());
}

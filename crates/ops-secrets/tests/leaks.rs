//! A planted value appears in no text of this crate. In a separate program, because it listens
//! to the events of the whole process: most lookups happen on a thread that no test owns.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use ops_secrets::testing::{ManualClock, MemorySource};
use ops_secrets::{
    AwsMode, Config, ErrorKind, FolderSource, SecretError, SecretSource, Secrets, Source,
    SourceFuture, SourceValue,
};
use proptest::prelude::*;

const TOKEN: &str = "/kearney-platform/prod/mapbox_token";
const KEY: &str = "kearney-platform/prod/registry_api_key";
/// Start of a planted value. No message of this crate contains it, and
/// it is longer than the random letters in names of temporary folders.
const MARK: &str = "QXZplanted";

static EVENTS: LazyLock<Arc<Mutex<String>>> = LazyLock::new(|| {
    let lines = Arc::new(Mutex::new(String::new()));
    tracing::subscriber::set_global_default(Lines(Arc::clone(&lines))).unwrap();
    lines
});

#[derive(Clone, Copy, Debug)]
enum Place {
    Environment,
    NotText,
    Parameter,
    SecretsManager,
    Json,
    NoJson,
    FileLine,
    OpenQuote,
    AfterQuote,
    Export,
    CatalogDefault,
    CatalogInPlaceOfSettings,
    CatalogWrongType,
    CallersDefault,
    Name,
    Failing,
}

const PLACES: [Place; 16] = [
    Place::Environment,
    Place::NotText,
    Place::Parameter,
    Place::SecretsManager,
    Place::Json,
    Place::NoJson,
    Place::FileLine,
    Place::OpenQuote,
    Place::AfterQuote,
    Place::Export,
    Place::CatalogDefault,
    Place::CatalogInPlaceOfSettings,
    Place::CatalogWrongType,
    Place::CallersDefault,
    Place::Name,
    Place::Failing,
];

struct World {
    secrets: Result<Secrets, SecretError>,
    config: String,
    clock: ManualClock,
    ssm: MemorySource,
    _folder: tempfile::TempDir,
}

fn world(place: Place, planted: &str, production: bool) -> World {
    let folder = tempfile::tempdir().unwrap();
    let (ssm, sm, clock) = (MemorySource::new(), MemorySource::new(), ManualClock::new());
    let file = folder.path().join(".env");
    let line = match place {
        Place::FileLine => {
            format!("MAPBOX_ACCESS_TOKEN={planted}\nMAPBOX_ACCESS_TOKEN={planted}\n")
        }
        Place::OpenQuote => {
            format!("MAPBOX_ACCESS_TOKEN=\"{planted}\n{planted}=\n{planted}=\nB=1\n")
        }
        Place::AfterQuote => {
            format!("MAPBOX_ACCESS_TOKEN=\"x\"{planted}\n{planted}\n{planted}+/=\n")
        }
        Place::Export => format!(
            "export MAPBOX_ACCESS_TOKEN='{planted}'\nREGISTRY_API_KEY=${{MAPBOX_ACCESS_TOKEN}}\n"
        ),
        _ => String::new(),
    };
    std::fs::write(&file, line).unwrap();
    let in_environment = match place {
        Place::Environment => vec![
            ("MAPBOX_ACCESS_TOKEN", planted.into()),
            ("API_TOKEN", planted.into()),
        ],
        Place::NotText => vec![("MAPBOX_ACCESS_TOKEN", not_text(planted))],
        _ => Vec::new(),
    };
    match place {
        Place::Parameter | Place::Failing => ssm.set(TOKEN, planted),
        Place::SecretsManager => sm.set(KEY, planted),
        Place::Json => ssm.set(
            TOKEN,
            &format!("{{\"a\": {{\"b\": \"{planted}\"}}, \"other\": \"{planted}\"}}"),
        ),
        Place::NoJson => ssm.set(TOKEN, planted),
        _ => {}
    }
    let catalog = match place {
        Place::Json | Place::NoJson => format!(
            "secrets: {{mapbox_token: {{env_var: MAPBOX_ACCESS_TOKEN, aws_path: '{TOKEN}#a.b'}}}}"
        ),
        Place::CatalogDefault => {
            format!("secrets: {{mapbox_token: {{required: true, default: \"{planted}\"}}}}")
        }
        Place::CatalogInPlaceOfSettings => format!("secrets: {{mapbox_token: {planted}}}"),
        Place::CatalogWrongType => format!("secrets: {{mapbox_token: {{required: {planted}}}}}"),
        _ => include_str!("../../../configs/secrets.yaml").to_owned(),
    };
    let config = Config::default()
        .catalog_text(catalog)
        .environment(in_environment);
    let config = config.dotenv(&file).aws(AwsMode::On).production(production);
    let config = config.sources(&ssm, &sm).clock(&clock);
    World {
        config: format!("{config:?}"),
        secrets: Secrets::new(config),
        clock,
        ssm,
        _folder: folder,
    }
}

fn not_text(planted: &str) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec([planted.as_bytes(), &[0xff]].concat())
}

/// Returns everything that a user can print.
fn everything(world: &World, place: Place, planted: &str) -> String {
    let mut reported = world.config.clone();
    let secrets = match &world.secrets {
        Ok(secrets) => secrets,
        Err(error) => return reported + &format!("{error} {error:?} {error:#?}"),
    };
    let name = format!("{planted}/");
    let default = if matches!(place, Place::CallersDefault) {
        planted
    } else {
        "none"
    };
    let wrong = if matches!(place, Place::Name) {
        &name
    } else {
        "B"
    };
    secrets.on_resolved(|resolved| tracing::info!(target: "ops_secrets", ?resolved, "heard"));
    for round in 0..3 {
        for name in [
            "mapbox_token",
            "registry_api_key",
            "MAPBOX_ACCESS_TOKEN",
            "API_TOKEN",
            wrong,
        ] {
            let asked = secrets
                .get(name)
                .or(default)
                .ttl_seconds(f64::from(round))
                .blocking();
            write!(
                reported,
                "{asked:?} {asked:#?} {:?}",
                asked.as_ref().map(ToString::to_string)
            )
            .unwrap();
            if let Err(error) = asked {
                write!(
                    reported,
                    "{error} {:?} {}",
                    error.tried(),
                    serde_json::to_string(error.tried()).unwrap()
                )
                .unwrap();
            }
            write!(reported, "{:?}", secrets.get(name).source_blocking()).unwrap();
        }
        let report = secrets.report();
        let json = serde_json::to_string(&report).unwrap();
        let stats = serde_json::to_string(&secrets.stats()).unwrap();
        write!(
            reported,
            "{report} {report:?} {json} {stats} {:?}",
            secrets.stats()
        )
        .unwrap();
        write!(reported, "{secrets:?} {:?}", secrets.validate_blocking()).unwrap();
        world.clock.advance(Duration::from_secs(400));
        if matches!(place, Place::Failing) {
            let kind = if round == 0 {
                ErrorKind::Transient
            } else {
                ErrorKind::AccessDenied
            };
            world.ssm.fail(TOKEN, kind);
        }
    }
    reported + &metrics_of(secrets)
}

/// Returns names and labels of all metrics.
fn metrics_of(secrets: &Secrets) -> String {
    let recorder = Keys::default();
    metrics::with_local_recorder(&recorder, || secrets.publish_metrics());
    let keys = recorder.0.lock().unwrap().clone();
    assert!(keys.contains("secrets_lookups_total"), "{keys}");
    keys
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_planted_value_is_in_no_text_of_ours(tail in "[A-Za-z0-9]{6,40}", place in 0..PLACES.len(), production: bool) {
        let events = Arc::clone(&EVENTS);
        let planted = format!("{MARK}{tail}");
        let place = PLACES[place];
        let world = world(place, &planted, production);
        let reported = everything(&world, place, &planted);
        prop_assert!(!reported.contains(MARK), "{:?}: {}", place, reported);
        let lines = events.lock().unwrap();
        prop_assert!(!lines.contains(MARK), "{:?}: {}", place, lines);
    }
}

#[test]
fn the_listener_of_these_tests_hears_the_lookup_thread() {
    let events = Arc::clone(&EVENTS);
    let world = world(Place::Failing, "any", false);
    world.ssm.fail(TOKEN, ErrorKind::Throttled);
    world
        .secrets
        .unwrap()
        .get("mapbox_token")
        .blocking()
        .unwrap_err();
    let lines = events.lock().unwrap();
    assert!(lines.contains("injected: throttled"), "{lines}");
}

#[test]
fn a_failure_is_logged_whatever_failed_before_it() {
    let events = Arc::clone(&EVENTS);
    let (ssm, sm, clock) = (MemorySource::new(), MemorySource::new(), ManualClock::new());
    let nothing: [(&str, &str); 0] = [];
    let config = Config::default()
        .catalog_text("secrets: {a: {aws_path: 'ssm:/logged/later'}}")
        .environment(nothing)
        .dotenv("/nonexistent/.env")
        .aws(AwsMode::On);
    let secrets = Secrets::new(config.sources(&ssm, &sm).clock(&clock)).unwrap();
    let fail = |kind| {
        ssm.fail("/logged/later", kind);
        clock.advance(Duration::from_secs(61));
        secrets.get("a").blocking().unwrap_err();
    };
    let lines = |kind: ErrorKind| {
        let line = format!("/logged/later: injected: {}", kind.as_str());
        events.lock().unwrap().matches(&line).count()
    };
    // the source logs this once for all names
    fail(ErrorKind::Unavailable);
    for _ in 0..2 {
        fail(ErrorKind::AccessDenied);
        assert_eq!(lines(ErrorKind::AccessDenied), 1);
    }
    fail(ErrorKind::Transient);
    fail(ErrorKind::Throttled);
    let passing = [ErrorKind::Transient, ErrorKind::Throttled];
    assert_eq!(
        passing.map(lines),
        [0, 0],
        "one that passes says nothing new"
    );
    for _ in 0..2 {
        fail(ErrorKind::Decrypt);
        assert_eq!(lines(ErrorKind::Decrypt), 1);
        fail(ErrorKind::Transient);
        fail(ErrorKind::AccessDenied);
        assert_eq!(lines(ErrorKind::AccessDenied), 1, "one that returns");
    }
    ssm.set("/logged/later", "value-of-a");
    clock.advance(Duration::from_secs(61));
    secrets.get("a").blocking().unwrap();
    clock.advance(Duration::from_secs(400));
    fail(ErrorKind::AccessDenied);
    assert_eq!(lines(ErrorKind::AccessDenied), 2);
}

/// Store that has everything.
struct Store;

impl Source for Store {
    fn name(&self) -> &'static str {
        "store"
    }

    fn fetch<'a>(&'a self, names: &'a [String], _: Instant) -> SourceFuture<'a> {
        let answers = names.iter().map(|_| Ok(SourceValue::new("from-the-store")));
        Box::pin(async move { answers.collect() })
    }
}

#[test]
fn refused_credentials_that_another_store_makes_up_for_are_logged_once() {
    let events = Arc::clone(&EVENTS);
    let (ssm, sm, clock) = (MemorySource::new(), MemorySource::new(), ManualClock::new());
    let config = Config::default()
        .catalog_text("secrets: {a: {aws_path: 'ssm:/passed/over'}}")
        .environment([("AWS_PROFILE", "some")])
        .dotenv("/nonexistent/.env")
        .source(Store);
    let secrets = Secrets::new(config.sources(&ssm, &sm).clock(&clock)).unwrap();
    let ask = || {
        clock.advance(Duration::from_secs(400));
        secrets.get("a").blocking().unwrap().source()
    };
    let lines = || {
        let line = "/passed/over: injected: unauthenticated";
        events.lock().unwrap().matches(line).count()
    };
    for times in 1..=2 {
        ssm.fail("/passed/over", ErrorKind::Unauthenticated);
        for _ in 0..2 {
            assert_eq!(ask(), SecretSource::Custom("store"));
            assert_eq!(lines(), times);
        }
        ssm.remove("/passed/over");
        assert_eq!(ask(), SecretSource::Custom("store"));
    }
}

#[test]
fn a_name_that_is_refused_is_logged_once_while_others_work() {
    let events = Arc::clone(&EVENTS);
    let (ssm, sm, clock) = (MemorySource::new(), MemorySource::new(), ManualClock::new());
    let config = Config::default()
        .catalog_text(
            "secrets: {a: {aws_path: 'ssm:/once/a'}, b: {aws_path: 'ssm:/once/b'}, c: {aws_path: 'ssm:/once/c'}}",
        )
        .environment([("AWS_PROFILE", "some")])
        .dotenv("/nonexistent/.env")
        .source(Store);
    let secrets = Secrets::new(config.sources(&ssm, &sm).clock(&clock)).unwrap();
    let round = || {
        clock.advance(Duration::from_secs(400));
        ["a", "b", "c"].map(|name| secrets.get(name).blocking().unwrap().source())
    };
    let lines = || {
        let events = events.lock().unwrap();
        ["a", "c"].map(|name| {
            let line = format!("/once/{name}: injected: unauthenticated");
            events.matches(&line).count()
        })
    };
    let (store, aws) = (SecretSource::Custom("store"), SecretSource::AwsSsm);
    ssm.set("/once/b", "value-of-b");
    for times in 1..=2 {
        ssm.fail("/once/a", ErrorKind::Unauthenticated);
        ssm.fail("/once/c", ErrorKind::Unauthenticated);
        for _ in 0..3 {
            assert_eq!(round(), [store, aws, store]);
            assert_eq!(lines(), [times, times]);
        }
        ssm.set("/once/a", "value-of-a");
        ssm.remove("/once/c");
        assert_eq!(round(), [aws, aws, store]);
    }
}

#[test]
fn a_folder_that_is_named_and_missing_is_logged() {
    let events = Arc::clone(&EVENTS);
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("not-mounted");
    let named = |path: &std::path::Path| {
        let nothing: [(&str, &str); 0] = [];
        let config = Config::default().environment(nothing).secrets_folder(path);
        Secrets::new(config.catalog_text("")).unwrap();
        let line = format!("folder={} ", path.display());
        events.lock().unwrap().contains(&line)
    };
    assert!(named(&missing));
    assert!(!named(folder.path()));
    let file = folder.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    assert!(named(&file));
    let stores = folder.path().join("of-a-store");
    FolderSource::new(&stores);
    for (path, problem) in [
        (missing, "No such file"),
        (file, "not a folder"),
        (stores, "No such file"),
    ] {
        let reported = format!("folder={} problem=\"{problem}", path.display());
        let is_reported = events.lock().unwrap().contains(&reported);
        assert!(is_reported, "{reported}");
    }
}

#[test]
fn a_dotenv_file_that_a_variable_names_and_that_is_missing_is_logged() {
    let events = Arc::clone(&EVENTS);
    let folder = tempfile::tempdir().unwrap();
    let times = |config: Config, path: &std::path::Path| {
        let config = config.catalog_text("").secrets_folder(folder.path());
        let secrets = Secrets::new(config).unwrap();
        for _ in 0..2 {
            assert!(secrets.get("A").optional_blocking().is_ok());
        }
        let field = format!("file={} ", path.display());
        events.lock().unwrap().matches(&field).count()
    };
    let by_variable = |path: &std::path::Path| {
        let variable = [("OPS_DOTENV", path.to_str().unwrap())];
        Config::default().environment(variable).with_env().unwrap()
    };
    let (missing, there) = (folder.path().join("x.env"), folder.path().join("y.env"));
    std::fs::write(&there, "").unwrap();
    let of_owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&there, of_owner).unwrap();
    assert_eq!(times(by_variable(&missing), &missing), 1);
    assert_eq!(times(by_variable(&there), &there), 0);
    let of_developers = folder.path().join("z.env");
    let nothing: [(&str, &str); 0] = [];
    let in_code = Config::default().environment(nothing);
    assert_eq!(times(in_code.dotenv(&of_developers), &of_developers), 0);
}

#[test]
fn a_missing_default_folder_is_logged_only_if_it_is_configured() {
    let usual = std::path::Path::new("/run/secrets");
    if usual.is_dir() {
        return;
    }
    let events = Arc::clone(&EVENTS);
    let times = |config: Config| {
        let line = "folder=/run/secrets ";
        let count = || events.lock().unwrap().matches(line).count();
        let before = count();
        let nothing: [(&str, &str); 0] = [];
        Secrets::new(config.catalog_text("").environment(nothing)).unwrap();
        count() - before
    };
    assert_eq!(times(Config::default()), 0);
    assert_eq!(times(Config::default().secrets_folder(usual)), 1);
    let written = r#"{"secrets_folder": "/run/secrets"}"#;
    assert_eq!(times(serde_json::from_str(written).unwrap()), 1);
    assert_eq!(times(serde_json::from_str("{}").unwrap()), 0);
    let variable = [("OPS_SECRETS_FOLDER", "/run/secrets")];
    let config = Config::default().environment(variable);
    assert_eq!(times(config.with_env().unwrap()), 1);
}

fn cases() -> u32 {
    if std::env::var_os("OPS_TEST_FULL").is_some_and(|on| on == "1") {
        5000
    } else {
        300
    }
}

struct Lines(Arc<Mutex<String>>);

/// Fields of one event, collected so that those of other events do not mix in.
struct Line(String);

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("ops_secrets")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push_str(&line.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[derive(Default)]
struct Keys(Mutex<String>);

impl Keys {
    fn note(&self, key: &metrics::Key) {
        write!(self.0.lock().unwrap(), "{key} ").unwrap();
    }
}

impl metrics::Recorder for Keys {
    fn describe_counter(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }
    fn describe_gauge(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }
    fn describe_histogram(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }
    fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        self.note(key);
        metrics::Counter::noop()
    }
    fn register_gauge(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        self.note(key);
        metrics::Gauge::noop()
    }
    fn register_histogram(
        &self,
        key: &metrics::Key,
        _: &metrics::Metadata<'_>,
    ) -> metrics::Histogram {
        self.note(key);
        metrics::Histogram::noop()
    }
}

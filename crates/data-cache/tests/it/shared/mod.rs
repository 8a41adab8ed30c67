//! Results that machines share through a bucket: each "machine" has its own directories and database file.

mod differential;
mod epochs;
mod leases;
mod proxy;
mod read_only;
mod trouble;

use std::fs;
use std::time::{Duration, Instant};

use data_cache::testing::{ManualClock, TempDir};
use data_cache::{
    Cache, CachedWarehouse, Config, ErrorKind, Params, QueryResult, SharedConfig, SharedStats,
    Status, Tier, Warehouse, params,
};
use dev::moto::Moto;

use self::proxy::Proxy;
use crate::batches::{number, numbers};

const SQL: &str = "SELECT sum(n)::BIGINT AS n FROM t WHERE n < $limit";
const KEY: [u8; 32] = [42; 32];
/// More than anything here takes on a busy machine, and the time limit of a bucket that works.
const LIMIT: Duration = Duration::from_secs(60);
/// Time limit of a bucket in trouble: twice that of production, to leave room for a busy machine.
const HURRIED: Duration = Duration::from_secs(4);
/// Time limit in production.
const IN_A_SERVICE: Duration = Duration::from_secs(2);
/// Maximum cost of a lookup with such a bucket; a higher one means that
/// it waits for a write, which has 10 s, and not for its own limit.
const COST: Duration = Duration::from_secs(8);
/// Pause until a bucket that failed is called again.
const PAUSE: Duration = Duration::from_secs(5);

/// Returns `true` if the long versions are requested.
fn is_long() -> bool {
    std::env::var_os("OPS_TEST_FULL").is_some_and(|on| on == "1")
}

/// Returns the names of the results in a bucket.
fn results(moto: &Moto, bucket: &str) -> Vec<String> {
    let mut names = moto.names(bucket);
    names.retain(|name| name.contains("/v1/"));
    names
}

/// Creates a separate bucket for each test.
fn bucket(moto: &Moto) -> String {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("bucket-{next}");
    moto.bucket(&name);
    name
}

fn config(bucket: &str, url: &str) -> SharedConfig {
    SharedConfig::s3(bucket)
        .endpoint(url)
        .region("us-east-1")
        .credentials("test", "test")
        .min_compute(Duration::ZERO)
        .patience(LIMIT)
        .key(KEY)
}

/// [`config`] for a bucket that does not always respond.
fn hurried(bucket: &str, url: &str) -> SharedConfig {
    config(bucket, url).patience(HURRIED)
}

/// Returns a closed database file with the numbers below `rows`.
fn database(rows: i64) -> (TempDir, Vec<u8>) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("w.duckdb");
    let warehouse = Warehouse::open(&path).unwrap();
    let batch = format!("CREATE TABLE t AS SELECT range AS n FROM range({rows})");
    warehouse.execute_batch(&batch).unwrap();
    drop(warehouse);
    let bytes = fs::read(&path).unwrap();
    (dir, bytes)
}

struct Machine {
    dir: TempDir,
    warehouse: CachedWarehouse,
}

impl Machine {
    fn new(database: &[u8], config: &SharedConfig) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("w.duckdb");
        fs::write(&path, database).unwrap();
        let cache = Cache::open(dir.path().join("cache")).unwrap();
        cache.share(config).unwrap();
        let warehouse = Warehouse::open_snapshot(&path).unwrap().cached(cache);
        Self { dir, warehouse }
    }

    fn ask(&self) -> QueryResult {
        self.ask_below(10)
    }

    fn ask_below(&self, limit: i64) -> QueryResult {
        let query = self.warehouse.query(SQL, params! { limit: limit });
        query.blocking().unwrap()
    }

    fn flush(&self) {
        assert!(self.warehouse.cache().flush(LIMIT));
    }

    fn stats(&self) -> SharedStats {
        self.warehouse.cache().shared_stats().unwrap()
    }
}

/// Waits until `is_so` returns `true`; fails the test instead of waiting forever.
fn until(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < LIMIT, "it waits for ever");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

const SHARED: Status = Status::Hit(Tier::Shared);

#[test]
fn what_one_machine_computed_answers_another_with_the_same_database() {
    let Some(moto) = Moto::shared() else { return };
    let (_dir, bytes) = database(100);
    let config = config(&bucket(&moto), &moto.url);
    let (one, two) = (Machine::new(&bytes, &config), Machine::new(&bytes, &config));

    let computed = one.ask();
    assert_eq!(
        (computed.status(), number(computed.batches())),
        (Status::Miss, 45)
    );
    one.flush();
    assert_eq!(one.stats().written, 1);

    let found = two.ask();
    assert_eq!((found.status(), number(found.batches())), (SHARED, 45));
    assert_eq!(found.batches(), computed.batches());
    assert_eq!(found.etag("json"), computed.etag("json"));
    // it is stored on this machine now
    assert_eq!(two.ask().status(), Status::Hit(Tier::Memory));
    let stats = two.warehouse.cache().get_stats();
    assert_eq!((stats.hits, stats.shared_hits, stats.misses), (2, 1, 0));
    assert_eq!(
        (two.stats().hits, two.stats().misses, two.stats().written),
        (1, 0, 0)
    );

    // other parameters, another scope: other results
    assert_eq!(two.ask_below(3).status(), Status::Miss);
    let scope = data_cache::Scope::Tenant("a".to_owned());
    let query = two.warehouse.query(SQL, params! { limit: 10 }).scope(scope);
    assert_eq!(query.blocking().unwrap().status(), Status::Miss);
}

#[test]
fn settings_that_change_results_are_part_of_the_name() {
    let Some(moto) = Moto::shared() else { return };
    let (_dir, bytes) = database(100);
    let config = config(&bucket(&moto), &moto.url);
    let (one, two) = (Machine::new(&bytes, &config), Machine::new(&bytes, &config));
    one.ask();
    one.flush();
    two.warehouse
        .engine()
        .set("default_null_order", "nulls_first")
        .unwrap();
    assert_eq!(two.ask().status(), Status::Miss);
}

#[test]
fn a_database_that_differs_is_another_one() {
    let Some(moto) = Moto::shared() else { return };
    let ((_one, bytes), (_two, others)) = (database(100), database(5));
    let config = config(&bucket(&moto), &moto.url);
    let (one, two) = (
        Machine::new(&bytes, &config),
        Machine::new(&others, &config),
    );
    one.ask();
    one.flush();
    let found = two.ask();
    assert_eq!(
        (found.status(), number(found.batches())),
        (Status::Miss, 10)
    );

    // one byte that the engine itself does not notice: at the end of a block that is free or padded
    let mut touched = bytes.clone();
    *touched.last_mut().unwrap() ^= 1;
    let three = Machine::new(&bytes, &config);
    assert_eq!(three.ask().status(), SHARED);
    if let Ok(four) = std::panic::catch_unwind(|| Machine::new(&touched, &config)) {
        let query = four.warehouse.query(SQL, params! { limit: 10 });
        assert!(
            query
                .blocking()
                .map_or(true, |found| found.status() == Status::Miss)
        );
    }
}

#[test]
fn a_database_that_is_written_stays_on_its_machine() {
    let Some(moto) = Moto::shared() else { return };
    let bucket = bucket(&moto);
    let dir = TempDir::new().unwrap();
    let cache = Cache::open(dir.path().join("cache")).unwrap();
    cache.share(&config(&bucket, &moto.url)).unwrap();
    let warehouse = Warehouse::open(dir.path().join("w.duckdb")).unwrap();
    let warehouse = warehouse.cached(cache.clone());
    warehouse
        .execute_batch("CREATE TABLE t AS SELECT range AS n FROM range(9)")
        .unwrap();
    let ask = || {
        warehouse
            .query(SQL, params! { limit: 5 })
            .blocking()
            .unwrap()
    };
    assert_eq!(number(ask().batches()), 10);
    cache
        .set("SELECT 1", &[numbers(&[1])], &Params::new(), None)
        .unwrap();
    cache.get("SELECT 2", &Params::new());
    assert!(cache.flush(LIMIT));
    let stats = cache.shared_stats().unwrap();
    assert!(stats.without_content > 0);
    assert_eq!((stats.hits, stats.misses, stats.written), (0, 0, 0));
    assert!(results(&moto, &bucket).is_empty());
}

#[test]
fn a_snapshot_that_is_overwritten_is_shared_no_longer() {
    let Some(moto) = Moto::shared() else { return };
    let ((_one, bytes), (_two, others)) = (database(100), database(50));
    let config = config(&bucket(&moto), &moto.url);
    let machine = Machine::new(&bytes, &config);
    let path = machine.dir.path().join("w.duckdb");
    // the same length and times
    let before = fs::metadata(&path).unwrap();
    let mut over = others;
    over.resize(bytes.len(), 0);
    fs::write(&path, &over).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    let _ = machine
        .warehouse
        .query(SQL, params! { limit: 10 })
        .blocking();
    machine.flush();
    let stats = machine.stats();
    assert_eq!((stats.written, stats.misses), (0, 0));
    assert!(stats.without_content > 0);
}

#[test]
fn objects_that_are_not_ours_are_misses() {
    let Some(moto) = Moto::shared() else { return };
    let (_dir, bytes) = database(100);
    let bucket = bucket(&moto);
    let config = config(&bucket, &moto.url);
    let one = Machine::new(&bytes, &config);
    one.ask();
    one.flush();
    let name = results(&moto, &bucket).pop().unwrap();
    let ours = moto.read(&bucket, &name);
    one.ask_below(5);
    one.flush();
    let mut others = results(&moto, &bucket).into_iter();
    let other = others.find(|found| *found != name);
    let other = moto.read(&bucket, &other.unwrap());

    let mut flipped = ours.clone();
    flipped[ours.len() / 2] ^= 0x10;
    let forged: [(&str, Vec<u8>); 6] = [
        ("empty", Vec::new()),
        ("truncated", ours[..ours.len() - 1].to_vec()),
        ("foreign", b"PAR1 of somebody else PAR1".repeat(9)),
        ("of another question", other),
        ("flipped", flipped),
        ("with something behind it", [&ours[..], b"\0"].concat()),
    ];
    for (what, object) in forged {
        moto.write(&bucket, &name, &object);
        let two = Machine::new(&bytes, &config);
        let answer = two.ask();
        assert_eq!(
            (answer.status(), number(answer.batches())),
            (Status::Miss, 45),
            "{what}"
        );
        let stats = two.stats();
        assert_eq!(
            (stats.refused, stats.misses, stats.failed),
            (1, 1, 0),
            "{what}"
        );
        // and the right one is in the bucket again
        two.flush();
        let three = Machine::new(&bytes, &config);
        assert_eq!(three.ask().status(), SHARED, "{what}");
    }
    let strangers = config.clone().key([43; 32]);
    let stranger = Machine::new(&bytes, &strangers);
    assert_eq!(stranger.ask().status(), Status::Miss);
    assert_eq!(stranger.stats().refused, 1);
}

#[test]
fn a_result_has_the_same_age_on_every_machine() {
    let Some(moto) = Moto::shared() else { return };
    let (_dir, bytes) = database(100);
    let config = config(&bucket(&moto), &moto.url);
    let start = 1_700_000_000;
    let one = Machine::new(&bytes, &config);
    ManualClock::install(one.warehouse.cache(), start);
    let sql = |machine: &Machine| {
        let query = machine.warehouse.query(SQL, params! { limit: 10 });
        query.ttl(Duration::from_secs(60)).blocking().unwrap()
    };
    sql(&one);
    one.flush();
    // its clock is an hour behind: results from the future are misses
    let two = Machine::new(&bytes, &config);
    ManualClock::install(two.warehouse.cache(), start - 3600);
    assert_eq!(sql(&two).status(), Status::Miss);
    assert_eq!(two.stats().expired, 1);
    // its own result is in the bucket now, with the age by its clock
    two.flush();
    let three = Machine::new(&bytes, &config);
    let clock = ManualClock::install(three.warehouse.cache(), start - 3600 + 50);
    assert_eq!(sql(&three).status(), SHARED);
    clock.advance(9);
    assert_eq!(sql(&three).status(), Status::Hit(Tier::Memory));
    // 60 s since it was computed, not since it was found
    clock.advance(1);
    assert_eq!(sql(&three).status(), Status::Miss);
    assert_eq!(three.stats().expired, 1);
}

#[test]
fn a_short_ttl_does_not_shorten_the_ttl_of_others_on_any_machine() {
    let Some(moto) = Moto::shared() else { return };
    let (_dir, bytes) = database(100);
    let config = config(&bucket(&moto), &moto.url);
    let start = 1_700_000_000;
    let at = |after: u64| {
        let machine = Machine::new(&bytes, &config);
        let clock = ManualClock::install(machine.warehouse.cache(), start + after);
        (machine, clock)
    };
    let ask = |machine: &Machine, ttl: u64| {
        let query = machine.warehouse.query(SQL, params! { limit: 10 });
        let answer = query.ttl(Duration::from_secs(ttl)).blocking().unwrap();
        machine.flush();
        (answer.status(), answer.age().as_secs())
    };
    let (one, of_one) = at(0);
    assert_eq!(ask(&one, 3600), (Status::Miss, 0));
    // too old for this query only: its result replaces an object that other callers accept for an hour
    let (two, _) = at(60);
    assert_eq!(ask(&two, 5), (Status::Miss, 0));
    assert_eq!(two.stats().written, 1);
    let (three, _) = at(70);
    assert_eq!(ask(&three, 3600), (SHARED, 10));
    // and the result that it finds replaces one of its own machine
    of_one.advance(62);
    assert_eq!(ask(&one, 5), (SHARED, 2));
    of_one.advance(8);
    assert_eq!(ask(&one, 3600), (Status::Hit(Tier::Memory), 10));
    assert_eq!(ask(&one, 5), (Status::Miss, 0));
    let (four, _) = at(90);
    assert_eq!(ask(&four, 3600), (SHARED, 20));
}

#[test]
fn what_is_computed_in_the_background_is_asked_for_and_leaves_others_their_time() {
    let Some(moto) = Moto::shared() else { return };
    let (_dir, bytes) = database(100);
    let config = config(&bucket(&moto), &moto.url);
    let at = |after: u64| {
        let machine = Machine::new(&bytes, &config);
        let clock = ManualClock::install(machine.warehouse.cache(), 1_700_000_000 + after);
        (machine, clock)
    };
    let ask = |machine: &Machine, ttl: u64, stale: u64| {
        let query = machine.warehouse.query(SQL, params! { limit: 10 });
        let query = query.ttl(Duration::from_secs(ttl));
        let answer = query.stale_while(Duration::from_secs(stale)).blocking();
        machine.flush();
        let answer = answer.unwrap();
        (answer.status(), answer.age().as_secs())
    };
    assert_eq!(ask(&at(0).0, 3600, 0), (Status::Miss, 0));
    let ((one, of_one), (two, of_two)) = (at(0), at(0));
    for machine in [&one, &two] {
        assert_eq!(ask(machine, 60, 600), (SHARED, 0));
    }
    of_one.advance(100);
    assert_eq!(ask(&one, 60, 600), (Status::Stale, 100));
    assert_eq!(one.stats().written, 1);
    assert_eq!(ask(&at(200).0, 3600, 0), (SHARED, 100));
    // another machine uses what one machine recomputed
    of_two.advance(130);
    assert_eq!(ask(&two, 60, 600), (Status::Stale, 130));
    assert_eq!(two.stats().written, 0);
    assert_eq!(ask(&two, 60, 600), (Status::Hit(Tier::Memory), 30));
    let stats = two.warehouse.cache().get_stats();
    assert_eq!((stats.hits, stats.misses), (3, 0));
}

#[test]
fn results_that_took_little_time_are_not_written() {
    let Some(moto) = Moto::shared() else { return };
    let (_dir, bytes) = database(100);
    let bucket = bucket(&moto);
    let config = config(&bucket, &moto.url).min_compute(Duration::from_secs(3600));
    let machine = Machine::new(&bytes, &config);
    machine.ask();
    machine.flush();
    assert_eq!(machine.stats().written, 0);
    assert!(results(&moto, &bucket).is_empty());
}

#[test]
fn many_who_ask_at_once_ask_the_bucket_once() {
    let Some(moto) = Moto::shared() else { return };
    let (_dir, bytes) = database(100);
    let proxy = Proxy::new(&moto.url);
    let config = config(&bucket(&moto), &proxy.url);
    let one = Machine::new(&bytes, &config);
    one.ask();
    one.flush();
    let two = Machine::new(&bytes, &config);
    let before = proxy.count("GET", "/v1/");
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(number(two.ask().batches()), 45));
        }
    });
    assert_eq!(proxy.count("GET", "/v1/") - before, 1);
    assert_eq!((two.stats().hits, two.stats().misses), (1, 0));
}

/// Environment variables are process-wide: the test program is started again for each case.
#[test]
fn configured_endpoint_overrides_variables_and_empty_is_unset() {
    const CHILD: &str = "PLACE_OF_CHILD";
    let Some(place) = std::env::var_os(CHILD) else {
        let (url, s3) = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3");
        for (place, variables) in [
            ("set", [(url, "127.0.0.1:1"), (s3, "http://127.0.0.1:1")]),
            ("set", [(url, ""), (s3, "")]),
            ("none", [(url, ""), (s3, "")]),
            ("refused", [(url, "127.0.0.1:1"), (s3, "")]),
            ("refused", [(url, "http://127.0.0.1:1"), (s3, "https://")]),
        ] {
            let name = "shared::configured_endpoint_overrides_variables_and_empty_is_unset";
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            let command = command.args(["--exact", name, "--nocapture"]);
            let command = command.env(CHILD, place).envs(variables);
            assert!(command.status().unwrap().success(), "{variables:?}");
        }
        return;
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = TempDir::new().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let mut config = SharedConfig::s3("b").key(KEY).credentials("test", "test");
    if place == "set" {
        config = config.endpoint(format!("http://{}", listener.local_addr().unwrap()));
    }
    let shared = cache.share(&config.computed());
    match place == "refused" {
        true => assert!(
            shared
                .unwrap_err()
                .to_string()
                .contains("is not a valid server URL")
        ),
        false => shared.unwrap(),
    }
    if place == "set" {
        // the bucket is asked for the epoch
        listener.accept().unwrap();
    }
}

#[test]
fn settings_that_cannot_be_right_are_refused() {
    let dir = TempDir::new().unwrap();
    let cache = Cache::open_with(dir.path(), &Config::default()).unwrap();
    let refused = |config: SharedConfig, word: &str| {
        let error = cache.share(&config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains(word), "{error}");
    };
    refused(SharedConfig::s3("b"), "no key");
    refused(SharedConfig::s3("b").key("short"), "5 bytes");
    refused(SharedConfig::s3("b").key(KEY).unauthenticated(), "both");
    refused(SharedConfig::s3("").key(KEY), "bucket");
    refused(
        SharedConfig::s3("b").key(KEY).credentials("a\n", "b"),
        "access key id contains a line break",
    );
    refused(
        SharedConfig::s3("b").key(KEY).region("a\n"),
        "region contains",
    );
    refused(SharedConfig::s3("b").key(KEY).region("eu west"), "eu west");
    for endpoint in ["http://127.0.0.1:port", "http://1.2.3.999"] {
        refused(
            SharedConfig::s3("b").key(KEY).endpoint(endpoint),
            "is not a valid server URL",
        );
    }
    for bucket in ["a b", "a/b", "b?", "..", "bücket"] {
        refused(
            SharedConfig::s3(bucket).key(KEY),
            "is not a valid bucket name",
        );
    }
    for endpoint in [
        "http://reader:canary@127.0.0.1:port",
        "http://reader:canary@127.0.0.1:9000",
        "http://reader:can?ary@127.0.0.1:9000",
        "reader:canary@127.0.0.1:9000",
        "http://127.0.0.1:9000/?token=canary",
    ] {
        let config = SharedConfig::s3("b").key(KEY).endpoint(endpoint);
        let message = cache.share(&config).unwrap_err().to_string();
        assert!(message.contains("[REDACTED]"), "{message}");
        let shown = format!("{config:?}");
        assert!(!(message + &shown).contains("ary"), "{shown}");
        let file = format!("shared: {{bucket: b, key_secret: K, endpoint: '{endpoint}'}}");
        if let Err(error) = Config::from_yaml("cache.yaml", &file) {
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
    let file = "shared: {bucket: a b, key_secret: K}";
    let message = Config::from_yaml("cache.yaml", file).unwrap_err();
    assert!(
        message
            .to_string()
            .contains("shared: \"a b\" is not a valid"),
        "{message}"
    );
    refused(SharedConfig::s3("b").key(KEY).prefix("/"), "prefix");
    for lease in [Duration::ZERO, Duration::from_secs(61)] {
        refused(
            SharedConfig::s3("b").key(KEY).lease(lease),
            "between 1 and 60 s",
        );
    }
    refused(
        SharedConfig::s3("b").key(KEY).endpoint("localhost:9000"),
        "http://",
    );
    assert!(cache.shared_stats().is_none());
    cache
        .share(&SharedConfig::s3("b").unauthenticated())
        .unwrap();
    refused(SharedConfig::s3("b").key(KEY), "already");
    assert!(
        !format!(
            "{:?}",
            SharedConfig::s3("b")
                .key("a secret of 20 bytes")
                .credentials("i", "hush")
        )
        .contains("hush")
    );
}

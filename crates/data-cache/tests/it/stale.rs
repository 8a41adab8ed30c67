//! Results whose time is over, served while they are computed anew, and the headers that say so.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use data_cache::arrow::array::RecordBatch;
use data_cache::http::Validator;
use data_cache::testing::{ManualClock, on_step};
use data_cache::{
    Bypass, Cache, CachedEngine, Cancel, Config, Error, Params, Query, QueryEngine, QueryResult,
    State, Status, Tier,
};
use tempfile::TempDir;

use crate::batches::{number, numbers};

const TTL: Duration = Duration::from_secs(60);
const STALE: Duration = Duration::from_secs(30);

/// Answers 1, 2, 3, …
#[derive(Clone, Default)]
struct Counter {
    runs: Arc<AtomicI64>,
    is_broken: Arc<AtomicBool>,
}

impl QueryEngine for Counter {
    fn identity(&self) -> String {
        "counter".to_owned()
    }

    fn state(&self, sql: &str) -> Result<State, Bypass> {
        match sql {
            "SELECT now()" => Err(Bypass::Nondeterministic),
            _ => Ok(State {
                token: String::new(),
                tables: vec!["t".to_owned()],
            }),
        }
    }

    fn run(&self, _: &str, _: &Params, _: &Cancel) -> Result<Vec<RecordBatch>, Error> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        match self.is_broken.load(Ordering::SeqCst) {
            true => Err(Error::engine("it is broken")),
            false => Ok(vec![numbers(&[run])]),
        }
    }
}

struct Setting {
    engine: Counter,
    cached: CachedEngine<Counter>,
    clock: ManualClock,
    _dir: TempDir,
}

impl Setting {
    fn new(yaml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open_with(dir.path(), &Config::from_yaml("c", yaml).unwrap()).unwrap();
        let clock = ManualClock::install(&cache, 1_000_000);
        let engine = Counter::default();
        Self {
            cached: CachedEngine::new(engine.clone(), cache),
            engine,
            clock,
            _dir: dir,
        }
    }

    fn query(&self) -> Query<Counter> {
        self.cached.query("SELECT n FROM t", Params::new()).ttl(TTL)
    }

    fn plain(&self) -> (Status, i64) {
        seen(&self.query().blocking().unwrap())
    }

    fn stale(&self) -> (Status, i64) {
        seen(&self.query().stale_while(STALE).blocking().unwrap())
    }

    fn settle(&self) {
        assert!(self.cached.cache().flush(Duration::from_secs(30)));
    }
}

fn seen(result: &QueryResult) -> (Status, i64) {
    (result.status(), number(result.batches()))
}

const TIERS: [(&str, Tier); 2] = [
    ("query_cache: {max_size_mb: 100}", Tier::Memory),
    ("query_cache: {memory_mb: 0}", Tier::Disk),
];

#[test]
fn a_stale_result_is_served_while_it_is_computed_anew() {
    for (yaml, tier) in TIERS {
        let setting = Setting::new(yaml);
        assert_eq!(setting.stale(), (Status::Miss, 1));
        setting.settle();
        setting.clock.advance(59);
        assert_eq!(setting.stale(), (Status::Hit(tier), 1));
        setting.clock.advance(1);
        assert_eq!(setting.stale(), (Status::Stale, 1));
        setting.settle();
        assert_eq!(setting.stale(), (Status::Hit(tier), 2));
        let stats = setting.cached.cache().get_stats();
        assert_eq!((stats.stale_hits, stats.hits, stats.misses), (1, 3, 1));
        // its time is over altogether
        setting.clock.advance(90);
        assert_eq!(setting.stale(), (Status::Miss, 3));
        setting.settle();
        // the last moment
        setting.clock.advance(89);
        assert_eq!(setting.stale(), (Status::Stale, 3));
        setting.settle();
        assert_eq!(setting.engine.runs.load(Ordering::SeqCst), 4);
    }
}

#[test]
fn a_query_that_does_not_ask_for_it_gets_no_stale_result() {
    for (yaml, _) in TIERS {
        let setting = Setting::new(yaml);
        setting.plain();
        setting.settle();
        setting.clock.advance(60);
        assert_eq!(setting.plain(), (Status::Miss, 2));
        setting.settle();
        assert_eq!(setting.cached.cache().get_stats().stale_hits, 0);
    }
}

#[test]
fn a_result_that_no_file_holds_is_over_in_time_however_often_it_is_asked_for() {
    let memory_only = Setting::new("query_cache: {max_size_mb: 0}");
    let full = Setting::new("query_cache: {}");
    on_step(full.cached.cache(), |_| {
        Err(io::ErrorKind::StorageFull.into())
    });
    for setting in [memory_only, full] {
        assert_eq!(setting.plain(), (Status::Miss, 1));
        setting.settle();
        for _ in 0..2 {
            setting.clock.advance(25);
            assert_eq!(setting.plain(), (Status::Hit(Tier::Memory), 1));
            setting.settle();
        }
        let hit = setting.query().blocking().unwrap();
        assert_eq!(hit.age(), Duration::from_secs(50));
        setting.settle();
        setting.clock.advance(25);
        assert_eq!(setting.plain(), (Status::Miss, 2));
    }
}

#[test]
fn a_result_that_is_kept_later_is_as_old_as_it_is() {
    let setting = Setting::new("query_cache: {default_ttl_seconds: 60}");
    let ask = || setting.cached.query("SELECT n FROM t", Params::new());
    assert_eq!(seen(&ask().blocking().unwrap()), (Status::Miss, 1));
    setting.settle();
    setting.clock.advance(50);
    for expected in [0, 4096] {
        let bytes = setting.cached.cache().get_stats().total_size_bytes;
        assert_eq!(bytes, expected);
        let hit = ask().keep().blocking().unwrap();
        assert_eq!(seen(&hit), (Status::Hit(Tier::Memory), 1));
        assert_eq!(hit.age(), Duration::from_secs(50));
        setting.settle();
    }
    setting.clock.advance(10);
    assert_eq!(seen(&ask().blocking().unwrap()), (Status::Miss, 2));
}

type Invalidate = fn(&Cache) -> Result<usize, Error>;

#[test]
fn what_was_invalidated_is_never_served_stale() {
    for (yaml, _) in TIERS {
        let invalidations: [Invalidate; 3] = [
            |cache| cache.invalidate("*from t*"),
            |cache| cache.invalidate_table("t"),
            Cache::clear,
        ];
        for invalidate in invalidations {
            for is_stale_before in [false, true] {
                let setting = Setting::new(yaml);
                setting.stale();
                setting.settle();
                setting.clock.advance(if is_stale_before { 60 } else { 10 });
                assert_eq!(invalidate(setting.cached.cache()).unwrap(), 1);
                setting.clock.advance(10);
                assert_eq!(setting.stale(), (Status::Miss, 2));
                setting.settle();
            }
        }
    }
}

#[test]
fn a_stale_result_stays_if_computing_it_anew_fails() {
    let setting = Setting::new("query_cache: {}");
    setting.stale();
    setting.settle();
    setting.clock.advance(60);
    setting.engine.is_broken.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(setting.stale(), (Status::Stale, 1));
        setting.settle();
    }
    setting.engine.is_broken.store(false, Ordering::SeqCst);
    assert_eq!(setting.stale(), (Status::Stale, 1));
    setting.settle();
    assert_eq!(setting.stale(), (Status::Hit(Tier::Memory), 5));
}

#[test]
fn many_who_ask_for_a_stale_result_compute_it_once() {
    let setting = Setting::new("query_cache: {}");
    setting.stale();
    setting.settle();
    setting.clock.advance(60);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let (status, value) = setting.stale();
                assert!(
                    matches!((status, value), (Status::Stale, 1) | (Status::Hit(_), 2)),
                    "{status:?} {value}"
                );
            });
        }
    });
    setting.settle();
    assert_eq!(setting.engine.runs.load(Ordering::SeqCst), 2);
}

#[test]
fn cache_status_names_the_hit_its_freshness_and_each_reason_to_ask_the_engine() {
    let setting = Setting::new("query_cache: {}");
    let headers = |result: &QueryResult| {
        let validator = Validator::of(result, "json/1");
        let headers = validator.headers();
        let text = |name: &str| {
            let value = headers.get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        [text("cache-status"), text("x-cache"), text("age")]
    };
    let expect = |result: &QueryResult, status: &str, x_cache: &str, age: Option<&str>| {
        let expected = [Some(status), Some(x_cache), age];
        assert_eq!(
            headers(result),
            expected.map(|text| text.map(str::to_owned))
        );
    };
    let ask = || setting.query().blocking().unwrap();
    expect(&ask(), "data-cache; fwd=miss", "miss", None);
    setting.settle();
    setting.clock.advance(7);
    expect(
        &ask(),
        "data-cache; hit; ttl=53; detail=memory",
        "hit",
        Some("7"),
    );
    setting.clock.advance(63);
    let stale = setting.query().stale_while(STALE).blocking().unwrap();
    expect(
        &stale,
        "data-cache; hit; ttl=-10; detail=memory",
        "stale",
        Some("70"),
    );
    setting.settle();
    setting.clock.advance(60);
    expect(&ask(), "data-cache; fwd=stale", "miss", None);
    let now = setting.cached.query("SELECT now()", Params::new());
    expect(
        &now.blocking().unwrap(),
        "data-cache; fwd=bypass; detail=nondeterministic",
        "bypass",
        None,
    );

    let files = Setting::new("query_cache: {memory_mb: 0}");
    files.plain();
    files.settle();
    expect(
        &files.query().blocking().unwrap(),
        "data-cache; hit; ttl=60; detail=disk",
        "hit",
        Some("0"),
    );
    let off = Setting::new("query_cache: {enabled: false}");
    expect(
        &off.query().blocking().unwrap(),
        "data-cache; fwd=bypass; detail=disabled",
        "off",
        None,
    );
}

#[test]
fn a_tag_follows_from_the_bytes_alone() {
    use data_cache::compute_etag;

    let tag = compute_etag("body");
    assert!(tag.starts_with("W/\"") && tag.ends_with('"'), "{tag}");
    assert_eq!(tag, compute_etag(b"body"));
    let all = ["", "body", "body ", "Body", "\0body"].map(compute_etag);
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert!(all.iter().all(|tag| tag.is_ascii() && !tag.contains(' ')));
}

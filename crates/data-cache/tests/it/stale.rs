//! Expired results that are served while they are recomputed, and the headers that report it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use data_cache::arrow::array::RecordBatch;
use data_cache::http::Validator;
use data_cache::testing::{ManualClock, on_step};
use data_cache::{
    Bypass, Cache, CachedEngine, Cancel, Config, Error, FunctionCall, FunctionSite, Params, Query,
    QueryEngine, QueryResult, State, Status, Tier,
};
use tempfile::TempDir;

use crate::batches::{number, numbers};
use crate::faults::files;

const TTL: Duration = Duration::from_secs(60);
const STALE: Duration = Duration::from_secs(30);

/// Returns 1, 2, 3, …
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
    dir: TempDir,
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
            dir,
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
        // expired even for stale queries
        setting.clock.advance(90);
        assert_eq!(setting.stale(), (Status::Miss, 3));
        setting.settle();
        // the last second
        setting.clock.advance(89);
        assert_eq!(setting.stale(), (Status::Stale, 3));
        setting.settle();
        assert_eq!(setting.engine.runs.load(Ordering::SeqCst), 4);
    }
}

#[test]
fn a_query_takes_nothing_older_than_it_asks_for() {
    for (yaml, tier) in TIERS {
        let setting = Setting::new(yaml);
        let brief = || setting.query().ttl(Duration::from_secs(10));
        assert_eq!(setting.plain(), (Status::Miss, 1));
        setting.settle();
        setting.clock.advance(9);
        assert_eq!(
            seen(&brief().blocking().unwrap()),
            (Status::Hit(tier), 1),
            "{yaml}"
        );
        setting.clock.advance(1);
        // other callers may still accept it
        setting.engine.is_broken.store(true, Ordering::SeqCst);
        assert!(brief().blocking().is_err());
        assert_eq!(setting.plain(), (Status::Hit(tier), 1));
        setting.engine.is_broken.store(false, Ordering::SeqCst);
        assert_eq!(seen(&brief().blocking().unwrap()), (Status::Miss, 3));
        setting.settle();
        assert_eq!(setting.plain(), (Status::Hit(tier), 3));
        setting.clock.advance(10);
        assert_eq!(seen(&brief().blocking().unwrap()), (Status::Miss, 4));
        setting.settle();
    }
}

#[test]
fn what_replaces_a_result_is_kept_for_as_long_as_that_was() {
    for (yaml, tier) in TIERS {
        let setting = Setting::new(yaml);
        let asked = |seconds| {
            let query = setting.query().ttl(Duration::from_secs(seconds));
            let answer = seen(&query.blocking().unwrap());
            setting.settle();
            answer
        };
        assert_eq!(asked(3600), (Status::Miss, 1));
        setting.clock.advance(12);
        assert_eq!(asked(10), (Status::Miss, 2), "{yaml}");
        setting.clock.advance(12);
        assert_eq!(asked(3600), (Status::Hit(tier), 2), "{yaml}");
        // the next one has its own TTL after that has expired
        setting.clock.advance(3600);
        assert_eq!(asked(10), (Status::Miss, 3));
        setting.clock.advance(12);
        assert_eq!(asked(3600), (Status::Miss, 4), "{yaml}");
        // another process does not know it yet
        setting.clock.advance(12);
        let config = Config::from_yaml("c", yaml).unwrap();
        let other = Cache::open_with(setting.dir.path(), &config).unwrap();
        let clock = ManualClock::install(&other, 1_003_648);
        let other = CachedEngine::new(setting.engine.clone(), other);
        let ten = Duration::from_secs(10);
        let brief = || other.query("SELECT n FROM t", Params::new()).ttl(ten);
        assert_eq!(seen(&brief().blocking().unwrap()), (Status::Miss, 5));
        assert!(other.cache().flush(Duration::from_secs(30)));
        clock.advance(12);
        let long = brief().ttl(Duration::from_secs(3600)).blocking().unwrap();
        assert_eq!(seen(&long), (Status::Hit(tier), 5), "{yaml}");
    }
}

#[test]
fn a_result_that_a_brief_query_puts_into_a_file_is_kept_for_as_long_as_before() {
    let setting = Setting::new("query_cache: {max_size_mb: 100}");
    let plain = || {
        let query = setting.cached.query("SELECT n FROM t", Params::new());
        seen(&query.blocking().unwrap())
    };
    assert_eq!(plain(), (Status::Miss, 1));
    setting.clock.advance(5);
    let brief = setting.query().ttl(Duration::from_secs(10)).blocking();
    assert_eq!(seen(&brief.unwrap()), (Status::Hit(Tier::Memory), 1));
    setting.settle();
    setting.clock.advance(10);
    assert_eq!(plain(), (Status::Hit(Tier::Memory), 1));
}

#[test]
fn a_ttl_below_one_second_does_not_remove_results_of_others() {
    for (yaml, tier) in TIERS {
        let setting = Setting::new(yaml);
        let asked = |millis| {
            let query = setting.query().ttl(Duration::from_millis(millis));
            let answer = seen(&query.blocking().unwrap());
            setting.settle();
            answer
        };
        assert_eq!(asked(60_000), (Status::Miss, 1));
        assert_eq!(asked(0), (Status::Miss, 2));
        assert_eq!(asked(60_000), (Status::Hit(tier), 1), "{yaml}");
        assert_eq!(asked(500), (Status::Hit(tier), 1), "{yaml}");
        setting.clock.advance(1);
        assert_eq!(asked(1500), (Status::Hit(tier), 1), "{yaml}");
        assert_eq!(asked(500), (Status::Miss, 3), "{yaml}");
        assert_eq!(asked(60_000), (Status::Hit(tier), 3), "{yaml}");
        let query = setting.query().ttl(Duration::MAX);
        assert!(query.blocking().is_ok());
    }
}

#[test]
fn a_result_with_the_longest_ttl_is_stored() {
    for (yaml, tier) in TIERS {
        let setting = Setting::new(yaml);
        let ask = || {
            let query = setting.cached.query("SELECT n FROM t", Params::new());
            let answer = seen(&query.ttl(Duration::MAX).blocking().unwrap());
            setting.settle();
            answer
        };
        assert_eq!(ask(), (Status::Miss, 1));
        let compute = || {
            let (cache, none) = (setting.cached.cache(), Params::new());
            let compute = || Ok::<_, String>(vec![numbers(&[3])]);
            let answer = cache.get_or_compute("SELECT 3", &none, Some(u64::MAX), compute);
            assert_eq!(number(&answer.unwrap()), 3);
            cache.get_stats().misses
        };
        assert_eq!(compute(), 2);
        setting.clock.advance(9 * 365 * 86_400);
        assert_eq!(ask(), (Status::Hit(tier), 1), "{yaml}");
        assert_eq!(compute(), 2, "{yaml}");
        setting.clock.advance(2 * 365 * 86_400);
        assert_eq!(ask(), (Status::Miss, 2), "{yaml}");
        assert_eq!(compute(), 4, "{yaml}");
    }
}

#[test]
fn what_is_too_old_for_this_caller_alone_is_not_read() {
    let setting = Setting::new("query_cache: {memory_mb: 0, codec: ipc}");
    let call = |ttl_seconds| {
        let site = FunctionSite {
            label: "fn:shop::rows",
            place: "stale.rs:1:1",
            path: "shop::rows::{{closure}}",
            digest: 1,
        };
        let call = FunctionCall::on(&setting.cached, site, ttl_seconds, &[], Vec::new());
        let run = || {
            let run = setting.engine.runs.fetch_add(1, Ordering::SeqCst) + 1;
            Ok::<_, Error>(vec![numbers(&[run; 10_000])])
        };
        number(&call.run(run).unwrap())
    };
    assert_eq!(call(3600), 1);
    // a damaged file would be detected
    let (data, _) = files(setting.dir.path());
    std::fs::write(data, "damaged").unwrap();
    setting.clock.advance(11);
    assert_eq!(call(10), 2);
    let stats = setting.cached.cache().get_stats();
    assert_eq!((stats.corrupt, stats.misses), (0, 2));
    assert_eq!(call(3600), 2);
}

#[test]
fn a_result_that_is_kept_for_longer_is_stale_to_who_asks_for_less() {
    for (yaml, tier) in TIERS {
        let setting = Setting::new(yaml);
        let brief = || {
            let query = setting.query().ttl(Duration::from_secs(10));
            query.stale_while(STALE).blocking().unwrap()
        };
        setting.plain();
        setting.settle();
        setting.clock.advance(12);
        let stale = brief();
        assert_eq!(seen(&stale), (Status::Stale, 1), "{yaml}");
        let headers = Validator::of(&stale, "json").headers().clone();
        let status = headers["cache-status"].to_str().unwrap().to_owned();
        assert!(status.contains("ttl=-2;"), "{status}");
        setting.settle();
        assert_eq!(seen(&brief()), (Status::Hit(tier), 2), "{yaml}");
    }
}

#[test]
fn a_cached_function_takes_nothing_older_than_its_time() {
    for (yaml, _) in TIERS {
        let setting = Setting::new(yaml);
        let call = |ttl_seconds| {
            let site = FunctionSite {
                label: "fn:shop::stats",
                place: "stats.rs:1:1",
                path: "shop::stats::{{closure}}",
                digest: 1,
            };
            let call = FunctionCall::on(&setting.cached, site, ttl_seconds, &[], Vec::new());
            let run = || {
                let run = setting.engine.runs.fetch_add(1, Ordering::SeqCst) + 1;
                Ok::<_, Error>(vec![numbers(&[run])])
            };
            number(&call.run(run).unwrap())
        };
        assert_eq!(call(3600), 1);
        setting.clock.advance(60);
        assert_eq!(call(3600), 1);
        // the next build has a shorter TTL
        assert_eq!(call(60), 2, "{yaml}");
        assert_eq!(call(60), 2, "{yaml}");
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
fn a_result_in_memory_only_expires_however_often_it_is_hit() {
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
fn a_result_written_to_a_file_later_keeps_its_age() {
    let setting = Setting::new("query_cache: {default_ttl_seconds: 60}");
    let ask = || setting.cached.query("SELECT n FROM t", Params::new());
    assert_eq!(seen(&ask().blocking().unwrap()), (Status::Miss, 1));
    setting.settle();
    setting.clock.advance(50);
    for _ in 0..2 {
        let hit = ask().keep().blocking().unwrap();
        assert_eq!(seen(&hit), (Status::Hit(Tier::Memory), 1));
        assert_eq!(hit.age(), Duration::from_secs(50));
        setting.settle();
        let bytes = setting.cached.cache().get_stats().total_size_bytes;
        assert_eq!(bytes, 4096);
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

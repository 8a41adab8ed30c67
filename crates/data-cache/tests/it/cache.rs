use std::convert::Infallible;
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_cache::arrow::array::{ArrayRef, RecordBatch, StringArray};
use data_cache::testing::{ManualClock, look_at_other_processes_now};
use data_cache::{
    Cache, Config, ErrorKind, Lookup, Miss, Params, Scope, Skip, Stored, Tier, params,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::batches::{Random, number, numbers};
use crate::child::Process;

const SQL: &str = "SELECT n FROM t";

fn open() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    (dir, cache)
}

fn put(cache: &Cache, sql: &str, value: i64, ttl: u64) {
    let stored = cache.set(sql, &[numbers(&[value])], &Params::new(), Some(ttl));
    assert!(matches!(
        stored.unwrap(),
        Stored::Kept {
            tier: Tier::Disk,
            ..
        }
    ));
}

fn value(cache: &Cache, sql: &str) -> Option<i64> {
    let hit = cache.get(sql, &Params::new());
    hit.map(|hit| number(hit.batches()))
}

#[test]
fn what_was_set_is_got_also_after_a_restart() {
    let (dir, cache) = open();
    put(&cache, SQL, 1, 60);
    assert_eq!(cache.get(SQL, &Params::new()).unwrap().tier(), Tier::Memory);
    drop(cache);
    let cache = Cache::open(dir.path()).unwrap();
    let hit = cache.get(SQL, &Params::new()).unwrap();
    assert_eq!((hit.tier(), number(hit.batches())), (Tier::Disk, 1));
    assert_eq!(cache.get(SQL, &Params::new()).unwrap().tier(), Tier::Memory);
}

/// Two handles stand for two processes.
#[tokio::test]
async fn what_another_process_put_in_place_of_an_expired_result_is_found() {
    let (dir, one) = open();
    let other = Cache::open(dir.path()).unwrap();
    let clocks = [&one, &other].map(|cache| ManualClock::install(cache, 1_800_000_000));
    for round in 1..=3 {
        put(&one, SQL, 0, 60);
        assert_eq!(value(&one, SQL), Some(0));
        // statistics would learn of the following changes
        let before = one.get_stats();
        clocks.iter().for_each(|clock| clock.advance(60));
        put(&other, SQL, round, 60);
        let none = Params::new();
        let found = match round {
            1 => value(&one, SQL),
            2 => one
                .get_async(SQL, &none)
                .await
                .map(|hit| number(hit.batches())),
            _ => {
                let kept = one.get_or_compute(SQL, &none, None, || Err("not found"));
                kept.ok().map(|batches| number(&batches))
            }
        };
        assert_eq!(found, Some(round));
        let after = one.get_stats();
        assert_eq!((after.hits - before.hits, after.misses), (1, before.misses));
        // without a newer one, the reason is the same
        clocks.iter().for_each(|clock| clock.advance(60));
        let missed = one.look_up(SQL, &none);
        assert!(matches!(missed, Lookup::Miss(Miss::Expired)), "{missed:?}");
    }
}

#[test]
fn what_another_process_put_in_place_of_a_result_in_memory_alone_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml("c", "query_cache: {max_size_mb: 1}").unwrap();
    let [one, other] = [(), ()].map(|()| Cache::open_with(dir.path(), &config).unwrap());
    let mut random = Random(7);
    let large: Vec<i64> = (0..60_000).map(|_| random.next() as i64).collect();
    let stored = one.set(SQL, &[numbers(&large)], &Params::new(), Some(60));
    assert!(matches!(stored, Ok(Stored::Skipped(Skip::TooLarge))));
    let hit = one.get(SQL, &Params::new()).unwrap();
    assert_eq!(hit.tier(), Tier::Memory);
    look_at_other_processes_now(&one);
    assert!(one.get(SQL, &Params::new()).is_some());
    put(&other, SQL, 2, 60);
    look_at_other_processes_now(&one);
    assert_eq!(value(&one, SQL), Some(2));
}

#[test]
fn what_another_process_put_that_is_too_large_to_be_read_takes_nothing_out_of_memory() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml("c", "query_cache: {max_size_mb: 1}").unwrap();
    let one = Cache::open_with(dir.path(), &config).unwrap();
    let other = Cache::open(dir.path()).unwrap();
    let mut random = Random(7);
    let large: Vec<i64> = (0..200_000).map(|_| random.next() as i64).collect();
    for cache in [&one, &other] {
        let stored = cache.set(SQL, &[numbers(&large)], &Params::new(), Some(60));
        stored.unwrap();
    }
    for cache in [&one, &other] {
        look_at_other_processes_now(cache);
        let hit = cache.get(SQL, &Params::new()).unwrap();
        assert_eq!(hit.tier(), Tier::Memory);
    }
}

#[test]
fn the_latest_set_wins_in_every_tier() {
    let (dir, cache) = open();
    for round in 0..5 {
        put(&cache, SQL, round, 60);
        assert_eq!(value(&cache, SQL), Some(round));
    }
    assert_eq!(value(&Cache::open(dir.path()).unwrap(), SQL), Some(4));
    let files = std::fs::read_dir(dir.path().join("v1")).unwrap();
    let files: usize = files
        .map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap().count())
        .sum();
    assert_eq!(files, 1, "data and metadata in one file");
}

#[test]
fn an_entry_lives_for_its_ttl_and_not_longer() {
    let (dir, cache) = open();
    let clock = ManualClock::install(&cache, 1_000_000);
    put(&cache, SQL, 1, 60);
    clock.advance(59);
    assert_eq!(value(&cache, SQL), Some(1));
    assert_eq!(
        cache.get(SQL, &Params::new()).unwrap().age(),
        Duration::from_secs(59)
    );
    clock.advance(1);
    assert!(matches!(
        cache.look_up(SQL, &Params::new()),
        Lookup::Miss(Miss::Expired)
    ));
    assert!(matches!(
        cache.look_up(SQL, &Params::new()),
        Lookup::Miss(Miss::Absent)
    ));
    assert_eq!(cache.get_stats().evicted_expired, 1);
    // also if only the file knows
    put(&cache, SQL, 2, 60);
    let restarted = Cache::open(dir.path()).unwrap();
    let clock = ManualClock::install(&restarted, 1_000_119);
    assert_eq!(value(&restarted, SQL), Some(2));
    clock.advance(1);
    assert_eq!(value(&restarted, SQL), None);
}

#[test]
fn a_clock_that_steps_back_makes_misses_and_no_immortal_entries() {
    let (_dir, cache) = open();
    let clock = ManualClock::install(&cache, 1_000_000);
    put(&cache, SQL, 1, 60);
    clock.set(999_996);
    assert_eq!(value(&cache, SQL), Some(1), "five seconds are forgiven");
    clock.set(999_990);
    assert!(matches!(
        cache.look_up(SQL, &Params::new()),
        Lookup::Miss(Miss::Expired)
    ));
    put(&cache, SQL, 2, 60);
    clock.set(2_000_000);
    assert_eq!(value(&cache, SQL), None);
}

#[test]
fn an_expired_entry_is_counted_once_it_is_removed() {
    let in_memory = Config::from_yaml("c", "query_cache: {max_size_mb: 0}").unwrap();
    let cache = Cache::open_with("nowhere", &in_memory).unwrap();
    let clock = ManualClock::install(&cache, 1_000_000);
    cache
        .set(SQL, &[numbers(&[1])], &Params::new(), Some(60))
        .unwrap();
    clock.advance(60);
    assert_eq!(value(&cache, SQL), None);
    assert_eq!(cache.get_stats().evicted_expired, 1);
    for yaml in ["query_cache: {}", "query_cache: {memory_mb: 0}"] {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open_with(dir.path(), &Config::from_yaml("c", yaml).unwrap()).unwrap();
        let clock = ManualClock::install(&cache, 1_000_000);
        put(&cache, SQL, 1, 60);
        let other = Cache::open(dir.path()).unwrap();
        ManualClock::install(&other, 1_000_000);
        assert_eq!(value(&other, SQL), Some(1));
        clock.advance(60);
        // after this, no background work waits for the directory lock
        assert!(cache.flush(Duration::from_secs(60)) && other.flush(Duration::from_secs(60)));
        let generation = dir.path().join("generation");
        let held = std::fs::File::options()
            .read(true)
            .write(true)
            .open(generation)
            .unwrap();
        held.lock().unwrap();
        for _ in 0..3 {
            assert_eq!(value(&cache, SQL), None);
        }
        assert_eq!(cache.get_stats().evicted_expired, 0, "{yaml}");
        // a process started by another test may hold a copy for a moment
        held.unlock().unwrap();
        assert_eq!(value(&cache, SQL), None);
        assert_eq!(cache.get_stats().evicted_expired, 1, "{yaml}");
        // another process still has it in memory, and removes no file
        ManualClock::install(&other, 1_000_060);
        assert_eq!(value(&other, SQL), None);
        assert_eq!(other.get_stats().evicted_expired, 0, "{yaml}");
    }
}

#[test]
fn the_latest_set_wins_though_the_clock_stepped_back() {
    for yaml in ["query_cache: {}", "query_cache: {memory_mb: 0}"] {
        for back in 1..10 {
            let dir = tempfile::tempdir().unwrap();
            let config = Config::from_yaml("c", yaml).unwrap();
            let cache = Cache::open_with(dir.path(), &config).unwrap();
            let clock = ManualClock::install(&cache, 1_000_000);
            put(&cache, SQL, 1, 60);
            clock.set(1_000_000 - back);
            put(&cache, SQL, 2, 60);
            assert_eq!(value(&cache, SQL), Some(2), "{yaml} {back}");
            // also for a process that never saw the later time
            let other = Cache::open_with(dir.path(), &config).unwrap();
            ManualClock::install(&other, 1_000_000 - 2 * back);
            put(&other, SQL, 3, 60);
            assert_eq!(value(&other, SQL), Some(3), "{yaml} {back}");
            let again = Cache::open_with(dir.path(), &config).unwrap();
            ManualClock::install(&again, 1_000_000 - 2 * back);
            assert_eq!(value(&again, SQL), Some(3), "{yaml} {back}");
        }
    }
}

#[test]
fn a_ttl_of_zero_stores_nothing_and_a_huge_one_is_refused() {
    let (_dir, cache) = open();
    let set = |ttl| cache.set(SQL, &[numbers(&[1])], &Params::new(), Some(ttl));
    assert_eq!(set(0).unwrap(), Stored::Skipped(Skip::ZeroTtl));
    let refused = set(u64::MAX).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Input);
    assert!(refused.to_string().contains("ten years"), "{refused}");
}

#[test]
fn the_callers_mistakes_are_errors() {
    let (_dir, cache) = open();
    for sql in ["", " \n ", ";"] {
        let refused = cache.set(sql, &[numbers(&[1])], &Params::new(), None);
        assert_eq!(refused.unwrap_err().to_string(), "empty SQL");
    }
    let long = format!("SELECT '{}'", "x".repeat(1 << 20));
    let refused = cache.set(&long, &[numbers(&[1])], &Params::new(), None);
    assert!(refused.unwrap_err().to_string().contains("1048576"));
    let other = numbers(&[1]).project(&[]).unwrap();
    let refused = cache.set(SQL, &[numbers(&[1]), other], &Params::new(), None);
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("different schemas")
    );
    let nothing = cache.set(SQL, &[], &Params::new(), None).unwrap();
    assert_eq!(nothing, Stored::Skipped(Skip::NoSchema));
    assert!(
        cache
            .invalidate("  ")
            .unwrap_err()
            .to_string()
            .contains("empty pattern")
    );
}

#[test]
fn the_line_of_an_invalidation_shows_no_literal() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let text = Lines::of(|| {
        for pattern in [
            "SELECT * FROM users WHERE mail = 'bob@x.com'",
            "*bob@x.com*",
            "select*'bob",
            "SELECT*bob@x.com*",
            "SELECT * bob@x.com*",
            "select * from users where mail = *bob@x.com*",
            "select * from users where mail = ?bob@x.com?",
            "WITH bob AS (SELECT * FROM t) SELECT*bob*",
            "SELECT * FROM users WHERE mail = bob@x.com*",
            "SELECT * FROM users WHERE key = bob*",
            "SELECT * FROM bob@x.com*",
            "SELECT * FROM users WHERE mail = bob@x.com *",
            "SELECT * FROM users WHERE mail IN (bob@x.com)*",
            "SELECT * FROM users WHERE mail = bob@x.com'*",
            "SELECT * FROM users WHERE mail = 'bob@x.com*",
            "SELECT * FROM users WHERE mail IS DISTINCT FROM bob*",
            "SELECT a FROM users WHERE mail = 'bob@x.com'*",
            "SELECT b FROM users WHERE n = ?*",
            "SELECT c FROM users WHERE n =*",
            "SELECT d FROM users WHERE n IN (*",
            "SELECT e, *",
            "SELECT f FROM users;*",
            "SELECT g FROM users WHERE *",
            "SELECT count(*)*",
            "SELECT count(*) FROM users WHERE mail = 'bob@x.com' AND n = ?",
            "SELECT * FROM orders*",
            "*2024*",
            "*user_stats*",
            "fn:shop::stats",
        ] {
            cache.invalidate(pattern).unwrap();
        }
        cache.invalidate_table("main.orders").unwrap();
    });
    assert!(
        text.contains("cache_invalidated") && !text.contains("bob") && !text.contains("2024"),
        "{text}"
    );
    for shown in [
        "SELECT * FROM users WHERE mail = ?",
        "SELECT count(*) FROM users WHERE mail = ? AND n = ?",
        "SELECT a FROM users WHERE mail = ?*",
        "SELECT b FROM users WHERE n = ?*",
        "SELECT c FROM users WHERE n =*",
        "SELECT d FROM users WHERE n IN (*",
        "SELECT e, *",
        "SELECT f FROM users;*",
        "SELECT g FROM users WHERE *",
        "SELECT count(*)*",
        "SELECT * FROM orders*",
        "*user_stats*",
        "fn:shop::stats",
        "table:orders",
    ] {
        assert!(text.contains(&format!("pattern={shown}")), "{text}");
    }
    let past = cache.invalidations().into_iter().map(|past| past.pattern);
    assert!(
        past.into_iter()
            .any(|pattern| pattern.contains("bob@x.com"))
    );
}

/// Collects every field of every line that data-cache logs on this thread.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }

    /// Returns the lines that this work logs on this thread.
    pub(crate) fn of(work: impl FnOnce()) -> String {
        // without it, the first thread that logs a line may decide for all that nobody wants such lines
        let _ = tracing::subscriber::set_global_default(Self::default());
        let lines = Self::default();
        tracing::subscriber::with_default(lines.clone(), work);
        lines.text()
    }
}

impl Visit for Lines {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.lock().unwrap().push(format!("{field}={value:?}"));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("data_cache")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn no_line_of_the_log_shows_a_literal() {
    let (_dir, cache) = open();
    let sql = "SELECT n FROM users WHERE mail = 'bob@example.com'";
    let none = Params::new();
    let lines = Lines::of(|| {
        let number = [numbers(&[1])];
        cache.set(sql, &number, &none, Some(0)).unwrap();
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let text = RecordBatch::try_from_iter([("n", text)]).unwrap();
        let [number] = number;
        let uneven = || Ok::<_, Infallible>(vec![number, text]);
        cache.get_or_compute(sql, &none, None, uneven).unwrap();
    });
    for name in ["result_not_stored", "result_not_cached"] {
        assert!(lines.contains(name), "{lines}");
    }
    let shown = "label=SELECT n FROM users WHERE mail = ?";
    assert_eq!(lines.matches(shown).count(), 2, "{lines}");
    assert!(!lines.contains("bob"), "{lines}");
}

#[test]
fn an_empty_result_keeps_its_schema() {
    let (dir, cache) = open();
    cache
        .set(SQL, &[numbers(&[])], &Params::new(), None)
        .unwrap();
    let again = Cache::open(dir.path())
        .unwrap()
        .get(SQL, &Params::new())
        .unwrap();
    assert_eq!(again.batches()[0].schema(), numbers(&[]).schema());
    assert_eq!(again.batches()[0].num_rows(), 0);
}

#[test]
fn both_patterns_of_the_overview_remove_what_they_say_and_nothing_else() {
    let (dir, cache) = open();
    let users = [
        "SELECT * FROM user_stats",
        "select id from Users where id = 1",
        "SELECT user",
    ];
    let orders = ["SELECT * FROM orders", "select  *\nfrom ORDERS;"];
    let others = [
        "SELECT * FROM orders WHERE id = 1",
        "SELECT * FROM orders_archive",
        "(SELECT * FROM orders)",
        "SELECT * FROM flights",
    ];
    for sql in users.iter().chain(&orders).chain(&others) {
        put(&cache, sql, 1, 60);
    }
    // another process, which has all of it in memory
    let other = Cache::open(dir.path()).unwrap();
    for sql in users.iter().chain(&orders).chain(&others) {
        assert_eq!(value(&other, sql), Some(1));
    }
    assert_eq!(cache.invalidate("*user*").unwrap(), users.len());
    assert_eq!(
        cache.invalidate("SELECT * FROM orders").unwrap(),
        orders.len()
    );
    look_at_other_processes_now(&other);
    let restarted = Cache::open(dir.path()).unwrap();
    for cache in [&cache, &other, &restarted] {
        for sql in users.iter().chain(&orders) {
            assert_eq!(value(cache, sql), None, "{sql}");
        }
        for sql in others {
            assert_eq!(value(cache, sql), Some(1), "{sql}");
        }
    }
    assert_eq!(restarted.clear().unwrap(), others.len());
    let past: Vec<_> = cache
        .invalidations()
        .into_iter()
        .map(|past| (past.pattern, past.removed))
        .collect();
    let expected = [("*user*", 3), ("SELECT * FROM orders", 2), ("*", 4)];
    assert_eq!(
        past,
        expected.map(|(pattern, count)| (pattern.to_owned(), count))
    );
}

#[test]
fn patterns_have_two_wildcards_and_no_more() {
    let (_dir, cache) = open();
    for (sql, pattern, matches) in [
        ("SELECT [1, 2]", "SELECT [1, 2]", true),
        ("SELECT 1", "SELECT [123]", false),
        ("SELECT {'a': 1}", "select {'A': ?}", true),
        ("SELECT 12", "SELECT ?", false),
        ("SELECT 'é'", "SELECT '?'", true),
        ("SELECT a FROM t", "*a*a*a*a*a*b", false),
        ("SELECT 'x\n\ny' FROM t", "*x*y*", true),
        ("SELECT 1", "**1", true),
        ("SELECT 1", "SELECT 1*", true),
        // a sigma at the end of a word, and inside of one
        ("SELECT n FROM ΟΔΟΣΑ", "*ΟΔΟΣ*", true),
        ("SELECT ΟΔΟΣ.n", "select οδος*", true),
        ("SELECT οδος", "SELECT ΟΔΟΣ", true),
    ] {
        cache.clear().unwrap();
        put(&cache, sql, 1, 60);
        assert_eq!(
            cache.invalidate(pattern).unwrap() == 1,
            matches,
            "{pattern}"
        );
    }
}

/// Matches a pattern by its definition.
fn is_match(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        (['*', rest @ ..], _) => {
            is_match(rest, text) || !text.is_empty() && is_match(pattern, &text[1..])
        }
        ([p, rest @ ..], [t, more @ ..]) => (*p == '?' || p == t) && is_match(rest, more),
        _ => false,
    }
}

#[test]
fn any_pattern_removes_what_it_matches_and_nothing_else() {
    let config = Config::from_yaml("c", "query_cache: {max_size_mb: 0}").unwrap();
    let cache = Cache::open_with("nowhere", &config).unwrap();
    let mut random = Random(7);
    let mut text = |letters: &[char], longest: usize| -> String {
        let length = 1 + random.below(longest);
        (0..length)
            .map(|_| letters[random.below(letters.len())])
            .collect()
    };
    let (mut matched, mut kept) = (0, 0);
    for round in 0..400 {
        // sometimes with a letter beyond ASCII, whose case is folded in another way
        let letters: &[char] = match round % 4 {
            0 => &['a', 'B', 'É'],
            _ => &['a', 'B', 'b'],
        };
        let labels: Vec<String> = (0..10)
            .map(|_| format!("{} {}", text(letters, 4), text(letters, 4)))
            .collect();
        let pattern = text(&['a', 'b', 'A', '*', '?', 'é'], 5);
        for (at, label) in labels.iter().enumerate() {
            let bound = params! { at: i64::try_from(at).unwrap() };
            cache.set(label, &[numbers(&[1])], &bound, None).unwrap();
        }
        let letters_of = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
        let is_meant = |label: &&String| is_match(&letters_of(&pattern), &letters_of(label));
        let expected = labels.iter().filter(is_meant).count();
        assert_eq!(
            cache.invalidate(&pattern).unwrap(),
            expected,
            "{pattern:?} of {labels:?}"
        );
        matched += expected;
        kept += cache.clear().unwrap();
    }
    assert!(matched > 200 && kept > 200, "{matched} and {kept}");
}

#[test]
fn a_table_is_found_by_name_however_it_is_written() {
    let (_dir, cache) = open();
    for sql in [
        "SELECT * FROM flights",
        "SELECT * FROM main.Flights f JOIN airports a ON true",
        "SELECT * FROM \"flights\"",
        "SELECT * FROM 'flights'",
    ] {
        put(&cache, sql, 1, 60);
    }
    put(&cache, "SELECT * FROM airports /* no flights */", 1, 60);
    put(&cache, "SELECT * FROM flights_archive", 1, 60);
    assert_eq!(cache.invalidate_table("FLIGHTS").unwrap(), 4);
    assert_eq!(cache.get_stats().entries, 2);
}

#[test]
fn a_table_is_found_where_another_dialect_reads_its_name() {
    let (_dir, cache) = open();
    for sql in [
        // a backslash escapes the quote behind it
        r"SELECT 'a\'' , n FROM flights WHERE b = 'c\''",
        // a comment, and text that only looks like one
        "SELECT n # it's\nFROM flights WHERE b = 'it''s'",
        "SELECT 5--1 FROM flights",
        // a name in brackets
        "SELECT [it's] FROM Flights WHERE [isn't] = 1",
        "SELECT n FROM t WHERE a = '\\' -- ' UNION SELECT n FROM main.`flights`",
    ] {
        put(&cache, sql, 1, 60);
    }
    put(
        &cache,
        r"SELECT 'a\'' , n FROM flights_archive WHERE b = 'c\''",
        1,
        60,
    );
    assert_eq!(cache.invalidate_table("flights").unwrap(), 5);
    assert_eq!(cache.get_stats().entries, 1);
    put(
        &cache,
        r"SELECT 'a\'' , ΟΔΟΣ.n FROM t WHERE b = 'c\''",
        1,
        60,
    );
    assert_eq!(cache.invalidate_table("ΟΔΟΣ").unwrap(), 1);
}

#[test]
fn scopes_never_share() {
    let (_dir, cache) = open();
    let scopes = [
        Scope::Shared,
        Scope::tenant("a"),
        Scope::tenant("b"),
        Scope::tenant(""),
        Scope::principal("a", ""),
        Scope::principal("", "a"),
        Scope::principal("a", "2"),
    ];
    for (at, scope) in scopes.iter().enumerate() {
        put(
            &cache.scope(scope.clone()),
            SQL,
            i64::try_from(at).unwrap(),
            60,
        );
    }
    for (at, scope) in scopes.iter().enumerate() {
        let expected = i64::try_from(at).unwrap();
        assert_eq!(value(&cache.scope(scope.clone()), SQL), Some(expected));
    }
    assert_eq!(cache.invalidate(SQL).unwrap(), scopes.len());
}

#[test]
fn the_least_recently_used_go_when_it_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml("c", "query_cache: {max_size_mb: 1, codec: ipc}").unwrap();
    let cache = Cache::open_with(dir.path(), &config).unwrap();
    let clock = ManualClock::install(&cache, 1_000_000);
    let sql = |at: usize| format!("SELECT {at}");
    let batch = numbers(&vec![7; 12_800]); // 100 KiB
    for at in 0..9 {
        cache
            .set(&sql(at), std::slice::from_ref(&batch), &Params::new(), None)
            .unwrap();
        clock.advance(1);
    }
    for used in [0, 2] {
        assert!(cache.get(&sql(used), &Params::new()).is_some());
        clock.advance(1);
    }
    for at in 9..12 {
        cache
            .set(&sql(at), std::slice::from_ref(&batch), &Params::new(), None)
            .unwrap();
        clock.advance(1);
    }
    let stats = cache.get_stats();
    assert!(stats.total_size_bytes <= 1 << 20, "{stats:?}");
    assert!(stats.evicted_size > 0);
    let there: Vec<_> = (0..12)
        .filter(|at| cache.get(&sql(*at), &Params::new()).is_some())
        .collect();
    assert!(
        there.contains(&0) && there.contains(&2) && there.contains(&11),
        "{there:?}"
    );
    assert!(!there.contains(&1), "{there:?}");
}

#[test]
fn a_result_larger_than_a_quarter_of_the_room_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml(
        "c",
        "query_cache: {max_size_mb: 1, memory_mb: 0, codec: ipc}",
    )
    .unwrap();
    let cache = Cache::open_with(dir.path(), &config).unwrap();
    let large = numbers(&vec![7; 100_000]);
    let stored = cache.set(SQL, &[large], &Params::new(), None).unwrap();
    assert_eq!(stored, Stored::Skipped(Skip::TooLarge));
    assert!(cache.get(SQL, &Params::new()).is_none());
}

#[test]
fn without_memory_files_answer_and_without_files_memory_does() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml("c", "query_cache: {memory_mb: 0}").unwrap();
    let cache = Cache::open_with(dir.path(), &config).unwrap();
    put(&cache, SQL, 1, 60);
    assert_eq!(cache.get(SQL, &Params::new()).unwrap().tier(), Tier::Disk);
    let nowhere = dir.path().join("nowhere");
    let config = Config::from_yaml("c", "query_cache: {max_size_mb: 0}").unwrap();
    let cache = Cache::open_with(&nowhere, &config).unwrap();
    let stored = cache
        .set(SQL, &[numbers(&[1])], &Params::new(), None)
        .unwrap();
    assert_eq!(
        stored,
        Stored::Kept {
            tier: Tier::Memory,
            bytes: 0
        }
    );
    assert_eq!(value(&cache, SQL), Some(1));
    assert_eq!(cache.clear().unwrap(), 1);
    assert_eq!(value(&cache, SQL), None);
    assert!(!nowhere.exists());
}

#[test]
fn a_disabled_cache_touches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    let config = Config::from_yaml("c", "query_cache: {enabled: false}").unwrap();
    let cache = Cache::open_with(&nowhere, &config).unwrap();
    let stored = cache
        .set(SQL, &[numbers(&[1])], &Params::new(), None)
        .unwrap();
    assert_eq!(stored, Stored::Skipped(Skip::Disabled));
    assert!(matches!(
        cache.look_up(SQL, &Params::new()),
        Lookup::Miss(Miss::Disabled)
    ));
    assert!(!nowhere.exists());
}

#[test]
fn an_allocation_that_many_slices_share_is_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml("c", "query_cache: {max_size_mb: 0, memory_mb: 800}").unwrap();
    let cache = Cache::open_with(dir.path(), &config).unwrap();
    let large = numbers(&vec![7; 10 << 20]); // 80 MiB
    let slices: Vec<_> = (0..1000).map(|at| large.slice(at, 10_000)).collect();
    cache.set(SQL, &slices, &Params::new(), None).unwrap();
    let bytes = cache.get_stats().memory_bytes;
    assert!((80 << 20..90 << 20).contains(&bytes), "{bytes}");
}

#[test]
fn small_slices_do_not_keep_a_large_allocation() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml("c", "query_cache: {max_size_mb: 0, memory_mb: 800}").unwrap();
    let cache = Cache::open_with(dir.path(), &config).unwrap();
    let large = numbers(&vec![7; 10 << 20]); // 80 MiB
    let slices: Vec<_> = (0..1000).map(|at| large.slice(at, 1)).collect();
    cache.set(SQL, &slices, &Params::new(), None).unwrap();
    let bytes = cache.get_stats().memory_bytes;
    assert!(bytes < 2 << 20, "{bytes}");
    assert_eq!(cache.get(SQL, &Params::new()).unwrap().batches(), slices);
}

#[test]
fn memory_stays_within_its_bound_under_reinsertion() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml("c", "query_cache: {max_size_mb: 0, memory_mb: 1}").unwrap();
    let cache = Cache::open_with(dir.path(), &config).unwrap();
    for round in 0..5000_i64 {
        let batch = numbers(&vec![round; 1024]); // 8 KiB
        let params = params! { key: round % 300 };
        cache.set(SQL, &[batch], &params, None).unwrap();
    }
    let bytes = cache.get_stats().memory_bytes;
    assert!(bytes <= 1 << 20, "{bytes}");
}

#[test]
fn stats_tell_what_happened() {
    let (_dir, cache) = open();
    let stats = cache.get_stats();
    assert_eq!((stats.hits, stats.misses, stats.hit_ratio), (0, 0, 0.0));
    assert!(cache.get(SQL, &Params::new()).is_none());
    put(&cache, SQL, 1, 60);
    for _ in 0..3 {
        assert!(cache.get(SQL, &Params::new()).is_some());
    }
    let stats = cache.get_stats();
    assert_eq!(
        (stats.entries, stats.hits, stats.misses, stats.hit_ratio),
        (1, 3, 1, 0.75)
    );
    assert!(stats.total_size_mb > 0.0);
    put(&cache, "SELECT 'secret'", 1, 60);
    let top = cache.top(10);
    assert_eq!((top[0].label.as_str(), top[0].hits), (SQL, 3));
    assert_eq!((top[1].label.as_str(), top[1].hits), ("SELECT ?", 0));
}

#[test]
fn a_directory_of_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
    let refused = Cache::open(dir.path()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Io);
    assert!(refused.to_string().contains("thesis.tex"), "{refused}");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("FORMAT"), "data-cache 9\n").unwrap();
    let refused = Cache::open(dir.path()).unwrap_err().to_string();
    assert!(refused.contains("data-cache 9"), "{refused}");
}

#[test]
fn a_directory_that_is_the_root_of_a_file_system_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("lost+found")).unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    put(&cache, SQL, 1, 60);
    cache.clear().unwrap();
    assert!(dir.path().join("lost+found").exists());
}

/// Role of a child that changes its working directory.
pub(crate) fn move_away(dir: &Path) {
    let cache = Cache::open("cache").unwrap();
    put(&cache, SQL, 1, 60);
    std::env::set_current_dir("/").unwrap();
    put(&cache, "SELECT 2", 2, 60);
    drop(cache);
    let cache = Cache::open(dir.join("cache")).unwrap();
    assert_eq!(value(&cache, SQL), Some(1));
    assert_eq!(value(&cache, "SELECT 2"), Some(2));
    println!("moved");
}

#[test]
fn a_relative_directory_is_resolved_when_the_cache_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let command = command.current_dir(dir.path());
    let mut child = Process::start_as(command, "move", dir.path());
    assert!(child.wait_for("moved").is_some(), "the child panicked");
    child.succeeds();
    assert_eq!(Cache::open("").unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn a_flush_may_take_as_long_as_it_likes() {
    let (_dir, cache) = open();
    assert!(cache.flush(Duration::MAX));
}

#[test]
fn a_format_file_that_lost_its_text_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("FORMAT"), "").unwrap();
    Cache::open(dir.path()).unwrap();
    let text = std::fs::read_to_string(dir.path().join("FORMAT")).unwrap();
    assert_eq!(text, "data-cache 1\n");

    // a directory with other contents does not become a cache
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("FORMAT"), "").unwrap();
    std::fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
    let refused = Cache::open(dir.path()).unwrap_err().to_string();
    assert!(refused.contains("thesis.tex"), "{refused}");
}

#[tokio::test]
async fn the_async_calls_do_the_same() {
    let (dir, cache) = open();
    let none = Params::new();
    assert!(cache.get_async(SQL, &none).await.is_none());
    cache
        .set_async(SQL, &[numbers(&[5])], &none, Some(60))
        .await
        .unwrap();
    assert_eq!(
        cache.get_async(SQL, &none).await.unwrap().tier(),
        Tier::Memory
    );
    let again = Cache::open(dir.path()).unwrap();
    assert_eq!(
        again.get_async(SQL, &none).await.unwrap().tier(),
        Tier::Disk
    );
    let batches = again
        .get_or_compute_async("SELECT 2", &none, None, async {
            Ok::<_, String>(vec![numbers(&[2])])
        })
        .await
        .unwrap();
    assert_eq!(number(&batches), 2);
    let failed = again
        .get_or_compute_async("SELECT 3", &none, None, async { Err("no") })
        .await;
    assert_eq!(failed.unwrap_err(), "no");
    assert_eq!(value(&again, "SELECT 2"), Some(2));
    assert_eq!(value(&again, "SELECT 3"), None);
}

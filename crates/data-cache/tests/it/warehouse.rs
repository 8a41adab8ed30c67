use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_cache::arrow::array::{
    Array, ArrayRef, FixedSizeListArray, Int64Array, ListArray, MapArray, RecordBatch, StringArray,
    StructArray, UnionArray,
};
use data_cache::arrow::buffer::OffsetBuffer;
use data_cache::arrow::datatypes::{DataType, Field};
use data_cache::{
    Bypass, Cache, CachedEngine, CachedWarehouse, Cancel, Config, Dialect, Error, Params,
    QueryEngine, State, Status, Tier, Warehouse, params,
};
use tempfile::TempDir;

use crate::batches::number;

struct Room {
    dir: TempDir,
}

impl Room {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn open(&self) -> CachedWarehouse {
        self.open_with(&Config::default())
    }

    /// Opens the warehouse and runs a batch.
    fn open_after(&self, sql: &str) -> CachedWarehouse {
        let warehouse = self.open();
        warehouse.execute_batch(sql).unwrap();
        warehouse
    }

    fn open_with(&self, config: &Config) -> CachedWarehouse {
        let cache = Cache::open_with(self.dir.path().join("cache"), config).unwrap();
        Warehouse::open(self.dir.path().join("w.duckdb"))
            .unwrap()
            .cached(cache)
    }
}

fn ask(warehouse: &CachedWarehouse, sql: &str) -> (Status, i64) {
    let result = warehouse
        .query(sql, params! {})
        .ttl(Duration::from_secs(3600))
        .blocking()
        .unwrap();
    (result.status(), number(result.batches()))
}

fn settle(warehouse: &CachedWarehouse) {
    assert!(warehouse.cache().flush(Duration::from_secs(20)));
}

const COUNT: &str = "SELECT count(*) AS n FROM t";

#[test]
fn a_cache_that_is_off_says_so_and_counts_no_misses() {
    let room = Room::new();
    let config = Config::from_yaml("c", "query_cache: {enabled: false}").unwrap();
    let warehouse = room.open_with(&config);
    warehouse
        .execute_batch("CREATE TABLE t AS SELECT 1::BIGINT AS a")
        .unwrap();
    for _ in 0..2 {
        assert_eq!(ask(&warehouse, COUNT), (Status::Off, 1));
    }
    assert_eq!(Status::Off.as_str(), "off");
    let stats = warehouse.cache().get_stats();
    assert_eq!((stats.hits, stats.misses), (0, 0));
}

#[tokio::test]
async fn a_second_question_hits_and_a_write_makes_it_miss() {
    let room = Room::new();
    let warehouse = room.open_after("CREATE TABLE t AS SELECT 1::BIGINT AS a");
    let ask = || warehouse.query("SELECT * FROM t WHERE a = $o", params! { o: 1_i64 });
    assert_eq!(ask().await.unwrap().status(), Status::Miss);
    assert_eq!(
        ask().blocking().unwrap().status(),
        Status::Hit(Tier::Memory)
    );
    warehouse.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    let after = ask().await.unwrap();
    let rows: usize = after.batches().iter().map(|b| b.num_rows()).sum();
    assert_eq!((after.status(), rows), (Status::Miss, 2));
}

#[test]
fn a_restart_without_writes_hits_and_one_after_a_write_does_not() {
    let room = Room::new();
    {
        let warehouse = room.open_after("CREATE TABLE t AS SELECT range AS a FROM range(10)");
        assert_eq!(ask(&warehouse, COUNT), (Status::Miss, 10));
        settle(&warehouse);
    }
    for _ in 0..3 {
        let warehouse = room.open();
        assert_eq!(ask(&warehouse, COUNT), (Status::Hit(Tier::Disk), 10));
        settle(&warehouse);
    }
    {
        let warehouse = room.open_after("INSERT INTO t VALUES (11)");
        settle(&warehouse);
    }
    let warehouse = room.open();
    assert_eq!(ask(&warehouse, COUNT), (Status::Miss, 11));
}

#[test]
fn what_another_program_wrote_between_two_runs_is_seen() {
    let room = Room::new();
    {
        let warehouse = room.open_after("CREATE TABLE t AS SELECT range AS a FROM range(10)");
        assert_eq!(ask(&warehouse, COUNT), (Status::Miss, 10));
        settle(&warehouse);
    }
    {
        // not through a Warehouse, so the sidecar is not updated
        let other = duckdb::Connection::open(room.dir.path().join("w.duckdb")).unwrap();
        other.execute_batch("DELETE FROM t WHERE a > 4").unwrap();
    }
    let warehouse = room.open();
    assert_eq!(ask(&warehouse, COUNT), (Status::Miss, 5));
}

#[test]
fn a_file_that_took_the_place_of_an_open_one_has_none_of_its_results() {
    for is_written_since in [true, false] {
        let room = Room::new();
        let other = room.dir.path().join("other.duckdb");
        let connection = duckdb::Connection::open(&other).unwrap();
        let tables = "CREATE TABLE t AS SELECT range AS a FROM range(20); CREATE TABLE u (a INT)";
        connection.execute_batch(tables).unwrap();
        connection.close().unwrap();
        {
            let warehouse = room.open_after(
                "CREATE TABLE t AS SELECT range AS a FROM range(10); CREATE TABLE u (a INT)",
            );
            assert_eq!(ask(&warehouse, COUNT), (Status::Miss, 10));
            settle(&warehouse);
            std::fs::rename(&other, room.dir.path().join("w.duckdb")).unwrap();
            if is_written_since {
                let write = "INSERT INTO u VALUES (1)";
                warehouse.execute_batch(write).unwrap();
            }
            // its own results are those of the file that it has open
            assert_eq!(ask(&warehouse, COUNT), (Status::Hit(Tier::Memory), 10));
        }
        let warehouse = room.open();
        assert_eq!(ask(&warehouse, COUNT), (Status::Miss, 20));
    }
}

#[test]
fn a_file_that_is_only_read_shares_the_results_of_its_owner() {
    let room = Room::new();
    {
        let warehouse = room.open_after("CREATE TABLE t AS SELECT range AS a FROM range(10)");
        assert_eq!(ask(&warehouse, COUNT), (Status::Miss, 10));
        settle(&warehouse);
    }
    let cache = Cache::open(room.dir.path().join("cache")).unwrap();
    let reader = Warehouse::open_read_only(room.dir.path().join("w.duckdb"))
        .unwrap()
        .cached(cache);
    assert_eq!(ask(&reader, COUNT), (Status::Hit(Tier::Disk), 10));
    assert!(reader.execute_batch("DELETE FROM t").is_err());
}

#[test]
fn a_write_to_one_table_leaves_results_of_others() {
    let room = Room::new();
    let warehouse = room.open_after("CREATE TABLE t AS SELECT 1 AS a; CREATE TABLE u AS SELECT 1 AS a; CREATE VIEW both_of_them AS SELECT * FROM t UNION ALL SELECT * FROM u");
    let (of_t, of_u, of_view, quoted) = (
        COUNT,
        "SELECT count(*) AS n FROM u",
        "SELECT count(*) AS n FROM both_of_them",
        "SELECT count(*) AS n FROM \"T\"",
    );
    for sql in [of_t, of_u, of_view, quoted] {
        assert_eq!(ask(&warehouse, sql).0, Status::Miss);
        assert_eq!(ask(&warehouse, sql).0, Status::Hit(Tier::Memory));
    }
    warehouse
        .execute_batch("BEGIN; INSERT INTO main.T VALUES (2); COMMIT")
        .unwrap();
    assert_eq!(ask(&warehouse, of_u), (Status::Hit(Tier::Memory), 1));
    assert_eq!(ask(&warehouse, of_t), (Status::Miss, 2));
    assert_eq!(ask(&warehouse, of_view), (Status::Miss, 3));
    assert_eq!(ask(&warehouse, quoted), (Status::Miss, 2));
    // including two states of the view
    assert_eq!(warehouse.cache().invalidate_table("u").unwrap(), 3);
    assert_eq!(ask(&warehouse, of_t).0, Status::Hit(Tier::Memory));
    assert_eq!(ask(&warehouse, of_view).0, Status::Miss);
}

#[test]
fn a_view_that_is_made_anew_is_a_new_question() {
    let room = Room::new();
    let warehouse = room.open();
    let sql = "SELECT a::BIGINT AS n FROM v";
    warehouse
        .execute_batch("CREATE VIEW v AS SELECT 1 AS a")
        .unwrap();
    assert_eq!(ask(&warehouse, sql), (Status::Miss, 1));
    warehouse
        .execute_batch("CREATE OR REPLACE VIEW v AS SELECT 2 AS a")
        .unwrap();
    assert_eq!(ask(&warehouse, sql), (Status::Miss, 2));
}

#[test]
fn a_query_cannot_write() {
    let room = Room::new();
    let warehouse = room.open_after("CREATE TABLE t AS SELECT 1 AS a; CREATE SEQUENCE s");
    for sql in [
        "DELETE FROM t",
        "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
        "SELECT 1; DELETE FROM t",
        "EXPLAIN ANALYZE DELETE FROM t",
        "CREATE TABLE u (a INT)",
        "",
        "COPY t TO 'x.csv'",
        "SELECT nextval('s')",
    ] {
        let refused = warehouse.query(sql, params! {}).blocking();
        assert!(refused.is_err(), "{sql}: {refused:?}");
    }
    assert_eq!(ask(&warehouse, COUNT).1, 1);
}

#[test]
fn what_differs_from_one_moment_to_the_next_goes_past_the_cache() {
    let room = Room::new();
    let warehouse = room.open_after("CREATE TABLE t AS SELECT 1 AS a; CREATE VIEW hidden AS SELECT now() AS a; \
             CREATE MACRO dice() AS random(); CREATE VIEW deeper AS SELECT * FROM hidden; CREATE TABLE now_and_then AS SELECT 1 AS current_day");
    std::fs::write(room.dir.path().join("x.csv"), "a\n1\n").unwrap();
    let csv = room.dir.path().join("x.csv").display().to_string();
    let from_csv = format!("SELECT * FROM '{csv}'");
    let from_quoted = format!("SELECT * FROM \"{csv}\"");
    let read_csv = format!("SELECT * FROM read_csv('{csv}')");
    for (sql, reason) in [
        ("SELECT now()", Bypass::Nondeterministic),
        ("SELECT current_date", Bypass::Nondeterministic),
        ("SELECT CURRENT_TIMESTAMP", Bypass::Nondeterministic),
        ("SELECT random()", Bypass::Nondeterministic),
        ("SELECT \"random\" ()", Bypass::Nondeterministic),
        ("SELECT uuid()", Bypass::Nondeterministic),
        (
            "SELECT age(TIMESTAMP '2024-01-01')",
            Bypass::Nondeterministic,
        ),
        (
            "SELECT * FROM t USING SAMPLE 1 ROWS",
            Bypass::Nondeterministic,
        ),
        ("SELECT * FROM hidden", Bypass::Nondeterministic),
        ("SELECT * FROM deeper", Bypass::Nondeterministic),
        ("SELECT dice()", Bypass::Nondeterministic),
        ("SELECT * FROM duckdb_tables()", Bypass::Catalog),
        ("SELECT * FROM information_schema.tables", Bypass::Catalog),
        (from_csv.as_str(), Bypass::Outside),
        (from_quoted.as_str(), Bypass::Outside),
        (read_csv.as_str(), Bypass::Outside),
        ("SELECT * FROM query('SELECT 1')", Bypass::Outside),
    ] {
        for _ in 0..2 {
            let result = warehouse.query(sql, params! {}).blocking();
            let result = result.unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_eq!(result.status(), Status::Bypass(reason), "{sql}");
            assert_eq!(result.etag("json"), None);
        }
    }
    // a column may have such a name
    assert_eq!(
        warehouse
            .query("SELECT current_day FROM now_and_then", params! {})
            .blocking()
            .unwrap()
            .status(),
        Status::Miss
    );
    assert_eq!(warehouse.cache().get_stats().bypasses, 34);
}

#[test]
fn the_operator_may_permit_the_current_date() {
    let yaml = "query_cache: {ttls: {'SELECT * FROM data WHERE date = CURRENT_DATE': 300}}";
    let config = Config::from_yaml("cache.yaml", yaml).unwrap();
    let room = Room::new();
    let warehouse = room.open_with(&config);
    let noon = 1_764_072_000;
    let clock = data_cache::testing::ManualClock::install(warehouse.cache(), noon);
    warehouse
        .execute_batch("CREATE TABLE data AS SELECT current_date AS date, 1 AS a")
        .unwrap();
    let ask = || {
        let sql = "SELECT * FROM data  WHERE date = CURRENT_DATE";
        let result = warehouse.query(sql, params! {}).blocking().unwrap();
        result.status()
    };
    assert_eq!(ask(), Status::Miss);
    assert_eq!(ask(), Status::Hit(Tier::Memory));
    clock.advance(299);
    assert_eq!(ask(), Status::Hit(Tier::Memory));
    clock.advance(1);
    assert_eq!(ask(), Status::Miss);
    // a new day is a new key, however long the configured TTL
    clock.set(noon + 86_400 / 2 - 10);
    assert_eq!(ask(), Status::Miss);
    assert_eq!(ask(), Status::Hit(Tier::Memory));
    clock.advance(10);
    assert_eq!(ask(), Status::Miss);
    warehouse
        .execute_batch("INSERT INTO data VALUES (current_date, 2)")
        .unwrap();
    assert_eq!(ask(), Status::Miss);
}

#[test]
fn a_permitted_date_ends_at_midnight_in_the_time_zone_of_the_engine() {
    let yaml = "query_cache: {ttls: {'SELECT CURRENT_DATE AS d': 86400}}";
    let config = Config::from_yaml("cache.yaml", yaml).unwrap();
    let room = Room::new();
    let warehouse = room.open_with(&config);
    // 2025-11-25 00:00 UTC
    let midnight = 1_764_028_800;
    let clock = data_cache::testing::ManualClock::install(warehouse.cache(), midnight);
    let ask = || {
        let result = warehouse.query("SELECT CURRENT_DATE AS d", params! {});
        result.blocking().unwrap().status()
    };
    for (zone, hour) in [
        ("UTC", 24),
        ("America/New_York", 5),
        ("Asia/Kathmandu", 18),
        ("Etc/UTC", 24),
    ] {
        warehouse.engine().set("TimeZone", zone).unwrap();
        let minute = if zone == "Asia/Kathmandu" { 15 } else { 0 };
        clock.set(midnight + hour * 3600 + minute * 60 - 10);
        assert_eq!(ask(), Status::Miss, "{zone}");
        clock.advance(9);
        assert_eq!(ask(), Status::Hit(Tier::Memory), "{zone}");
        clock.advance(1);
        assert_eq!(ask(), Status::Miss, "{zone}");
    }
    // in UTC it is valid for the whole day
    clock.advance(86_399);
    assert_eq!(ask(), Status::Hit(Tier::Memory));
}

#[test]
fn a_setting_that_is_set_back_has_its_results_again() {
    let room = Room::new();
    let warehouse = room.open_after("CREATE TABLE t AS SELECT 1 AS a");
    for round in 0..3 {
        for (zone, name) in [("UTC", "TimeZone"), ("Asia/Tokyo", "timezone")] {
            warehouse.engine().set(name, zone).unwrap();
            let hit = (Status::Hit(Tier::Memory), 1);
            let expected = if round == 0 { (Status::Miss, 1) } else { hit };
            assert_eq!(ask(&warehouse, COUNT), expected, "{round} {zone}");
        }
    }
}

#[test]
fn a_pipe_in_place_of_the_version_file_does_not_block() {
    let room = Room::new();
    drop(room.open_after("CREATE TABLE t AS SELECT 1 AS a"));
    let version = room.dir.path().join("w.duckdb.version");
    for is_read_only in [true, false] {
        std::fs::remove_file(&version).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&version).status();
        assert!(made.unwrap().success());
        let path = room.dir.path().join("w.duckdb");
        let opened = crate::faults::within_seconds(move || match is_read_only {
            true => Warehouse::open_read_only(path),
            false => Warehouse::open(path),
        });
        let sql = "SELECT count(*) AS n FROM t";
        let answer = opened.unwrap().query(sql, &params! {}).unwrap();
        assert_eq!(number(&answer), 1);
    }
    assert!(version.is_file(), "it is written anew");
}

/// A warehouse whose time zone differs while its first query runs.
struct Flicker(Warehouse, AtomicBool);

impl QueryEngine for Flicker {
    fn identity(&self) -> String {
        self.0.identity()
    }

    fn dialect(&self) -> Dialect {
        self.0.dialect()
    }

    fn state(&self, sql: &str) -> Result<State, Bypass> {
        self.0.state(sql)
    }

    fn changes(&self) -> u64 {
        self.0.changes()
    }

    fn run(&self, sql: &str, params: &Params, cancel: &Cancel) -> Result<Vec<RecordBatch>, Error> {
        let flickers = !self.1.swap(true, Ordering::SeqCst);
        if flickers {
            self.0.set("TimeZone", "Asia/Tokyo")?;
        }
        let ran = self.0.run(sql, params, cancel);
        if flickers {
            self.0.set("TimeZone", "UTC")?;
        }
        ran
    }
}

#[test]
fn a_result_of_a_setting_that_was_set_back_meanwhile_is_not_kept() {
    let warehouse = Warehouse::in_memory().unwrap();
    warehouse.set("TimeZone", "UTC").unwrap();
    warehouse
        .execute_batch("CREATE TABLE t AS SELECT TIMESTAMPTZ '2024-01-01 12:00:00+00' AS arrives")
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let engine = CachedEngine::new(Flicker(warehouse, AtomicBool::default()), cache);
    let ask = || {
        let query = engine.query(
            "SELECT date_part('hour', arrives) AS n FROM t",
            Params::new(),
        );
        let result = query.ttl(Duration::from_secs(60)).blocking().unwrap();
        assert!(engine.cache().flush(Duration::from_secs(20)));
        (result.status(), number(result.batches()))
    };
    assert_eq!(ask(), (Status::Miss, 21));
    assert_eq!(ask(), (Status::Miss, 12));
    assert_eq!(ask(), (Status::Hit(Tier::Memory), 12));
}

#[test]
fn a_setting_that_changes_results_keeps_them_apart() {
    let room = Room::new();
    let warehouse = room.open_after("CREATE TABLE t AS SELECT unnest([1, NULL]) AS a; CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 1 AS a");
    let engine = warehouse.engine();
    let first = "SELECT coalesce(first(a), 0)::BIGINT AS n FROM (SELECT a FROM t ORDER BY a)";
    assert_eq!(ask(&warehouse, first), (Status::Miss, 1));
    engine.set("default_null_order", "nulls_first").unwrap();
    assert_eq!(ask(&warehouse, first), (Status::Miss, 0));
    engine.set("default_null_order", "nulls_last").unwrap();
    assert_eq!(ask(&warehouse, first).1, 1);
    assert_eq!(ask(&warehouse, COUNT).1, 2);
    engine.set("schema", "s").unwrap();
    for _ in 0..10 {
        assert_eq!(ask(&warehouse, COUNT).1, 1);
    }
    let refused = engine.set("schema = 's'; DROP TABLE t; --", "x");
    assert!(refused.unwrap_err().to_string().contains("one word"));
    for sql in [
        "SET schema = 's'",
        "USE s",
        "CREATE TEMP TABLE x (a INT)",
        "ATTACH ':memory:' AS m",
    ] {
        let refused = warehouse.execute_batch(sql).unwrap_err().to_string();
        assert!(refused.contains("one connection"), "{refused}");
    }
}

#[test]
fn a_transaction_that_is_left_open_is_rolled_back() {
    let room = Room::new();
    let warehouse = room.open_after("CREATE TABLE t (a INT)");
    assert_eq!(ask(&warehouse, COUNT), (Status::Miss, 0));
    let error = warehouse
        .execute_batch("BEGIN; INSERT INTO t VALUES (1)")
        .unwrap_err();
    assert!(
        error.to_string().contains("left a transaction open"),
        "{error}"
    );
    assert_eq!(ask(&warehouse, COUNT).1, 0);
    let error = warehouse
        .execute_batch("BEGIN; INSERT INTO t VALUES (1); INSERT INTO nowhere VALUES (1); COMMIT")
        .unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert_eq!(ask(&warehouse, COUNT).1, 0);
    warehouse
        .execute_batch("BEGIN; INSERT INTO t VALUES (1); ROLLBACK")
        .unwrap();
    assert_eq!(ask(&warehouse, COUNT).1, 0);
}

#[test]
fn wrong_parameters_are_reported() {
    let room = Room::new();
    let warehouse = room.open();
    let missing = warehouse.query("SELECT $a", params! { b: 1 }).blocking();
    assert!(missing.unwrap_err().to_string().contains("no value for $a"));
    let too_many = warehouse
        .query("SELECT $a", params! { a: 1, b: 1 })
        .blocking();
    assert!(too_many.is_err());
    let positional = warehouse
        .query(
            "SELECT ?::BIGINT + ?::BIGINT AS n",
            data_cache::Params::positional([40, 2]),
        )
        .blocking()
        .unwrap();
    assert_eq!(number(positional.batches()), 42);
}

#[test]
fn each_run_and_each_hit_is_one_event() {
    let room = Room::new();
    let warehouse = room.open();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let events = seen.clone();
    warehouse
        .cache()
        .on_query(move |event| events.lock().unwrap().push(event.clone()));
    let sql = "SELECT 42::BIGINT AS n -- secret";
    ask(&warehouse, sql);
    ask(&warehouse, sql);
    let failed = warehouse
        .query("SELECT * FROM nowhere", params! {})
        .blocking();
    assert!(failed.is_err());
    let seen = seen.lock().unwrap();
    let message: Vec<_> = seen
        .iter()
        .map(|e| {
            (
                e.sql.as_str(),
                e.query_type.as_str(),
                e.rows,
                e.failed,
                e.status,
            )
        })
        .collect();
    let clean = "SELECT ?::BIGINT AS n";
    assert_eq!(
        message,
        [
            (clean, "SELECT", 1, false, Status::Miss),
            (clean, "SELECT", 1, false, Status::Hit(Tier::Memory)),
            (
                "SELECT * FROM nowhere",
                "SELECT",
                0,
                true,
                Status::Bypass(Bypass::Outside)
            ),
        ]
    );
}

#[test]
fn the_etag_of_a_result_outlives_a_restart_and_changes_with_the_data() {
    let room = Room::new();
    let etag = |warehouse: &CachedWarehouse| {
        let result = warehouse.query(COUNT, params! {}).blocking().unwrap();
        result.etag("json/1").unwrap()
    };
    let first = {
        let warehouse = room.open_after("CREATE TABLE t (a INT)");
        let first = etag(&warehouse);
        assert_eq!(etag(&warehouse), first);
        settle(&warehouse);
        first
    };
    let warehouse = room.open();
    assert_eq!(etag(&warehouse), first);
    assert!(first.starts_with("W/\"") && first.len() == 36, "{first}");
    warehouse.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    assert_ne!(etag(&warehouse), first);
}

#[test]
fn what_somebody_asks_to_keep_is_in_a_file_however_cheap_it_is() {
    let room = Room::new();
    {
        let warehouse = room.open();
        let query = warehouse.query("SELECT 1::BIGINT AS n", params! {});
        query.keep().blocking().unwrap();
        settle(&warehouse);
    }
    let warehouse = room.open();
    let answer = warehouse.query("SELECT 1::BIGINT AS n", params! {});
    assert_eq!(answer.blocking().unwrap().status(), Status::Hit(Tier::Disk));
}

#[test]
fn a_file_is_open_once_in_a_process_unless_it_is_only_read() {
    let room = Room::new();
    let path = room.dir.path().join("w.duckdb");
    let first = Warehouse::open(&path).unwrap();
    let again = Warehouse::open(&path).unwrap_err().to_string();
    assert!(again.contains("already open in this process"), "{again}");
    drop(first);
    let readers = [(); 2].map(|()| Warehouse::open_read_only(&path).unwrap());
    drop(readers);
    Warehouse::open(&path).unwrap();
}

#[test]
fn what_is_in_memory_only_reaches_a_file_when_somebody_asks_to_keep_it() {
    let room = Room::new();
    let sql = "SELECT range AS a, range::VARCHAR AS b FROM range(400000)";
    {
        let warehouse = room.open();
        for keep in [false, true] {
            let query = warehouse.query(sql, params! {});
            let query = if keep { query.keep() } else { query };
            query.blocking().unwrap();
            settle(&warehouse);
        }
    }
    let answer = room.open().query(sql, params! {}).blocking().unwrap();
    assert_eq!(answer.status(), Status::Hit(Tier::Disk));
}

#[test]
fn a_table_beyond_ascii_is_known_by_its_name_too() {
    let room = Room::new();
    let warehouse = room.open();
    for name in ["İstanbul", "ΟΔΟΣ", "straße", "a \"b\" c", "SELECT"] {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        warehouse
            .execute_batch(&format!("CREATE TABLE {quoted} AS SELECT 1 AS a"))
            .unwrap();
        let sql = format!("SELECT count(*) AS n FROM {quoted}");
        assert_eq!(ask(&warehouse, &sql).1, 1);
        warehouse
            .execute_batch(&format!("INSERT INTO {quoted} VALUES (2)"))
            .unwrap();
        assert_eq!(ask(&warehouse, &sql), (Status::Miss, 2), "{name}");
        assert_eq!(
            ask(&warehouse, &sql),
            (Status::Hit(Tier::Memory), 2),
            "{name}"
        );
    }
}

#[test]
fn replicas_with_equal_data_have_equal_tags() {
    let tags = |setup: &str, sql: &str| {
        let room = Room::new();
        let warehouse = room.open_after(setup);
        let tag = || {
            let answer = warehouse
                .query(sql, params! {})
                .ttl(Duration::from_secs(60));
            let answer = answer.blocking().unwrap();
            (answer.status(), answer.etag("json/1").unwrap())
        };
        let (miss, first) = tag();
        let (hit, second) = tag();
        assert_eq!((miss, hit), (Status::Miss, Status::Hit(Tier::Memory)));
        settle(&warehouse);
        drop(warehouse);
        let config = Config::from_yaml("c", "query_cache: {memory_mb: 0, codec: ipc}").unwrap();
        let warehouse = room.open_with(&config);
        let answer = warehouse.query(sql, params! {}).blocking().unwrap();
        let third = answer.etag("json/1").unwrap();
        assert_eq!(answer.status(), Status::Hit(Tier::Disk));
        assert_eq!([&second, &third], [&first, &first]);
        assert_ne!(answer.etag("json/2").unwrap(), first);
        first
    };
    let all = "SELECT a, b, c, [a] AS l, {'x': b} AS s, CASE WHEN a % 2 = 0 THEN 'x' END AS n FROM t ORDER BY a";
    let one = tags(
        "CREATE TABLE t AS SELECT range AS a, 'row ' || range AS b, DATE '2024-01-01' + range::INT AS c FROM range(5000)",
        all,
    );
    let other = tags(
        "CREATE TABLE t (a BIGINT, b VARCHAR, c DATE); \
         INSERT INTO t SELECT range, 'row ' || range, DATE '2024-01-01' + range::INT FROM range(3000, 5000); \
         INSERT INTO t SELECT range, 'row ' || range, DATE '2024-01-01' + range::INT FROM range(3000)",
        all,
    );
    assert_eq!(one, other);
    // a different value, type, number of rows, or name
    for other in [
        "CREATE TABLE t AS SELECT range AS a, 'row ' || CASE range WHEN 4999 THEN 0 ELSE range END AS b, DATE '2024-01-01' + range::INT AS c FROM range(5000)",
        "CREATE TABLE t AS SELECT range::INT AS a, 'row ' || range AS b, DATE '2024-01-01' + range::INT AS c FROM range(5000)",
        "CREATE TABLE t AS SELECT range AS a, 'row ' || range AS b, DATE '2024-01-01' + range::INT AS c FROM range(4999)",
    ] {
        assert_ne!(tags(other, all), one, "{other}");
    }
    // types whose rows have no order
    let odd = "SELECT MAP {'a': 1} AS m, union_value(k := 1) AS u, INTERVAL 1 DAY AS i, 1.5::DECIMAL(5,2) AS d";
    assert_eq!(tags("SELECT 1", odd), tags("SELECT 1", odd));
}

#[test]
fn each_type_of_parameter_reaches_the_engine() {
    let room = Room::new();
    let warehouse = room.open();
    let ask = |sql: &str, value: data_cache::Value| {
        let params = data_cache::Params::new().set("a", value);
        let answer = warehouse.query(sql, params).blocking();
        let answer = answer.unwrap_or_else(|error| panic!("{sql}: {error}"));
        crate::differential::shown(answer.batches())[1].clone()
    };
    use data_cache::Value;
    for (value, expected) in [
        (Value::from(-1_i8), "TINYINT|-1"),
        (Value::from(-1_i16), "SMALLINT|-1"),
        (Value::from(1_u8), "UTINYINT|1"),
        (Value::from(1_u16), "USMALLINT|1"),
        (Value::UInt32(7), "UINTEGER|7"),
        (Value::from(7_usize), "UBIGINT|7"),
        (Value::from(-7_isize), "BIGINT|-7"),
        (
            Value::from(1_i128 << 100),
            "HUGEINT|1267650600228229401496703205376",
        ),
        (Value::from(1.5_f32), "FLOAT|1.5"),
        (Value::from('é'), "VARCHAR|é"),
        (Value::Time(3_661_000_001), "TIME|01:01:01.000001"),
        (
            Value::Interval {
                months: 14,
                days: 3,
                micros: 1_000_000,
            },
            "INTERVAL|1 year 2 months 3 days 00:00:01",
        ),
        (
            Value::Decimal {
                unscaled: -12_345,
                scale: 2,
            },
            "DECIMAL(38,2)|-123.45",
        ),
    ] {
        assert_eq!(ask("SELECT typeof($a), concat($a, '')", value), expected);
    }
    for micros in [
        0,
        1,
        -1,
        1_704_067_200_000_000,
        951_868_800_123_456,
        -62_135_596_800_000_000,
        -62_135_596_800_000_001,
        -70_000_000_000_000_000,
        253_402_300_799_999_999,
    ] {
        let sql = format!(
            "SELECT epoch_us($a::TIMESTAMPTZ), $a::TIMESTAMPTZ = make_timestamptz({micros})"
        );
        assert_eq!(
            ask(&sql, Value::TimestampTz(micros)),
            format!("{micros}|true")
        );
    }
    let too_long = Value::Interval {
        months: 0,
        days: 0,
        micros: i64::MAX,
    };
    let refused = warehouse
        .query("SELECT $a", data_cache::Params::new().set("a", too_long))
        .blocking();
    assert!(refused.unwrap_err().to_string().contains("out of range"));
}

/// An engine with one result.
struct Fixed(RecordBatch);

impl QueryEngine for Fixed {
    fn identity(&self) -> String {
        "fixed".to_owned()
    }

    fn state(&self, _: &str) -> Result<State, Bypass> {
        let (token, tables) = ("1".to_owned(), Vec::new());
        Ok(State { token, tables })
    }

    fn run(&self, _: &str, _: &Params, _: &Cancel) -> Result<Vec<RecordBatch>, Error> {
        Ok(vec![self.0.clone()])
    }
}

#[test]
fn a_tag_does_not_follow_from_what_stands_where_null_is() {
    let tag = |first: i64, in_place_of_null: i64| {
        let values = vec![first, in_place_of_null, 3];
        let numbers = Int64Array::new(values.into(), Some(vec![true, false, true].into()));
        let entries = StructArray::from(vec![
            (
                Arc::new(Field::new("key", DataType::Utf8, false)),
                Arc::new(StringArray::from(vec!["a", "b", "c"])) as ArrayRef,
            ),
            (
                Arc::new(Field::new("value", DataType::Int64, true)),
                Arc::new(numbers.clone()),
            ),
        ]);
        let field = Field::new("entries", entries.data_type().clone(), false);
        let lengths = OffsetBuffer::from_lengths([1, 2, 0]);
        let maps: ArrayRef = Arc::new(MapArray::new(
            Arc::new(field),
            lengths,
            entries,
            None,
            false,
        ));
        let field = Arc::new(Field::new("m", maps.data_type().clone(), true));
        let within: ArrayRef = Arc::new(StructArray::from(vec![(field.clone(), maps.clone())]));
        let lists = ListArray::new(
            field.clone(),
            OffsetBuffer::from_lengths([2, 0, 1]),
            maps.clone(),
            None,
        );
        let fixed = FixedSizeListArray::new(
            field.clone(),
            1,
            maps.clone(),
            Some(vec![true, false, true].into()),
        );
        let number = Arc::new(Field::new("n", DataType::Int64, true));
        let unions = UnionArray::try_new(
            [(0, field), (1, number)].into_iter().collect(),
            vec![0, 1, 0].into(),
            None,
            vec![maps.clone(), Arc::new(numbers.clone())],
        );
        let columns: [(&str, ArrayRef); 6] = [
            ("n", Arc::new(numbers)),
            ("m", maps),
            ("s", within),
            ("l", Arc::new(lists)),
            ("f", Arc::new(fixed)),
            ("u", Arc::new(unions.unwrap())),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let config = Config::from_yaml("c", "query_cache: {max_size_mb: 0}").unwrap();
        let cache = Cache::open_with("nowhere", &config).unwrap();
        let engine = CachedEngine::new(Fixed(batch), cache);
        let answer = engine.query("SELECT n, m FROM t", params! {}).blocking();
        answer.unwrap().etag("json").unwrap()
    };
    assert_eq!(tag(1, 0), tag(1, 7));
    assert_ne!(tag(1, 0), tag(2, 0));
}

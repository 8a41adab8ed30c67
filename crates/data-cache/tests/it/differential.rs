//! The same statements through a cached warehouse and through DuckDB alone: the results never differ.

use std::path::Path;
use std::time::{Duration, Instant};

use data_cache::arrow::array::RecordBatch;
use data_cache::arrow::util::display::array_value_to_string;
use data_cache::testing::ManualClock;
use data_cache::{Cache, CachedWarehouse, Config, Params, Scope, Status, Warehouse, params};

use crate::batches::{Random, is_full};

/// Rows as text, with names and types.
pub(crate) fn shown(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = vec![batches[0].schema().to_string()];
    for batch in batches {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter();
            let values: Vec<_> = values
                .map(|c| array_value_to_string(c, row).unwrap())
                .collect();
            rows.push(values.join("|"));
        }
    }
    rows
}

struct Run<'a> {
    dir: &'a Path,
    config: Config,
    cached: CachedWarehouse,
    clock: ManualClock,
    /// DuckDB alone, with the same statements in its own database.
    plain: Warehouse,
    random: Random,
    seconds: u64,
    hits: usize,
    reads: usize,
}

const READS: &[&str] = &[
    "SELECT count(*) AS n FROM t",
    "SELECT count(*)   AS n\nFROM t",
    "SELECT * FROM t ORDER BY ALL",
    "SELECT a, sum(b) AS s FROM t GROUP BY a ORDER BY a",
    "SELECT * FROM u ORDER BY ALL",
    "SELECT * FROM s.t ORDER BY ALL",
    "SELECT * FROM v ORDER BY ALL",
    "SELECT * FROM w ORDER BY ALL",
    "SELECT t.a, u.c FROM t JOIN u ON t.a = u.a ORDER BY ALL",
    "SELECT 'a  b' AS x, 'a b' AS y",
    "SELECT double_it(a) AS d FROM t ORDER BY ALL",
    "SELECT A FROM T ORDER BY A",
    "SELECT b FROM t ORDER BY b LIMIT 5",
    "FROM u ORDER BY ALL",
    "WITH x AS (SELECT a FROM t) SELECT count(*) AS n FROM x",
    "SELECT (SELECT count(*) FROM u) AS n, 5 / 2 AS q",
    "SELECT * FROM 't' ORDER BY ALL",
    "SELECT * FROM \"T\" ORDER BY ALL",
    "SELECT count(*) AS n FROM query_table('t')",
    "SELECT table_name FROM information_schema.tables WHERE table_schema IN ('main', 's') ORDER BY 1",
];
const READS_WITH: &[&str] = &[
    "SELECT * FROM t WHERE a = $a ORDER BY ALL",
    "SELECT count(*) AS n FROM v WHERE a >= $a",
    "SELECT $a AS a, typeof($a) AS t",
];
const WRITES: &[&str] = &[
    "INSERT INTO t VALUES (1, 10), (2, NULL)",
    "INSERT INTO main.t SELECT a + 1, b FROM t LIMIT 3",
    "INSERT INTO \"T\" VALUES (7, 70)",
    "UPDATE t SET b = b + 1 WHERE a = 1",
    "DELETE FROM t WHERE a > 5",
    "DELETE FROM t",
    "INSERT INTO u VALUES (1, 'x'), (3, 'y')",
    "DELETE FROM u WHERE c = 'x'",
    "UPDATE u SET c = c || '!'",
    "INSERT INTO s.t VALUES (100, 1)",
    "TRUNCATE s.t",
    "BEGIN; INSERT INTO t VALUES (50, 1); ROLLBACK",
    "BEGIN; INSERT INTO t VALUES (51, 1); INSERT INTO u VALUES (51, 'z'); COMMIT",
    "BEGIN; DELETE FROM u; INSERT INTO nowhere VALUES (1); COMMIT",
    "INSERT INTO t VALUES ('no number', 1)",
    "WITH x AS (SELECT 9 AS a, 9 AS b) INSERT INTO t SELECT * FROM x",
    "CHECKPOINT",
];
const DDL: &[&str] = &[
    "CREATE OR REPLACE VIEW v AS SELECT a, b FROM t WHERE a < 3",
    "CREATE OR REPLACE VIEW v AS SELECT a, a AS b FROM u",
    "CREATE OR REPLACE VIEW w AS SELECT * FROM v",
    "CREATE OR REPLACE VIEW w AS SELECT 1 AS one, count(*) AS n FROM t, u",
    "CREATE OR REPLACE MACRO double_it(x) AS x * 2",
    "CREATE OR REPLACE MACRO double_it(x) AS x * 3 + (SELECT count(*) FROM u)",
    "CREATE OR REPLACE TABLE u AS SELECT 1 AS a, 'n' AS c",
    "CREATE OR REPLACE TABLE t AS SELECT range::INT AS a, (range * 2)::INT AS b FROM range(5)",
    "CREATE OR REPLACE TABLE s.t AS SELECT 5 AS a, 6 AS b",
    "ALTER TABLE u RENAME c TO c",
    "DROP VIEW IF EXISTS w; CREATE VIEW w AS SELECT 2 AS two",
];
const SETTINGS: &[(&str, &str)] = &[
    ("default_null_order", "nulls_first"),
    ("default_null_order", "nulls_last"),
    ("integer_division", "true"),
    ("integer_division", "false"),
    ("default_order", "desc"),
    ("default_order", "asc"),
    ("schema", "s"),
    ("schema", "main"),
];

impl Run<'_> {
    fn open(dir: &Path, config: &Config) -> CachedWarehouse {
        let cache = Cache::open_with(dir.join("cache"), config).unwrap();
        Warehouse::open(dir.join("w.duckdb")).unwrap().cached(cache)
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..88 => self.read(),
            88..92 => self.write(WRITES),
            92 => self.write(DDL),
            93 => {
                let (name, value) = SETTINGS[self.random.below(SETTINGS.len())];
                let both =
                    [self.cached.engine(), &self.plain].map(|engine| engine.set(name, value));
                assert!(both.iter().all(Result::is_ok), "{both:?}");
            }
            94 => {
                self.seconds += 7;
                self.clock.advance(7);
            }
            95 => {
                let cache = self.cached.cache();
                cache
                    .invalidate(["*t*", "*", "*u*", "SELECT ? FROM t*"][self.random.below(4)])
                    .unwrap();
            }
            96 => {
                self.cached.cache().invalidate_table("t").unwrap();
            }
            97 => {
                self.cached.cache().clear().unwrap();
            }
            _ => self.restart(),
        }
    }

    fn read(&mut self) {
        self.reads += 1;
        let (sql, bound) = match self.random.below(4) {
            0 => {
                let sql = READS_WITH[self.random.below(READS_WITH.len())];
                let bound = match self.random.below(4) {
                    0 => params! { a: 1 },
                    1 => params! { a: 1_i64 },
                    2 => params! { a: 2.0 },
                    _ => params! { a: None::<i32> },
                };
                (sql, bound)
            }
            _ => (READS[self.random.below(READS.len())], Params::new()),
        };
        let mut query = self.cached.query(sql, bound.clone());
        if self.random.below(3) == 0 {
            query = query.ttl(Duration::from_secs(20));
        }
        if self.random.below(5) == 0 {
            query = query.scope(Scope::tenant("t"));
        }
        let (ours, theirs) = (query.blocking(), self.plain.query(sql, &bound));
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                self.hits += usize::from(matches!(ours.status(), Status::Hit(_)));
                assert_eq!(
                    shown(ours.batches()),
                    shown(&theirs),
                    "{sql} {bound:?}: {:?}",
                    ours.status()
                );
            }
            (Err(_), Err(_)) => {}
            (ours, theirs) => panic!("{sql} {bound:?}: {ours:?}, DuckDB alone: {theirs:?}"),
        }
    }

    fn write(&mut self, statements: &[&str]) {
        let sql = statements[self.random.below(statements.len())];
        let (ours, theirs) = (
            self.cached.execute_batch(sql),
            self.plain.execute_batch(sql),
        );
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{sql}: {ours:?}, {theirs:?}");
    }

    /// Restarts the cached side; settings end with the process.
    fn restart(&mut self) {
        assert!(self.cached.cache().flush(Duration::from_secs(60)));
        let gone = std::mem::replace(
            &mut self.cached,
            Warehouse::in_memory().unwrap().cached(
                Cache::open_with(
                    "nowhere",
                    &Config::from_yaml("c", "query_cache: {enabled: false}").unwrap(),
                )
                .unwrap(),
            ),
        );
        drop(gone);
        self.cached = Self::open(self.dir, &self.config);
        self.clock = ManualClock::install(self.cached.cache(), self.seconds);
        for (name, value) in [
            ("default_null_order", "nulls_last"),
            ("integer_division", "false"),
            ("default_order", "asc"),
            ("schema", "main"),
        ] {
            self.plain.set(name, value).unwrap();
        }
    }
}

#[test]
fn a_warehouse_behind_a_cache_answers_like_duckdb_alone() {
    let seconds = if is_full() { 600 } else { 4 };
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut seed, mut hits, mut reads) = (20_261_125, 0, 0);
    // on a busy machine the time may be over before any query ran
    let is_over = |reads: usize| Instant::now() > end && reads > 300;
    while !is_over(reads) {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::from_yaml(
            "c",
            "query_cache: {default_ttl_seconds: 30, max_size_mb: 1}",
        )
        .unwrap();
        let cached = Run::open(dir.path(), &config);
        let clock = ManualClock::install(cached.cache(), 1_000_000);
        let mut run = Run {
            dir: dir.path(),
            config,
            cached,
            clock,
            plain: Warehouse::in_memory().unwrap(),
            random: Random(seed),
            seconds: 1_000_000,
            hits: 0,
            reads: 0,
        };
        let setup = "CREATE SCHEMA s; CREATE TABLE t (a INT, b INT); CREATE TABLE s.t (a INT, b INT); \
                     CREATE TABLE u (a INT, c VARCHAR); CREATE VIEW v AS SELECT a, b FROM t; \
                     CREATE VIEW w AS SELECT * FROM v; CREATE MACRO double_it(x) AS x * 2";
        run.cached.execute_batch(setup).unwrap();
        run.plain.execute_batch(setup).unwrap();
        for _ in 0..400 {
            if is_over(reads + run.reads) {
                break;
            }
            run.step();
        }
        (hits, reads) = (hits + run.hits, reads + run.reads);
        seed += 1;
    }
    println!("{reads} reads, {hits} of them from the cache");
    assert!(
        hits * 10 > reads,
        "{hits} hits in {reads} reads: nothing was tested"
    );
}

//! Generated statements: write, query through the cache, and compare with DuckDB alone.

use data_cache::{Cache, CachedWarehouse, Config, Status, Warehouse, params};

use crate::batches::{Random, is_full};
use crate::differential::shown;

const SETUP: &str = "CREATE SCHEMA s; CREATE TABLE t (a INT, b VARCHAR); CREATE TABLE u (a INT, b VARCHAR); \
                     CREATE TABLE s.t (a INT, b VARCHAR); CREATE TABLE \"only\" (a INT, b VARCHAR); \
                     CREATE TABLE \"a  b\" (a INT, b VARCHAR); \
                     INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, NULL); INSERT INTO u SELECT * FROM t; \
                     INSERT INTO s.t SELECT * FROM t; INSERT INTO \"only\" SELECT * FROM t; \
                     INSERT INTO \"a  b\" SELECT * FROM t; CREATE MACRO twice(x) AS x * 2; \
                     CREATE MACRO rows_of() AS TABLE SELECT * FROM t; CREATE MACRO total() AS (SELECT sum(a) FROM u)";

struct Generator {
    random: Random,
    views: usize,
}

impl Generator {
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.random.below(of.len())]
    }

    /// Whitespace that the engine accepts, sometimes with a comment in it.
    fn space(&mut self) -> String {
        self.one(&[
            " ",
            " ",
            " ",
            "  ",
            "\n",
            "\t",
            " \r\n",
            " /* ; */ ",
            " -- '\n",
            "/* /* */ */",
            "\n-- \"\n",
        ])
        .to_owned()
    }

    /// Spells the words in any case, with any whitespace between them.
    fn spelled(&mut self, words: &str) -> String {
        let mut text = String::new();
        for word in words.split(' ') {
            if !text.is_empty() {
                text.push_str(&self.space());
            }
            match self.random.below(3) {
                0 => text.push_str(&word.to_uppercase()),
                1 => text.push_str(&word.to_lowercase()),
                _ => text.push_str(word),
            }
        }
        text
    }

    /// A table as the target of a write.
    fn target(&mut self) -> String {
        let tables = [
            "t",
            "T",
            "main.t",
            "\"t\"",
            "\"T\"",
            "memory.main.t",
            "u",
            "s.t",
            "S.\"T\"",
            "\"only\"",
            "\"a  b\"",
            "s . t",
        ];
        self.one(&tables).to_owned()
    }

    fn write(&mut self) -> String {
        let n = self.random.below(100);
        let target = self.target();
        let space = self.space();
        let only = self.one(&["", "", "ONLY ", "only ", "OnLy/**/"]);
        match self.random.below(12) {
            0 => format!(
                "{} {only}{target}{space}SET a = {n}",
                self.spelled("update")
            ),
            1 => format!(
                "{} {only}{target} AS x SET a = x.a + 1 WHERE x.a < {n}",
                self.spelled("update")
            ),
            2 => format!("{} {only}{target} x SET b = '{n}'", self.spelled("update")),
            3 => format!(
                "{} {only}{target}{space}WHERE a > {n}",
                self.spelled("delete from")
            ),
            4 => format!("{} {only}{target}", self.spelled("delete from")),
            5 => format!(
                "{} {target}{space}VALUES ({n}, 'it''s')",
                self.spelled("insert into")
            ),
            6 => format!(
                "{} {target} (a){space}SELECT a + {n} FROM u LIMIT 2",
                self.spelled("insert into")
            ),
            7 => format!(
                "{} {target} BY NAME SELECT {n} AS a",
                self.spelled("insert into")
            ),
            8 => format!(
                "{} {target} USING (SELECT {n} AS a, 'm' AS b) AS n ON ({target}.a = n.a) WHEN NOT MATCHED THEN INSERT",
                self.spelled("merge into")
            ),
            9 => format!("{} {target}", self.spelled("truncate")),
            10 => format!(
                "BEGIN; INSERT INTO {target} VALUES ({n}, 'a'); UPDATE {only}t SET a = {n}; {}",
                self.one(&["COMMIT", "ROLLBACK"])
            ),
            _ => format!(
                "WITH w AS (SELECT {n} AS a, 'w' AS b) INSERT INTO {target} SELECT * FROM w"
            ),
        }
    }

    /// A table as a source, also named by each kind of literal.
    fn source(&mut self) -> String {
        let sources = [
            "t",
            "T",
            "\"t\"",
            "'t'",
            "'T'",
            "$$t$$",
            "$x$t$x$",
            "E't'",
            "e'\\x74'",
            "E'\\164'",
            "''\n't'",
            "'t'\n''",
            "E'\\x7'\n'4'",
            "''-- c\n't'",
            "main.t",
            "s.t",
            "u",
            "'only'",
            "\"only\"",
            "ONLY t",
            "$$a  b$$",
            "\"a  b\"",
            "'a  b'",
            "v0",
            "v1",
            "v2",
            "v3",
            "query_table('t')",
            "rows_of()",
            "(FROM $$u$$)",
            "(VALUES (1, 'q')) AS w(a, b)",
        ];
        self.one(&sources).to_owned()
    }

    fn view(&mut self) -> String {
        self.views += 1;
        let name = format!("v{}", self.views % 4);
        let source = self.source();
        format!(
            "CREATE OR REPLACE VIEW {name} AS {} {source}",
            self.spelled("select * from")
        )
    }

    fn read(&mut self) -> String {
        let (source, other) = (self.source(), self.source());
        let space = self.space();
        match self.random.below(14) {
            0 => format!(
                "{}{space}{source}{space}ORDER BY ALL",
                self.spelled("select * from")
            ),
            1 => format!("SELECT count(*), sum(a){space}FROM {source}"),
            2 => format!("FROM {source}{space}ORDER BY ALL"),
            3 => format!("WITH w AS (SELECT * FROM {source}) SELECT max(a) FROM w, {other} AS o"),
            4 => format!("SELECT a, (SELECT count(*) FROM {other}) FROM {source} ORDER BY ALL"),
            5 => format!("SELECT rowid, a FROM {source} ORDER BY ALL"),
            6 => format!("SELECT x.RowId FROM {source} AS x ORDER BY ALL"),
            7 => format!("SELECT twice(a), total() FROM {source} ORDER BY ALL"),
            8 => self.literals(),
            9 => format!(
                "SELECT typeof(a), b{space}FROM {source} UNION ALL SELECT 'x', b FROM {other} ORDER BY ALL"
            ),
            10 => format!(
                "SELECT DISTINCT b FROM {source}{space}WHERE a IN (SELECT a FROM {other}) ORDER BY ALL"
            ),
            11 => format!("PIVOT (SELECT a, b FROM {source}) ON b USING sum(a) ORDER BY ALL"),
            12 => format!("SUMMARIZE SELECT a FROM {source}"),
            _ => format!(
                "SELECT row_number() OVER (ORDER BY a, b) AS n, a FROM {source} ORDER BY ALL"
            ),
        }
    }

    /// Literals, some of which continue after a line break, with one space or two inside.
    fn literals(&mut self) -> String {
        let gap = self.one(&[" ", "  ", "\n", "\t"]);
        let open = self.one(&["'", "E'", "e'"]);
        let end = self.one(&["b", "b\\'", "b''", "\\\\", "b\\'' || '"]);
        let between = self.one(&["\n", " \n ", "\r", "--c\n", " /* c */ ", " ", "\n\n"]);
        let more = self.one(&["'c  d'", "'c d'", "''", "'  '"]);
        format!("SELECT {open}a{gap}{end}'{between}{more} AS x,{gap}1 AS y")
    }

    /// A statement that would affect one connection only.
    fn temporary(&mut self) -> String {
        let words = self.one(&[
            "create temp table z (a int)",
            "create temporary table z (a int)",
            "create or replace temp table z as select 1",
            "create local temp table z (a int)",
            "create or replace local temp table z as select 1 as a",
            "create or replace local temporary table z as select 2",
            "create temp view z as select 1",
            "create or replace temporary view z as select 1",
            "create temp macro z() as 1",
            "create temp sequence z",
            "create temporary sequence z",
            "create temp type z as enum ('a')",
        ]);
        self.spelled(words)
    }
}

fn answer(warehouse: &CachedWarehouse, sql: &str) -> (Result<Vec<String>, String>, bool) {
    let answer = warehouse.query(sql, params! {}).blocking();
    let is_hit = matches!(
        answer.as_ref().map(|found| found.status()),
        Ok(Status::Hit(_))
    );
    let rows = answer.map(|found| shown(found.batches()));
    (rows.map_err(|error| error.to_string()), is_hit)
}

fn compare(warehouse: &CachedWarehouse, sql: &str, after: &str) -> bool {
    let (ours, is_hit) = answer(warehouse, sql);
    let theirs = warehouse.engine().query(sql, &params! {});
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, shown(&theirs), "{sql:?} after {after:?}"),
        (Err(_), Err(_)) => {}
        (ours, theirs) => panic!("{sql:?} after {after:?}: {ours:?}, DuckDB alone: {theirs:?}"),
    }
    is_hit
}

fn fresh() -> CachedWarehouse {
    let config = Config::from_yaml("c", "query_cache: {max_size_mb: 0}").unwrap();
    let warehouse = Warehouse::in_memory()
        .unwrap()
        .cached(Cache::open_with("nowhere", &config).unwrap());
    warehouse.execute_batch(SETUP).unwrap();
    for view in 0..4 {
        let sql = format!("CREATE VIEW v{view} AS SELECT * FROM $$t$$");
        warehouse.execute_batch(&sql).unwrap();
    }
    warehouse
}

#[test]
fn no_generated_statement_has_another_answer_than_duckdb_alone() {
    let cases = if is_full() { 100_000 } else { 150 };
    let seed = std::env::var("OPS_TEST_SEED").map_or(20_261_126, |seed| seed.parse().unwrap());
    let mut generator = Generator {
        random: Random(seed),
        views: 0,
    };
    println!("seed {seed}");
    let mut asked = Vec::new();
    let (mut hits, mut done) = (0, 0);
    let mut warehouse = fresh();
    while done < cases {
        if done % 500 == 499 {
            warehouse = fresh();
            asked.clear();
        }
        let sql = match generator.random.below(3) {
            0 if !asked.is_empty() => String::clone(&asked[generator.random.below(asked.len())]),
            _ => generator.read(),
        };
        compare(&warehouse, &sql, "");
        let write = match generator.random.below(20) {
            0 => generator.view(),
            1 => {
                let temporary = generator.temporary();
                let refused = warehouse.execute_batch(&temporary);
                assert!(refused.is_err(), "{temporary:?}");
                let _ = warehouse.engine().query("FROM z", &params! {}).unwrap_err();
                "CHECKPOINT".to_owned()
            }
            2..8 => String::new(),
            _ => generator.write(),
        };
        if !write.is_empty() {
            let _ = warehouse.execute_batch(&write);
        }
        hits += usize::from(compare(&warehouse, &sql, &write));
        asked.push(sql);
        done += 1;
        if done % 1000 == 0 {
            println!("{done} cases, 0 differ, {hits} of them answered from the cache");
        }
    }
    println!("{cases} cases, 0 differ, {hits} of them answered from the cache");
    assert!(
        hits * 20 > cases,
        "{hits} hits in {cases} cases: nothing was tested"
    );
}

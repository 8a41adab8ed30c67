//! Statements that are understood only in part: their results are not stored, or depend on every write.

use std::time::Duration;

use data_cache::{
    Bypass, Cache, CachedWarehouse, Config, ErrorKind, QueryEngine, Status, Warehouse, params,
};

use crate::batches::number;
use crate::differential::shown;

fn open_with(yaml: &str, sql: &str) -> CachedWarehouse {
    let config = Config::from_yaml("cache.yaml", yaml).unwrap();
    let cache = Cache::open_with("nowhere", &config).unwrap();
    let warehouse = Warehouse::in_memory().unwrap().cached(cache);
    warehouse.execute_batch(sql).unwrap();
    warehouse
}

fn open(sql: &str) -> CachedWarehouse {
    open_with("query_cache: {max_size_mb: 0}", sql)
}

fn status(warehouse: &CachedWarehouse, sql: &str) -> Status {
    let answer = warehouse.query(sql, params! {}).blocking();
    answer
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
        .status()
}

/// Returns the result through the cache, which must equal the engine's.
fn agreed(warehouse: &CachedWarehouse, sql: &str) -> i64 {
    let ours = warehouse.query(sql, params! {}).blocking().unwrap();
    let theirs = warehouse.engine().query(sql, &params! {}).unwrap();
    assert_eq!(shown(ours.batches()), shown(&theirs), "{sql}");
    number(ours.batches())
}

#[test]
fn a_write_whose_target_is_not_proven_affects_every_result() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.csv");
    std::fs::write(&path, "a\n8\n").unwrap();
    let csv = format!("COPY t FROM '{}' (FORMAT csv)", path.display());
    for write in [
        "UPDATE ONLY t SET a = 7",
        "update only/**/t set a = 7",
        "DELETE FROM ONLY t",
        "DELETE FROM ONLY main.t WHERE a = 1",
        "UPDATE t AS x SET a = 7",
        "UPDATE t x SET a = 7",
        "MERGE INTO t USING (SELECT 9 AS a) AS n ON (t.a = n.a) WHEN NOT MATCHED THEN INSERT",
        "TRUNCATE t",
        "TRUNCATE TABLE t",
        "WITH n AS (SELECT 5 AS a) INSERT INTO t SELECT * FROM n",
        "INSERT INTO t AS x VALUES (3)",
        csv.as_str(),
        "DROP TABLE t; CREATE TABLE t AS SELECT 4 AS a",
    ] {
        let warehouse = open(
            "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2); CREATE TABLE \"only\" (a INT)",
        );
        let sql = "SELECT coalesce(sum(a), -1)::BIGINT AS n FROM t";
        assert_eq!(agreed(&warehouse, sql), 3);
        assert!(matches!(status(&warehouse, sql), Status::Hit(_)));
        warehouse
            .execute_batch(write)
            .unwrap_or_else(|error| panic!("{write}: {error}"));
        agreed(&warehouse, sql);
    }
}

#[test]
fn a_write_to_a_table_that_is_known_leaves_other_results() {
    let warehouse = open("CREATE TABLE t (a INT); CREATE TABLE u (a INT)");
    let sql = "SELECT count(*) AS n FROM u";
    status(&warehouse, sql);
    for write in [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO main.T (a) SELECT 2",
        "UPDATE \"T\" SET a = 3",
        "DELETE FROM t WHERE a = 9",
        "DELETE FROM t",
    ] {
        warehouse.execute_batch(write).unwrap();
        assert!(matches!(status(&warehouse, sql), Status::Hit(_)), "{write}");
    }
}

#[test]
fn a_source_is_found_in_every_form_of_a_literal() {
    for source in [
        "$$t$$",
        "$x$t$x$",
        "E't'",
        "e'\\x74'",
        "E'\\164'",
        "''\n't'",
        "'t'\r''",
        "''--c\n't'",
        "E'\\x7'\n'4'",
        "v",
        "w",
    ] {
        let warehouse = open(
            "CREATE TABLE t (a INT); CREATE VIEW v AS SELECT * FROM $$t$$; CREATE VIEW w AS SELECT * FROM E'\\x74'",
        );
        let sql = format!("SELECT count(*) AS n FROM {source}");
        let Ok(before) = warehouse.engine().query(&sql, &params! {}) else {
            continue;
        };
        assert_eq!(number(&before), 0);
        assert_eq!(agreed(&warehouse, &sql), 0);
        warehouse.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        assert_eq!(agreed(&warehouse, &sql), 1, "{sql}");
    }
}

#[test]
fn a_file_is_never_kept_whatever_its_name_is_written_as() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.csv").display().to_string();
    let escaped: String = path.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
    let (head, tail) = path.split_at(path.len() - 4);
    let warehouse = open("SELECT 1");
    for (at, source) in [
        format!("$${path}$$"),
        format!("E'{escaped}'"),
        format!("'{head}'\n'{tail}'"),
        format!("\"{path}\""),
        format!("read_csv(E'{escaped}')"),
        format!("read_text($${path}$$)"),
        format!("(FROM $${path}$$)"),
        format!("query('FROM ''{path}''')"),
    ]
    .into_iter()
    .enumerate()
    {
        let sql = format!("SELECT count(*) AS n FROM {source}");
        let view = format!("CREATE OR REPLACE VIEW v{at} AS {sql}");
        std::fs::write(&path, "a\n1\n").unwrap();
        warehouse.execute_batch(&view).unwrap();
        for sql in [sql, format!("SELECT n FROM v{at}")] {
            std::fs::write(&path, "a\n1\n").unwrap();
            agreed(&warehouse, &sql);
            std::fs::write(&path, "a\n1\n2\n3\n").unwrap();
            agreed(&warehouse, &sql);
            assert_eq!(
                status(&warehouse, &sql),
                Status::Bypass(Bypass::Outside),
                "{sql}"
            );
        }
    }
}

/// Each of them is read, and not the table, view or macro with its name in a schema outside the search path.
#[test]
fn a_file_and_a_view_of_the_catalog_are_not_taken_for_a_table_of_another_schema() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sales.csv").display().to_string();
    let folder = dir.path().join("sales").display().to_string();
    let warehouse = open(&format!(
        "CREATE SCHEMA s; CREATE TABLE s.\"{path}\" (a INT); CREATE TABLE csv (a INT); CREATE TABLE s.pg_tables (a INT); \
         CREATE VIEW s.duckdb_views AS SELECT 1 AS a; CREATE MACRO s.read_csv(x) AS TABLE SELECT 1 AS a"
    ));
    for source in [
        format!("'{path}'"),
        format!("\"{folder}\".csv"),
        format!("read_csv('{path}')"),
    ] {
        let sql = format!("SELECT count(*) AS n FROM {source}");
        for rows in [1, 3] {
            std::fs::write(&path, "a\n".to_owned() + &"1\n".repeat(rows)).unwrap();
            assert_eq!(agreed(&warehouse, &sql), rows as i64, "{sql}");
        }
        let reason = status(&warehouse, &sql);
        assert_eq!(reason, Status::Bypass(Bypass::Outside), "{sql}");
    }
    for source in ["pg_tables", "duckdb_views"] {
        let sql = format!("SELECT count(*) AS n FROM {source}");
        let reason = status(&warehouse, &sql);
        assert_eq!(reason, Status::Bypass(Bypass::Catalog), "{sql}");
    }
}

#[test]
fn a_table_is_kept_wherever_it_is_and_whatever_it_is_called() {
    let warehouse = open(
        "CREATE SCHEMA s; CREATE SCHEMA other; CREATE TABLE \"x.csv\" (a INT); CREATE TABLE s.\"y.csv\" (a INT); \
         CREATE TABLE s.plain (a INT); CREATE TABLE main.pg_tables (a INT); CREATE VIEW s.v AS SELECT * FROM \"x.csv\"; \
         CREATE TABLE other.csv (a INT); CREATE MACRO read_text(x) AS TABLE SELECT a FROM \"x.csv\"; \
         CREATE MACRO s.glob(x) AS TABLE SELECT a FROM s.plain; CREATE TABLE s.\"Order-items of 2024\" (a INT); \
         CREATE TABLE s.tables (a INT)",
    );
    warehouse.engine().set("search_path", "s").unwrap();
    let view = "CREATE VIEW s.w AS SELECT * FROM \"Order-items of 2024\"";
    warehouse.execute_batch(view).unwrap();
    for (source, write) in [
        ("\"x.csv\"", "\"x.csv\""),
        ("main.\"x.csv\"", "\"x.csv\""),
        ("memory.main.\"x.csv\"", "\"x.csv\""),
        ("s.\"y.csv\"", "s.\"y.csv\""),
        ("plain", "plain"),
        ("s.plain", "plain"),
        ("memory.\"x.csv\"", "\"x.csv\""),
        ("memory.s.plain", "plain"),
        ("main.pg_tables", "main.pg_tables"),
        ("v", "\"x.csv\""),
        ("other.csv", "other.csv"),
        ("read_text(1)", "\"x.csv\""),
        ("s.glob(1)", "plain"),
        ("\"order-items of 2024\"", "s.\"Order-items of 2024\""),
        ("w", "s.\"Order-items of 2024\""),
        ("tables", "s.tables"),
        (
            "(WITH \"my rows\" AS (FROM plain) FROM \"my rows\")",
            "plain",
        ),
        ("(WITH schemata AS (FROM plain) FROM schemata)", "plain"),
    ] {
        let sql = format!("SELECT count(*) AS n FROM {source}");
        let before = agreed(&warehouse, &sql);
        assert!(matches!(status(&warehouse, &sql), Status::Hit(_)), "{sql}");
        let write = format!("INSERT INTO {write} VALUES (1)");
        warehouse.execute_batch(&write).unwrap();
        assert_eq!(agreed(&warehouse, &sql), before + 1, "{sql}");
    }
}

#[test]
fn what_is_volatile_is_found_behind_any_name() {
    let warehouse = open(
        "CREATE TABLE t (a INT); CREATE VIEW v AS SELECT random() AS r FROM t; CREATE MACRO dice() AS random(); \
         CREATE MACRO twice() AS dice() + dice(); CREATE MACRO rolls() AS TABLE SELECT dice() AS r; \
         CREATE VIEW deep AS SELECT * FROM rolls(); CREATE MACRO lower(x) AS x || random()::VARCHAR",
    );
    for sql in [
        "SELECT r FROM E'\\x76'",
        "SELECT r FROM $$v$$",
        "SELECT twice()",
        "SELECT * FROM rolls()",
        "SELECT * FROM deep",
        "SELECT lower('x')",
        "SELECT main.random()",
        "SELECT \"RANDOM\"()",
        "SELECT gen_random_uuid()",
        "SELECT uuidv7()",
        "SELECT count(*) FROM range(10) WHERE random() < 2",
        "SELECT * FROM range(3) USING SAMPLE 1",
        "SELECT now()::DATE",
        "SELECT ago(INTERVAL 1 DAY)",
        "SELECT current_localtimestamp()",
        "SELECT current_time",
        "SELECT (SELECT max(x) FROM (SELECT random() AS x))",
        "SELECT sum(random()) OVER () FROM range(2)",
        "SELECT list_transform([1], lambda x: x + random())",
    ] {
        let reason = status(&warehouse, sql);
        assert_eq!(reason, Status::Bypass(Bypass::Nondeterministic), "{sql}");
    }
}

#[test]
fn results_with_rowid_are_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let config = Config::from_yaml("c", "query_cache: {memory_mb: 0}").unwrap();
        let cache = Cache::open_with(dir.path().join("cache"), &config).unwrap();
        let warehouse = Warehouse::open(dir.path().join("w.duckdb")).unwrap();
        warehouse.cached(cache)
    };
    let warehouse = open();
    warehouse
        .execute_batch("CREATE TABLE t AS SELECT range AS a FROM range(300000); CREATE VIEW v AS SELECT rowid AS r, a FROM t")
        .unwrap();
    warehouse
        .execute_batch("DELETE FROM t WHERE a < 200000")
        .unwrap();
    let questions = [
        "SELECT max(rowid)::BIGINT AS n FROM t",
        "SELECT max(t.\"RowID\")::BIGINT AS n FROM t",
        "SELECT max(r)::BIGINT AS n FROM v",
        "SELECT count(*) AS n FROM t JOIN t AS u USING (rowid)",
        "SELECT count(*) AS n FROM t WHERE rowid > 250000",
    ];
    for sql in questions {
        agreed(&warehouse, sql);
        assert_eq!(
            status(&warehouse, sql),
            Status::Bypass(Bypass::Nondeterministic),
            "{sql}"
        );
    }
    warehouse.execute_batch("CHECKPOINT").unwrap();
    questions.iter().for_each(|sql| {
        agreed(&warehouse, sql);
    });
    drop(warehouse);
    let warehouse = open();
    questions.iter().for_each(|sql| {
        agreed(&warehouse, sql);
    });
}

#[test]
fn a_pattern_permits_only_the_volatile_words_that_it_spells_out() {
    let yaml = "query_cache: {max_size_mb: 0, ttls: {'SELECT * FROM models*': 3600, 'SELECT * FROM others WHERE d = CURRENT_DATE': 60, 'SELECT now(), * FROM models': 60}}";
    let warehouse = open_with(
        yaml,
        "CREATE TABLE models AS SELECT 1 AS a, current_date AS d; CREATE TABLE others AS FROM models",
    );
    for sql in [
        "SELECT * FROM models WHERE random() < 2",
        "SELECT * FROM models WHERE now() IS NOT NULL",
        "SELECT * FROM models WHERE uuid() IS NOT NULL",
        "SELECT * FROM models, duckdb_tables()",
        "SELECT random(), * FROM models WHERE d = CURRENT_DATE",
        "SELECT rowid FROM models WHERE d = current_date",
    ] {
        for _ in 0..2 {
            assert!(
                matches!(status(&warehouse, sql), Status::Bypass(_)),
                "{sql}"
            );
        }
    }
    for sql in [
        "SELECT * FROM others WHERE d = CURRENT_DATE",
        "select * from  others where d = current_date",
        "SELECT now(), *\nFROM models",
        "SELECT * FROM models WHERE a = 1",
    ] {
        assert_eq!(status(&warehouse, sql), Status::Miss, "{sql}");
        assert!(matches!(status(&warehouse, sql), Status::Hit(_)), "{sql}");
    }
}

#[test]
fn a_pattern_spells_a_name_out_whatever_form_of_the_sigma_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("οδός.csv");
    std::fs::write(&path, "a\n8\n").unwrap();
    let sql = format!("SELECT * FROM '{}'", path.display());
    let yaml = format!("query_cache: {{max_size_mb: 0, ttls: {{\"{sql}\": 60}}}}");
    let warehouse = open_with(&yaml, "");
    assert_eq!(status(&warehouse, &sql), Status::Miss);
    assert!(matches!(status(&warehouse, &sql), Status::Hit(_)));
    let other = format!("{sql} LIMIT 1");
    assert!(matches!(status(&warehouse, &other), Status::Bypass(_)));
}

#[test]
fn what_is_kept_by_permission_has_the_tables_behind_its_views() {
    let yaml =
        "query_cache: {max_size_mb: 0, ttls: {'SELECT * FROM daily WHERE d = CURRENT_DATE': 60}}";
    let warehouse = open_with(
        yaml,
        "CREATE TABLE orders AS SELECT current_date AS d; CREATE VIEW daily AS FROM orders",
    );
    let sql = "SELECT * FROM daily WHERE d = CURRENT_DATE";
    for table in ["orders", "daily"] {
        assert_eq!(status(&warehouse, sql), Status::Miss, "{table}");
        assert!(matches!(status(&warehouse, sql), Status::Hit(_)), "{table}");
        assert_eq!(
            warehouse.cache().invalidate_table(table).unwrap(),
            1,
            "{table}"
        );
    }
}

#[test]
fn results_that_depend_on_the_current_utc_offset_are_not_stored() {
    let warehouse = open("CREATE TABLE t AS SELECT 1 AS a");
    for sql in [
        "SELECT timezone('America/New_York', '12:00:00+00'::TIMETZ)",
        "SELECT '12:00'::TIMETZ::VARCHAR",
        "SELECT CAST('12:00' AS TIME WITH TIME ZONE) AT TIME ZONE 'Europe/Berlin'",
        "SELECT [CAST('12:00' AS TIMETZ)]",
    ] {
        for _ in 0..2 {
            assert_eq!(
                status(&warehouse, sql),
                Status::Bypass(Bypass::Nondeterministic),
                "{sql}"
            );
        }
    }
    let sql = "SELECT TIMESTAMP '2024-01-01 12:00:00' AT TIME ZONE 'Europe/Berlin' FROM t";
    assert_eq!(status(&warehouse, sql), Status::Miss);
}

#[test]
fn results_from_tables_with_timetz_are_not_stored() {
    let warehouse = open(
        "CREATE TYPE opening AS TIMETZ; CREATE TABLE shops AS SELECT '12:00:00+01'::TIMETZ AS opens; \
         CREATE TABLE stalls (opens opening); INSERT INTO stalls VALUES ('12:00:00+01'); \
         CREATE TABLE texts (s VARCHAR, z AS (s::opening)); INSERT INTO texts VALUES ('12:00'); \
         CREATE TABLE hours (s VARCHAR, m AS (extract(timezone_hour FROM s::TIMETZ))); INSERT INTO hours VALUES ('12:00'); \
         CREATE TABLE tours (opens TIMETZ, ny AS (opens AT TIME ZONE 'America/New_York')); \
         INSERT INTO tours VALUES ('12:00:00+01'); \
         CREATE TABLE stops AS SELECT TIMESTAMPTZ '2024-01-01 12:00:00+00' AS arrives; \
         CREATE VIEW in_new_york AS SELECT opens AT TIME ZONE 'America/New_York' AS opens FROM shops",
    );
    for sql in [
        "SELECT opens FROM shops",
        "SELECT count(*) FROM shops WHERE opens = '12:00'",
        "SELECT z FROM texts",
        "SELECT m FROM hours",
        "SELECT ny FROM tours",
        "SELECT opens AT TIME ZONE 'America/New_York' FROM shops",
        "SELECT timezone('America/New_York', opens) FROM stalls",
        "SELECT opens FROM in_new_york",
        "SELECT (SELECT max(opens) FROM shops) AT TIME ZONE 'Europe/Berlin'",
        "SELECT '12:00'::opening",
        "SELECT CAST(arrives AS Opening) FROM stops",
    ] {
        for _ in 0..2 {
            assert_eq!(
                status(&warehouse, sql),
                Status::Bypass(Bypass::Nondeterministic),
                "{sql}"
            );
        }
    }
    let sql = "SELECT arrives AT TIME ZONE 'America/New_York' FROM stops";
    assert_eq!(status(&warehouse, sql), Status::Miss);
    assert!(matches!(status(&warehouse, sql), Status::Hit(_)));
}

#[test]
fn results_with_timetz_inside_of_a_named_type_are_not_stored() {
    let warehouse = open(
        "CREATE SCHEMA s; CREATE TYPE span AS STRUCT(opens TIMETZ, closes TIMETZ); CREATE TYPE s.\"Days\" AS MAP(VARCHAR, span[]); \
         CREATE TYPE pair AS STRUCT(a INT, b VARCHAR); CREATE TYPE color AS ENUM ('time with time zone', 'red'); \
         CREATE TABLE shops (s VARCHAR, z AS ((row(s, s)::span)::VARCHAR)); INSERT INTO shops VALUES ('12:00'); \
         CREATE MACRO spanned(x) AS row(x, x)::span",
    );
    for sql in [
        "SELECT (row('12:00', '13:00')::span)::VARCHAR",
        "SELECT (MAP {'mon': [row('12:00', '13:00')]}::s.\"days\")::VARCHAR",
        "SELECT z FROM shops",
        "SELECT spanned('12:00')",
    ] {
        for _ in 0..2 {
            let expected = Status::Bypass(Bypass::Nondeterministic);
            assert_eq!(status(&warehouse, sql), expected, "{sql}");
        }
    }
    for sql in ["SELECT row(1, 'x')::pair", "SELECT 'red'::color"] {
        assert_eq!(status(&warehouse, sql), Status::Miss, "{sql}");
        assert!(matches!(status(&warehouse, sql), Status::Hit(_)), "{sql}");
    }
}

#[test]
fn a_volatile_function_is_found_beside_a_table_macro_of_its_name() {
    let warehouse = open(
        "CREATE MACRO today() AS TABLE SELECT 1 AS x; CREATE MACRO dice() AS TABLE SELECT 1 AS x; \
         CREATE MACRO dice() AS random()",
    );
    for sql in [
        "SELECT today(), x FROM today()",
        "SELECT dice(), x FROM dice()",
        "SELECT x FROM dice() WHERE dice() < 2",
    ] {
        for _ in 0..2 {
            let expected = Status::Bypass(Bypass::Nondeterministic);
            assert_eq!(status(&warehouse, sql), expected, "{sql}");
        }
    }
    for sql in [
        "SELECT x FROM today()",
        "SELECT range FROM range(3)",
        "SELECT range(3), range FROM range(3)",
        "SELECT * FROM range((SELECT 3))",
    ] {
        assert_eq!(status(&warehouse, sql), Status::Miss, "{sql}");
        assert!(matches!(status(&warehouse, sql), Status::Hit(_)), "{sql}");
    }
    let sql = "SELECT * FROM range((random() * 3)::INT)";
    let expected = Status::Bypass(Bypass::Nondeterministic);
    assert_eq!(status(&warehouse, sql), expected);
}

#[test]
fn statements_for_one_connection_are_refused_and_leave_nothing() {
    let warehouse = open("CREATE TABLE t AS SELECT 1 AS a");
    for sql in [
        "CREATE OR REPLACE LOCAL TEMP TABLE t AS SELECT 2 AS a",
        "create or replace/**/local\ntemporary table t as select 2 as a",
        "CREATE LOCAL TEMP TABLE z (a INT)",
        "CREATE TEMP VIEW t AS SELECT 3 AS a",
        "CREATE TEMPORARY RECURSIVE VIEW z (a) AS SELECT 1",
        "CREATE OR REPLACE TEMP MACRO z() AS 1",
        "CREATE TEMP SEQUENCE z",
        "CREATE TABLE x (a INT); CREATE LOCAL TEMP TABLE z (a INT)",
    ] {
        let refused = warehouse.execute_batch(sql).unwrap_err().to_string();
        assert!(refused.contains("one connection"), "{sql}: {refused}");
    }
    // a column may have such a name
    warehouse
        .execute_batch("CREATE TABLE temp_of AS SELECT 1 AS temp, 2 AS local")
        .unwrap();
    for _ in 0..12 {
        assert_eq!(agreed(&warehouse, "SELECT a::BIGINT AS n FROM t"), 1);
    }
}

#[test]
fn what_pivot_leaves_on_a_connection_is_no_mistake_of_a_batch() {
    let warehouse = open("CREATE TABLE t AS SELECT 1 AS a, 'x' AS b; CREATE TABLE u (x INT)");
    let left =
        "SELECT count(*) AS n FROM duckdb_types() WHERE database_name = 'temp' AND NOT internal";
    for (batch, count) in [
        ("CREATE TABLE p AS PIVOT t ON b USING sum(a)", "p"),
        (
            "CREATE OR REPLACE TABLE p AS FROM (PIVOT t ON b USING sum(a))",
            "p",
        ),
        (
            "COPY (PIVOT t ON b USING sum(a)) TO '/dev/null' (FORMAT csv)",
            "t",
        ),
        ("INSERT INTO u FROM (PIVOT t ON b USING sum(a))", "u"),
    ] {
        // on any connection
        for _ in 0..2 {
            let done = warehouse.execute_batch(batch);
            done.unwrap_or_else(|error| panic!("{batch}: {error}"));
            warehouse
                .execute_batch("CREATE OR REPLACE TABLE of_nobody (a INT)")
                .unwrap();
            let sql = format!("SELECT count(*) AS n FROM {count}");
            assert!(agreed(&warehouse, &sql) > 0);
            let _ = warehouse.execute_batch("DROP TABLE p");
            // leftovers of a batch that defines nothing stay until its connection runs one that does
            if batch.starts_with("CREATE") {
                assert_eq!(agreed(&warehouse, left), 0);
            }
        }
    }
}

#[test]
fn statements_that_are_no_select_run_past_the_cache() {
    let warehouse = open("CREATE TABLE t AS SELECT 1 AS a, 'x' AS b");
    for (sql, reason) in [
        ("PIVOT t ON b USING sum(a)", Bypass::Statement),
        ("FROM (PIVOT t ON b USING sum(a))", Bypass::Statement),
        ("UNPIVOT t ON a", Bypass::Statement),
        ("DESCRIBE t", Bypass::Statement),
        ("DESCRIBE SELECT 1", Bypass::Statement),
        ("SHOW TABLES", Bypass::Statement),
        ("SHOW ALL TABLES", Bypass::Statement),
        ("SUMMARIZE t", Bypass::Statement),
        ("EXPLAIN SELECT * FROM t", Bypass::Statement),
        ("EXPLAIN ANALYZE SELECT 1", Bypass::Statement),
    ] {
        for _ in 0..2 {
            assert_eq!(status(&warehouse, sql), Status::Bypass(reason), "{sql}");
        }
    }
    // the engine reads nested comments like the lexer
    assert_eq!(
        status(&warehouse, "SELECT 1 /* /* ; DELETE FROM t */ ; */"),
        Status::Miss
    );
    for sql in [
        "SELECT 1 /* /* */ ; DELETE FROM t -- */",
        "SELECT 1; COMMIT; DELETE FROM t",
        "SELECT\u{a0}1; COMMIT; DELETE FROM t",
        "SELECT U&'\\0041'; COMMIT; DELETE FROM t",
        "EXPLAIN ANALYZE DELETE FROM t",
    ] {
        let _ = warehouse.query(sql, params! {}).blocking();
        assert_eq!(
            agreed(&warehouse, "SELECT count(*) AS n FROM t"),
            1,
            "{sql}"
        );
    }
    let unusual = "SELECT\u{2003}1 AS n";
    if warehouse.engine().query(unusual, &params! {}).is_ok() {
        assert!(matches!(
            status(&warehouse, unusual),
            Status::Miss | Status::Bypass(_)
        ));
    }
}

#[test]
fn an_explained_statement_changes_no_connection() {
    let warehouse = open("CREATE TABLE t AS SELECT 1 AS a");
    let query = |sql: &str| warehouse.query(sql, params! {}).blocking();
    for sql in [
        "EXPLAIN ANALYZE SET TimeZone = 'America/New_York'",
        "explain /* */ analyse verbose set TimeZone = 'America/New_York'",
        "EXPLAIN (ANALYZE, FORMAT json) SET TimeZone = 'America/New_York'",
        "EXPLAIN (\"analyze\") SET TimeZone = 'America/New_York'",
        "EXPLAIN (format json, \"ANALYZE\" true) SET TimeZone = 'America/New_York'",
        "; EXPLAIN ANALYZE RESET TimeZone",
        "EXPLAIN ANALYZE CREATE TEMP TABLE u AS SELECT 1",
        "EXPLAIN ANALYZE PREPARE p AS SELECT 1",
        "EXPLAIN ANALYZE PRAGMA threads = 2",
        "EXPLAIN ANALYZE ROLLBACK",
    ] {
        let error = query(sql).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "{sql}: {error}");
    }
    let zone = || {
        shown(
            query("SELECT current_setting('TimeZone')")
                .unwrap()
                .batches(),
        )
    };
    let before = zone();
    for _ in 0..8 {
        assert_eq!(zone(), before);
    }
    for sql in [
        "EXPLAIN ANALYZE (SELECT a FROM (SELECT a FROM t))",
        "EXPLAIN ANALYZE ((SELECT 1)) UNION ALL SELECT 2",
        "EXPLAIN (FORMAT json) SELECT 1",
        "EXPLAIN (ANALYZE) FROM t",
        "EXPLAIN ANALYZE WITH x AS (SELECT 1) FROM x",
        "EXPLAIN SET threads = 1",
    ] {
        query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[test]
fn long_statements_are_not_remembered_for_ever() {
    let warehouse = open("CREATE TABLE t AS SELECT 1 AS a");
    let long = |at: usize| {
        format!(
            "SELECT a FROM t WHERE 'x' <> '{}'",
            format!("{at:8}").repeat(1 << 17)
        )
    };
    let engine = warehouse.engine();
    // 1 MiB each
    for at in 0..12 {
        assert_eq!(status(&warehouse, &long(at)), Status::Miss);
        assert!(engine.knows(&long(at)));
    }
    let known = (0..12).filter(|at| engine.knows(&long(*at))).count();
    assert!((1..8).contains(&known), "{known}");
}

#[test]
fn the_version_of_the_engine_is_a_part_of_the_state() {
    let warehouse = open("SELECT 1");
    let version = "SELECT library_version || ' ' || source_id AS v FROM pragma_version()";
    let version = shown(&warehouse.engine().query(version, &params! {}).unwrap());
    let state = warehouse.engine().state("SELECT 1").unwrap();
    assert!(
        state.token.contains(&version[1]),
        "{} {version:?}",
        state.token
    );
}

#[test]
fn a_setting_is_on_every_connection_before_set_returns() {
    let warehouse = open("SELECT 1");
    let engine = warehouse.engine();
    engine.set("TimeZone", "America/New_York").unwrap();
    engine.set("lock_configuration", "true").unwrap();
    let sql = "SELECT current_setting('TimeZone') AS zone, TIMESTAMPTZ '2024-01-01 00:00:00+00'::VARCHAR AS t";
    let expected = shown(&engine.query(sql, &params! {}).unwrap());
    assert!(expected[1].starts_with("America/New_York"), "{expected:?}");
    // slow enough that several connections are used
    let slow = "SELECT (SELECT count(*) FROM range(300000) a WHERE hash(a.range) > 0)::BIGINT AS n, \
                TIMESTAMPTZ '2024-01-01 00:00:00+00'::VARCHAR AS t";
    let first = shown(&engine.query(slow, &params! {}).unwrap());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for at in 0..20 {
                    let answer = engine
                        .query(&format!("{slow} -- {at}"), &params! {})
                        .unwrap();
                    assert_eq!(shown(&answer), first);
                }
            });
        }
    });
    assert!(engine.set("TimeZone", "UTC").is_err());
    assert_eq!(shown(&engine.query(sql, &params! {}).unwrap()), expected);
}

#[test]
fn a_database_file_that_was_copied_over_another_one_is_another_database() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("w.duckdb"), dir.path().join("other.duckdb"));
    let build = |path: &std::path::Path, value: i64| {
        let connection = duckdb::Connection::open(path).unwrap();
        // far behind the first blocks
        let sql = format!("CREATE TABLE t AS SELECT range + {value} AS n FROM range(1000000)");
        connection.execute_batch(&sql).unwrap();
        connection.execute_batch("CHECKPOINT").unwrap();
    };
    build(&path, 10);
    build(&other, 20);
    let ask = || {
        let cache = Cache::open(dir.path().join("cache")).unwrap();
        let warehouse = Warehouse::open(&path).unwrap().cached(cache);
        let query = warehouse
            .query("SELECT min(n)::BIGINT AS n FROM t", params! {})
            .keep();
        let answer = query.blocking().unwrap();
        assert!(warehouse.cache().flush(Duration::from_secs(20)));
        (answer.status(), number(answer.batches()))
    };
    assert_eq!(ask(), (Status::Miss, 10));
    assert_eq!(ask(), (Status::Hit(data_cache::Tier::Disk), 10));
    // with the same length and time, into the same inode
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    let (old, new) = (
        std::fs::read(&path).unwrap(),
        std::fs::read(&other).unwrap(),
    );
    println!(
        "equal lengths: {}, equal headers: {}",
        old.len() == new.len(),
        old[..12288] == new[..12288]
    );
    std::fs::write(&path, &new).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(time).unwrap();
    drop(file);
    assert_eq!(ask(), (Status::Miss, 20));
}

#[test]
fn ordinary_statements_are_kept() {
    let warehouse = open(
        "CREATE TABLE t AS SELECT range AS a, 'row ' || range AS b, DATE '2024-01-01' + range::INT AS d, [range] AS l, \
         {'x': range} AS s FROM range(20); CREATE TABLE u AS SELECT a, b, d FROM t; CREATE VIEW v AS SELECT a FROM t; \
         CREATE MACRO twice(x) AS x * 2; CREATE MACRO above(n) AS TABLE SELECT * FROM t WHERE a > n; \
         CREATE TABLE flights AS SELECT 'SFO' AS origin, 'LAX' AS destination, 5 AS delay, 300 AS distance, \
         TIMESTAMP '2001-01-02' AS date; \
         CREATE TABLE g (a INT, twice INT GENERATED ALWAYS AS (a * 2)); INSERT INTO g VALUES (1)",
    );
    let flights = "SELECT count(*) AS flights, round(avg(delay), 2) AS mean, quantile_cont(delay, 0.95) AS p95, \
                   round(avg(CASE WHEN delay > 15 THEN 1.0 ELSE 0.0 END), 4) AS share, count(DISTINCT destination) AS n, \
                   min(date) AS first FROM flights WHERE origin = 'SFO' AND month(date) BETWEEN 1 AND 12";
    for sql in [
        flights,
        "SELECT round(2 * 6371.0088 * asin(sqrt(pow(sin(radians(a - 1.5) / 200), 2) + cos(radians(1)) * cos(radians(a)) / 9)), 3) AS km FROM t ORDER BY km LIMIT 3",
        "FROM t",
        "TABLE t",
        "VALUES (1, 'x'), (2, 'y')",
        "SELECT * EXCLUDE (l) REPLACE (a + 1 AS a) FROM t ORDER BY ALL",
        "SELECT COLUMNS('a|b') FROM t",
        "SELECT min(COLUMNS(*)) FROM u",
        "WITH x AS (SELECT * FROM t), y AS MATERIALIZED (SELECT * FROM x) SELECT count(*) FROM y",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
        "SELECT a, sum(a) OVER (PARTITION BY b ORDER BY d ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
        "SELECT a FROM t QUALIFY row_number() OVER (ORDER BY a DESC) = 1",
        "SELECT lag(a, 1, 0) OVER (ORDER BY d), ntile(4) OVER (ORDER BY a), first_value(b) OVER (ORDER BY a) FROM t",
        "SELECT t.a, u.b FROM t JOIN u USING (a) LEFT JOIN v ON v.a = t.a",
        "SELECT * FROM t ASOF JOIN u ON t.d >= u.d",
        "SELECT * FROM t POSITIONAL JOIN u",
        "SELECT * FROM t NATURAL JOIN u",
        "SELECT * FROM t SEMI JOIN u ON t.a = u.a",
        "SELECT a FROM t UNION ALL BY NAME SELECT b FROM u",
        "SELECT a FROM t EXCEPT SELECT a FROM u WHERE a > 3",
        "SELECT a FROM t INTERSECT ALL SELECT a FROM u",
        "SELECT b, count(*) FILTER (WHERE a > 1) FROM t GROUP BY CUBE (b, d) HAVING count(*) > 0",
        "SELECT grouping(b), count(*) FROM t GROUP BY GROUPING SETS ((b), ())",
        "SELECT DISTINCT ON (b) a, b FROM t ORDER BY b, a DESC NULLS LAST",
        "SELECT a FROM t ORDER BY a LIMIT 50%",
        "SELECT a FROM t ORDER BY ALL LIMIT 3 OFFSET 2",
        "SELECT list_transform(l, lambda x: x + 1), [x * 2 FOR x IN l IF x > 1], l[1], l[1:2] FROM t",
        "SELECT s.x, struct_pack(y := a), {'z': a}, map {'k': a}, row(a, b) FROM t",
        "SELECT unnest(l), unnest([1, 2]) FROM t",
        "SELECT * FROM range(5) AS r(n), generate_series(1, 3), unnest([1, 2]) AS w(k)",
        "SELECT t.a, w.n FROM t, LATERAL (SELECT t.a + 1 AS n) AS w",
        "SELECT list(a ORDER BY d DESC), string_agg(b, ',' ORDER BY a), array_agg(DISTINCT a), median(a), mode(a) FROM t",
        "SELECT arg_max(b, a), max(a, 2), histogram(a), approx_count_distinct(a), stddev(a), corr(a, a) FROM t",
        "SELECT a IN (1, 2), a NOT IN (SELECT a FROM u), EXISTS (SELECT 1 FROM u), a = ANY (SELECT a FROM u), a BETWEEN 1 AND 2 FROM t",
        "SELECT ARRAY (SELECT a FROM u ORDER BY a), (SELECT max(a) FROM u) FROM t",
        "SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, coalesce(NULL, a), ifnull(a, 1), nullif(a, 1), if(a > 1, 2, 3) FROM t",
        "SELECT b LIKE 'r%', b ILIKE 'R%', b SIMILAR TO 'r.*', b GLOB 'r*', regexp_matches(b, '^r'), regexp_replace(b, 'o', '0', 'g') FROM t",
        "SELECT upper(b) || lower(b), substring(b, 1, 2), trim(b), split_part(b, ' ', 1), strlen(b), b[1], concat_ws('-', b, b), printf('%d', a), format('{}', a) FROM t",
        "SELECT date_trunc('month', d), extract(year FROM d), d + INTERVAL 1 MONTH, strftime(d, '%Y'), date_diff('day', d, DATE '2024-02-01'), make_date(2024, 1, 1), dayname(d) FROM t",
        "SELECT a::VARCHAR, CAST(a AS DECIMAL(10, 2)), TRY_CAST(b AS INT), try(1 / a), a::DOUBLE / 3, a // 2, a % 2, a ** 2, -a, ~a, @a FROM t",
        "SELECT b COLLATE NOCASE FROM t ORDER BY b COLLATE NOCASE",
        "SELECT '{\"x\": 1}'::JSON -> 'x', json_extract('{\"x\": [1]}', '$.x[0]'), to_json(s) FROM t",
        "SELECT * FROM json_each('{\"a\": 1}')",
        "SELECT md5(b), hash(a), sha256(b), base64(b::BLOB), x'ab'::BLOB FROM t",
        "SELECT twice(a), list_sum(l), round_even(1.5, 0), fdiv(a, 2), split_part(b, ' ', 2) FROM t",
        "SELECT * FROM above(3)",
        "SELECT * FROM v",
        "SELECT twice FROM g",
        "SELECT typeof(a), pi(), greatest(1, 2), least(1, 2), bit_count(a), gcd(4, 6), ln(2), floor(1.5), floor(2.5) FROM t",
        "SELECT #1, a FROM t ORDER BY #2",
        "SELECT 1 WHERE NOT (true AND NULL IS NULL OR false IS DISTINCT FROM true)",
        "SELECT TIMESTAMPTZ '2024-01-01 00:00:00+00', TIME '12:00', UUID '00000000-0000-0000-0000-000000000001', 1e10, 170141183460469231731687303715884105727",
        "SELECT t FROM t",
        "SELECT alias.* FROM t AS alias (p, q)",
        "SELECT a FROM main.t",
        "SELECT a FROM memory.main.t",
    ] {
        let answer = warehouse.query(sql, params! {}).blocking();
        // an older or newer engine may not support it
        let Ok(answer) = answer else {
            println!("not run: {sql}: {}", answer.unwrap_err());
            continue;
        };
        assert_eq!(answer.status(), Status::Miss, "{sql}");
        assert!(matches!(status(&warehouse, sql), Status::Hit(_)), "{sql}");
    }
    let bound = warehouse.query(
        "SELECT a FROM t WHERE a >= $least LIMIT $most",
        params! { least: 1, most: 2_i64 },
    );
    assert_eq!(bound.blocking().unwrap().status(), Status::Miss);
}

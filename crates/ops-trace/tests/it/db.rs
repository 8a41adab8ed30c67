//! Spans of queries by the semantic conventions for databases.

use ops_trace::SpanKind;
use proptest::prelude::*;

use crate::traced;

/// Returns name and text of the span of each PostgreSQL statement.
fn shown(statements: &[&str]) -> Vec<(String, String)> {
    let statements = statements.iter();
    shown_of(statements.map(|statement| ("postgresql", *statement)))
}

/// Returns name and text of the span of each system and statement.
fn shown_of<'a>(
    statements: impl Iterator<Item = (&'static str, &'a str)>,
) -> Vec<(String, String)> {
    let (collector, tracer) = traced();
    for (system, statement) in statements {
        drop(
            tracer
                .query_span(system, statement, SpanKind::Client)
                .start(),
        );
    }
    tracer.flush();
    let spans = collector.spans().into_iter();
    let shown = spans.map(|span| {
        let text = span.attribute("db.query.text").unwrap_or_default();
        let text = text.to_owned();
        (span.name, text)
    });
    shown.collect()
}

/// Fails unless each statement of a system is shown as the text beside it.
fn assert_texts(table: &[(&'static str, &str, &str)]) {
    let statements = table.iter().map(|row| (row.0, row.1));
    let shown = shown_of(statements);
    assert_eq!(shown.len(), table.len());
    for ((system, statement, text), (_, found)) in table.iter().zip(&shown) {
        assert_eq!(found, text, "{system} {statement}");
    }
}

#[test]
fn a_query_has_its_summary_as_name_and_no_value_in_its_text() {
    let table = [
        (
            "SELECT * FROM users WHERE id = $1",
            "SELECT users",
            "SELECT * FROM users WHERE id = $1",
        ),
        (
            "select name from shop.users u join orders o on o.id=u.id where n='it''s' -- x\n and k = 5",
            "SELECT shop.users orders",
            "select name from shop.users u join orders o on o.id=u.id where n=? and k = ?",
        ),
        (
            "INSERT INTO t1 (a, b) VALUES (1, 'x', -2.5e-3, 0xff)",
            "INSERT t1",
            "INSERT INTO t1 (a, b) VALUES (?, -?)",
        ),
        (
            "UPDATE \"my table\" SET a = E'it\\'s' WHERE b IN (1, 2,3)",
            "UPDATE \"my table\"",
            "UPDATE \"my table\" SET a = ? WHERE b IN (?)",
        ),
        (
            "DELETE/* a /* nested */ 1 */ FROM logs",
            "DELETE logs",
            "DELETE FROM logs",
        ),
        (
            "SELECT $tag$secret $$ it$tag$, $$x$$ FROM a, b",
            "SELECT a b",
            "SELECT ? FROM a, b",
        ),
        ("SELECT 'never ends FROM x", "SELECT", "SELECT ?"),
        (
            "SELECT t2.c3, \u{fc}1 FROM t2",
            "SELECT t2",
            "SELECT t2.c3, \u{fc}1 FROM t2",
        ),
        (
            "CREATE TABLE t (a int)",
            "CREATE t",
            "CREATE TABLE t (a int)",
        ),
        ("", "postgresql", ""),
        ("?", "postgresql", "?"),
    ];
    let statements: Vec<&str> = table.iter().map(|(statement, ..)| *statement).collect();
    for ((statement, name, text), found) in table.iter().zip(shown(&statements)) {
        assert_eq!(
            found,
            ((*name).to_owned(), (*text).to_owned()),
            "{statement}"
        );
    }
}

#[test]
fn the_name_has_the_tables_of_a_statement_and_no_other_words() {
    let table = [
        (
            "SELECT id FROM jobs ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED",
            "SELECT jobs",
        ),
        (
            "SELECT id FROM jobs FOR NO KEY UPDATE NOWAIT",
            "SELECT jobs",
        ),
        ("SELECT id FROM jobs FOR UPDATE OF jobs", "SELECT jobs"),
        (
            "INSERT INTO t (a) VALUES ($1) ON DUPLICATE KEY UPDATE a = VALUES(a)",
            "INSERT t",
        ),
        (
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = $2",
            "INSERT t",
        ),
        (
            "SELECT EXTRACT(YEAR FROM created_at), count(*) FROM orders",
            "SELECT orders",
        ),
        (
            "SELECT trim(both 'x' from name), EXTRACT (DAY FROM (SELECT max(d) FROM days)) FROM users",
            "SELECT days users",
        ),
        ("SELECT a FROM t WHERE b IS NOT DISTINCT FROM c", "SELECT t"),
        ("COPY shop.users (a, b) FROM STDIN", "COPY shop.users"),
        ("CREATE TABLE IF NOT EXISTS t (a int)", "CREATE t"),
        ("DROP TABLE IF EXISTS t", "DROP t"),
        (
            "DELETE FROM ONLY t WHERE NOT EXISTS (SELECT 1 FROM u)",
            "DELETE t u",
        ),
        ("(SELECT a FROM t) UNION (SELECT copy FROM u)", "SELECT t u"),
        ("WITH x AS (UPDATE t SET a = 1) SELECT b FROM u", "WITH t u"),
        (
            "SELECT a FROM t, s.u AS x,\"v\" y ,ONLY w WHERE b IN ($1, $2) ORDER BY c, d LIMIT $3",
            "SELECT t s.u \"v\" w",
        ),
        ("SELECT a FROM t x, t y, unnest(x.b) z, u", "SELECT t"),
        ("SELECT a FROM t GROUP BY b, c", "SELECT t"),
        ("SELECT a FROM t LIMIT $1, $2", "SELECT t"),
        ("DROP TABLE IF EXISTS t, u CASCADE", "DROP t u"),
        ("ALTER TABLE t ADD a int, ADD b int", "ALTER t"),
        ("ALTER TABLE t ENGINE=x, ADD a int", "ALTER t"),
        ("SELECT a FROM t, TABLE(FLATTEN(x => t.b)) f, u", "SELECT t"),
        (
            "DECLARE @t TABLE (a int, b int); INSERT INTO @t SELECT c FROM u",
            "DECLARE @t u",
        ),
        ("SELECT a FROM t ARRAY JOIN b AS c, d AS e", "SELECT t"),
        (
            "SELECT a FROM t, (WITH v AS (SELECT b FROM u) SELECT c FROM v) x",
            "SELECT t u v",
        ),
        ("INSERT INTO t VALUES ($1), ($2)", "INSERT t"),
        ("INSERT INTO TABLE t SELECT a FROM u", "INSERT t u"),
        ("SELECT a, b INTO x, y FROM t", "SELECT x t"),
        ("SELECT a FROM (VALUES ($1), ($2)) AS v (a)", "SELECT"),
    ];
    let statements: Vec<&str> = table.iter().map(|(statement, _)| *statement).collect();
    for ((statement, name), found) in table.iter().zip(shown(&statements)) {
        assert_eq!(found.0, *name, "{statement}");
    }
}

#[test]
fn parameters_are_shown_and_numbers_behind_a_value_are_not() {
    let table = [
        (
            "sqlite",
            "SELECT a FROM t WHERE b = ?1 AND c IN (?2, ?3)",
            "SELECT a FROM t WHERE b = ?1 AND c IN (?2, ?3)",
        ),
        (
            "oracle.db",
            "SELECT a FROM t WHERE b = :1 AND c BETWEEN :2 AND :3",
            "SELECT a FROM t WHERE b = :1 AND c BETWEEN :2 AND :3",
        ),
        (
            "duckdb",
            "SELECT {'pin':1234, 'b' :5678, c:91}, a[2:34], MAP {7:89}",
            "SELECT {?:? :?, c:?}, a[?:?], MAP {?:?}",
        ),
    ];
    assert_texts(&table);
}

#[test]
fn text_is_what_the_system_takes_for_text() {
    assert_texts(&[(
        "mysql",
        r#"SELECT `a` FROM t WHERE s = "x\" y" # z"#,
        "SELECT `a` FROM t WHERE s = ?",
    )]);
}

#[test]
fn a_system_has_its_rules_under_its_earlier_and_usual_names_too() {
    let statement = r#"SELECT "a" FROM "t" WHERE b = 'secret\'"#;
    let text = r#"SELECT "a" FROM "t" WHERE b = ?"#;
    let names = ["postgres", "db2", "h2", "firebird", "oracle", "mssql"];
    let table: Vec<_> = names.iter().map(|name| (*name, statement, text)).collect();
    assert_texts(&table);
}

#[test]
fn no_text_gets_out_by_the_rules_of_another_system() {
    let table = [
        (
            "clickhouse",
            r"SELECT 'it\'s', 'secret' FROM t",
            "SELECT ? FROM t",
        ),
        (
            "snowflake",
            r"SELECT 'a\'b secret' FROM t",
            "SELECT ? FROM t",
        ),
        (
            "redshift",
            r#"SELECT "A" FROM t WHERE b = '\' secret'"#,
            r#"SELECT "A" FROM t WHERE b = ?"#,
        ),
        (
            "ClickHouse",
            "SELECT a # it's\n, 'secret' FROM t",
            "SELECT a , ? FROM t",
        ),
        (
            "postgresql",
            r"SELECT 'a\', 'secret' FROM t",
            "SELECT ? FROM t",
        ),
        (
            "oracle.db",
            r"SELECT 'a\', 'secret' FROM t",
            "SELECT ? FROM t",
        ),
        (
            "couchbase",
            r#"SELECT a FROM t WHERE b = "secret" AND c = 1"#,
            "SELECT a FROM t WHERE b = ? AND c = ?",
        ),
        (
            "microsoft.sql_server",
            "SELECT [customer's name] FROM [order ]] details] WHERE a = 'secret'",
            "SELECT [customer's name] FROM [order ]] details] WHERE a = ?",
        ),
        (
            "oracle.db",
            "SELECT q'[it's]', NQ'!it's!' FROM t WHERE a = 'secret' AND q = 'b'",
            "SELECT ? FROM t WHERE a = ? AND q = ?",
        ),
        (
            "oracle",
            "SELECT a FROM t WHERE b = q'{it's secret",
            "SELECT a FROM t WHERE b = ?",
        ),
        (
            "postgresql",
            "SELECT \"a FROM t WHERE b = 'secret'",
            "SELECT ?",
        ),
        (
            "oracle.db",
            "alter user \"a b\"\n identified by \"secret 1\" replace s3cr$et# ACCOUNT UNLOCK",
            "alter user \"a b\" identified by ? replace ? ACCOUNT UNLOCK",
        ),
        (
            "oracle",
            "CREATE USER a IDENTIFIED BY secret",
            "CREATE USER a IDENTIFIED BY ?",
        ),
        (
            "oracle",
            "GRANT CONNECT TO a, b, c IDENTIFIED BY secret,\"secret 2\" , secret3 CONTAINER = ALL",
            "GRANT CONNECT TO a, b, c IDENTIFIED BY ? CONTAINER = ALL",
        ),
        (
            "oracle",
            "GRANT CONNECT TO a, b, c, d IDENTIFIED BY secret , secret , secret, secret",
            "GRANT CONNECT TO a, b, c, d IDENTIFIED BY ?",
        ),
        (
            "oracle",
            "ALTER USER \"a\"IDENTIFIED BY\"secret 1\"REPLACE\"secret 2\"",
            "ALTER USER \"a\"IDENTIFIED BY?REPLACE?",
        ),
        (
            "oracle",
            "ADMINISTER KEY MANAGEMENT ALTER KEYSTORE PASSWORD IDENTIFIED BY secret set secret2 WITH BACKUP",
            "ADMINISTER KEY MANAGEMENT ALTER KEYSTORE PASSWORD IDENTIFIED BY ? set ? WITH BACKUP",
        ),
        (
            "oracle",
            "ADMINISTER KEY MANAGEMENT ALTER KEYSTORE PASSWORD IDENTIFIED BY \"secret\" SET \"secret 2\"",
            "ADMINISTER KEY MANAGEMENT ALTER KEYSTORE PASSWORD IDENTIFIED BY ? SET ?",
        ),
        (
            "oracle",
            "ADMINISTER KEY MANAGEMENT EXPORT KEYS WITH SECRET \"secret\" TO '/a' IDENTIFIED BY secret2",
            "ADMINISTER KEY MANAGEMENT EXPORT KEYS WITH SECRET ? TO ? IDENTIFIED BY ?",
        ),
        (
            "teradata",
            "CREATE USER a AS PERM = 1e6, PASSWORD = s3cret$ SPOOL = 1e6",
            "CREATE USER a AS PERM = ?, PASSWORD = ? SPOOL = ?",
        ),
        (
            "teradata",
            "modify user a as password=secret",
            "modify user a as password=?",
        ),
        (
            "sap.hana",
            "CREATE USER a PASSWORD Secret1 NO FORCE_FIRST_PASSWORD_CHANGE",
            "CREATE USER a PASSWORD ? NO FORCE_FIRST_PASSWORD_CHANGE",
        ),
        (
            "hsqldb",
            "SELECT a FROM t; CREATE OR REPLACE USER a PASSWORD \"secret 1\"",
            "SELECT a FROM t; CREATE OR REPLACE USER a PASSWORD ?",
        ),
        (
            "sap.hana",
            "CONNECT a PASSWORD Secret1",
            "CONNECT a PASSWORD ?",
        ),
        ("hsqldb", "SET PASSWORD \"secret 1\"", "SET PASSWORD ?"),
        (
            "clickhouse",
            r#"SELECT "a\"b" FROM t WHERE c = '" secret'"#,
            "SELECT ?",
        ),
        (
            "mysql",
            "CREATE USER a IDENTIFIED BY 'secret', b IDENTIFIED BY 'secret'",
            "CREATE USER a IDENTIFIED BY ?, b IDENTIFIED BY ?",
        ),
        (
            "mysql",
            "CREATE USER a IDENTIFIED BY \"ab\\\"secret\" PASSWORD EXPIRE",
            "CREATE USER a IDENTIFIED BY ? PASSWORD EXPIRE",
        ),
        (
            "mysql",
            "CREATE USER a IDENTIFIED BY 'secret'",
            "CREATE USER a IDENTIFIED BY ?",
        ),
        (
            "microsoft.sql_server",
            "SELECT a$1 FROM t WHERE price > $542023.14 AND b = -$7",
            "SELECT a$1 FROM t WHERE price > ? AND b = -?",
        ),
        // a text whose end depends on unknown rules extends to the end
        (
            "some_sql",
            r"SELECT a FROM t WHERE b = 'it\'s secret' AND c = 1",
            "SELECT a FROM t WHERE b = ?",
        ),
        (
            "some_sql",
            r"SELECT a FROM t WHERE b = 'x\' AND c = 'secret'",
            "SELECT a FROM t WHERE b = ?",
        ),
        (
            "some_sql",
            r#"SELECT a FROM t WHERE b = "x\" AND c = "secret""#,
            "SELECT a FROM t WHERE b = ?",
        ),
        (
            "some_sql",
            r"SELECT a FROM t WHERE b = 'C:\\' AND c = d",
            "SELECT a FROM t WHERE b = ? AND c = d",
        ),
    ];
    assert_texts(&table);
}

#[test]
fn comments_begin_and_end_by_the_rules_of_their_system() {
    let table = [
        (
            "snowflake",
            "SELECT a // the user's name\nFROM t WHERE b = 'secret'",
            "SELECT a FROM t WHERE b = ?",
        ),
        (
            "cassandra",
            "// it's secret\nSELECT a FROM t WHERE b = 'secret'",
            "SELECT a FROM t WHERE b = ?",
        ),
        (
            "neo4j",
            "MATCH (a) // it's secret\nWHERE a.name = 'secret' RETURN a",
            "MATCH (a) WHERE a.name = ? RETURN a",
        ),
        (
            "neo4j",
            "MATCH (a)--(b {c: 'it\\'s\nsecret', d: \"secret\"})-->(e) RETURN b",
            "MATCH (a)--(b {c: ?, d: ?})-->(e) RETURN b",
        ),
        (
            "h2database",
            "SELECT a // it's\nFROM t WHERE b = 'secret'",
            "SELECT a FROM t WHERE b = ?",
        ),
        (
            "hsqldb",
            "SELECT a //it's\nFROM t WHERE b = 'secret'",
            "SELECT a FROM t WHERE b = ?",
        ),
        (
            "mysql",
            "UPDATE t SET a=a--5, b='two\nsecret lines' WHERE c = d --\tit's\nAND e = 'secret' --",
            "UPDATE t SET a=a--?, b=? WHERE c = d AND e = ?",
        ),
        // only an ASCII blank makes it a comment
        (
            "mysql",
            "SELECT a --\u{a0}'two\nsecret lines', b",
            "SELECT a -- ?, b",
        ),
        (
            "snowflake",
            "PUT file:///data/a.csv @b ///it's secret",
            "PUT file:///data/a.csv @b",
        ),
        (
            "some_sql",
            "PREFIX a: <http://example.org/a> SELECT b WHERE { b a:c 'secret' }",
            "PREFIX a: <http://example.org/a> SELECT b WHERE { b a:c ? }",
        ),
        (
            "duckdb",
            "SELECT 7 // a, 'b' FROM t",
            "SELECT ? // a, ? FROM t",
        ),
        (
            "mysql",
            "/* GET /api/* */ SELECT a FROM t WHERE b = '*/ secret'",
            "SELECT a FROM t WHERE b = ?",
        ),
        (
            "oracle.db",
            "SELECT a /* /* */ FROM t WHERE b = '*/ secret'",
            "SELECT a FROM t WHERE b = ?",
        ),
        (
            "microsoft.sql_server",
            "SELECT a /* /* */ secret */ FROM t",
            "SELECT a FROM t",
        ),
        // if it is unknown whether it is a comment or an operator,
        // and a text follows, everything up to the end is hidden
        (
            "some_sql",
            "SELECT a // 'b\nsecret', c FROM t",
            "SELECT a ?",
        ),
        (
            "some_sql",
            "MATCH (a)--(b {c: \"d\nsecret\"})",
            "MATCH (a)?",
        ),
        ("some_sql", "SELECT a // b\nFROM t", "SELECT a FROM t"),
        ("some_sql", "SELECT a -- it's\nFROM t", "SELECT a FROM t"),
        (
            "some_sql",
            "SELECT a\n----- it's\nFROM t",
            "SELECT a FROM t",
        ),
        // a comment whose end depends on unknown rules extends to the end
        (
            "some_sql",
            "SELECT a /* /* */ FROM t WHERE b = '*/ secret'",
            "SELECT a",
        ),
        (
            "some_sql",
            "SELECT a /* it's */ FROM t WHERE b = '*/ secret'",
            "SELECT a FROM t WHERE b = ?",
        ),
    ];
    assert_texts(&table);
}

#[test]
fn quotes_of_sqlite_enclose_text_where_a_value_stands() {
    let table = [
        (
            r#"SELECT "t"."a", "b" FROM "t" WHERE "t"."a" = "u"."a" AND "b" = "secret" AND c LIKE "secret%""#,
            r#"SELECT "t"."a", "b" FROM "t" WHERE "t"."a" = "u"."a" AND "b" = ? AND c LIKE ?"#,
        ),
        (
            r#"INSERT INTO "t" ("a", "b") VALUES (1, "secret"), ("secret", $1) RETURNING "a""#,
            r#"INSERT INTO "t" ("a", "b") VALUES (?), (?, $1) RETURNING "a""#,
        ),
        (
            r#"SELECT MIN ("a"), "b" FROM t WHERE "a" IN ("x", "y") AND "b" BETWEEN "x" AND "y" AND ("c" OR "d")"#,
            r#"SELECT MIN ("a"), "b" FROM t WHERE "a" IN (?) AND "b" BETWEEN ? AND ? AND ("c" OR "d")"#,
        ),
        (
            r#"UPDATE "t" SET "a" = "a" + 1, "b" = "secret" WHERE "c" = "b""#,
            r#"UPDATE "t" SET "a" = "a" + ?, "b" = ? WHERE "c" = "b""#,
        ),
        (
            r#"SELECT 1 FROM t WHERE "a" IN (SELECT "b", "c" FROM "u") AND "d" IS "secret""#,
            r#"SELECT ? FROM t WHERE "a" IN (SELECT "b", "c" FROM "u") AND "d" IS ?"#,
        ),
        (
            "SELECT [it's] FROM [t u] WHERE a = 'secret'",
            "SELECT [it's] FROM [t u] WHERE a = ?",
        ),
        (
            r#"SELECT a FROM t WHERE b = "secret"#,
            "SELECT a FROM t WHERE b = ?",
        ),
    ];
    let table: Vec<_> = table.iter().map(|row| ("sqlite", row.0, row.1)).collect();
    assert_texts(&table);
}

#[test]
fn text_in_three_quotes_may_have_fewer_of_them_in_it() {
    let table = [
        (
            "gcp.bigquery",
            "SELECT '''it's secret''', 1 FROM `t`",
            "SELECT ? FROM `t`",
        ),
        (
            "bigquery",
            r#"SELECT """a "secret" \"""b""" FROM t WHERE c = "d" AND e = r'f' #it's secret"#,
            "SELECT ? FROM t WHERE c = ? AND e = ?",
        ),
        ("bigquery", "SELECT '', \"\" FROM t", "SELECT ? FROM t"),
        ("bigquery", "SELECT '''secret FROM t", "SELECT ?"),
        // GoogleSQL or PostgreSQL: the dialect is unknown
        (
            "gcp.spanner",
            r"INSERT INTO t VALUES ('C:\', 'secret')",
            "INSERT INTO t VALUES (?",
        ),
        (
            "gcp.spanner",
            "SELECT '''''', 'secret', '''it''s''' FROM t",
            "SELECT ? FROM t",
        ),
        (
            "gcp.spanner",
            "SELECT '''it's secret''', 1 FROM t",
            "SELECT ?",
        ),
        ("some_sql", "SELECT '''it's secret''', 1 FROM t", "SELECT ?"),
        ("some_sql", r"SELECT `a\`b`, 'secret'", "SELECT ?"),
        (
            "postgresql",
            "SELECT '''it''s''', a FROM t",
            "SELECT ?, a FROM t",
        ),
    ];
    assert_texts(&table);
}

#[test]
fn values_that_need_no_apostrophes_are_not_shown() {
    const UUID: &str = "f23e4567-e89b-12d3-a456-42665544000f";
    let by_id = format!("SELECT a FROM t WHERE id = {UUID} AND ids IN ({UUID}, {UUID})");
    let table = [
        (
            "cassandra",
            by_id.as_str(),
            "SELECT a FROM t WHERE id = ? AND ids IN (?)",
        ),
        ("postgresql", "SELECT a-b-c FROM t", "SELECT a-b-c FROM t"),
        (
            "clickhouse",
            "INSERT INTO t FORMAT JSONEachRow {\"a\":\"secret\"}\n{\"a\":true}",
            "INSERT INTO t FORMAT JSONEachRow ?",
        ),
        (
            "clickhouse",
            "insert into t (a) settings b=1 format CSV\nsecret,more",
            "insert into t (a) settings b=? format CSV ?",
        ),
        (
            "clickhouse",
            "INSERT INTO t SELECT a AS format FROM u; SELECT format c FROM t FORMAT JSON",
            "INSERT INTO t SELECT a AS format FROM u; SELECT format c FROM t FORMAT JSON",
        ),
        (
            "sqlite",
            "PRAGMA key = \"x'2DD29CA8'\"; PRAGMA journal_mode = WAL",
            "PRAGMA key = ?; PRAGMA journal_mode = WAL",
        ),
        ("sqlite", "PRAGMA rekey(secret)", "PRAGMA rekey(?)"),
        ("sqlite", "pragma hexkey=\"736563\"", "pragma hexkey=?"),
        (
            "sqlite",
            "ATTACH DATABASE 'a.db' AS b KEY \"secret\"",
            "ATTACH DATABASE ? AS b KEY ?",
        ),
        (
            "sqlite",
            "CREATE TABLE t (key \"text\", a INTEGER PRIMARY KEY \"x\")",
            "CREATE TABLE t (key \"text\", a INTEGER PRIMARY KEY \"x\")",
        ),
    ];
    assert_texts(&table);
}

#[test]
fn only_the_name_of_a_command_is_recorded() {
    let table = [
        ("redis", "AUTH default secret", "AUTH", "AUTH ?"),
        ("redis", "set session:1 secret EX 10", "SET", "set ?"),
        ("valkey", "GET session:secret", "GET", "GET ?"),
        ("Redis", "  PING\r\n", "PING", "PING"),
        ("redis", "MULTI\nSET a secret\nEXEC", "MULTI", "MULTI ?"),
        ("redis", "JSON.SET a $ 1", "redis", "JSON.SET ?"),
        ("redis", r#""SET" "a" "secret""#, "redis", "?"),
        (
            "redis",
            "*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n",
            "redis",
            "?",
        ),
        ("memcached", "set a 0 60 6\r\nsecret", "SET", "set ?"),
        ("redis", "", "redis", ""),
    ];
    let shown = shown_of(table.iter().map(|row| (row.0, row.1)));
    for ((system, statement, name, text), found) in table.iter().zip(&shown) {
        let found = (found.0.as_str(), found.1.as_str());
        assert_eq!(found, (*name, *text), "{system} {statement:?}");
    }
    assert_eq!(shown.len(), table.len());
}

#[test]
fn a_column_named_password_hides_nothing() {
    let table = [
        "SELECT password FROM users WHERE password = hash",
        "SELECT password hidden FROM users",
        "UPDATE users SET password = hash WHERE id = $1",
        "CREATE TABLE user (password text)",
        "ALTER TABLE users ADD password text",
        "ALTER USER a RENAME TO b; SELECT password hidden FROM users",
    ];
    for (statement, found) in table.iter().zip(shown(&table)) {
        assert_eq!(found.1, *statement);
    }
}

#[test]
fn attributes_are_those_of_the_conventions() {
    let (collector, tracer) = traced();
    let span = tracer
        .query_span("duckdb", "SELECT 1 FROM parcels", SpanKind::Internal)
        .server("db.internal", 5432)
        .namespace("shop")
        .batch(1)
        .batch(2)
        .start();
    span.set_error("42P01");
    drop(span);
    tracer.flush();
    let span = &collector.spans()[0];
    assert_eq!(span.kind, "internal");
    for (key, value) in [
        ("db.system.name", "duckdb"),
        ("db.operation.name", "SELECT"),
        ("db.collection.name", "parcels"),
        ("db.query.summary", "SELECT parcels"),
        ("db.query.text", "SELECT ? FROM parcels"),
        ("db.namespace", "shop"),
        ("db.operation.batch.size", "2"),
        ("server.address", "db.internal"),
        ("server.port", "5432"),
        ("error.type", "42P01"),
    ] {
        assert_eq!(span.attribute(key), Some(value), "{span:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_literal_is_ever_shown(secret in "[a-z]{12}", digits in "[1-9]{9}", noise in "[ -~\u{e4}\n]{0,40}", quote in 0..4_u8) {
        let literal = match quote {
            0 => format!("'{secret}'"),
            1 => format!("$q${secret}$q$"),
            2 => format!("E'\\'{secret}'"),
            _ => format!("X'{secret}"),
        };
        let statement = format!("SELECT a FROM t WHERE s = {literal} AND n = {digits} {noise}");
        let found = shown(&[&statement, &noise]);
        prop_assert!(!found[0].1.contains(&secret), "{:?}", found);
        prop_assert!(!found[0].1.contains(&digits), "{:?}", found);
        prop_assert!(!found[0].0.contains(&secret), "{:?}", found);
    }
}

use std::process::Command;
use std::time::{Duration, SystemTime};

use ops_history::sql::{Limits, NAMED, named, query};
use ops_history::{Config, ErrorKind, History};
use serde_json::json;

use crate::{LONG, Place, ask, at, number, rows};

fn some(place: &Place) {
    let history = place.open();
    for n in 0..10 {
        number(&history, n, n);
    }
    assert!(history.close(LONG));
}

#[test]
fn nothing_but_the_history_is_read_and_nothing_is_written() {
    let place = Place::new();
    some(&place);
    let file = place.first_file("logs").canonicalize().unwrap();
    let before = std::fs::read(&file).unwrap();
    let secret = place.folder.path().join("secret.csv");
    std::fs::write(&secret, "canary-5d1\n").unwrap();
    let (file, secret) = (file.display(), secret.display());
    let target = place.folder.path().join("out.csv");
    let target = target.display();
    let statements = [
        format!("COPY logs TO '{target}'"),
        format!("COPY (SELECT 1) TO '{file}' (FORMAT parquet)"),
        format!("COPY logs FROM '{secret}'"),
        format!("ATTACH '{target}' AS other"),
        "ATTACH ':memory:' AS other".to_owned(),
        "INSTALL httpfs".to_owned(),
        "LOAD httpfs".to_owned(),
        format!("LOAD '{secret}'"),
        format!("EXPORT DATABASE '{target}'"),
        format!("IMPORT DATABASE '{target}'"),
        "CREATE TABLE t AS SELECT 1".to_owned(),
        "DROP VIEW logs".to_owned(),
        "INSERT INTO logs SELECT * FROM logs".to_owned(),
        "SET enable_external_access = true".to_owned(),
        "SET lock_configuration = false".to_owned(),
        "RESET allowed_paths".to_owned(),
        "PRAGMA enable_profiling".to_owned(),
        "CALL enable_logging()".to_owned(),
        "SET VARIABLE a = 1".to_owned(),
        "PREPARE p AS SELECT 1".to_owned(),
        "CHECKPOINT".to_owned(),
        "VACUUM".to_owned(),
        "EXPLAIN ANALYZE SELECT 1".to_owned(),
        format!("SELECT 1; COPY (SELECT 1) TO '{target}'"),
        format!("SELECT 1) AS answer; COPY (SELECT 1) TO '{target}'; SELECT * FROM (SELECT 1"),
        format!("SELECT 1 -- \n; COPY (SELECT 1) TO '{target}'"),
        format!("WITH a AS (SELECT 1) SELECT 1; ATTACH '{target}'"),
        "SELECT * FROM read_csv('/etc/passwd')".to_owned(),
        format!("SELECT * FROM read_csv('{secret}')"),
        format!("SELECT * FROM '{secret}'"),
        format!("SELECT * FROM read_text('{secret}')"),
        format!("SELECT * FROM read_blob('{secret}')"),
        format!("SELECT * FROM read_json('{secret}')"),
        format!("SELECT * FROM sniff_csv('{secret}')"),
        format!("SELECT * FROM read_parquet('{secret}')"),
        format!("SELECT * FROM parquet_metadata('{secret}')"),
        format!("SELECT * FROM query('FROM read_text(''{secret}'')')"),
        "SELECT * FROM glob('/etc/*')".to_owned(),
        "SELECT * FROM read_text('/proc/self/environ')".to_owned(),
        "SELECT * FROM read_parquet('s3://bucket/a.parquet')".to_owned(),
        "SELECT * FROM read_parquet('https://example.com/a.parquet')".to_owned(),
        "SELECT getenv('HOME')".to_owned(),
        String::new(),
        ";".to_owned(),
        "-- nothing".to_owned(),
    ];
    for sql in statements {
        let refused = query(&[place.dir()], &sql, &Limits::default());
        let refused = refused.expect_err(&sql);
        assert_eq!(refused.kind(), ErrorKind::Statement, "{sql}: {refused}");
        assert!(!refused.to_string().contains("canary"), "{sql}: {refused}");
    }
    assert_eq!(std::fs::read(place.first_file("logs")).unwrap(), before);
    assert!(!place.folder.path().join("out.csv").exists());
}

#[test]
fn time_rows_and_memory_are_limited() {
    let place = Place::new();
    some(&place);
    let dirs = [place.dir()];
    let mut limits = Limits::default();
    limits.rows = 4;
    let cut = query(&dirs, "SELECT body FROM logs", &limits).unwrap();
    assert!(cut.is_truncated && cut.rows.len() == 4);
    limits.rows = 10;
    let whole = query(&dirs, "SELECT body FROM logs", &limits).unwrap();
    assert!(!whole.is_truncated && whole.rows.len() == 10);
    let bytes = "SELECT repeat('x', 1000) AS a FROM range(10)";
    limits.bytes = 2500;
    let cut = query(&dirs, bytes, &limits).unwrap();
    assert_eq!((cut.rows.len(), cut.is_truncated), (2, true));
    limits.bytes = 100;
    let none = query(&dirs, bytes, &limits).unwrap_err().to_string();
    assert_eq!(none, "1008 bytes of the first row exceed the limit of 100");
    limits.bytes = u64::MAX;
    limits.rows = usize::MAX;
    let all = query(&dirs, "SELECT body FROM logs", &limits).unwrap();
    assert!(!all.is_truncated && all.rows.len() == 10);
    limits.time = Duration::from_millis(100);
    let endless = "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c WHERE a.range + b.range = c.range * 7";
    let late = query(&dirs, endless, &limits).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
    limits.time = LONG;
    limits.memory = 32 << 20;
    let much = query(
        &dirs,
        "SELECT count(DISTINCT range::VARCHAR || 'x') FROM range(20000000)",
        &limits,
    );
    assert!(much.unwrap_err().to_string().contains("Out of Memory"));
}

#[test]
fn an_empty_history_answers_and_wrong_statements_say_what_is_wrong() {
    let place = Place::new();
    let history = place.open();
    for sql in [
        "SELECT count(*) FROM logs",
        "SELECT count(*) AS n FROM requests;",
        "SELECT count(*) FROM spans, metrics -- both",
        "SELECT count(*) FROM logs; -- note",
        "SELECT count(*) FROM logs -- one; two\n ; /* three; */ ;",
        "SELECT count(*) FROM logs WHERE body <> ';\n' ;; ",
    ] {
        assert_eq!(rows(&ask(&[place.dir()], sql)), [[json!(0)]], "{sql}");
    }
    assert!(history.close(LONG));
    let wrong = query(&[place.dir()], "SELECT hue FROM logs", &Limits::default()).unwrap_err();
    assert!(wrong.to_string().contains("hue"), "{wrong}");
    let nowhere = query(
        &[place.folder.path().join("no")],
        "SELECT 1",
        &Limits::default(),
    );
    assert_eq!(nowhere.unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn the_line_of_an_error_is_that_of_the_statement() {
    let place = Place::new();
    some(&place);
    for (sql, reported) in [
        ("SELECT hue FROM logs", "\n\nLINE 1: SELECT hue FROM logs\n"),
        ("\nSELECT body,\n  hue\nFROM logs", "\n\nLINE 3:   hue\n"),
        (
            "SELECT body,\n  hue\nFROM logs; -- note",
            "\n\nLINE 2:   hue\n",
        ),
        ("SELECT\n body::INT FROM logs", "\n\nLINE 2:  body::INT"),
    ] {
        let wrong = query(&[place.dir()], sql, &Limits::default()).unwrap_err();
        assert!(wrong.to_string().contains(reported), "{sql}: {wrong}");
    }
    // similar text in a message is not changed
    let sql = "SELECT error('a\nLINE 7 of it')";
    let wrong = query(&[place.dir()], sql, &Limits::default()).unwrap_err();
    assert!(wrong.to_string().contains("\nLINE 7 of it"), "{wrong}");
}

#[test]
fn a_failed_call_of_grpc_has_its_status_as_cause() {
    let place = Place::new();
    let history = place.open();
    for more in [
        r#""status":503"#,
        r#""status":200,"grpc_status":"INTERNAL""#,
    ] {
        let line = format!(r#"{{"level":"error","event":"request_completed",{more}}}"#);
        history.line(at(0), line.as_bytes());
    }
    assert!(history.close(LONG));
    let sql = named("errors-by-cause").unwrap().sql(None).unwrap();
    let answer = ask(
        &[place.dir()],
        &format!("SELECT cause FROM ({sql}) ORDER BY cause"),
    );
    assert_eq!(json!(rows(&answer)), json!([["503"], ["INTERNAL"]]));
}

/// SQL may take a path as a pattern, and a folder such as `run=7` as a column.
#[test]
fn a_directory_is_read_alone_whatever_its_name() {
    let place = Place::new();
    let names = ["h1", "h[1]", "hXY", "h?*", "run=7", "service_name=x/body=y"];
    let dirs = names.map(|name| place.folder.path().join(name));
    for (n, dir) in (0..).zip(&dirs) {
        let history = History::open(Config::new(dir, "shop").every(LONG)).unwrap();
        number(&history, n, n);
        history.line(at(n), br#"{"event":"request_completed","status":200}"#);
        assert!(history.close(LONG));
    }
    let sql = "SELECT body, service_name, run, attributes ->> '$.n' AS n FROM logs ORDER BY n";
    for (n, dir) in dirs.iter().enumerate() {
        let answer = ask(&[dir], sql);
        let lines = json!([
            ["counted", "shop", 1, n.to_string()],
            ["request_completed", "shop", 1, null],
        ]);
        assert_eq!((answer.files, json!(rows(&answer))), (1, lines), "{dir:?}");
        for view in ["requests_by_hour", "last_lines", "requests"] {
            let runs = ask(&[dir], &format!("SELECT DISTINCT run FROM {view}"));
            assert_eq!(rows(&runs), [[json!(1)]], "{view} of {dir:?}");
        }
    }
    assert_eq!(ask(&dirs, sql).rows.len(), 12);
}

#[test]
fn a_column_may_have_any_name() {
    let place = Place::new();
    some(&place);
    let dirs = [place.dir()];
    let number = ask(&dirs, "SELECT count(*) AS answer FROM logs");
    assert_eq!(
        (number.columns.as_slice(), rows(&number)),
        (&["answer".to_owned()][..], vec![vec![json!(10)]])
    );
    let object = ask(&dirs, "SELECT {'a': 1} AS \"ANSWER\", 2 AS b");
    assert_eq!(object.columns, ["ANSWER", "b"]);
    assert_eq!(rows(&object), [[json!({"a": 1}), json!(2)]]);
}

#[test]
fn non_finite_numbers_are_written_as_words() {
    let place = Place::new();
    some(&place);
    let sql = "SELECT 0.0::DOUBLE / 0 AS mean, ['x' || 1.0::DOUBLE / 0, 'NaN \"Infinity'] AS texts, {'a': -1.0::DOUBLE / 0} AS \"-Infinity\", \
               1.5 AS half, count(*) AS lines FROM logs";
    let answer = ask(&[place.dir()], sql);
    assert_eq!(
        json!(rows(&answer)),
        json!([["NaN", ["xinf", "NaN \"Infinity"], {"a": "-Infinity"}, 1.5, 10]])
    );
    assert_eq!(answer.columns[2], "-Infinity");
    // also in the statement itself
    let answer = ask(&[place.dir()], "SELECT 1e400 AS most, -1e400 AS least");
    assert_eq!(json!(rows(&answer)), json!([["Infinity", "-Infinity"]]));
    for sql in [
        "SELECT ';' AS mark, 1e400 AS most -- ; );",
        "SELECT ';' AS mark, 1e400 AS most; -- note",
        "SELECT ';' AS mark, 1e400 AS most ; /* note */",
    ] {
        let answer = ask(&[place.dir()], sql);
        assert_eq!(json!(rows(&answer)), json!([[";", "Infinity"]]), "{sql}");
    }
}

#[test]
fn each_named_question_is_answered() {
    let place = Place::new();
    some(&place);
    assert_eq!(NAMED.len(), 12);
    for question in NAMED {
        let argument = match question.name {
            "before-run" => "2",
            "chart" => "24h",
            _ => "4bf92f3577b34da6a3ce929d0e0e4736",
        };
        let sql = question.sql(question.argument.map(|_| argument)).unwrap();
        let answer = query(&[place.dir()], &sql, &Limits::default());
        answer.unwrap_or_else(|error| panic!("{}: {error}", question.name));
    }
    let trace = named("trace").unwrap();
    assert!(trace.sql(None).is_err());
    // an argument is quoted, not executed
    let quoted = named("metric").unwrap().sql(Some("a' OR '1'='1"));
    assert!(rows(&ask(&[place.dir()], &quoted.unwrap())).is_empty());
    let loggers = ask(
        &[place.dir()],
        &named("loggers").unwrap().sql(None).unwrap(),
    );
    assert_eq!(loggers.columns, ["logger", "level", "event", "lines"]);
    assert_eq!(
        json!(rows(&loggers)),
        json!([[null, "info", "counted", 10]])
    );
}

#[test]
fn an_argument_that_a_question_does_not_take_is_refused_with_what_it_takes() {
    for (name, argument, why) in [
        (
            "chart",
            "2h",
            r#"invalid argument "2h", expected 1h or 24h"#,
        ),
        ("chart", "", r#"invalid argument "", expected 1h or 24h"#),
        (
            "before-run",
            "-1",
            r#"invalid argument "-1", expected a run number"#,
        ),
        (
            "before-run",
            "last",
            r#"invalid argument "last", expected a run number"#,
        ),
        // the engine would find no row for any of these
        (
            "trace",
            "4bf92f3577b34da6a3ce929d0e0e473",
            r#"invalid argument "4bf92f3577b34da6a3ce929d0e0e473", expected a trace id of 32 hexadecimal digits"#,
        ),
        (
            "trace",
            "4bf92f3577b34da6a3ce929d0e0e473g",
            r#"invalid argument "4bf92f3577b34da6a3ce929d0e0e473g", expected a trace id of 32 hexadecimal digits"#,
        ),
        (
            "trace",
            "",
            r#"invalid argument "", expected a trace id of 32 hexadecimal digits"#,
        ),
    ] {
        let refused = named(name).unwrap().sql(Some(argument)).unwrap_err();
        assert_eq!(refused.to_string(), why);
    }
}

/// The time zone belongs to a process: the test program is run again for each zone.
#[test]
fn times_are_compared_in_utc_wherever_the_machine_is() {
    const CHILD: &str = "ZONE_OF_CHILD";
    if std::env::var_os(CHILD).is_none() {
        for zone in ["America/New_York", "Asia/Kolkata"] {
            let name = "sandbox::times_are_compared_in_utc_wherever_the_machine_is";
            let mut command = Command::new(std::env::current_exe().unwrap());
            let command = command.args(["--exact", name, "--nocapture"]);
            let status = command.env(CHILD, "1").env("TZ", zone).status();
            assert!(status.unwrap().success(), "{zone}");
        }
        return;
    }
    let place = Place::new();
    let history = place.open();
    for hours in [0, 2, 9] {
        let then = SystemTime::now() - Duration::from_secs(hours * 3600 + 60);
        history.line(then, br#"{"event":"request_completed","latency_ms":7}"#);
    }
    assert!(history.close(LONG));
    for (sql, count) in [
        (
            "SELECT count(*) FROM logs WHERE timestamp > now() - INTERVAL 1 HOUR",
            1,
        ),
        (
            "SELECT count(*) FROM logs WHERE timestamp < current_timestamp",
            3,
        ),
        (
            "SELECT count(*) FROM requests_by_minute WHERE minute > now() - INTERVAL 3 HOUR",
            2,
        ),
    ] {
        assert_eq!(rows(&ask(&[place.dir()], sql)), [[json!(count)]], "{sql}");
    }
}

//! History of a running platform: queries while it serves, after a kill, and of two replicas.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faults::{CANARY, send_canary};
use crate::served::{Home, Served, get};

pub(crate) fn run(home: &Home, arguments: &[&str]) -> Output {
    let mut program: Command = home.program(arguments);
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    program.output().unwrap()
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

pub(crate) fn sql(home: &Home, dirs: &[&str], statement: &str) -> Value {
    let mut arguments = vec!["sql", "--json", statement];
    for dir in dirs {
        arguments.extend(["--dir", dir]);
    }
    let output = run(home, &arguments);
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["rows"].clone()
}

#[test]
fn a_number_is_printed_as_the_engine_has_it() {
    let home = Home::new();
    std::fs::create_dir(home.path("none")).unwrap();
    let statement =
        "SELECT 12345678901234567890123::HUGEINT AS a, 0.1234567890123456789::DECIMAL(20, 19) AS b";
    let output = run(&home, &["sql", "--json", statement, "--dir", "none"]);
    let text = text(&output);
    for number in ["12345678901234567890123", "0.1234567890123456789"] {
        assert!(text.contains(number), "{text}");
    }
}

/// Queries until the result is the expected one: a line is in a file within ten seconds.
fn until(home: &Home, dirs: &[&str], statement: &str, expected: &Value) {
    let started = Instant::now();
    loop {
        let answer = sql(home, dirs, statement);
        if answer == *expected {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{answer}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

fn ask(served: &Served, from: u32, to: u32) {
    for number in from..to {
        let id = format!("ask-{number:04}");
        let path = format!("/api/flights/summary?origin=SFO&month={}", number % 12 + 1);
        let answer = served.get_with(&path, &[("X-Request-Id", id.as_str())]);
        assert_eq!(answer.status, 200);
    }
}

const ASKED: &str =
    "SELECT count(*), count(DISTINCT request_id) FROM requests WHERE request_id LIKE 'ask-%'";

const SPANS: &str = "SELECT count(*) FROM spans JOIN requests USING (trace_id) WHERE request_id LIKE 'ask-%' AND kind = 'server'";

#[test]
fn requests_are_in_the_history_once_after_a_restart_and_with_two_replicas() {
    let mut home = Home::new();
    home.set("OPS_HISTORY_DIR", "one");
    home.set("REGISTRY_API_KEY", CANARY);
    let served = home.serve();
    ask(&served, 0, 20);
    send_canary(&served, "a");
    // while it serves
    until(&home, &["one"], ASKED, &json!([[20, 20]]));
    until(&home, &["one"], SPANS, &json!([[20]]));
    served.kill();
    let again = home.serve();
    ask(&again, 20, 30);
    assert!(again.stop().success());
    assert_eq!(sql(&home, &["one"], ASKED), json!([[30, 30]]));
    let runs = sql(
        &home,
        &["one"],
        "SELECT count(DISTINCT service_instance_id), max(run) FROM logs",
    );
    assert_eq!(runs, json!([[2, 2]]));
    assert_eq!(sql(&home, &["one"], SPANS), json!([[30]]));
    let metrics = "SELECT max(value) > 0 FROM metrics WHERE name = 'http_requests_total'";
    assert_eq!(sql(&home, &["one"], metrics), json!([[true]]));

    // another replica, together with the first one's directory and a copy of that
    home.set("OPS_HISTORY_DIR", "two");
    let other = home.serve();
    ask(&other, 30, 40);
    send_canary(&other, "b");
    assert!(other.stop().success());
    let copied = run(&home, &["history", "export", "copy", "--dir", "one"]);
    assert!(
        text(&copied).starts_with("copy: copied "),
        "{}",
        text(&copied)
    );
    assert_eq!(
        sql(&home, &["one", "two", "copy"], ASKED),
        json!([[40, 40]])
    );

    let mut printed = Vec::new();
    for name in ["errors-by-cause", "loggers", "slowest-routes", "runs"] {
        let answer = run(
            &home,
            &["sql", "--name", name, "--dir", "one", "--dir", "two"],
        );
        assert!(answer.status.success(), "{}", text(&answer));
        printed.push(text(&answer));
    }
    assert!(printed[1].contains("request_completed"), "{}", printed[1]);
    assert!(
        printed[2].contains("/api/flights/summary"),
        "{}",
        printed[2]
    );
    assert_eq!(
        printed[3]
            .lines()
            .filter(|line| line.starts_with("kearney-platform-api"))
            .count(),
        3,
        "{}",
        printed[3]
    );
    for dir in ["one", "two"] {
        for table in ["logs", "spans", "metrics"] {
            let all = format!("FROM {table}");
            let all = run(
                &home,
                &["sql", "--json", "--limit", "100000", &all, "--dir", dir],
            );
            let found: Value = serde_json::from_slice(&all.stdout).unwrap();
            let rows = found["rows"].as_array().unwrap().len();
            assert!(rows > 10, "{dir} {table}: {rows}");
            assert_eq!(found["truncated"], false);
            printed.push(text(&all));
        }
    }
    for printed in printed {
        assert!(!printed.contains(CANARY), "{printed}");
    }
    let mut files = 0;
    for folder in [
        "one/logs",
        "one/spans",
        "one/metrics",
        "two/logs",
        "two/spans",
        "two/metrics",
    ] {
        for entry in std::fs::read_dir(home.path(folder)).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let mut parts = bytes.windows(CANARY.len());
            assert!(!parts.any(|part| part == CANARY.as_bytes()));
            files += 1;
        }
    }
    assert!(files >= 6);
}

#[test]
fn numbers_are_sampled_from_the_start_on() {
    let mut home = Home::new();
    home.set("OPS_HISTORY_DIR", "history");
    let served = home.serve();
    assert!(served.stop().success());
    let sampled = "SELECT min(timestamp) < (SELECT min(timestamp) FROM logs WHERE body = 'ready') FROM metrics";
    let sampled = sql(&home, &["history"], sampled);
    assert_eq!(sampled, json!([[true]]), "{sampled}");
}

#[test]
fn what_a_history_holds_moves_no_terminal() {
    let home = Home::new();
    std::fs::create_dir(home.path("history")).unwrap();
    // the path of a request may contain any of these
    let sql = "SELECT chr(155) AS a, [chr(155) || '\"ü\\'] AS b, {'c': chr(8238)} AS c, chr(155)::JSON AS \"d\u{9b}\"";
    let sql = sql.replace("chr(155)::JSON", "('[\"' || chr(155) || '\"]')::JSON");
    let sql = ["sql", "--dir", "history", &sql];
    let answered = text(&run(&home, &sql));
    let cells: Vec<_> = answered.lines().nth(1).unwrap().split("  ").collect();
    assert_eq!(cells.len(), 4, "{answered:?}");
    assert_eq!(
        cells[1..],
        [r#"["\u009b\"ü\\"]"#, r#"{"c":"\u202e"}"#, r#"["\u009b"]"#]
    );
    let failing = "SELECT (chr(27) || '[2J' || chr(155))::INT";
    let failed = run(&home, &["sql", "--dir", "history", failing]);
    let printed = String::from_utf8(failed.stderr).unwrap();
    assert!(
        printed.contains(r"'\u001b[2J\u009b' to INT32") && printed.contains("\n\nLINE 1: "),
        "{printed:?}"
    );
    let is_ours = |char: char| char == '\n' || !char.is_control();
    assert!(printed.chars().chain(answered.chars()).all(is_ours));
}

#[test]
fn the_commands_answer_and_say_what_is_wrong() {
    let mut home = Home::new();
    home.set("OPS_HISTORY_DIR", "history");
    let served = home.serve();
    ask(&served, 0, 3);
    assert!(served.stop().success());
    let stats = text(&run(&home, &["history", "stats", "--verify"]));
    assert!(stats.starts_with("table      files"), "{stats}");
    let stats = run(&home, &["history", "stats", "--json"]);
    let stats: Value = serde_json::from_slice(&stats.stdout).unwrap();
    assert_eq!(stats["tables"][0]["table"], "logs");
    assert!(stats["tables"][0]["rows"].as_u64().unwrap() > 3, "{stats}");
    let listed = text(&run(&home, &["sql", "--list"]));
    assert_eq!(listed.lines().count(), 12, "{listed}");
    for (arguments, why) in [
        (
            &["sql", "COPY logs TO 'x'"][..],
            "only SELECT statements are allowed",
        ),
        (
            &["sql", "SELECT * FROM read_csv('/etc/passwd')"],
            "disabled by configuration",
        ),
        (&["sql", "SELECT hue FROM logs"], "hue"),
        (&["sql", "--name", "no"], "unknown query no"),
        (&["sql", "--name", "trace"], "requires an argument"),
        (&["sql"], "required"),
        (
            &["sql", "--admin", "127.0.0.1:1", "SELECT 1"],
            "cannot connect",
        ),
        (&["history", "stats", "--dir", "nowhere"], "nowhere"),
    ] {
        let refused = run(&home, arguments);
        assert!(!refused.status.success(), "{arguments:?}");
        let printed = text(&refused);
        assert!(printed.contains(why), "{arguments:?}: {printed}");
    }
    let pruned = text(&run(&home, &["history", "prune", "--older-than", "2h"]));
    assert_eq!(pruned, "history: removed 0 files, 0 bytes\n");
    let table = text(&run(
        &home,
        &[
            "sql",
            "SELECT 1 AS a, 'x' AS b UNION ALL SELECT 22, NULL ORDER BY a",
        ],
    ));
    assert!(table.starts_with("a   b\n1   x\n22  -\n"), "{table}");
}

/// Waits until the process has counted this many requests: their spans and lines were offered before.
fn until_counted(served: &Served, count: u32) {
    let started = Instant::now();
    loop {
        let text = get(
            &format!("{}/metrics", served.admin),
            &[("authorization", BEARER)],
        )
        .body;
        let counted: f64 = text
            .lines()
            .filter(|line| line.starts_with("http_requests_total{route=\"/api/flights/summary\""))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        if counted == f64::from(count) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{counted}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

const TOKEN: &str = "token-of-the-operator";
const BEARER: &str = "Bearer token-of-the-operator";

/// Lines, distinct lines, spans and counted requests.
const SENT: &str = "SELECT count(*), count(DISTINCT request_id), (SELECT count(*) FROM spans WHERE kind = 'server' AND trace_id IN \
    (SELECT trace_id FROM requests WHERE request_id LIKE 'ask-%')), (SELECT sum(n)::BIGINT FROM (SELECT max(value) AS n FROM metrics \
    WHERE name = 'http_requests_total' AND (attributes ->> '$.route') = '/api/flights/summary' GROUP BY service_instance_id, attributes)) \
    FROM requests WHERE request_id LIKE 'ask-%'";

fn assert_sent(home: &Home, places: &[(&str, &str)], count: u32) {
    let mut arguments = vec!["sql", "--json", SENT];
    for (option, place) in places {
        arguments.extend([*option, *place]);
    }
    let output = run(home, &arguments);
    assert!(output.status.success(), "{}", text(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        answer["rows"],
        json!([[count, count, count, count]]),
        "{places:?}"
    );
}

#[test]
fn a_question_to_running_platforms_has_all_up_to_now_after_a_kill_and_of_two_replicas() {
    let (mut home, mut beside) = (Home::new(), Home::new());
    for (home, dir) in [(&mut home, "one"), (&mut beside, "two")] {
        home.set("OPS_HISTORY_DIR", dir);
        home.set("OPS_ADMIN_TOKEN", TOKEN);
    }
    let served = home.serve();
    ask(&served, 0, 40);
    until_counted(&served, 40);
    assert_sent(&home, &[("--admin", served.admin.as_str())], 40);
    ask(&served, 40, 50);
    until_counted(&served, 50);
    assert_sent(&home, &[("--admin", served.admin.as_str())], 50);
    served.kill();
    assert_sent(&home, &[("--dir", "one")], 50);
    let again = home.serve();
    ask(&again, 50, 70);
    until_counted(&again, 20);
    let one = home.path("one");
    let one = one.to_str().unwrap();
    let other = beside.serve();
    ask(&other, 70, 100);
    until_counted(&other, 30);
    // each of them alone, both live, one of them stopped, both stopped
    let (first, second) = (
        ("--admin", again.admin.as_str()),
        ("--admin", other.admin.as_str()),
    );
    assert_sent(&home, &[first], 70);
    assert_sent(&beside, &[second], 30);
    assert_sent(&home, &[first, second], 100);

    // the page returns the same, and logs the query
    let asked =
        json!({"sql": "SELECT count(*) FROM requests WHERE request_id LIKE 'ask-%'", "who": "ada"});
    let answer = again.ask_admin("/api/sql", TOKEN, &asked.to_string());
    assert_eq!(answer.json()["rows"], json!([[70]]), "{}", answer.body);
    let audit = "SELECT attributes ->> '$.who', (attributes ->> '$.outcome') LIKE '1 rows in %' FROM logs WHERE body = 'admin_action' \
                 AND (attributes ->> '$.action') = 'sql' ORDER BY timestamp";
    let audit = again.ask_admin("/api/sql", TOKEN, &json!({"sql": audit}).to_string());
    assert_eq!(
        audit.json()["rows"][0],
        json!(["ada", true]),
        "{}",
        audit.body
    );
    let outside = json!({"sql": "SELECT * FROM read_text('/etc/passwd')"}).to_string();
    let outside = again.ask_admin("/api/sql", TOKEN, &outside);
    assert_eq!(outside.status, 400);
    assert!(!outside.body.contains("root:"), "{}", outside.body);
    let wrong = again.ask_admin("/api/sql", "another-token-of-nobody", "{}");
    assert_eq!(wrong.status, 401);
    let before = get(
        &format!("{}/api/history/before-run?argument=2", again.admin),
        &[("authorization", BEARER)],
    );
    let before = before.json();
    let event = before["columns"]
        .as_array()
        .unwrap()
        .iter()
        .position(|name| name == "event")
        .unwrap();
    let rows = before["rows"].as_array().unwrap();
    assert!(
        rows.iter().any(|row| row[event] == "request_completed"),
        "{before}"
    );

    assert!(again.stop().success());
    assert_sent(&home, &[("--dir", one), second], 100);
    assert!(other.stop().success());
    let two = beside.path("two");
    assert_sent(
        &home,
        &[("--dir", one), ("--dir", two.to_str().unwrap())],
        100,
    );
}

//! The history of a platform that really runs: what is asked of its files while it serves, after a kill, and of two replicas.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faults::CANARY;
use crate::served::{Home, Served};

fn run(home: &Home, arguments: &[&str]) -> Output {
    let mut program: Command = home.program(arguments);
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    program.output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

fn sql(home: &Home, dirs: &[&str], statement: &str) -> Value {
    let mut arguments = vec!["sql", "--json", statement];
    for dir in dirs {
        arguments.extend(["--dir", dir]);
    }
    let output = run(home, &arguments);
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["rows"].clone()
}

/// Asks again until the answer is this one: a line is in a file within ten seconds.
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

#[test]
fn what_was_asked_is_in_the_answers_once_also_after_a_restart_and_of_two_replicas() {
    let mut home = Home::new();
    home.set("OPS_HISTORY_DIR", "one");
    home.set("REGISTRY_API_KEY", CANARY);
    let served = home.serve();
    ask(&served, 0, 20);
    // it is refused, and may be on a line of the log
    served.get(&format!("/api/flights/summary?origin=SFO&token={CANARY}"));
    let model = r#"{"name": "a", "version": "1"}"#;
    let headers = [("X-API-Key", CANARY)];
    assert_eq!(
        served.post("/api/registry/models", &headers, model).status,
        201
    );
    // while it serves
    until(&home, &["one"], ASKED, &json!([[20, 20]]));
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
    let spans = "SELECT count(*) FROM spans JOIN requests USING (trace_id) WHERE request_id LIKE 'ask-%' AND kind = 'server'";
    assert_eq!(sql(&home, &["one"], spans), json!([[30]]));
    let metrics = "SELECT max(value) > 0 FROM metrics WHERE name = 'http_requests_total'";
    assert_eq!(sql(&home, &["one"], metrics), json!([[true]]));

    // another replica, with the first one's directory beside it and a copy of that
    home.set("OPS_HISTORY_DIR", "two");
    let other = home.serve();
    ask(&other, 30, 40);
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

    let mut told = Vec::new();
    for name in ["errors-by-cause", "loggers", "slowest-routes", "runs"] {
        let answer = run(
            &home,
            &["sql", "--name", name, "--dir", "one", "--dir", "two"],
        );
        assert!(answer.status.success(), "{}", text(&answer));
        told.push(text(&answer));
    }
    assert!(told[1].contains("request_completed"), "{}", told[1]);
    assert!(told[2].contains("/api/flights/summary"), "{}", told[2]);
    assert_eq!(
        told[3]
            .lines()
            .filter(|line| line.starts_with("kearney-platform-api"))
            .count(),
        3,
        "{}",
        told[3]
    );
    for table in ["logs", "spans", "metrics"] {
        let all = run(
            &home,
            &[
                "sql",
                "--json",
                "--limit",
                "100000",
                &format!("FROM {table}"),
                "--dir",
                "one",
                "--dir",
                "two",
            ],
        );
        told.push(text(&all));
    }
    for told in told {
        assert!(!told.contains(CANARY), "{told}");
    }
    let mut files = 0;
    for folder in ["one/logs", "one/spans", "one/metrics", "two/logs"] {
        for entry in std::fs::read_dir(home.path(folder)).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let mut parts = bytes.windows(CANARY.len());
            assert!(!parts.any(|part| part == CANARY.as_bytes()));
            files += 1;
        }
    }
    assert!(files >= 4);
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
            "only SELECT is possible here",
        ),
        (
            &["sql", "SELECT * FROM read_csv('/etc/passwd')"],
            "disabled by configuration",
        ),
        (&["sql", "SELECT hue FROM logs"], "hue"),
        (&["sql", "--name", "no"], "there is no question no"),
        (&["sql", "--name", "trace"], "needs an argument"),
        (&["sql"], "required"),
        (&["history", "stats", "--dir", "nowhere"], "nowhere"),
    ] {
        let refused = run(&home, arguments);
        assert!(!refused.status.success(), "{arguments:?}");
        let told = text(&refused);
        assert!(told.contains(why), "{arguments:?}: {told}");
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

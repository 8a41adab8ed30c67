//! Searches all stored telemetry of the platform for one of its secrets.

use serde_json::json;

use crate::faults::CANARY;
use crate::history::{run, text};
use crate::served::Home;

const TOKEN: &str = "token-of-the-operator";

/// Asserts that these folders have files, and that no file has the canary.
fn assert_no_canary_in_files(home: &Home, folders: &[&str]) {
    for folder in folders {
        let entries = std::fs::read_dir(home.path(folder)).unwrap();
        let files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{folder}");
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            let mut parts = bytes.windows(CANARY.len());
            let is_there = parts.any(|part| part == CANARY.as_bytes());
            assert!(!is_there, "{}", file.display());
        }
    }
}

#[test]
fn a_secret_on_a_line_of_the_log_is_in_no_history_file_no_black_box_and_no_answer() {
    let mut home = Home::new();
    std::fs::create_dir(home.path("box")).unwrap();
    home.set("OPS_HISTORY_DIR", "history");
    home.set("OPS_BLACK_BOX", "box");
    home.set("OPS_ADMIN_TOKEN", TOKEN);
    home.set("REGISTRY_API_KEY", CANARY);
    let served = home.serve();
    // the access line of this request has the path
    let path = format!("/api/registry/models/{CANARY}");
    assert_eq!(served.get(&path).status, 404);
    let model = format!(r#"{{"name": "{CANARY}", "version": "1"}}"#);
    let headers = [("X-API-Key", CANARY)];
    served.post("/api/registry/models", &headers, &model);

    let ask = |sql: &str| {
        let body = json!({"sql": sql}).to_string();
        let answer = served.ask_admin("/api/sql", TOKEN, &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(!answer.body.contains(CANARY), "{}", answer.body);
        answer.json()["rows"].clone()
    };
    let lines = "SELECT count(*) FROM requests WHERE url_path LIKE '/api/registry/models/%'";
    assert_eq!(ask(lines), json!([[1]]), "the line is there without it");
    for table in ["logs", "spans", "metrics"] {
        assert_ne!(ask(&format!("FROM {table}")), json!([]), "{table}");
    }
    served.kill();
    let mut printed = Vec::new();
    for table in ["logs", "spans", "metrics"] {
        let all = format!("FROM {table}");
        let answer = run(&home, &["sql", "--json", &all, "--dir", "history"]);
        assert!(answer.status.success(), "{}", text(&answer));
        printed.push(text(&answer));
    }
    let shown = run(&home, &["black-box", "box/kearney-platform-api.box"]);
    printed.push(text(&shown));
    assert!(
        printed[3].contains("/api/registry/models/"),
        "{}",
        printed[3]
    );
    for printed in printed {
        assert!(!printed.contains(CANARY), "{printed}");
    }
    let folders = ["history/logs", "history/spans", "history/metrics", "box"];
    assert_no_canary_in_files(&home, &folders);
}

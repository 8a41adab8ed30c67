use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::served::Home;

const KEY: (&str, &str) = ("X-API-Key", "kearney-registry-key");

/// Creates a file outside of the data directory, and links to it at these names inside.
fn planted(names: &[&str]) -> (Home, std::path::PathBuf) {
    let home = Home::new();
    let precious = home.path("precious");
    std::fs::write(&precious, "keep me").unwrap();
    for name in names {
        let link = home.path("data").join(name);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&precious, link).unwrap();
    }
    (home, precious)
}

#[test]
fn links_in_the_data_directory_are_not_written_through() {
    let (home, precious) = planted(&[
        "registry.json.part",
        "addresses.json",
        "warehouse.part.duckdb",
        "extract/flights-3m.parquet",
        "extract/airports.csv",
        "runs/x.part",
        "results/x.json",
    ]);
    let served = home.serve();
    let model = r#"{"name": "delays", "version": "1"}"#;
    let added = served.post("/api/registry/models", &[KEY], model);
    assert_eq!(added.status, 201, "{}", added.body);
    assert!(served.stop().success());
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "keep me");
}

#[test]
fn a_link_in_place_of_the_cache_is_refused_and_what_it_leads_to_stays() {
    let home = Home::new();
    let served = home.serve();
    served.get("/api/airports?near=37.6,-122.4&limit=10");
    assert!(served.stop().success());
    let cache = home.path("data").join("cache");
    let elsewhere = home.path("elsewhere");
    std::fs::rename(&cache, &elsewhere).unwrap();
    symlink(&elsewhere, &cache).unwrap();
    let count = || walk(&elsewhere);
    let before = count();
    for arguments in [
        &["serve", "--port", "0", "--admin-port", "0"][..],
        &["cache", "clear"],
        &["cache", "stats"],
    ] {
        let output = home.program(arguments).stderr(Stdio::piped()).output();
        let output = output.unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {printed}");
        assert!(printed.contains("is a symbolic link"), "{printed}");
    }
    assert_eq!(count(), before);
}

/// Returns the number of files below a directory.
fn walk(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let counts = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => walk(&entry.path()),
        false => 1,
    });
    counts.sum()
}

#[test]
fn a_link_where_a_file_is_read_or_locked_refuses_the_start_and_names_it() {
    for name in [".lock", "registry.json"] {
        let (home, precious) = planted(&[name]);
        let mut program = home.program(&["serve", "--port", "0", "--admin-port", "0"]);
        let output = program.stderr(Stdio::piped()).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{printed}");
        assert!(
            printed.contains(name) && printed.contains("symbolic link"),
            "{printed}"
        );
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "keep me");
    }
}

#[test]
fn a_data_directory_that_was_moved_is_found_and_the_next_one_keeps_its_addresses() {
    let home = Home::new();
    let first = home.serve();
    std::fs::rename(home.path("data"), home.path("moved")).unwrap();
    let moved = Instant::now();
    loop {
        let state = first.state();
        let mut findings = state["findings"].as_array().unwrap().iter();
        if findings.any(|finding| finding["id"] == "data_dir_lost") {
            assert_eq!(state["verdict"]["state"], "failing", "{state:#}");
            break;
        }
        assert!(moved.elapsed() < Duration::from_secs(60), "{state:#}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let asked = |admin: &str| {
        let mut program = home.program(&["doctor", "--json", "--data-dir", "data"]);
        let output = program.env("OPS_ADMIN_ADDR", admin).stdout(Stdio::piped());
        let output = output.output().unwrap();
        let diagnosis: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        diagnosis["findings"].as_array().unwrap().clone()
    };
    let found = asked(&first.admin);
    assert_eq!(found[0]["id"], "data_dir_lost");
    let is_another = |finding: &serde_json::Value| finding["id"] == "another_platform_answers";
    assert!(!found.iter().any(is_another), "{found:#?}");
    // as if the page were elsewhere: nothing listens at this address
    let found = asked("127.0.0.1:1");
    assert_eq!(found[0]["id"], "process_not_running");
    let means = found[0]["means"].as_str().unwrap();
    assert!(means.contains("keeps running"), "{means}");
    let second = home.serve();
    assert!(first.stop().success());
    let addresses = std::fs::read_to_string(home.path("data/addresses.json")).unwrap();
    assert!(addresses.contains(&second.api), "{addresses}");
    assert!(second.stop().success());
    assert!(!home.path("data/addresses.json").exists());
}

#[test]
fn what_the_platform_creates_is_for_its_user_alone() {
    let home = Home::new();
    let served = home.serve_and_load();
    assert_eq!(served.get("/api/flights/summary?origin=SFO").status, 200);
    assert_eq!(
        served.post("/api/orchestrator/runs", &[KEY], "").status,
        202
    );
    assert!(served.stop().success());
    let mut files = 0;
    let mut check = vec![home.path("data"), home.path("logs")];
    while let Some(path) = check.pop() {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
        files += usize::from(path.is_file());
        let inside = std::fs::read_dir(&path).into_iter().flatten();
        check.extend(inside.map(|entry| entry.unwrap().path()));
    }
    assert!(files > 8, "{files}");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

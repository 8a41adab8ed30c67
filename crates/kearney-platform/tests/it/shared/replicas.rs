use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::with_cache_yaml;
use crate::moto::Moto;
use crate::served::{Answer, Home, Served, warehouse};

pub(crate) const BUCKET: &str = "results";
/// Timeout: writes happen in the background, and the machine may be busy.
const SOON: Duration = Duration::from_secs(60);

pub(crate) fn summary(origin: &str) -> String {
    format!("/api/flights/summary?origin={origin}")
}

/// Returns a folder with a loaded warehouse that no process writes to.
pub(crate) fn snapshot() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("warehouse.duckdb"), warehouse()).unwrap();
    folder
}

/// Returns a home for a platform that serves the snapshot and shares all results through the bucket.
pub(crate) fn replica(moto: &Moto, snapshot: &tempfile::TempDir) -> Home {
    let mut home = sharing();
    moto.use_in(&mut home);
    let file = snapshot.path().join("warehouse.duckdb");
    home.set("KEARNEY_SNAPSHOT", file.to_str().unwrap().to_owned().leak());
    home
}

/// Returns a home with the example's configuration, except that results of any duration are shared: those of the
/// extract are quick.
fn sharing() -> Home {
    let text = include_str!("../../../../../configs/replicas/cache.yaml");
    let (least, quick) = ("min_compute_ms: 200", "min_compute_ms: 0");
    assert!(text.contains(least));
    let mut home = with_cache_yaml(&text.replace(least, quick));
    home.set("KEARNEY_SHARED_KEY", "a key of 24 bytes, all of");
    home.set("OPS_SECRETS_AWS", "off");
    home
}

/// Waits until the admin page reports a matching state of the bucket, and returns it.
pub(super) fn bucket(served: &Served, is_it: impl Fn(&Value) -> bool) -> Value {
    let asked = Instant::now();
    loop {
        let shared = served.state()["cache"]["shared"].clone();
        if is_it(&shared) {
            return shared;
        }
        assert!(asked.elapsed() < SOON, "{shared}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn printed(home: &Home, arguments: &[&str]) -> String {
    let mut program = home.program(arguments);
    let output = program
        .stdout(std::process::Stdio::piped())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Requests new results from one platform until the other finds one in the bucket; returns the path and both responses.
/// On a busy machine moto may exceed the platform's timeout; the bucket is tried again 5 s later.
fn found_by_the_other(one: &Served, other: &Served) -> (String, Answer, Answer) {
    let asked = Instant::now();
    for month in 1..=12 {
        for origin in [
            "SFO", "JFK", "LAX", "ORD", "ATL", "DFW", "DEN", "SEA", "BOS", "MIA",
        ] {
            let path = format!("{}&month={month}", summary(origin));
            let ended = |shared: &Value| shared["written"].as_u64().zip(shared["dropped"].as_u64());
            let before = ended(&bucket(one, |_| true));
            let first = one.get(&path);
            assert_eq!((first.status, first.header("x-cache")), (200, "miss"));
            bucket(one, |shared| ended(shared) != before);
            let second = other.get(&path);
            assert_eq!(second.status, 200);
            if second.header("x-cache") == "hit" {
                return (path, first, second);
            }
            assert!(asked.elapsed() < SOON);
            std::thread::park_timeout(Duration::from_millis(500));
        }
    }
    panic!("the other found nothing");
}

#[test]
fn replicas_of_one_snapshot_share_results_and_tags_and_say_so() {
    let Some(moto) = Moto::start() else { return };
    moto.bucket(BUCKET);
    let snapshot = snapshot();
    let [one, other] = [(), ()].map(|()| replica(&moto, &snapshot).serve());
    let (path, first, second) = found_by_the_other(&one, &other);
    assert_eq!(second.body, first.body);
    assert_eq!(second.header("etag"), first.header("etag"));
    let known = [("if-none-match", first.header("etag"))];
    assert_eq!(other.get_with(&path, &known).status, 304);

    // a platform for which moto was too slow probes the bucket when it gets a request
    let turn = std::cell::Cell::new(0);
    bucket(&other, |shared| {
        let answers = shared["state"] == "answers";
        if !answers {
            turn.set(turn.get() + 1);
            other.get(&format!("/api/airports?near=37.{},-122", turn.get()));
        }
        answers
    });
    let metrics = other.get("/metrics").body;
    for series in [
        "cache_hits_total{cache_type=\"shared\"} 1\n",
        "cache_tier_hits_total{tier=\"shared\"} 1\n",
        "cache_shared_total{outcome=\"refused\"} 0\n",
        "cache_shared_open 0\n",
        "cache_shared_unconditional 0\n",
        "cache_shared_read_only 0\n",
    ] {
        assert!(metrics.contains(series), "{series} is not in {metrics}");
    }
    for arguments in [
        &["cache", "stats"][..],
        &[
            "cache",
            "stats",
            "--data-dir",
            "nowhere",
            "--admin",
            &other.admin,
        ],
    ] {
        let printed = printed(other.home(), arguments);
        assert!(
            printed.contains("shared bucket: reachable\n  lookups: 1 hits, "),
            "{printed}"
        );
    }

    // a run has nothing to load, and profiles the existing tables
    let key = ("X-API-Key", "kearney-registry-key");
    let run = one
        .post("/api/orchestrator/runs", &[key], r#"{"job": "load"}"#)
        .json();
    let path = format!("/api/orchestrator/runs/{}", run["run_id"].as_str().unwrap());
    let asked = Instant::now();
    while one.get(&path).json()["status"] != "success" {
        let run = one.get(&path).json();
        assert!(run["error"].is_null() && asked.elapsed() < SOON, "{run}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert!(!Path::new(&one.home().path("data/warehouse.duckdb")).exists());
}

#[test]
fn a_platform_that_writes_its_warehouse_keeps_its_results_and_says_so_once() {
    let mut home = sharing();
    // nothing listens there
    home.set("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    home.set("AWS_REGION", "us-east-1");
    home.set("AWS_ACCESS_KEY_ID", "testing");
    home.set("AWS_SECRET_ACCESS_KEY", "testing-key-of-nobody");
    let served = home.serve();
    for origin in ["SFO", "JFK"] {
        assert_eq!(served.get(&summary(origin)).header("x-cache"), "miss");
        assert_eq!(served.get(&summary(origin)).header("x-cache"), "hit");
    }
    let shared = bucket(&served, |_| true);
    assert!(shared["without_content"].as_u64() >= Some(2), "{shared}");
    assert_eq!((&shared["hits"], &shared["misses"]), (&0.into(), &0.into()));
    assert!(served.stop().success());
    let lines = home.log_lines();
    let said = lines
        .iter()
        .filter(|line| line["event"] == "engine_without_content_id");
    assert_eq!(said.count(), 1);
}

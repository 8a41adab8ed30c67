use std::net::TcpListener;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ops_layer::cache::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use ops_layer::cache::arrow::error::ArrowError;
use ops_layer::cache::{Cache, cached_query};

use crate::served::Home;

const SUMMARY: &str = "/api/flights/summary?origin=SFO";
/// An invalidation by another process takes effect within one second; the rest is for a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);
/// Time between two looks at what another process does.
const BETWEEN: Duration = Duration::from_millis(20);

fn run(home: &Home, arguments: &[&str]) -> Output {
    let mut program = home.program(arguments);
    program
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap()
}

fn printed(home: &Home, arguments: &[&str]) -> String {
    let output = run(home, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_cache_command_sees_and_removes_what_a_running_platform_keeps() {
    let home = Home::new();
    let served = home.serve_and_load();
    assert_eq!(served.get(SUMMARY).header("x-cache"), "miss");
    assert_eq!(served.get(SUMMARY).header("x-cache"), "hit");
    let deadline = Instant::now() + NOTICED_WITHIN;
    // three entries are from the profile of the first load; files are written after the response
    while !printed(&home, &["cache", "stats"]).contains("entries: 4\n") {
        assert!(Instant::now() < deadline);
        std::thread::park_timeout(BETWEEN);
    }
    assert!(printed(&home, &["cache", "invalidate", "*nothing*"]).contains("removed 0 "));
    assert!(printed(&home, &["cache", "invalidate", "table:flights"]).contains("removed 2 "));
    while served.get(SUMMARY).header("x-cache") != "miss" {
        assert!(Instant::now() < deadline);
        std::thread::park_timeout(BETWEEN);
    }
    printed(&home, &["cache", "clear"]);
    let stats = printed(&home, &["cache", "stats"]);
    assert!(stats.contains("\"table:flights\" removed 2"), "{stats}");
    assert!(stats.contains("\"*\" removed"), "{stats}");

    let stats: serde_json::Value =
        serde_json::from_str(&printed(&home, &["cache", "stats", "--json"])).unwrap();
    assert_eq!(stats["entries"], 0);
    assert_eq!(stats["invalidations"][1]["pattern"], "table:flights");

    let admin = served.admin.as_str();
    served.get(SUMMARY);
    let asked = [
        "cache",
        "stats",
        "--json",
        "--data-dir",
        "nowhere",
        "--admin",
        admin,
    ];
    let stats: serde_json::Value = serde_json::from_str(&printed(&home, &asked)).unwrap();
    assert_eq!(stats["entries"], 1);
    assert_eq!(stats["invalidations"][1]["pattern"], "table:flights");
    assert!(
        stats["hits"].as_u64() >= Some(1) && stats["shared"].is_null(),
        "{stats}"
    );
    let asked = ["cache", "invalidate", "table:flights", "--admin", admin];
    assert_eq!(printed(&home, &asked), "1 entries removed\n");
    let asked = ["cache", "stats", "--admin", "127.0.0.1:9"];
    let why = String::from_utf8(run(&home, &asked).stderr).unwrap();
    assert!(
        why.contains("GET http://127.0.0.1:9/api/state: cannot connect"),
        "{why}"
    );

    let wrong = run(&home, &["cache", "stats", "--data-dir", "nowhere"]);
    let why = String::from_utf8(wrong.stderr).unwrap();
    assert!(why.contains("no cache in nowhere/cache"), "{why}");
    assert!(!home.path("nowhere").exists());
    let empty = run(&home, &["cache", "invalidate", " "]);
    assert!(
        String::from_utf8(empty.stderr)
            .unwrap()
            .contains("empty pattern")
    );
}

#[test]
fn whoever_listens_where_a_platform_was_killed_is_handed_no_token() {
    let mut home = Home::new();
    home.set("OPS_ADMIN_TOKEN", "canary-of-the-page");
    let load = ["orchestrate", "--job", "load"];
    assert!(run(&home, &load).status.success());
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let left = format!(r#"{{"api":"http://127.0.0.1:9","admin":"http://{address}"}}"#);
    std::fs::write(home.path("data/addresses.json"), left).unwrap();
    other.set_nonblocking(true).unwrap();
    let shown = printed(&home, &["cache", "stats"]);
    assert!(shown.starts_with("entries: "), "{shown}");
    assert!(other.accept().is_err(), "it was asked");

    // a platform that owns the directory is asked
    let lock = std::fs::File::open(home.path("data/.lock")).unwrap();
    lock.lock().unwrap();
    other.set_nonblocking(false).unwrap();
    let asked = std::thread::spawn(move || drop(other.accept().unwrap()));
    assert_eq!(printed(&home, &["cache", "stats"]), shown);
    asked.join().unwrap();
}

#[test]
fn the_page_has_the_hit_ratio_without_a_scrape_and_follows_other_processes() {
    let home = Home::new();
    let served = home.serve();
    for _ in 0..20 {
        served.get(SUMMARY);
        // revalidation by clients does not count as a miss of this cache
        served.get("/api/viz/palette");
    }
    let deadline = Instant::now() + NOTICED_WITHIN;
    let ratios = || {
        let state = served.state();
        let lines = state["metrics"].as_array().unwrap();
        let line = lines.iter().find(|line| line["name"] == "cache_hit_ratio");
        let points = line.unwrap()["recent"].as_array().unwrap();
        points
            .iter()
            .filter_map(serde_json::Value::as_f64)
            .collect::<Vec<_>>()
    };
    // 19 of 20 are hits, regardless of how they are distributed over seconds
    while !ratios().iter().any(|ratio| *ratio >= 0.5) {
        assert!(Instant::now() < deadline, "{:?}", ratios());
        std::thread::park_timeout(BETWEEN);
    }
    let cache = || served.state()["cache"].clone();
    let is_kept = || cache()["top"].to_string().contains("mean_delay_minutes");
    while !is_kept() {
        assert!(Instant::now() < deadline, "{}", cache());
        std::thread::park_timeout(BETWEEN);
    }
    let before = cache()["evicted_invalidated"].as_u64();
    // the file is written after the response
    let written = || format!("entries: {}\n", cache()["entries"]);
    while !printed(&home, &["cache", "stats"]).contains(&written()) {
        assert!(Instant::now() < deadline, "{}", cache());
        std::thread::park_timeout(BETWEEN);
    }
    let removed = printed(&home, &["cache", "invalidate", "*mean_delay_minutes*"]);
    assert!(removed.contains("removed 1 "), "{removed}");
    let deadline = Instant::now() + NOTICED_WITHIN;
    while is_kept() || cache()["evicted_invalidated"].as_u64() != before.map(|count| count + 1) {
        assert!(Instant::now() < deadline, "{}", cache());
        std::thread::park_timeout(BETWEEN);
    }
}

#[test]
fn a_client_with_a_current_response_gets_304() {
    let home = Home::new();
    let served = home.serve();
    let first = served.get(SUMMARY);
    let etag = first.header("etag").to_owned();
    assert!(etag.starts_with("W/\""), "{etag}");
    assert!(served.stop().success());
    let again = home.serve();
    let unchanged = again.get_with(SUMMARY, &[("if-none-match", &etag)]);
    assert_eq!((unchanged.status, unchanged.body.as_str()), (304, ""));
    assert_eq!(unchanged.header("etag"), etag, "it outlives a restart");
    assert_eq!(unchanged.header("x-cache"), "hit");
    let other = again.get_with(SUMMARY, &[("if-none-match", "\"another\"")]);
    assert_eq!(other.status, 200);
}

static RUNS: AtomicUsize = AtomicUsize::new(0);

/// A cached query in a package that depends only on ops-layer.
#[cached_query(ttl_seconds = 3600)]
async fn user_stats(user_id: i64) -> Result<Vec<RecordBatch>, ArrowError> {
    RUNS.fetch_add(1, Ordering::SeqCst);
    let column: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![user_id]));
    Ok(vec![RecordBatch::try_from_iter([("id", column)])?])
}

#[tokio::test]
async fn cached_query_works_for_a_package_that_depends_on_ops_layer_only() {
    let dir = tempfile::tempdir().unwrap();
    ops_layer::cache::install(Cache::open(dir.path()).unwrap()).unwrap();
    let first = user_stats(123).await.unwrap();
    assert_eq!(user_stats(123).await.unwrap(), first);
    assert_eq!(RUNS.load(Ordering::SeqCst), 1);
}

use std::time::{Duration, Instant};

use ops_metrics::testing::Registry;

use crate::cgroup::Tree;
use crate::lines::Lines;
use crate::{rendered, value};

const MEASURED: [&str; 10] = [
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_threads",
    "process_start_time_seconds",
    "tokio_workers",
    "tokio_scheduler_lag_seconds_count",
    "tokio_worker_busy_seconds_total",
    "ops_metrics_render_bytes",
];

#[tokio::test(flavor = "multi_thread")]
async fn process_and_runtime_are_measured() {
    crate::installed();
    ops_metrics::observe_runtime();
    // the ticker reads them each second, and a scrape may happen in between
    let started = Instant::now();
    let text = loop {
        let text = rendered();
        let missing = MEASURED.iter().find(|name| value(&text, name) <= Some(0.0));
        let Some(missing) = missing else {
            break text;
        };
        assert!(started.elapsed() < Duration::from_secs(60), "{missing}");
        tokio::task::yield_now().await;
    };
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let started = value(&text, "process_start_time_seconds").unwrap();
    assert!(
        (now.as_secs_f64() - started).abs() < 24.0 * 3600.0,
        "{started}"
    );
    let series = value(
        &text,
        r#"ops_metrics_series{metric="cache_evictions_total"}"#,
    );
    assert_eq!(series, Some(6.0));
}

#[test]
fn a_clock_that_is_set_a_little_makes_no_restart() {
    let stat = format!("7 (a b) S{} 150 50 0 0 20 0 3 0 12345 0", " 1".repeat(10));
    let files = [
        ("proc/self/stat", &*stat),
        ("proc/stat", "cpu 1\nbtime 1700000000\n"),
    ];
    let tree = Tree::new(&files);
    let registry = Registry::new();
    let start_after = |boot: u64| {
        std::fs::write(tree.0.join("proc/stat"), format!("btime {boot}\n")).unwrap();
        registry.sample_process(&tree.0);
        registry.value("process_start_time_seconds")
    };
    registry.sample_process(&tree.0);
    assert_eq!(registry.value("process_cpu_seconds_total"), Some(2.0));
    assert_eq!(
        registry.value("process_start_time_seconds"),
        Some(1_700_000_123.45)
    );
    assert_eq!(start_after(1_700_000_001), Some(1_700_000_123.45));
    assert_eq!(start_after(1_699_999_990), Some(1_700_000_123.45));
    // a wrong start time is replaced
    assert_eq!(start_after(1_700_003_600), Some(1_700_003_723.45));
}

#[test]
fn a_name_that_the_kernel_cut_within_a_character_hides_no_metric() {
    let tree = Tree::new(&[("proc/stat", "cpu 1\nbtime 1700000000\n")]);
    let name = &"straßenzoll-führer".as_bytes()[..15];
    assert!(std::str::from_utf8(name).is_err());
    let stat = format!(") S{} 150 50 0 0 20 0 3 0 12345 0", " 1".repeat(10));
    let write = |file: &str, parts: [&[u8]; 3]| {
        std::fs::create_dir_all(tree.0.join("proc/self")).unwrap();
        std::fs::write(tree.0.join("proc/self").join(file), parts.concat()).unwrap();
    };
    write("stat", [b"7 (", name, stat.as_bytes()]);
    write(
        "status",
        [b"Name:\t", name, b"\nVmRSS:\t  8 kB\nThreads:\t3\n"],
    );
    let registry = Registry::new();
    registry.sample_process(&tree.0);
    let value = |name| registry.value(name);
    assert_eq!(value("process_cpu_seconds_total"), Some(2.0));
    assert_eq!(value("process_start_time_seconds"), Some(1_700_000_123.45));
    assert_eq!(value("process_resident_memory_bytes"), Some(8192.0));
    assert_eq!(value("process_threads"), Some(3.0));
}

#[test]
fn panics_are_counted_even_if_they_are_caught() {
    let panics = || value(&rendered(), "panics_total").unwrap();
    let before = panics();
    let caught = std::panic::catch_unwind(|| panic!("on purpose"));
    assert!(caught.is_err());
    assert!(panics() > before);
}

/// Returns the warnings of `work` on this thread.
pub(crate) fn warnings_of(work: impl FnOnce()) -> Vec<String> {
    // without it, the first thread that logs a line may decide for all that nobody wants such lines
    let _ = tracing::subscriber::set_global_default(Lines::default());
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), work);
    lines.all()
}

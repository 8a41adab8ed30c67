//! Measures a cache of many small entries: `cargo run --release --example many_entries --no-default-features -- 1000 10000`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a tool for whoever measures"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use data_cache::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use data_cache::{Cache, Params};

/// The first argument of the process that asks beside the one that measures.
const BESIDE: &str = "--beside";
const IDLE: Duration = Duration::from_secs(120);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, dir, sql] = arguments.as_slice()
        && role == BESIDE
    {
        return ask_beside(Path::new(dir), sql);
    }
    let counts = arguments.iter().map(|count| count.parse().unwrap());
    println!(
        "entries | open | first hit | first get_stats | invalidate 100: return, worst get | all: return, worst get | RSS | blocks"
    );
    for count in counts {
        measure(count);
    }
}

fn sql(at: usize, of: usize) -> String {
    // a hundred of them are named otherwise
    let table = if at.is_multiple_of(of / 100) {
        "rare"
    } else {
        "orders"
    };
    format!("SELECT sum(price) AS total FROM {table} WHERE customer = {at} GROUP BY region")
}

fn measure(count: usize) {
    let dir = std::env::temp_dir().join(format!("many-entries-{}-{count}", std::process::id()));
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let cache = Cache::open(&dir).unwrap();
    cache.get_stats();
    for at in 0..count {
        let batches = std::slice::from_ref(&batch);
        cache
            .set(&sql(at, count), batches, &Params::new(), None)
            .unwrap();
    }
    cache
        .set("SELECT beside", &[batch], &Params::new(), None)
        .unwrap();
    cache.flush(IDLE);
    drop(cache);
    let blocks = blocks(&dir) >> 20;

    let (cache, open) = timed(|| Cache::open(&dir).unwrap());
    let (hit, first_hit) = timed(|| cache.get("SELECT beside", &Params::new()));
    assert!(hit.is_some());
    cache.flush(IDLE);
    drop(cache);
    let cache = Cache::open(&dir).unwrap();
    let (stats, first_stats) = timed(|| cache.get_stats());
    assert_eq!(stats.entries, count as u64 + 1);
    cache.flush(IDLE);
    // all of them in memory too
    for at in 0..count {
        assert!(cache.get(&sql(at, count), &Params::new()).is_some());
    }
    let rss = rss();
    let few = invalidate(&dir, &cache, "*from rare*", &sql(0, count), 100);
    let all = invalidate(&dir, &cache, "*from orders*", &sql(1, count), count - 100);
    println!(
        "{count} | {open:?} | {first_hit:?} | {first_stats:?} | {few} | {all} | {rss} MiB | {blocks} MiB"
    );
    cache.flush(IDLE);
    assert_eq!(cache.get_stats().entries, 1);
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Asks for one entry until the input ends; prints a line at the first hit, and the time of the last one.
fn ask_beside(dir: &Path, sql: &str) {
    let cache = Cache::open(dir).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_line(&mut String::new());
        over.store(true, Ordering::Relaxed);
    });
    let mut last = None;
    while !is_over.load(Ordering::Relaxed) {
        if cache.get(sql, &Params::new()).is_some() {
            let now = SystemTime::now();
            if last.replace(now).is_none() {
                println!("served");
            }
        }
    }
    let since = last.unwrap().duration_since(UNIX_EPOCH).unwrap();
    println!("{}", since.as_micros());
}

/// Another process that asks for an entry; it is served when this returns.
struct Beside(Child, BufReader<ChildStdout>);

impl Beside {
    fn start(dir: &Path, sql: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([BESIDE.as_ref(), dir.as_os_str(), sql.as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut String::new()).unwrap();
        Self(child, lines)
    }

    /// Time from `start` until it was served last.
    fn end(mut self, start: SystemTime) -> Duration {
        drop(self.0.stdin.take());
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        self.0.wait().unwrap();
        let last = UNIX_EPOCH + Duration::from_micros(line.trim().parse().unwrap());
        last.duration_since(start).unwrap_or_default()
    }
}

/// Time until the call returns and until nobody is served, and the longest of the lookups beside it.
fn invalidate(dir: &Path, cache: &Cache, pattern: &str, gone: &str, expected: usize) -> String {
    let other = Beside::start(dir, gone);
    let now = SystemTime::now();
    let is_done = AtomicBool::new(false);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let (mut longest, mut sum, mut gets) = (Duration::ZERO, Duration::ZERO, 0_u32);
            let mut longest_own = Duration::ZERO;
            let mut last_served = Duration::ZERO;
            while !is_done.load(Ordering::Relaxed) {
                let before = waited_for_a_core();
                let (hit, took) = timed(|| cache.get("SELECT beside", &Params::new()));
                assert!(hit.is_some());
                if took > longest_own {
                    let waited = waited_for_a_core() - before;
                    longest_own = longest_own.max(took.saturating_sub(waited));
                }
                longest = longest.max(took);
                sum += took;
                gets += 1;
                if cache.get(gone, &Params::new()).is_some() {
                    last_served = start.elapsed();
                }
            }
            let longest =
                format!("{longest:?} (without waits for a core {longest_own:?}) of {gets}");
            (longest, sum / gets.max(1), last_served)
        });
        let (removed, took) = timed(|| cache.invalidate(pattern).unwrap());
        assert_eq!(removed, expected);
        cache.flush(IDLE);
        is_done.store(true, Ordering::Relaxed);
        let (longest, mean, last_served) = beside.join().unwrap();
        let whole = start.elapsed();
        let elsewhere = other.end(now);
        format!(
            "returns {took:?}, last served {last_served:?}, by another process {elsewhere:?}, files gone {whole:?}, get: longest {longest}, mean {mean:?}"
        )
    })
}

/// Time for which this thread was ready so far, and had no core.
fn waited_for_a_core() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let waited = text.split_whitespace().nth(1).and_then(|n| n.parse().ok());
    Duration::from_nanos(waited.unwrap_or(0))
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}

fn rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}

#[cfg(unix)]
fn blocks(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let own = std::fs::metadata(dir).unwrap().blocks() * 512;
    let below = std::fs::read_dir(dir).unwrap().map(|entry| {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => blocks(&entry.path()),
            false => entry.metadata().unwrap().blocks() * 512,
        }
    });
    own + below.sum::<u64>()
}

#[cfg(not(unix))]
fn blocks(_: &Path) -> u64 {
    0
}

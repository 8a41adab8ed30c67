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

/// First argument of the process that queries beside the one that measures.
const BESIDE: &str = "--beside";
/// First argument of the process that fills a directory.
const FILL: &str = "--fill";
const IDLE: Duration = Duration::from_secs(120);
/// Pause between two lookups of threads and processes that query beside the measurement.
const PAUSE: Duration = Duration::from_micros(100);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [role, dir, sql] if role == BESIDE => return ask_beside(Path::new(dir), sql),
        [role, dir, count] if role == FILL => return fill(Path::new(dir), count.parse().unwrap()),
        _ => {}
    }
    let counts = arguments.iter().map(|count| count.parse().unwrap());
    for count in counts {
        measure(count);
    }
}

fn sql(at: usize, of: usize) -> String {
    // a hundred of them have another name
    let table = if at.is_multiple_of(of / 100) {
        "rare"
    } else {
        "orders"
    };
    format!("SELECT sum(price) AS total FROM {table} WHERE customer = {at} GROUP BY region")
}

/// Fills a directory.
fn fill(dir: &Path, count: usize) {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let cache = Cache::open(dir).unwrap();
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
    assert!(cache.flush(IDLE));
}

/// Returns a command that runs this program in a role.
fn this(role: &str, dir: &Path, argument: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([role.as_ref(), dir.as_os_str(), argument.as_ref()]);
    command
}

fn measure(count: usize) {
    let dir = std::env::temp_dir().join(format!("many-entries-{}-{count}", std::process::id()));
    // by another process, so that the memory measured here is that of the entries only
    let mut filling = this(FILL, &dir, &count.to_string());
    assert!(filling.status().unwrap().success());
    let blocks = blocks(&dir) >> 20;
    let before = rss();
    let (cache, open) = timed(|| Cache::open(&dir).unwrap());
    let (hit, first_hit) = timed(|| cache.get("SELECT beside", &Params::new()));
    assert!(hit.is_some());
    cache.flush(IDLE);
    drop(cache);
    let cache = Cache::open(&dir).unwrap();
    let (stats, first_stats) = timed(|| cache.get_stats());
    assert_eq!(stats.entries, count as u64 + 1);
    cache.flush(IDLE);
    let indexed = rss() - before;
    // all of them in memory as well
    for at in 0..count {
        assert!(cache.get(&sql(at, count), &Params::new()).is_some());
    }
    let rss = rss() - before;
    let few = invalidate(&dir, &cache, "*from rare*", &sql(0, count), 100);
    let all = invalidate(&dir, &cache, "*from orders*", &sql(1, count), count - 100);
    println!(
        "{count} entries: open {open:.2?}, first hit {first_hit:.2?}, first get_stats {first_stats:.2?}, RSS {indexed} MiB with the index, \
         {rss} MiB with all in memory, blocks {blocks} MiB\n  invalidate 100: {few}\n  invalidate all: {all}"
    );
    cache.flush(IDLE);
    assert_eq!(cache.get_stats().entries, 1);
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Looks up one entry until the input ends; prints a line at the first hit, and the time of the last one.
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
        // leaves two cores to the measured threads
        std::thread::park_timeout(PAUSE);
    }
    let since = last.unwrap().duration_since(UNIX_EPOCH).unwrap();
    println!("{}", since.as_micros());
}

/// Another process that looks up an entry, which it has found once when this is created.
struct Beside(Child, BufReader<ChildStdout>);

impl Beside {
    fn start(dir: &Path, sql: &str) -> Self {
        let mut child = this(BESIDE, dir, sql)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut String::new()).unwrap();
        Self(child, lines)
    }

    /// Returns the time from `start` until the entry was last found.
    fn end(mut self, start: SystemTime) -> Duration {
        drop(self.0.stdin.take());
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        self.0.wait().unwrap();
        let last = UNIX_EPOCH + Duration::from_micros(line.trim().parse().unwrap());
        last.duration_since(start).unwrap_or_default()
    }
}

/// Measures the time until the call returns and until the entries are no longer served, and the longest concurrent
/// lookup: during the call, and while files are removed after it.
fn invalidate(dir: &Path, cache: &Cache, pattern: &str, gone: &str, expected: usize) -> String {
    let other = Beside::start(dir, gone);
    let now = SystemTime::now();
    let (has_returned, is_done) = (AtomicBool::new(false), AtomicBool::new(false));
    let start = Instant::now();
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let mut asked = Asked::default();
            while !is_done.load(Ordering::Relaxed) {
                let phase = usize::from(has_returned.load(Ordering::Relaxed));
                let hit = asked.get(phase, || cache.get("SELECT beside", &Params::new()));
                assert!(hit.is_some());
                let is_served = asked.get(phase, || cache.get(gone, &Params::new()).is_some());
                if is_served {
                    asked.last_served = start.elapsed();
                }
                // a thread that never pauses waits for its next turn on a core, not for the cache
                std::thread::park_timeout(PAUSE);
            }
            asked
        });
        let (removed, took) = timed(|| cache.invalidate(pattern).unwrap());
        has_returned.store(true, Ordering::Relaxed);
        assert_eq!(removed, expected);
        assert!(cache.flush(IDLE));
        is_done.store(true, Ordering::Relaxed);
        let asked = beside.join().unwrap();
        let whole = start.elapsed();
        let elsewhere = other.end(now);
        let (ms, mean) = (
            |time: Duration| time.as_secs_f64() * 1e3,
            asked.sum / asked.count.max(1),
        );
        format!(
            "returns after {:.2} ms, last served after {:.2} ms, by another process {:.2} ms, files gone after {:.0} ms; get: {} meanwhile, \
             {} after it, mean {mean:?} of {}",
            ms(took),
            ms(asked.last_served),
            ms(elsewhere),
            ms(whole),
            asked.longest[0],
            asked.longest[1],
            asked.count
        )
    })
}

/// Lookups of one thread.
#[derive(Default)]
struct Asked {
    /// During the call, and after it.
    longest: [Longest; 2],
    sum: Duration,
    count: u32,
    last_served: Duration,
}

impl Asked {
    fn get<R>(&mut self, phase: usize, get: impl FnOnce() -> R) -> R {
        let before = waited_for_a_core();
        let (found, took) = timed(get);
        self.sum += took;
        self.count += 1;
        let longest = &mut self.longest[phase];
        if took > longest.took {
            let waited = waited_for_a_core().saturating_sub(before);
            *longest = Longest { took, waited };
        }
        found
    }
}

/// The longest lookup, and the part of it in which the thread was runnable but had no core.
#[derive(Default)]
struct Longest {
    took: Duration,
    waited: Duration,
}

impl std::fmt::Display for Longest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (took, waited) = (ms(self.took), ms(self.waited.min(self.took)));
        write!(f, "longest {took:.2} ms ({waited:.2} waiting for a core)")
    }
}

/// Total time in which this thread was runnable but had no core.
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

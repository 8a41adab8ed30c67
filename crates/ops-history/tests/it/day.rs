//! A day of a service, generated quickly.

use std::time::{Duration, Instant, SystemTime};

use ops_history::sql::{Limits, named, query};
use ops_history::{History, Span, inventory};

use crate::{Clocks, Place, ask, assert_adds_up, at, is_full};

/// Timeout for writing; on a busy machine, at low priority, a day takes long.
const PATIENCE: Duration = Duration::from_secs(600);

const ROUTES: [(&str, &str); 8] = [
    ("GET", "/api/flights/summary"),
    ("GET", "/api/flights/{id}"),
    ("GET", "/api/registry/models"),
    ("POST", "/api/registry/models"),
    ("GET", "/api/registry/models/{name}"),
    ("GET", "/api/isochrone"),
    ("POST", "/api/orchestrator/runs"),
    ("GET", "/api/orchestrator/runs/{id}"),
];

/// Reproducible pseudo-random numbers.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Writes an access line like those of ops-log, with a random trace id and random ids in paths; returns the trace id.
fn line(noise: &mut Noise, micros: u64, n: u64, text: &mut String) -> u128 {
    use std::fmt::Write;
    text.clear();
    let (method, route) = ROUTES[(noise.next() % 8) as usize];
    let path = match route.split_once('{') {
        Some((before, _)) => format!("{before}{}", noise.next() % 5000),
        None => route.to_owned(),
    };
    let status = if noise.next().is_multiple_of(200) {
        503
    } else {
        200
    };
    let level = if status == 503 { "error" } else { "info" };
    let latency = 1 + (noise.next() % 40) * (noise.next() % 40) / 20;
    let (high, low) = (noise.next(), noise.next());
    write!(
        text,
        "{{\"timestamp\":\"2026-11-20T10:00:00.000000Z\",\"level\":\"{level}\",\"event\":\"request_completed\",\"logger\":\"kearney-platform-api\",\
         \"request_id\":\"req-{micros:x}-1f4a{n:x}\",\"trace_id\":\"{high:016x}{low:016x}\",\"method\":\"{method}\",\"path\":\"{path}\",\
         \"route\":\"{route}\",\"status\":{status},\"latency_ms\":{latency}}}"
    )
    .unwrap();
    u128::from(high) << 64 | u128::from(low)
}

/// Offers the spans of a request: the server span and a child.
fn spans(history: &History, start: SystemTime, trace: u128) {
    for (name, kind, parent) in [
        ("GET /api", "server", None),
        ("SELECT", "client", Some([1; 8])),
    ] {
        history.span(Span {
            start,
            duration: Duration::from_millis(3),
            name: name.to_owned(),
            kind,
            trace_id: trace.to_be_bytes(),
            span_id: if parent.is_some() { [2; 8] } else { [1; 8] },
            parent_span_id: parent,
            is_error: false,
        });
    }
}

#[test]
fn a_day_of_access_lines_is_small_and_answers_quickly() {
    let per_second: u64 = 500;
    let seconds: u64 = if is_full() { 24 * 3600 } else { 120 };
    let place = Place::new();
    // the test's day is faster than the machine's clock, by which the files would expire
    let clocks = Clocks::default();
    let config = || clocks.configure(place.config().max_bytes(64 << 30));
    let history = History::open(config()).unwrap();
    let started = Instant::now();
    let mut noise = Noise(42);
    let mut text = String::new();
    let mut traced = String::new();
    for second in 0..seconds {
        clocks.set(second, second);
        if second % 3600 == 0 {
            let (made, memory) = (started.elapsed(), peak_memory());
            println!("hour {} after {made:.0?}, {memory} kB", second / 3600);
        }
        for n in 0..per_second {
            let into = Duration::from_micros(n * 2000 + noise.next() % 2000);
            let moment = at(second) + into;
            let micros = moment
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_micros() as u64;
            let trace = line(&mut noise, micros, second * per_second + n, &mut text);
            if n % 100 == 0 {
                spans(&history, moment, trace);
                if second == seconds / 2 {
                    traced = format!("{trace:032x}");
                }
            }
            history.line(moment, text.as_bytes());
        }
        // one file every ten seconds, as in production
        if second % 10 == 9 {
            assert!(history.flush(PATIENCE));
        }
    }
    assert!(history.close(PATIENCE));
    let stats = history.stats();
    assert_adds_up(&stats);
    let lines = per_second * seconds;
    assert_eq!((stats.lines.written, stats.lines.dropped()), (lines, 0));
    assert_eq!(stats.spans.written, lines / 50);
    drop(history);
    // the next start merges the remaining files
    let next = History::open(config()).unwrap();
    assert!(next.flush(PATIENCE));
    let files = || place.names("logs").len() as u64;
    crate::wait_for("the merges", || files() <= 2 + seconds / 3600 * 14);
    assert!(next.close(PATIENCE));
    let made = started.elapsed();
    let found = inventory(&[place.dir()], false).unwrap();
    let held = &found.tables[0];
    let (files, rows, bytes) = (held.files, held.rows, held.bytes);
    assert_eq!(rows, lines);
    let per_line = bytes as f64 / rows as f64;
    let memory = peak_memory();
    println!(
        "{rows} lines in {files} files: {bytes} bytes, {per_line:.1} a line; made in {made:.1?}; peak of memory {memory} kB"
    );
    assert!(per_line <= 60.0, "{per_line}");
    let dirs = [place.dir()];
    let one_trace = named("trace").unwrap().sql(Some(&traced)).unwrap();
    let questions = [
        (
            "slowest-routes",
            named("slowest-routes").unwrap().sql(None).unwrap(),
        ),
        (
            "requests-by-hour",
            named("requests-by-hour").unwrap().sql(None).unwrap(),
        ),
        (
            "errors-by-cause",
            named("errors-by-cause").unwrap().sql(None).unwrap(),
        ),
        (
            "slowest-requests",
            named("slowest-requests").unwrap().sql(None).unwrap(),
        ),
        ("trace", one_trace),
        (
            "before-run",
            named("before-run").unwrap().sql(Some("2")).unwrap(),
        ),
    ];
    for (name, sql) in questions {
        let answer = ask(&dirs, &sql);
        println!(
            "{name}: {} rows in {:.2} s",
            answer.rows.len(),
            answer.seconds
        );
        assert!(!answer.rows.is_empty());
        if name == "trace" {
            assert_eq!(answer.rows.len(), 3);
        }
    }
    // hour by hour: the distinct ids of a whole day exceed the memory limit of a statement
    let mut counted = 0;
    for hour in 0..=seconds / 3600 {
        let mut limits = Limits::default();
        (limits.since, limits.until) = (Some(at(hour * 3600)), Some(at(hour * 3600 + 3600)));
        let sql = "SELECT count(DISTINCT request_id) FROM requests";
        let answer = query(&dirs, sql, &limits).unwrap();
        counted += answer.rows[0][0].parse::<u64>().unwrap();
    }
    assert_eq!(counted, lines);
}

/// Returns the peak resident memory of this process in kB, as reported by the kernel.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kilobytes = line.unwrap_or_default().split_whitespace().nth(1);
    kilobytes.map_or(0, |text| text.parse().unwrap())
}

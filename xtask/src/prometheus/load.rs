//! Requests that use every part of the platform: routes, caches, DuckDB, registry, orchestrator, rejections.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::exchange::{Answer, Request};
use crate::Result;

const PAUSE: Duration = Duration::from_millis(50);
/// Number of concurrent scrapes, more than are admitted: some get a 503.
const BURST: usize = 24;
const RUNS: &str = "/api/orchestrator/runs";
/// Timeout for a retry to be seen, as runs wait for each other; then the file is restored in any case.
const RETRIED_WITHIN: Duration = Duration::from_secs(10);
/// Default value in configs/secrets.yaml, which is not secret.
const KEY: &str = "X-API-Key: kearney-registry-key\r\n";

pub(crate) struct Load {
    host: String,
    /// Copies of the input files, one of which is broken for a moment.
    datasets: PathBuf,
    asked: AtomicU64,
    refused: AtomicU64,
    failed: AtomicBool,
}

impl Load {
    /// Creates a load for a platform at `host:port` that was loaded from these files.
    pub(crate) fn new(host: &str, datasets: &Path) -> Self {
        Self {
            host: host.trim_start_matches("http://").to_owned(),
            datasets: datasets.to_owned(),
            asked: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        }
    }

    /// Sends requests until then, with so many concurrent scrapes that some are rejected; fails at the end if a
    /// response was unexpected.
    pub(crate) fn run(&self, until: Instant) -> Result<()> {
        std::thread::scope(|scope| {
            scope.spawn(|| self.users(until));
            scope.spawn(|| self.repeat(until, |_| self.scrapers()));
        });
        self.conclude()?;
        if self.refused.load(Ordering::Relaxed) == 0 {
            return Err("no scrape was rejected, although many were concurrent".to_owned());
        }
        Ok(())
    }

    /// Sends requests like users, until then or until the platform stops responding.
    pub(crate) fn run_as_users(&self, until: Instant) -> Result<()> {
        self.users(until);
        self.conclude()
    }

    fn users(&self, until: Instant) {
        std::thread::scope(|scope| {
            scope.spawn(|| self.repeat(until, |turn| self.readers(turn)));
            scope.spawn(|| self.repeat(until, |turn| self.queries(turn)));
            scope.spawn(|| self.repeat(until, |turn| self.writers(turn)));
            scope.spawn(|| self.repeat(until, |turn| self.runs(turn)));
        });
    }

    fn conclude(&self) -> Result<()> {
        let (asked, refused) = (
            self.asked.load(Ordering::Relaxed),
            self.refused.load(Ordering::Relaxed),
        );
        println!("{asked} requests were sent, {refused} of them got 503");
        if self.failed.load(Ordering::Relaxed) {
            return Err("the load received unexpected responses".to_owned());
        }
        Ok(())
    }

    fn repeat(&self, until: Instant, work: impl Fn(u64)) {
        for turn in 0.. {
            if Instant::now() >= until {
                return;
            }
            work(turn);
            std::thread::sleep(PAUSE);
        }
    }

    fn readers(&self, turn: u64) {
        let pages = [
            "/",
            "/healthz",
            "/readyz",
            "/api/registry/models",
            "/api/registry/datasets",
            "/api/viz/palette",
        ];
        for path in pages {
            self.expect(&Request::get(path), &[200]);
        }
        let path = format!("/no/such/page/{turn}");
        self.expect(
            &Request {
                method: "BREW",
                ..Request::get(&path)
            },
            &[404],
        );
        self.expect(
            &Request {
                method: "DELETE",
                ..Request::get("/healthz")
            },
            &[405],
        );
    }

    /// Sends two kinds of queries: repeated ones, by clients with and without a cached response, and one that is new
    /// each time.
    fn queries(&self, turn: u64) {
        let summary = Request::get("/api/flights/summary?origin=SFO&month=1");
        self.expect(&summary, &[200]);
        let head = self.expect(&Request::get("/api/viz/palette"), &[200]);
        if let Some(tag) = head.and_then(|answer| answer.header("etag")) {
            let headers = format!("If-None-Match: {tag}\r\n");
            let again = Request {
                headers: &headers,
                ..Request::get("/api/viz/palette")
            };
            self.expect(&again, &[304]);
        }
        let path = format!("/api/airports?near=37.{turn},-122.4&limit=100");
        let near = Request::get(&path);
        self.expect(&near, &[200]);
        // a client that disconnects early; the platform has to cope
        let _ = near.send_and_leave(&self.host);
        self.expect(&Request::get("/api/airports?near=nowhere"), &[400]);
        for mode in ["driving", "walking", "cycling"] {
            let path = format!("/api/isochrone?lat=37.6&lon=-122.4&minutes=10&mode={mode}");
            self.expect(&Request::get(&path), &[200]);
        }
    }

    fn writers(&self, turn: u64) {
        let model = format!(
            r#"{{"name":"load","version":"{}.{turn}"}}"#,
            std::process::id()
        );
        // in a later round of the same process the model exists already
        self.expect(&post("/api/registry/models", KEY, &model), &[201, 409]);
        self.expect(&post("/api/registry/models", "", &model), &[401]);
        std::thread::sleep(PAUSE * 10);
    }

    /// Runs each job in turn; every eighth run finds a broken file, which is restored before its agent retries.
    fn runs(&self, turn: u64) {
        let job = ["load", "delays", "routes"][(turn % 3) as usize];
        let body = format!(r#"{{"job":"{job}","client":"acme"}}"#);
        let is_broken = turn % 8 == 1;
        if is_broken {
            self.with_broken_file(|| self.one_run(&body));
        } else {
            self.one_run(&body);
        }
        std::thread::sleep(PAUSE * 10);
    }

    fn one_run(&self, body: &str) {
        self.expect(&post(RUNS, KEY, body), &[202, 429]);
    }

    fn with_broken_file(&self, work: impl FnOnce()) {
        let (file, kept) = (
            self.datasets.join("zipcodes.csv"),
            self.datasets.join("zipcodes.csv.kept"),
        );
        let before = self.retries();
        if std::fs::copy(&file, &kept).is_err() || std::fs::write(&file, "broken\n").is_err() {
            return;
        }
        work();
        let started = Instant::now();
        while self.retries() == before && started.elapsed() < RETRIED_WITHIN {
            std::thread::sleep(PAUSE / 2);
        }
        // renamed, so that a partial file is never visible
        if let Err(why) = std::fs::rename(&kept, &file) {
            println!("cannot restore {}: {why}", file.display());
        }
    }

    fn retries(&self) -> f64 {
        let answer = Request::get("/metrics").send(&self.host);
        let body = answer.map(|answer| answer.body).unwrap_or_default();
        let lines = body
            .lines()
            .filter(|line| line.starts_with("orchestrator_agent_retries_total{"));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    /// Scrapes concurrently until some were rejected, then one at a time, so that Prometheus itself is admitted.
    fn scrapers(&self) {
        if self.refused.load(Ordering::Relaxed) > 0 {
            self.expect(&Request::get("/metrics"), &[200, 503]);
            return;
        }
        std::thread::scope(|scope| {
            for _ in 0..BURST {
                scope.spawn(|| self.expect(&Request::get("/metrics"), &[200, 503]));
            }
        });
    }

    fn expect(&self, request: &Request<'_>, expected: &[u16]) -> Option<Answer> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let message = match request.send(&self.host) {
            Ok(answer) if expected.contains(&answer.status) => {
                self.refused
                    .fetch_add(u64::from(answer.status == 503), Ordering::Relaxed);
                return Some(answer);
            }
            Ok(answer) => format!("{} {}", answer.status, answer.body),
            Err(why) => why.to_string(),
        };
        if !self.failed.swap(true, Ordering::Relaxed) {
            println!("{} {}: {message}", request.method, request.path);
        }
        None
    }
}

fn post<'a>(path: &'a str, headers: &'a str, body: &'a str) -> Request<'a> {
    Request {
        method: "POST",
        path,
        headers,
        body,
    }
}

//! Requests that touch every part of the platform: routes, caches, DuckDB, registry, orchestrator, refusals.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::exchange::Request;
use crate::Result;
use crate::platform::Served;

const PAUSE: Duration = Duration::from_millis(50);
/// More scrapes at once than are let in: some of a burst are answered with 503.
const BURST: usize = 24;
/// The default in configs/secrets.yaml, which is no secret.
const KEY: &str = "X-API-Key: kearney-registry-key\r\n";

pub(super) struct Load {
    host: String,
    asked: AtomicU64,
    refused: AtomicU64,
    failed: AtomicBool,
}

impl Load {
    pub(super) fn start(served: &Served) -> Self {
        Self {
            host: served.api.trim_start_matches("http://").to_owned(),
            asked: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        }
    }

    /// Asks until then; an answer that is not what it should be is an error at the end.
    pub(super) fn run(&self, until: Instant) -> Result<()> {
        std::thread::scope(|scope| {
            scope.spawn(|| self.repeat(until, |turn| self.readers(turn)));
            scope.spawn(|| self.repeat(until, |turn| self.queries(turn)));
            scope.spawn(|| self.repeat(until, |turn| self.writers(turn)));
            scope.spawn(|| self.repeat(until, |_| self.scrapers()));
        });
        let (asked, refused) = (
            self.asked.load(Ordering::Relaxed),
            self.refused.load(Ordering::Relaxed),
        );
        println!("{asked} requests were sent, of which {refused} were answered with 503");
        if self.failed.load(Ordering::Relaxed) {
            return Err("the load got answers that it should not get".to_owned());
        }
        if refused == 0 {
            return Err("no scrape was refused, though many asked at once".to_owned());
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

    /// The first is asked for again and again, the second is new each time.
    fn queries(&self, turn: u64) {
        self.expect(
            &Request::get("/api/flights/summary?origin=SFO&month=1"),
            &[200],
        );
        let path = format!("/api/airports?near=37.{turn},-122.4&limit=3");
        self.expect(&Request::get(&path), &[200]);
        self.expect(&Request::get("/api/airports?near=nowhere"), &[400]);
    }

    fn writers(&self, turn: u64) {
        let model = format!(r#"{{"name":"load","version":"{turn}"}}"#);
        let post = |path, headers, body| Request {
            method: "POST",
            path,
            headers,
            body,
        };
        self.expect(&post("/api/registry/models", KEY, &model), &[201]);
        self.expect(&post("/api/registry/models", "", &model), &[401]);
        self.expect(&post("/api/orchestrator/runs", KEY, ""), &[202, 503]);
    }

    /// At once until some were refused; then one by one, so that Prometheus itself is let in.
    fn scrapers(&self) {
        if self.refused.load(Ordering::Relaxed) > 0 {
            return self.expect(&Request::get("/metrics"), &[200, 503]);
        }
        std::thread::scope(|scope| {
            for _ in 0..BURST {
                scope.spawn(|| self.expect(&Request::get("/metrics"), &[200, 503]));
            }
        });
    }

    fn expect(&self, request: &Request<'_>, expected: &[u16]) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let told = match request.send(&self.host) {
            Ok((status, _)) if expected.contains(&status) => {
                self.refused
                    .fetch_add(u64::from(status == 503), Ordering::Relaxed);
                return;
            }
            Ok((status, body)) => format!("{status} {body}"),
            Err(why) => why.to_string(),
        };
        if !self.failed.swap(true, Ordering::Relaxed) {
            println!("{} {}: {told}", request.method, request.path);
        }
    }
}

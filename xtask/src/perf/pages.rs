//! `cargo xtask perf pages`: cost of the admin page for the service that it shows.

use super::k6;
use super::measure::{self, median, requests, threads_time};
use crate::platform::{self, Build, Served};
use crate::tools::{DATASETS, LIBDUCKDB, PYTHON};
use crate::{Result, command, setup};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Maximum number of pages that the service streams to at a time.
const PAGES: usize = 16;
/// Time after which a newly started process is idle.
const SETTLED: Duration = Duration::from_secs(20);
/// Time over which an idle state is measured.
const QUIET: Duration = Duration::from_secs(30);
/// Name of the thread that serves the admin listener.
const PAGE_THREAD: &str = "ops-admin";
/// Number of concurrent requests.
const USERS: &str = "8";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Number of pairs of measurements, without pages and with 16 of them
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(2..))]
    rounds: u32,
    /// Duration of a measurement in seconds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// Prints costs and their goals. Fails if one is missed.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(&[LIBDUCKDB, DATASETS, PYTHON])?;
    let python = setup::folder_of(PYTHON).ok_or("k6 is missing; `cargo xtask setup` shows why")?;
    // log lines are rendered, and discarded here
    let served = Served::prepared(&platform::build(Build::Release)?, |program| {
        program.stdout(Stdio::null());
    })?;
    let mut goals = Goals::default();
    std::thread::sleep(SETTLED);
    let idle = share(&served, None)?;
    goals.at_most("idle, no page open", idle, "% of a core", 0.1);
    let page = Pages::open(&served, 1)?;
    let (bytes, since) = (page.bytes(), Instant::now());
    println!(
        "one page open, idle: {:.4} % of a core",
        share(&served, None)?
    );
    println!("  {:.0} B/s", page.rate_since(bytes, since));
    drop(page);

    let load = start_load(&served, &python, args)?;
    std::thread::sleep(Duration::from_secs(5));
    let page = Pages::open(&served, 1)?;
    let (bytes, since) = (page.bytes(), Instant::now());
    std::thread::sleep(QUIET / 2);
    let rate = page.rate_since(bytes, since) / 1000.0;
    goals.at_most("one page open, under load", rate, "KB/s", 3.0);
    drop(page);
    let pages = Pages::open(&served, PAGES)?;
    std::thread::sleep(Duration::from_secs(2));
    println!(
        "{PAGES} pages, under load: thread {PAGE_THREAD} {:.4} % of a core",
        share(&served, Some(PAGE_THREAD))?
    );
    drop(pages);
    let mut ratios = with_pages(&served, args)?;
    drop(load);
    for (what, ratios) in [
        ("requests a second", &mut ratios.throughput),
        ("processor time per request", &mut ratios.cost),
    ] {
        let [low, median, high] = median(ratios);
        println!(
            "{PAGES} pages, {what}: ratio {median:.4}, 95 % from {low:.4} to {high:.4}, {} rounds",
            args.rounds
        );
    }
    let slower = 1.0 - median(&mut ratios.throughput)[1];
    goals.at_most("16 pages, throughput lost", slower * 100.0, "%", 2.0);
    served.stop()?;
    goals.conclude()
}

/// Figures with their goals; the command fails if one is missed.
#[derive(Default)]
struct Goals {
    missed: Vec<String>,
}

impl Goals {
    fn at_most(&mut self, what: &str, found: f64, unit: &str, limit: f64) {
        println!("{what}: {found:.4} {unit} (goal {limit})");
        if found > limit {
            let missed = format!("{what} {found:.4} {unit}, goal {limit}");
            self.missed.push(missed);
        }
    }

    fn conclude(self) -> Result<()> {
        if self.missed.is_empty() {
            return Ok(());
        }
        let missed = self.missed.join("; ");
        Err(format!("the page costs too much: {missed}"))
    }
}

/// Starts k6 for longer than all rounds take.
fn start_load(served: &Served, python: &Path, args: &Args) -> Result<Load> {
    let total = u64::from(args.rounds) * 2 * (args.seconds + 1) + 120;
    let mut k6 = k6::program(python, &served.api);
    k6.args(["--vus", USERS])
        .args(["--duration", &format!("{total}s"), "perf/api/one_route.js"])
        .stdout(Stdio::null());
    Load::start(&mut k6)
}

/// Effect of open pages, as a ratio for each round.
#[derive(Default)]
struct Ratios {
    throughput: Vec<f64>,
    cost: Vec<f64>,
}

/// Measures the service under load, alternating with and without pages.
fn with_pages(served: &Served, args: &Args) -> Result<Ratios> {
    let mut ratios = Ratios::default();
    for round in 0..args.rounds {
        // the order alternates, so that drift affects both equally
        let order = if round % 2 == 0 {
            [0, PAGES]
        } else {
            [PAGES, 0]
        };
        let mut found = [(0.0, 0.0); 2];
        for pages in order {
            let open = Pages::open(served, pages)?;
            std::thread::sleep(Duration::from_secs(1));
            found[usize::from(pages > 0)] = busy(served, Duration::from_secs(args.seconds))?;
            if open.closed_early() {
                return Err("a stream ended while it was read".to_owned());
            }
            drop(open);
        }
        let [without, with] = found;
        ratios.throughput.push(with.0 / without.0);
        ratios.cost.push(with.1 / without.1);
    }
    Ok(ratios)
}

/// Requests sent by k6; stopped on drop.
pub(super) struct Load(Child);

impl Load {
    pub(super) fn start(k6: &mut Command) -> Result<Self> {
        println!("$ {}", command::shown(k6));
        let child = k6.spawn().map_err(|e| format!("cannot start k6: {e}"))?;
        Ok(Self(child))
    }

    /// Returns the exit status, if it has ended.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.0.try_wait().map_err(|e| format!("k6: {e}"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // it has ended already, or its result is not needed
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Readers of the stream of the admin page.
pub(super) struct Pages {
    read: Arc<AtomicU64>,
    readers: Vec<(TcpStream, JoinHandle<()>)>,
}

impl Pages {
    pub(super) fn open(served: &Served, count: usize) -> Result<Self> {
        let mut pages = Self {
            read: Arc::default(),
            readers: Vec::new(),
        };
        let host = served.admin.trim_start_matches("http://");
        for _ in 0..count {
            let failed = |e: std::io::Error| format!("GET {}/api/stream: {e}", served.admin);
            let stream = stream(host).map_err(failed)?;
            let (ours, read) = (stream.try_clone().map_err(failed)?, pages.read.clone());
            let reader = std::thread::spawn(move || follow(stream, &read));
            pages.readers.push((ours, reader));
        }
        Ok(pages)
    }

    pub(super) fn closed_early(&self) -> bool {
        self.readers.iter().any(|(_, reader)| reader.is_finished())
    }

    fn bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Returns bytes per second.
    fn rate_since(&self, bytes: u64, since: Instant) -> f64 {
        (self.bytes() - bytes) as f64 / since.elapsed().as_secs_f64()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        for (stream, reader) in self.readers.drain(..) {
            // ends the blocking read; fails if the other end closed first
            let _ = stream.shutdown(Shutdown::Both);
            // the thread only reads
            let _ = reader.join();
        }
    }
}

/// Opens one stream. A recently closed stream may still count, so a rejected request is retried.
fn stream(host: &str) -> std::io::Result<TcpStream> {
    let since = Instant::now();
    loop {
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET /api/stream HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        if status == *b"HTTP/1.1 200" {
            stream.set_read_timeout(None)?;
            return Ok(stream);
        }
        if since.elapsed() > Duration::from_secs(10) {
            let status = String::from_utf8_lossy(&status).into_owned();
            return Err(std::io::Error::other(status));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Reads until either end closes.
fn follow(mut stream: TcpStream, read: &AtomicU64) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        read.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Returns the percentage of a core that the process uses for a while.
fn share(served: &Served, thread: Option<&str>) -> Result<f64> {
    let (before, since) = (threads_time(served.id(), thread)?, Instant::now());
    std::thread::sleep(QUIET);
    let used = threads_time(served.id(), thread)?.saturating_sub(before);
    Ok(used.as_secs_f64() / since.elapsed().as_secs_f64() * 100.0)
}

/// Returns requests per second, and processor time per request in seconds.
fn busy(served: &Served, lasts: Duration) -> Result<(f64, f64)> {
    let (requests, used, since) = (
        requests(served)?,
        threads_time(served.id(), None)?,
        Instant::now(),
    );
    std::thread::sleep(lasts);
    let used = threads_time(served.id(), None)?
        .saturating_sub(used)
        .as_secs_f64();
    let lasted = since.elapsed().as_secs_f64();
    let answered = measure::requests(served)? - requests;
    if answered < 1.0 {
        return Err("no request was served: is k6 running?".to_owned());
    }
    Ok((answered / lasted, used / answered))
}

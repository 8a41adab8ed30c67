//! `cargo xtask perf ladder --times`: processor time of one request, part by part and compared with other projects'
//! telemetry.
//!
//! The program is `perf/peers/ladder`; each row is a process on a dedicated core. Load and collector are on another
//! core, so that they do not affect the figures.

use super::other_processes::OtherProcesses;
use super::table::{BARE, Sample, Table};
use super::{executable, wrk};
use crate::perf::measure::{status, threads_time, ticks_of};
use crate::prometheus::{Collector, free_port};
use crate::tools::WRK;
use crate::workspace::{self, Scratch};
use crate::{Result, command, setup};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// Row whose collector refuses connections.
const REFUSED: &str = "refused";

/// Parts of the layer, then the peers: each with `off`, or the percentage of sampled requests.
const ROWS: [&str; 19] = [
    BARE,
    "layer",
    "nothing",
    "metrics",
    "log",
    "off",
    "sampled-10",
    "sampled-10-kept",
    "sampled-100",
    REFUSED,
    "assembled-off",
    "assembled-10",
    "assembled-100",
    "foundations-off",
    "foundations-10",
    "foundations-100",
    "tower-10",
    "tower-100",
    "logfire-100",
];

/// Rows that older versions of the crates have too.
const CHANGED: [&str; 7] = [
    "nothing",
    "metrics",
    "log",
    "off",
    "sampled-10",
    "sampled-100",
    REFUSED,
];

#[derive(clap::Args)]
pub(super) struct Options {
    /// Number of rounds in which all rows alternate
    #[arg(long, requires = "times", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Duration of each load in seconds
    #[arg(long, requires = "times", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Only these rows, in addition to `bare`; can be given several times
    #[arg(long, requires = "times", value_name = "ROW", value_parser = ROWS)]
    only: Vec<String>,
    /// The same program built with older crates, whose rows of the layer are compared with the current ones
    #[arg(long, requires = "times", value_name = "PROGRAM")]
    before: Option<PathBuf>,
}

/// Prints the table, and for each goal if it was reached.
pub(super) fn run(options: &Options) -> Result<()> {
    let absent = setup::ensure(&[WRK])?;
    let wrk = setup::folder_of(WRK).ok_or_else(|| absent.join("; "))?;
    let mut cargo = command::cargo([
        "build",
        "--release",
        "--locked",
        "--package",
        "ladder-peers",
    ]);
    cargo.arg("--manifest-path");
    cargo.arg(workspace::root().join("perf/peers/Cargo.toml"));
    command::run(&mut cargo)?;
    let program = executable(&mut cargo)?;
    let before = options
        .before
        .as_deref()
        .map(std::path::absolute)
        .transpose();
    let before = before.map_err(|e| format!("--before: {e}"))?;
    let bench = Bench::new(&wrk, options.seconds)?;
    let wanted = |row: &&str| {
        *row == BARE || options.only.is_empty() || options.only.iter().any(|only| only == row)
    };
    let mut programs: Vec<(String, &str, &Path)> = Vec::new();
    for row in ROWS.into_iter().filter(wanted) {
        programs.push((row.to_owned(), row, &program));
        if let Some(before) = before.as_deref()
            && CHANGED.contains(&row)
        {
            programs.push((format!("{row}, before"), row, before));
        }
    }
    let mut samples: Vec<Vec<Sample>> = programs.iter().map(|_| Vec::new()).collect();
    for round in 0..options.rounds {
        for ((name, row, program), samples) in programs.iter().zip(&mut samples) {
            let sample = bench.measure(program, row)?;
            println!(
                "round {round}, {name}: {:.2} µs, {:.0} requests a second, {:.3} spans of each exported, others {:.0} %",
                sample.cpu,
                sample.requests_a_second,
                sample.spans,
                sample.others * 100.0
            );
            samples.push(sample);
        }
    }
    let rows = programs.into_iter().map(|(name, ..)| name).collect();
    let table = Table { rows, samples };
    table.print();
    for goal in table.goals() {
        let found = goal.ratio.unwrap_or(goal.value);
        let bound = goal.goal.unwrap_or_default();
        let verdict = if goal.is_missed() { "missed" } else { "met" };
        println!("{}: {found:.2} (goal <= {bound}: {verdict})", goal.what);
    }
    Ok(())
}

/// Two cores: one for the server, one for the load and the collector.
struct Bench<'a> {
    wrk: &'a Path,
    seconds: u64,
    cores: [usize; 2],
    collector: Collector,
    scratch: Scratch,
}

impl<'a> Bench<'a> {
    fn new(wrk: &'a Path, seconds: u64) -> Result<Self> {
        let allowed = sched_getaffinity(None)
            .map_err(|e| format!("cannot read the cores of this process: {e}"))?;
        let mut allowed = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let cores = allowed.next().zip(allowed.next_back());
        let cores = cores.ok_or("the load needs a separate core from the server")?;
        // before the collector starts its threads, which inherit the core of this one
        pin(cores.1)?;
        Ok(Self {
            wrk,
            seconds,
            cores: cores.into(),
            collector: Collector::start()?,
            scratch: Scratch::new("ladder")?,
        })
    }

    fn measure(&self, program: &Path, row: &str) -> Result<Sample> {
        let server = self.serve(program, row)?;
        let url = format!("http://{}/users/7?page=2", server.address);
        wrk::ask(self.wrk, &url, 1)?;
        let process = server.child.id();
        let (spans, before) = (self.collector.spans(), threads_time(process, None)?);
        // user time, and user plus system time
        let ticks = || Ok::<_, String>([ticks_of(process, 1)?, ticks_of(process, 2)?]);
        let ticks_before = ticks()?;
        let others = OtherProcesses::watch(self.cores)?;
        let load = wrk::ask(self.wrk, &url, self.seconds)?;
        let used = threads_time(process, None)?.saturating_sub(before);
        let ticks = ticks()?;
        let [user, all] = [0, 1].map(|at| (ticks[at] - ticks_before[at]) as f64);
        let spans = self.collector.spans() - spans;
        Ok(Sample {
            cpu: used.as_secs_f64() * 1e6 / load.requests,
            user: used.as_secs_f64() * 1e6 / load.requests * user / all.max(1.0),
            requests_a_second: load.requests_a_second,
            p50: load.median.as_secs_f64() * 1e3,
            p99: load.p99.as_secs_f64() * 1e3,
            memory: status(process, "VmRSS:")? as f64 / 1024.0,
            spans: spans as f64 / load.requests,
            others: others.share(used)?,
        })
    }

    /// Starts a row without this environment, and waits for its address.
    fn serve(&self, program: &Path, row: &str) -> Result<Server> {
        let collector = match row {
            // nothing listens there
            REFUSED => format!("http://127.0.0.1:{}", free_port()?),
            _ => self.collector.url().to_owned(),
        };
        let mut serve = command::program(program);
        serve.args(["serve", row, &collector]).env_clear();
        serve.current_dir(self.scratch.path());
        serve
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        pin(self.cores[0])?;
        let child = serve.spawn();
        pin(self.cores[1])?;
        let child = child.map_err(|e| format!("cannot start {}: {e}", command::shown(&serve)))?;
        let mut server = Server {
            child,
            address: String::new(),
        };
        let errors = server
            .child
            .stderr
            .take()
            .ok_or("the server has no stderr")?;
        let mut lines = BufReader::new(errors).lines();
        let address = lines.by_ref().map_while(|line| line.ok()).find(|line| {
            let is_address = line.parse::<SocketAddr>().is_ok();
            if !is_address {
                println!("{row}: {line}");
            }
            is_address
        });
        server.address = address.ok_or_else(|| format!("{row}: the server did not start"))?;
        let row = row.to_owned();
        std::thread::spawn(move || {
            for line in lines.map_while(|line| line.ok()) {
                println!("{row}: {line}");
            }
        });
        Ok(server)
    }
}

/// A served row; stopped on drop.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Pins this thread to a core, along with threads and processes that it starts afterwards.
fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(|e| format!("cannot move to core {core}: {e}"))
}

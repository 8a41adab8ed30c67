//! `cargo xtask perf`: all measurements in one report; `perf ladder`, `perf pages`, `perf history` and `perf soak`
//! measure one thing each.

mod history;
mod k6;
pub(crate) mod ladder;
mod measure;
mod paced;
mod page;
mod pages;
mod ratios;
mod results;
pub(crate) mod soak;
pub(crate) mod tables;

use crate::metadata::Metadata;
use crate::passed::Content;
use crate::platform::{self, Build, Served};
use crate::tools::{DATASETS, GO, LIBDUCKDB, PEERS, PYTHON};
use crate::workspace::Scratch;
use crate::{Result, bench, command, setup, web, workspace};
use results::{Part, Results, Row};
use std::path::Path;
use std::time::Instant;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    measurement: Option<Measurement>,
    /// Measure for seconds instead of minutes
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Also compile and run the comparisons with other projects' programs
    #[arg(long)]
    full: bool,
    /// Only these parts; can be given several times
    #[arg(long, value_name = "PART")]
    only: Vec<Kind>,
}

#[derive(clap::Subcommand)]
enum Measurement {
    /// Count instructions and allocations of one request, part by part
    Ladder(ladder::Args),
    /// Measure the cost of the admin page for the service: idle, with one page open, with 16 under load
    Pages(pages::Args),
    /// Measure the cost of the history for the service, in interleaved rounds with and without it
    History(history::Args),
    /// Load the platform for long, with results removed, a secret replaced and the collector away at times; counts have to
    /// agree, and nothing may grow
    Soak(soak::Args),
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// k6 against a release build of the platform: 5 users, then up to 50
    Api,
    /// Lighthouse on the start page and the admin page
    Web,
    /// Instructions and allocations of a request
    Ladder,
    /// Ratios of the benchmarks, which `ci` checks
    Bench,
    /// Comparisons with programs of other projects
    Peers,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.measurement {
        Some(Measurement::Ladder(args)) => return ladder::run(args),
        Some(Measurement::Pages(args)) => return pages::run(args),
        Some(Measurement::History(args)) => return history::run(args),
        Some(Measurement::Soak(args)) => return soak::run(args),
        None => {}
    }
    let wants = |kind| match args.only.is_empty() {
        true => kind != Kind::Peers || args.full,
        false => args.only.contains(&kind),
    };
    setup::ensure(&[LIBDUCKDB, DATASETS, PYTHON])?;
    let mut parts = Vec::new();
    if wants(Kind::Api) || wants(Kind::Web) {
        let program = platform::build(Build::Release)?;
        let served = Served::start(&program)?;
        if wants(Kind::Api) {
            parts.extend(parts_or_error("api", api(&served, args.quick)));
        }
        if wants(Kind::Web) {
            parts.extend(parts_or_error("web", pages_in_a_browser(&served)));
        }
        served.stop()?;
    }
    if wants(Kind::Ladder) {
        progress("ladder: instructions of a request, about a minute after its build");
        let (started, mut rows) = (Instant::now(), Vec::new());
        let failed = ladder::measure(&mut rows)?;
        parts.push(Part {
            name: "ladder".to_owned(),
            method: "Instructions and allocations of one request, all threads of the server, under callgrind; each row adds a part of the layer to a bare axum handler.".to_owned(),
            command: "cargo xtask perf ladder".to_owned(),
            seconds: started.elapsed().as_secs_f64(),
            failed,
            rows,
            over_time: Vec::new(),
        });
    }
    let metadata = Metadata::read()?;
    if wants(Kind::Bench) {
        bench::build_ratios(&metadata, &Content::read(&metadata, true)?)?;
        for (name, check) in bench::checks_of_ratios(&metadata) {
            progress(&format!("ratios of {name}"));
            let name = format!("ratios of {name}");
            let part = program_part(name.clone(), RATIOS, check);
            parts.extend(parts_or_error(&name, part.map(|part| vec![part])));
        }
    }
    if wants(Kind::Peers) {
        setup::ensure(&[GO, PEERS])?;
        for (name, run) in bench::programs_of_peers(&metadata.crates()) {
            progress(&format!("peers of {name}"));
            let name = format!("peers of {name}");
            let part = program_part(name.clone(), PEERS_METHOD, run);
            parts.extend(parts_or_error(&name, part.map(|part| vec![part])));
        }
    }
    conclude(Results::of_now(parts)?, args)
}

const RATIOS: &str = "Both ways alternate in one process; the result is the median of at least 20 pairs of blocks. A goal that is missed by more than 25 % fails.";
const PEERS_METHOD: &str =
    "A separate program with the peer's own dependencies; both ways alternate in one process.";

/// Returns the parts, or a part with the error if they could not be measured, so that the report has the other parts.
fn parts_or_error(name: &str, parts: Result<Vec<Part>>) -> Vec<Part> {
    parts.unwrap_or_else(|why| {
        vec![Part {
            name: name.to_owned(),
            method: "Not measured.".to_owned(),
            command: String::new(),
            seconds: 0.0,
            failed: vec![why],
            rows: Vec::new(),
            over_time: Vec::new(),
        }]
    })
}

/// Prints the current step on a separate line.
fn progress(what: &str) {
    println!("\n== perf: {what}");
}

fn api(served: &Served, quick: bool) -> Result<Vec<Part>> {
    let python = setup::folder_of(PYTHON).ok_or("k6 is missing; `cargo xtask setup` shows why")?;
    let scratch = Scratch::new("k6")?;
    let (smoke, hold) = if quick {
        ("15s", "15s")
    } else {
        ("60s", "60s")
    };
    progress(&format!("5 users for {smoke}"));
    let five = k6::run(
        &python,
        &served.api,
        &k6::Script {
            name: "api, 5 users",
            method: "k6 requests every public route, with a pause of 100 ms between two requests of a user.",
            path: "perf/api/smoke_test.js",
            variables: &[("DURATION", smoke)],
            goal_ms: 20.0,
            samples: workspace::root().join("perf/api/results.json"),
        },
    )?;
    progress(&format!("up to 50 users, all of them for {hold}"));
    let fifty = k6::run(
        &python,
        &served.api,
        &k6::Script {
            name: "api, 50 users",
            method: "k6 ramps to 50 users: half of the requests are for results that others requested, a fifth for results that nobody requested before, half of the shared ones carry a validator; bodies are checked.",
            path: "perf/api/load_test.js",
            variables: &[("HOLD", hold)],
            goal_ms: 100.0,
            samples: scratch.path().join("load.json"),
        },
    )?;
    Ok(vec![five, fifty])
}

/// Runs Lighthouse on both pages, and repeats it for a page that misses its thresholds.
fn pages_in_a_browser(served: &Served) -> Result<Vec<Part>> {
    let browser = web::prepare()?;
    let mut parts = Vec::new();
    for (name, url) in [("start page", &served.api), ("admin page", &served.admin)] {
        progress(&format!("Lighthouse on the {name}"));
        let (started, mut attempts) = (Instant::now(), 0);
        let (lines, passed) = loop {
            attempts += 1;
            let found = command::run_and_keep(&mut web::lighthouse(url, &browser))?;
            if found.1 || attempts == web::ATTEMPTS {
                break found;
            }
        };
        parts.push(Part {
            name: format!("web, {name}"),
            method: format!(
                "Lighthouse, desktop, on a link of 10 Mbit/s; attempt {attempts} of {}.",
                web::ATTEMPTS
            ),
            command: command::shown(&web::lighthouse(url, &browser)),
            seconds: started.elapsed().as_secs_f64(),
            failed: match passed {
                true => Vec::new(),
                false => lines
                    .iter()
                    .filter(|line| line.starts_with("FAIL"))
                    .cloned()
                    .collect(),
            },
            rows: lines
                .iter()
                .filter_map(|line| of_lighthouse(line))
                .collect(),
            over_time: Vec::new(),
        });
    }
    Ok(parts)
}

/// Parses `ok    performance   100 (at least 85)`.
fn of_lighthouse(line: &str) -> Option<Row> {
    let (printed, goal) = line.trim_end_matches(')').split_once(" (")?;
    let mut words = printed.split_whitespace().skip(1);
    let (what, value) = (words.next()?, words.next()?.parse().ok()?);
    let (bound, goal) = goal.rsplit_once(' ')?;
    Some(Row {
        is_at_least: bound == "at least",
        ..Row::plain(what, value, "", goal.parse().ok())
    })
}

/// Runs a benchmark and parses its output.
fn program_part(name: String, method: &str, mut program: std::process::Command) -> Result<Part> {
    let started = Instant::now();
    let (lines, passed) = command::run_and_keep(&mut program)?;
    let rows: Vec<_> = lines.iter().filter_map(|line| ratios::row(line)).collect();
    if rows.is_empty() {
        return Err(format!("{} printed no results", command::shown(&program)));
    }
    Ok(Part {
        name,
        method: method.to_owned(),
        command: command::shown(&program),
        seconds: started.elapsed().as_secs_f64(),
        failed: if passed {
            Vec::new()
        } else {
            failed_ratios(&rows)
        },
        rows,
        over_time: Vec::new(),
    })
}

/// Returns the ratios for which a benchmark fails: those that miss their goal by more than 25 %.
fn failed_ratios(rows: &[Row]) -> Vec<String> {
    let far = |row: &&Row| {
        let found = row.ratio.unwrap_or(row.value);
        row.goal.is_some_and(|goal| found > goal * 1.25)
    };
    let far: Vec<_> = rows.iter().filter(far).map(Row::describe).collect();
    match far.is_empty() {
        true => vec!["failed, although no result misses its goal".to_owned()],
        false => far,
    }
}

/// Writes the report, prints the table, and fails if a threshold was missed.
fn conclude(run: Results, args: &Args) -> Result<()> {
    let folder = results::folder()?;
    let earlier = results::earlier(&folder);
    let json = serde_json::to_string_pretty(&run).map_err(|e| e.to_string())?;
    let report = folder.join("report.html");
    results::write(&folder.join("results.json"), &json)?;
    results::write(&folder.join("runs").join(format!("{}.json", run.at)), &json)?;
    results::write(&report, &page::html(&run, &earlier)?)?;
    println!("\n{}", tables::of(&run));
    // the tables in the docs are updated only by a complete run
    if args.only.is_empty() && args.full {
        tables::into_docs(&run)?;
    }
    println!("report: {}", report.display());
    let failed = run.failed();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("failed thresholds: {}", failed.join("; "))),
    }
}

/// Runs the smoke test against a running platform; its thresholds decide.
pub(crate) fn smoke(python: &Path, url: &str, duration: &str) -> Result<()> {
    command::run(k6::program(python, url).args([
        "-e",
        &format!("DURATION={duration}"),
        "perf/api/smoke_test.js",
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lighthouse_has_scores_that_are_at_least_and_times_that_are_less_than() {
        let score = of_lighthouse("ok    performance                84 (at least 85)").unwrap();
        assert!(score.is_at_least && score.is_missed());
        let time = of_lighthouse("ok    cumulative-layout-shift    0.011 (less than 0.1)").unwrap();
        assert_eq!(
            (time.what.as_str(), time.value, time.goal),
            ("cumulative-layout-shift", 0.011, Some(0.1))
        );
        assert!(!time.is_missed());
        assert_eq!(
            of_lighthouse("ok    performance  not measured (at least 85)"),
            None
        );
    }
}

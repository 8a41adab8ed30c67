//! `cargo xtask perf ladder`: instructions and allocations of one request, for each part of the layer compared with no
//! layer.
//!
//! The program is the release build of the test `ladder` of ops-layer: a server under callgrind, with its client in a
//! process that is not counted. Counts do not depend on other load of the machine; times do, and are measured only on
//! request.

mod other_processes;
mod table;
mod times;
mod wrk;

use super::results::Row;
use crate::tools::VALGRIND;
use crate::workspace::Scratch;
use crate::{Result, command, setup};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// Parts of the layer, each with its limit: additional instructions compared with the first row, 3 % above the value on
/// an otherwise idle machine.
const ROWS: [(&str, Option<u64>); 8] = [
    ("bare", None),
    ("layer", None),
    ("nothing", Some(2_640)),
    ("metrics", Some(3_370)),
    ("log", Some(7_160)),
    ("off", Some(9_600)),
    ("sampled-10", Some(13_880)),
    ("sampled-100", Some(18_830)),
];

/// Rows and limits of the unoptimized program that `ci` builds for its tests, which shows the cost of a change too.
/// Only the serving thread is counted; the limit is 10 % above the current value, of which 3 % are noise.
const TESTED_ROWS: [(&str, Option<u64>); 2] = [("bare", None), ("sampled-10", Some(88_000))];

/// Numbers of requests of two runs, whose difference is counted, so that start and end are excluded.
const RUNS: [u32; 2] = [1000, 3000];
const TESTED_RUNS: [u32; 2] = [100, 400];

#[derive(Clone, Copy)]
enum Threads {
    All,
    /// The first thread, which handles a request except for its export, and does not wake on a timer.
    Serving,
}

/// Instructions per request of threads that wake once a second.
const NOISE: u64 = 250;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure processor time instead, also of other projects' telemetry, with the load on a separate core
    #[arg(long)]
    times: bool,
    #[command(flatten)]
    options: times::Options,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.times {
        return times::run(&args.options);
    }
    check()
}

/// Prints the table. Fails if a row exceeds its limit.
pub(crate) fn check() -> Result<()> {
    none_missed(|| measure(&mut Vec::new()))
}

/// Prints the table for the program that is built for the tests of the workspace with these features. Fails if a row
/// exceeds its limit; without valgrind nothing is counted.
pub(crate) fn check_tested(features: &str) -> Result<()> {
    let Some(valgrind) = setup::folder_of(VALGRIND) else {
        println!("valgrind is missing: the instructions of a request are not counted");
        return Ok(());
    };
    let mut cargo = command::cargo(["test", "--workspace", "--features", features]);
    let program = executable(cargo.args(["--test", "ladder", "--no-run"]))?;
    let count = |row: &str| {
        count(
            &program,
            Some(&valgrind),
            row,
            TESTED_RUNS,
            Threads::Serving,
        )
    };
    none_missed(|| table(&TESTED_ROWS, count, &mut Vec::new()))
}

/// Measures again if a limit is missed, at most three times: a more expensive request misses it every time, noise of a
/// busy machine does not.
fn none_missed(table: impl Fn() -> Result<Vec<String>>) -> Result<()> {
    let mut missed = Vec::new();
    for _ in 0..3 {
        missed = table()?;
        if missed.is_empty() {
            return Ok(());
        }
    }
    Err(format!("a request costs too much: {}", missed.join("; ")))
}

/// Prints the table and appends its rows to `rows`; returns the missed limits.
pub(super) fn measure(rows: &mut Vec<Row>) -> Result<Vec<String>> {
    for line in setup::ensure(&[VALGRIND])? {
        println!("{line}");
    }
    let program = build()?;
    let valgrind = setup::folder_of(VALGRIND);
    let count = |row: &str| count(&program, valgrind.as_deref(), row, RUNS, Threads::All);
    table(&ROWS, count, rows)
}

/// Counts and prints the rows, and appends them to `rows`.
fn table(
    limits: &[(&str, Option<u64>)],
    count: impl Fn(&str) -> Result<(u64, f64)>,
    rows: &mut Vec<Row>,
) -> Result<Vec<String>> {
    let mut bare: Option<(u64, f64)> = None;
    let mut missed = Vec::new();
    println!("| | instructions | more than bare | allocations | more |");
    println!("|---|---:|---:|---:|---:|");
    for (row, limit) in limits {
        let (instructions, allocations) = count(row)?;
        let (of_bare, allocations_of_bare) = *bare.get_or_insert((instructions, allocations));
        let more = instructions.saturating_sub(of_bare);
        let more_allocations = allocations - allocations_of_bare;
        println!(
            "| {row} | {} | {} | {allocations:.1} | {more_allocations:.1} |",
            grouped(instructions),
            grouped(more)
        );
        rows.push(Row::plain(
            &format!("{row}: instructions"),
            instructions as f64,
            "",
            None,
        ));
        rows.push(Row::plain(
            &format!("{row}: more than bare"),
            more as f64,
            "",
            limit.map(|limit| limit as f64),
        ));
        rows.push(Row::plain(
            &format!("{row}: allocations"),
            allocations,
            "",
            None,
        ));
        if let Some(limit) = limit.filter(|limit| more > limit + NOISE) {
            missed.push(format!("{row}: {more} instructions, at most {limit}"));
        }
    }
    Ok(missed)
}

/// Builds the program with the features that it uses, and returns its path.
fn build() -> Result<PathBuf> {
    let mut cargo = command::cargo(["test", "--release", "--no-run", "--package", "ops-layer"]);
    cargo.args(["--test", "ladder", "--no-default-features"]);
    cargo.args(["--features", "log,metrics,secrets,trace"]);
    command::run(&mut cargo)?;
    executable(&mut cargo)
}

/// Returns the path of the program built by a cargo command.
fn executable(cargo: &mut Command) -> Result<PathBuf> {
    let output = command::output(cargo.args(["--quiet", "--message-format=json"]))?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut messages = messages.lines().rev().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    });
    messages
        .next()
        .ok_or_else(|| format!("{} built no program", command::shown(cargo)))
}

/// Returns instructions (0 without valgrind) and allocations per request.
fn count(
    program: &Path,
    valgrind: Option<&Path>,
    row: &str,
    runs: [u32; 2],
    threads: Threads,
) -> Result<(u64, f64)> {
    let Some(valgrind) = valgrind else {
        let (_, allocations) = run_once(program, None, row, runs[1], threads)?;
        return Ok((0, allocations as f64 / f64::from(runs[1])));
    };
    // each run keeps one core busy
    let run = |requests| run_once(program, Some(valgrind), row, requests, threads);
    let (short, long) = thread::scope(|scope| {
        let short = scope.spawn(|| run(runs[0]));
        let long = run(runs[1]);
        (short.join(), long)
    });
    let (short, short_allocations) =
        short.map_err(|_| format!("panicked while counting {row}"))??;
    let (long, allocations) = long?;
    let requests = runs[1] - runs[0];
    Ok((
        long.saturating_sub(short) / u64::from(requests),
        allocations.saturating_sub(short_allocations) as f64 / f64::from(requests),
    ))
}

/// Returns the instructions of a whole run, and the allocations after its warm-up.
fn run_once(
    program: &Path,
    valgrind: Option<&Path>,
    row: &str,
    requests: u32,
    threads: Threads,
) -> Result<(u64, u64)> {
    let scratch = Scratch::new("ladder")?;
    let mut counts = scratch.path().join("callgrind.out");
    let mut serve = match valgrind {
        Some(folder) => {
            let mut valgrind = command::program(folder.join("usr/bin/valgrind"));
            valgrind.env("VALGRIND_LIB", folder.join("usr/libexec/valgrind"));
            valgrind.args(["--quiet", "--tool=callgrind"]);
            valgrind.arg(format!("--callgrind-out-file={}", counts.display()));
            if let Threads::Serving = threads {
                valgrind.arg("--separate-threads=yes");
                counts.set_extension("out-01");
            }
            valgrind.arg(program);
            valgrind
        }
        None => command::program(program),
    };
    serve.args(["serve", row, &requests.to_string()]);
    let output = serve
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|e| format!("cannot start {}: {e}", command::shown(&serve)))?;
    let printed = String::from_utf8_lossy(&output.stderr);
    let number = |text: &str, key: &str| {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(key));
        values.next().and_then(|value| value.trim().parse().ok())
    };
    let allocations = number(&printed, "allocations ")
        .ok_or_else(|| format!("{} printed no counts: {printed}", command::shown(&serve)))?;
    if valgrind.is_none() {
        return Ok((0, allocations));
    }
    let text = fs::read_to_string(&counts)
        .map_err(|e| format!("cannot read {}: {e}", counts.display()))?;
    let instructions =
        number(&text, "totals:").ok_or_else(|| format!("{} has no totals", counts.display()))?;
    Ok((instructions, allocations))
}

/// Groups digits by three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1234), "1 234");
        assert_eq!(grouped(1_234_567), "1 234 567");
    }
}

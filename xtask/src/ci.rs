//! `cargo xtask ci`: every check required before a merge. The workspace is built with one feature set, so that a fresh
//! clone compiles each crate only a few times; dependencies stay in the target directory.

use crate::metadata::{Metadata, Package, all_features};
use crate::passed::Content;
use crate::perf::smoke;
use crate::platform::{self, Build, Served};
use crate::promql::queries::RULE_FILES;
use crate::setup::{self, Absent};
use crate::tools::{HAPROXY, LIBDUCKDB, OPENBAO, PROMETHEUS, PROTOC, PYTHON, SEAWEEDFS};
use crate::{Result, bench, command, passed, perf, tidy, web, workspace};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

/// Duration of the load with `--full`.
const SOAK_MINUTES: u64 = 2;

/// Gauges that the overview names with `_total`, contrary to convention: the only lints promtool may report.
const KNOWN_LINTS: [&str; 2] = [
    "registry_datasets_total non-counter metrics should not have \"_total\" suffix",
    "registry_models_total non-counter metrics should not have \"_total\" suffix",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run the long versions: property tests with more cases, load for 60 seconds
    #[arg(long)]
    full: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut steps = Steps::new();
    let mut absent = steps.take("setup", setup::ensure_all)?;
    if args.full {
        absent.extend(setup::ensure(&[HAPROXY, OPENBAO, PROTOC, SEAWEEDFS])?);
    }
    if setup::folder_of(LIBDUCKDB).is_none() && std::env::var_os("DUCKDB_LIB_DIR").is_none() {
        return Err("libduckdb is missing, and ci never compiles the engine; set DUCKDB_LIB_DIR to a folder that contains it".to_owned());
    }
    let metadata = Metadata::read()?;
    let features = all_features(&metadata.crates());
    steps.take("format", || {
        command::run(&mut command::cargo(["fmt", "--all", "--", "--check"]))
    })?;
    steps.take("tidy", tidy::run)?;
    steps.take("alerts", check_alerts)?;
    let content = Content::read(&metadata, args.full)?;
    let of_workspace = |check: &mut Command| {
        if !content.check(content.of_workspace(), check)? {
            println!("passed before with the same content");
        }
        Ok(())
    };
    steps.take("lint", || of_workspace(&mut lint(&features)))?;
    let binary = steps.take("build", || {
        platform::build(Build::WithTests {
            features: &features,
        })
    })?;
    let mut test = test(&features, args.full, &absent);
    if args.full
        && let Some(protoc) = setup::folder_of(PROTOC)
    {
        let server = steps.take("Flight SQL server", || flight_sql_server(&protoc))?;
        test.env("FLIGHT_SQL_SERVER", server);
    }
    steps.take("test", || command::run(&mut test))?;
    steps.take("instructions of a request", || {
        perf::ladder::check_tested(&features)
    })?;
    // consecutive checks of single crates leave a core idle; benchmarks use another profile, so both run in parallel
    steps.take("each crate alone, benchmarks built", || {
        thread::scope(|scope| {
            let built = scope.spawn(|| bench::build_ratios(&metadata, &content));
            each_alone(&metadata, &content, args.full)?;
            let ended = built.join();
            ended.map_err(|_| "panicked while building benchmarks".to_owned())?
        })
    })?;
    steps.take("ratios", || bench::check_ratios(&metadata, &content))?;
    steps.take("document", || of_workspace(&mut document(&features)))?;
    steps.take("serve", || serve_and_look(&binary, args.full))?;
    if args.full {
        steps.take("three services", three_services)?;
        steps.take("cost of a request", perf::ladder::check)?;
        steps.take("soak", || perf::soak::soak(&binary, SOAK_MINUTES))?;
    }
    steps.take("web", || match web::prepare() {
        Ok(browser) if args.full => web::look(&binary, &browser, true),
        Ok(browser) => web::measure(&binary, &browser),
        Err(missing) => {
            absent.push(format!("the pages are not checked: {missing}"));
            Ok(())
        }
    })?;
    steps.conclude(&absent);
    Ok(())
}

fn lint(features: &str) -> Command {
    command::cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--features",
        features,
        "--",
        "-D",
        "warnings",
    ])
}

fn test(features: &str, full: bool, absent: &Absent) -> Command {
    let mut test = command::cargo([
        "test",
        "--workspace",
        "--no-fail-fast",
        "--features",
        features,
    ]);
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        // many tests wait for a process or a server: with one test per core, a third of the processor time stays idle
        let cores = thread::available_parallelism().map_or(1, usize::from);
        test.env("RUST_TEST_THREADS", (cores + cores.div_ceil(2)).to_string());
    }
    if full {
        test.env("OPS_TEST_FULL", "1");
    } else {
        // promtool runs minutes for test cases of rules: those that passed before with the same content are left out
        test.env("OPS_TEST_PASSED", passed::folder());
    }
    if absent.is_empty() {
        // all tools are installed: a test that would skip itself for lack of one fails instead
        test.env("OPS_TEST_REQUIRE_TOOLS", "1");
    }
    test
}

/// Checks each crate without features and with each single feature, so that no crate relies on features enabled by a
/// sibling. Features that occur in no source of the crate only enable features of other crates, which are checked
/// there; `--full` checks them too. Checks that passed before with the same content are repeated only with `--full`.
fn each_alone(metadata: &Metadata, content: &Content, full: bool) -> Result<()> {
    let (mut checks, mut known) = (0, 0);
    for package in metadata.crates() {
        let sources = sources(package)?;
        let is_checked =
            |feature: &&str| full || sources.contains(&format!("feature = \"{feature}\""));
        let features = package.cheap_features().into_iter().filter(is_checked);
        for feature in std::iter::once("").chain(features) {
            let mut check = command::cargo(["check", "--quiet", "--package", &package.name]);
            check.args(["--no-default-features", "--features", feature]);
            checks += 1;
            if !content.check(&content.of_library(package), &mut check)? {
                known += 1;
            }
        }
    }
    println!("{known} of {checks} checks passed before with the same content");
    Ok(())
}

/// Returns the text of all sources of a package.
fn sources(package: &Package) -> Result<String> {
    let folder = package.folder().join("src");
    let mut all = String::new();
    for file in workspace::files(&folder)? {
        let file = folder.join(file);
        let text = std::fs::read_to_string(&file)
            .map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        all.push_str(&text);
    }
    Ok(all)
}

fn document(features: &str) -> Command {
    let mut doc = command::cargo(["doc", "--workspace", "--no-deps", "--features", features]);
    doc.env("RUSTDOCFLAGS", "-Dwarnings");
    doc
}

fn serve_and_look(binary: &Path, full: bool) -> Result<()> {
    let served = Served::traced(binary, &crate::prometheus::collector()?)?;
    if let Some(python) = setup::folder_of(PYTHON) {
        smoke(&python, &served.api, if full { "60s" } else { "10s" })?;
    }
    if let Some(prometheus) = setup::folder_of(PROMETHEUS) {
        crate::prometheus::check(&prometheus, &served, full)?;
        check_exposition(
            prometheus.join("usr/bin/promtool"),
            &served.get("/metrics")?,
        )?;
    }
    served.stop()
}

/// Tests the example with a separate lockfile: one request is one trace at a collector.
fn three_services() -> Result<()> {
    let mut test = command::cargo(["test", "--locked", "--manifest-path"]);
    test.arg("examples/three-services/Cargo.toml")
        .arg("--target-dir")
        .arg(workspace::target_dir().join("three-services"));
    if let Some(python) = setup::folder_of(PYTHON) {
        test.env("ROTEL", python.join("bin/rotel-agent"));
    }
    command::run(&mut test)
}

/// Builds a server of another project, which tests start. It has a separate lockfile, since it uses another version of
/// arrow.
fn flight_sql_server(protoc: &Path) -> Result<PathBuf> {
    let target = workspace::target_dir().join("flight-sql-server");
    let mut build = command::cargo(["build", "--locked", "--manifest-path"]);
    build
        .arg("dev/flight-sql-server/Cargo.toml")
        .arg("--target-dir")
        .arg(&target)
        .env("PROTOC", protoc.join("bin/protoc"));
    command::run(&mut build)?;
    Ok(target.join("debug/flight-sql-server"))
}

/// Checks that the alert rules parse. Tests of ops-metrics check when they fire.
fn check_alerts() -> Result<()> {
    let Some(prometheus) = setup::folder_of(PROMETHEUS) else {
        println!("promtool is missing: the alert rules are not checked");
        return Ok(());
    };
    let mut promtool = command::program(prometheus.join("usr/bin/promtool"));
    command::run(promtool.args(["check", "rules"]).args(RULE_FILES))
}

fn check_exposition(promtool: PathBuf, exposition: &str) -> Result<()> {
    let mut check = command::program(promtool);
    check
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    println!("$ {} < /metrics", command::shown(&check));
    let printed = || -> std::io::Result<String> {
        let mut child = check.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(exposition.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }()
    .map_err(|e| format!("cannot run promtool: {e}"))?;
    print!("{printed}");
    if is_known(&printed) {
        Ok(())
    } else {
        Err("promtool printed something other than the two known lines".to_owned())
    }
}

fn is_known(printed: &str) -> bool {
    let mut lines: Vec<&str> = printed
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines.sort_unstable();
    lines == KNOWN_LINTS
}

/// Completed steps and their durations.
struct Steps {
    started: Instant,
    passed: Vec<(&'static str, f64)>,
}

impl Steps {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            passed: Vec::new(),
        }
    }

    fn take<T>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n== {name}");
        let started = Instant::now();
        let outcome = step();
        let seconds = started.elapsed().as_secs_f64();
        match outcome {
            Ok(value) => {
                println!("== {name}: passed in {seconds:.1} s");
                self.passed.push((name, seconds));
                Ok(value)
            }
            Err(cause) => Err(format!("{name} failed after {seconds:.1} s: {cause}")),
        }
    }

    fn conclude(&self, absent: &Absent) {
        println!();
        for (name, seconds) in &self.passed {
            println!("{seconds:8.1} s  {name}");
        }
        for line in absent {
            println!("skipped: {line}");
        }
        let total = self.started.elapsed().as_secs_f64();
        println!(
            "ci: {} steps passed in {total:.1} s, {} skipped because of missing components",
            self.passed.len(),
            absent.len()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_two_gauges_named_total_may_be_reported() {
        let known = format!("{}\n{}\n", KNOWN_LINTS[1], KNOWN_LINTS[0]);
        assert!(is_known(&known));
        assert!(!is_known(KNOWN_LINTS[0]));
        assert!(!is_known(&format!("{known}http_requests no help text\n")));
        assert!(!is_known(""));
    }
}

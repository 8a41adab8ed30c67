//! `cargo xtask bench`: the benchmarks of all crates, and optionally comparisons with other projects.

use crate::metadata::{Metadata, Package};
use crate::passed::Content;
use crate::tools::{DATASETS, GO, LIBDUCKDB, PEERS, PYTHON};
use crate::{Result, command, setup, workspace};
use std::process::Command;

/// Bench target whose goals are ratios, checked by `ci`.
const RATIOS: &str = "ratios";
/// Maximum number of attempts for ratios that fail: a disturbance of a measurement passes, a regression does not.
const ATTEMPTS: usize = 3;
/// Criterion bench target, which measures only times and accepts other arguments.
const HOT_PATHS: &str = "hot_paths";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this crate
    #[arg(long)]
    package: Option<String>,
    /// Also run the comparisons of `perf/peers`, which fetch and compile other projects
    #[arg(long)]
    peers: bool,
    /// Passed on to each benchmark, e.g. `-- --check`
    #[arg(last = true)]
    benchmark: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(&[LIBDUCKDB, DATASETS])?;
    if args.peers {
        setup::ensure(&[GO, PYTHON, PEERS])?;
    }
    let metadata = Metadata::read()?;
    let wanted = |name: &str| args.package.as_deref().is_none_or(|only| only == name);
    let crates: Vec<_> = metadata
        .crates()
        .into_iter()
        .filter(|package| package.targets_of("bench").next().is_some() && wanted(&package.name))
        .collect();
    if crates.is_empty() {
        return Err("none of these crates has a benches/ folder".to_owned());
    }
    for package in &crates {
        let bench = || command::cargo(["bench", "--package", &package.name]);
        let mut ratios = bench();
        for target in package.targets_of("bench") {
            match target {
                HOT_PATHS if args.benchmark.is_empty() => {
                    command::run(bench().args(["--bench", target]))?;
                }
                HOT_PATHS => {}
                other => {
                    ratios.args(["--bench", other]);
                }
            }
        }
        command::run(ratios.arg("--").args(&args.benchmark))?;
    }
    if args.peers {
        peers(&crates)?;
    }
    Ok(())
}

/// Builds the benchmarks of `check_ratios`, so that nothing is compiled during measurements.
pub(crate) fn build_ratios(metadata: &Metadata, content: &Content) -> Result<()> {
    for package in with_ratios(metadata) {
        if !content.has_passed(&content.of_benchmarks(package), &check_of_ratios(package)) {
            command::run(ratios(package).arg("--no-run"))?;
        }
    }
    Ok(())
}

/// Checks the ratios of all crates that have them, with as few features as each benchmark needs. Ratios that passed
/// before with the same content are measured again only with `ci --full`.
pub(crate) fn check_ratios(metadata: &Metadata, content: &Content) -> Result<()> {
    for package in with_ratios(metadata) {
        let (of_benchmarks, mut check) = (content.of_benchmarks(package), check_of_ratios(package));
        let mut attempts = (0..ATTEMPTS).map(|_| content.check(&of_benchmarks, &mut check));
        // the first of several failures is reported
        match attempts.next() {
            Some(Ok(false)) => println!("{}: passed before with the same content", package.name),
            Some(Err(failed)) if !attempts.any(|again| again.is_ok()) => return Err(failed),
            _ => {}
        }
    }
    Ok(())
}

/// Returns the ratio bench of each crate that has one, with the crate's name, as checked by `ci`.
pub(crate) fn checks_of_ratios(metadata: &Metadata) -> Vec<(String, Command)> {
    with_ratios(metadata)
        .into_iter()
        .map(|package| (package.name.clone(), check_of_ratios(package)))
        .collect()
}

fn check_of_ratios(package: &Package) -> Command {
    let mut check = ratios(package);
    check.args(["--", "--check"]);
    check
}

fn with_ratios(metadata: &Metadata) -> Vec<&Package> {
    let mut crates = metadata.crates();
    crates.retain(|package| package.targets_of("bench").any(|target| target == RATIOS));
    crates
}

fn ratios(package: &Package) -> Command {
    let mut bench = command::cargo(["bench", "--quiet", "--package", &package.name]);
    bench.args(["--no-default-features", "--bench", RATIOS]);
    bench
}

/// Runs each crate's package in `perf/peers`, a workspace with a separate lockfile, with the path of the tools.
fn peers(crates: &[&Package]) -> Result<()> {
    for (_, mut run) in programs_of_peers(crates) {
        command::run(&mut run)?;
    }
    Ok(())
}

/// Returns the comparison program of each crate that has one, with the crate's name.
pub(crate) fn programs_of_peers(crates: &[&Package]) -> Vec<(String, Command)> {
    let manifest = workspace::root().join("perf/peers/Cargo.toml");
    // Python peers without a Rust program are run by the crate's own benchmark
    let has_one = |package: &&&Package| {
        let folder = manifest.with_file_name(&package.name);
        folder.join("Cargo.toml").exists()
    };
    let programs = crates.iter().filter(has_one).map(|package| {
        let mut run = command::cargo(["run", "--release", "--locked", "--manifest-path"]);
        run.arg(&manifest)
            .args(["--package", &format!("{}-peers", package.name)])
            .env("OPS_TOOLS", workspace::tools_dir());
        (package.name.clone(), run)
    });
    programs.collect()
}

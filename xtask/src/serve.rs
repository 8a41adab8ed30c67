//! `cargo xtask serve`: the reference platform in the foreground, on real data, with traffic if asked.

use crate::platform::{self, Build};
use crate::tools::{DATASETS, LIBDUCKDB};
use crate::{Result, command, demo, prometheus, setup, workspace};
use std::os::unix::process::CommandExt;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Generate traffic that touches every part of the platform, so that each metric and panel has something to show
    #[arg(long)]
    demo: bool,
    /// Generate it for two minutes only, on free ports and with a Prometheus beside it, and print what each metric of the
    /// overview and each panel of the dashboards shows; fails if one shows nothing
    #[arg(long, requires = "demo", conflicts_with = "platform")]
    check: bool,
    /// Handed on to the platform, e.g. `--port 8080`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    platform: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.check {
        return prometheus::check_demo();
    }
    let absent = setup::ensure(&[LIBDUCKDB, DATASETS])?;
    if !setup::engine_is_there() {
        return Err(setup::without_engine(&absent));
    }
    let binary = platform::build(Build::Plain)?;
    let mut serve = command::program(&binary);
    serve.arg("serve");
    if args.demo {
        let folder = workspace::target_dir().join("demo-datasets");
        platform::copy_datasets(&folder)?;
        let _traffic = demo::start(&folder, &args.platform)?;
        serve.arg("--datasets").arg(folder);
    } else {
        serve.args(platform::datasets());
    }
    serve.args(&args.platform);
    println!("$ {}", command::shown(&serve));
    // replaces this process: Ctrl-C and the exit code are the platform's own
    Err(format!(
        "cannot start {}: {}",
        binary.display(),
        serve.exec()
    ))
}

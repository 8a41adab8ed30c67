//! `cargo xtask bench`: the benchmarks of every crate that has some.

use crate::metadata::Metadata;
use crate::{Result, command};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this crate
    #[arg(long)]
    package: Option<String>,
    /// Handed on to criterion, e.g. `-- --save-baseline before`
    #[arg(last = true)]
    criterion: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let metadata = Metadata::read()?;
    let wanted = |name: &str| {
        args.package
            .as_deref()
            .is_none_or(|package| package == name)
    };
    let crates: Vec<_> = metadata
        .crates()
        .into_iter()
        .filter(|c| c.has_target("bench") && wanted(&c.name))
        .collect();
    if crates.is_empty() {
        return Err("no such crate has a benches/ folder".to_owned());
    }
    for package in crates {
        let features = package.cheap_features().join(",");
        let mut bench =
            command::cargo(["bench", "--package", &package.name, "--features", &features]);
        for target in package
            .targets
            .iter()
            .filter(|target| target.kind.iter().any(|kind| kind == "bench"))
        {
            bench.args(["--bench", &target.name]);
        }
        command::run(bench.arg("--").args(&args.criterion))?;
    }
    Ok(())
}

//! `cargo xtask serve`: runs the reference platform in the foreground on real data, optionally with traffic.

use crate::platform::{self, Build};
use crate::tools::{DATASETS, LIBDUCKDB};
use crate::{Result, command, demo, prometheus, setup, workspace};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Generate traffic that uses every part of the platform, so that each metric and panel has data
    #[arg(long)]
    demo: bool,
    /// Generate it for only two minutes, on free ports and with a Prometheus, and print the data of each metric of the
    /// overview and each panel of the dashboards; fails if one has none
    #[arg(long, requires = "demo", conflicts_with = "platform")]
    check: bool,
    /// Passed on to the platform, e.g. `--port 8080`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    platform: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.check {
        return prometheus::check_demo();
    }
    // with `--demo` these variables are not passed on
    let source = source(&args.platform, |name| {
        std::env::var_os(name).filter(|_| !args.demo)
    });
    if let (true, Some(source)) = (args.demo, &source) {
        return Err(format!(
            "{source} cannot be used with --demo: its traffic replaces input files, so it uses copies of its own"
        ));
    }
    let absent = setup::ensure(&[LIBDUCKDB, DATASETS])?;
    if !setup::duckdb_is_installed() {
        return Err(setup::missing_duckdb_message(&absent));
    }
    let binary = platform::build(Build::Plain)?;
    let mut serve = command::program(&binary);
    serve.arg("serve");
    if args.demo {
        let folder = workspace::target_dir().join("demo-datasets");
        platform::copy_datasets(&folder)?;
        let _traffic = demo::start(&folder, &args.platform)?;
        serve.arg("--datasets").arg(folder);
        serve
            .env_remove("KEARNEY_DATASETS")
            .env_remove("KEARNEY_SNAPSHOT");
    } else if source.is_none() {
        serve.args(platform::datasets());
    }
    serve.args(&args.platform);
    println!("$ {}", command::shown(&serve));
    // replaces this process: Ctrl-C and the exit code are those of the platform
    Err(format!(
        "cannot start {}: {}",
        binary.display(),
        serve.exec()
    ))
}

/// Returns the option or variable that sets the data of the platform, if any.
fn source(words: &[String], variable: impl Fn(&str) -> Option<OsString>) -> Option<&'static str> {
    const OPTIONS: [&str; 2] = ["--datasets", "--snapshot"];
    const VARIABLES: [&str; 2] = ["KEARNEY_DATASETS", "KEARNEY_SNAPSHOT"];
    let is_given = |option: &&str| {
        let mut names = words.iter().map(|word| word.split('=').next());
        names.any(|name| name == Some(option))
    };
    let is_set = |name: &&str| variable(name).is_some_and(|value| !value.is_empty());
    let mut options = OPTIONS.into_iter().filter(is_given);
    options
        .next()
        .or_else(|| VARIABLES.into_iter().find(is_set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_was_named_is_not_overruled() {
        let none = |_: &str| None;
        let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        let rows = [
            ("--port 0", None),
            ("--snapshot a.duckdb", Some("--snapshot")),
            ("--port 0 --datasets=a", Some("--datasets")),
        ];
        for (text, right) in rows {
            assert_eq!(source(&words(text), none), right, "{text}");
        }
        let set = |value: &'static str| {
            move |name: &str| (name == "KEARNEY_SNAPSHOT").then(|| OsString::from(value))
        };
        assert_eq!(source(&[], set("a.duckdb")), Some("KEARNEY_SNAPSHOT"));
        assert_eq!(source(&[], set("")), None, "it counts as unset");
    }
}

//! Figures of a run, each with its comparison and the command that measured it.

use crate::{Result, command, workspace};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// One run of `cargo xtask perf`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) commit: String,
    /// Set if the checkout had uncommitted changes.
    pub(super) is_changed: bool,
    /// Seconds since 1970.
    pub(super) at: u64,
    pub(super) machine: String,
    pub(super) parts: Vec<Part>,
}

/// Figures of one kind, from one command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) method: String,
    pub(super) command: String,
    pub(super) seconds: f64,
    /// Missed thresholds and goals, for which `ci` fails.
    pub(super) failed: Vec<String>,
    pub(super) rows: Vec<Row>,
    /// Second of the run, with median and 95th percentile of the requests of that second in milliseconds.
    #[serde(default)]
    pub(super) over_time: Vec<(f64, f64, f64)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) value: f64,
    pub(super) unit: String,
    /// Name and figure of the comparison.
    pub(super) beside: Option<(String, f64)>,
    pub(super) ratio: Option<f64>,
    /// Goal: the maximum ratio, or the maximum value if there is no ratio.
    pub(super) goal: Option<f64>,
    /// Set if the goal is a minimum instead.
    #[serde(default)]
    pub(super) is_at_least: bool,
}

impl Row {
    pub(super) fn plain(what: &str, value: f64, unit: &str, goal: Option<f64>) -> Self {
        Self {
            what: what.to_owned(),
            value,
            unit: unit.to_owned(),
            beside: None,
            ratio: None,
            goal,
            is_at_least: false,
        }
    }

    pub(super) fn is_missed(&self) -> bool {
        let found = self.ratio.unwrap_or(self.value);
        self.goal.is_some_and(|goal| match self.is_at_least {
            true => found < goal,
            false => found > goal,
        })
    }

    /// Formats the figure and its goal on one line.
    pub(super) fn describe(&self) -> String {
        let found = self.ratio.unwrap_or(self.value);
        let goal = self
            .goal
            .map_or_else(String::new, |goal| format!(" (goal {goal})"));
        format!("{} {found}{goal}", self.what)
    }

    /// Returns `true` if another project's code is faster.
    pub(super) fn is_slower(&self) -> bool {
        self.beside.is_some() && self.ratio.is_some_and(|ratio| ratio > 1.0)
    }
}

impl Results {
    pub(super) fn of_now(parts: Vec<Part>) -> Result<Self> {
        let git = |args: &[&str]| -> Result<String> {
            let output = command::output(command::program("git").args(args))?;
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Self {
            commit: git(&["rev-parse", "--short", "HEAD"])?,
            is_changed: !git(&["status", "--porcelain"])?.is_empty(),
            at: since.map_or(0, |since| since.as_secs()),
            machine: machine(),
            parts,
        })
    }

    pub(super) fn failed(&self) -> Vec<String> {
        let parts = self.parts.iter();
        let failed = parts.flat_map(|part| {
            let name = &part.name;
            part.failed.iter().map(move |why| format!("{name}: {why}"))
        });
        failed.collect()
    }

    /// Returns the rows whose goal is missed, with their part.
    pub(super) fn missed(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.rows().filter(|(_, row)| row.is_missed())
    }

    pub(super) fn behind(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.rows().filter(|(_, row)| row.is_slower())
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, &Row)> {
        let parts = self.parts.iter();
        parts.flat_map(|part| part.rows.iter().map(|row| (part.name.as_str(), row)))
    }
}

/// Returns processor, number of cores, memory and kernel.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or_else(
            || "unknown".to_owned(),
            |(_, value)| value.trim().to_owned(),
        )
    };
    let processor = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{processor}, {cores} cores, {memory}, Linux {}",
        kernel.trim()
    )
}

/// Returns the folder of the report and of the results of earlier runs.
pub(super) fn folder() -> Result<PathBuf> {
    let folder = workspace::target_dir().join("perf");
    let made = fs::create_dir_all(folder.join("runs"));
    made.map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
    Ok(folder)
}

/// Writes a file of the report.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

/// Returns earlier runs, oldest first; unreadable ones are reported and ignored.
pub(super) fn earlier(folder: &Path) -> Vec<Results> {
    let files = fs::read_dir(folder.join("runs")).into_iter().flatten();
    let mut runs = Vec::new();
    for path in files.flatten().map(|entry| entry.path()) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        match serde_json::from_str::<Results>(&text) {
            Ok(run) => runs.push(run),
            Err(error) => println!("{}: skipped: {error}", path.display()),
        }
    }
    runs.sort_by_key(|run| run.at);
    runs
}

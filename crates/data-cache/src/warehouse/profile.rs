//! DuckDB's profile of the last statement of a connection.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use duckdb::Connection;
use duckdb::profiling::ProfilingInfo;
use parking_lot::Mutex;
use twox_hash::XxHash3_128;

use crate::profile::{MAX_OPERATORS, Operator, OperatorKind, Profile};
use crate::sql::sanitize;

/// Metrics that the engine collects.
const METRICS: &[&str] = &[
    "CPU_TIME",
    "EXTRA_INFO",
    "OPERATOR_CARDINALITY",
    "OPERATOR_NAME",
    "OPERATOR_ROWS_SCANNED",
    "OPERATOR_TIMING",
    "SYSTEM_PEAK_BUFFER_MEMORY",
    "SYSTEM_PEAK_TEMP_DIR_SIZE",
];
/// A run is quick if it takes less than the slow-query threshold divided by this.
const QUICK_PART: u32 = 20;
/// Number of consecutive quick runs after which a kind of statement is not profiled, unless it was slow before.
const QUICK_RUNS: u8 = 3;
/// Maximum number of kinds of statements that are remembered.
const MEMO: usize = 4096;

thread_local! {
    /// `true` if the connection of this thread is profiling.
    static IS_PROFILING: Cell<bool> = const { Cell::new(false) };
}

/// Durations of runs, by statement text without literals.
///
/// A profile costs about 0.2 ms for any query: negligible for a slow one, and half of the time of a quick one. Kinds of
/// statements that were quick so far are therefore not profiled, until one of their runs is slow.
#[derive(Default)]
pub(super) struct Paces(Mutex<HashMap<u128, Pace>>);

#[derive(Clone, Copy, Default)]
struct Pace {
    quick_runs: u8,
    was_slow: bool,
}

/// State of a run in progress.
pub(super) struct Timed<'a> {
    paces: &'a Paces,
    /// `None` without a slow-query threshold.
    kind: Option<u128>,
    slow: Duration,
    clock: Instant,
    is_profiled: bool,
}

impl Paces {
    /// Begins a run on the connection of this thread. A query that
    /// takes longer than `slow` is slow; at [`Duration::MAX`] none is.
    pub(super) fn begin(&self, connection: &Connection, sql: &str, slow: Duration) -> Timed<'_> {
        let is_asked = slow < Duration::MAX;
        let kind = is_asked.then(|| XxHash3_128::oneshot(sanitize(sql).as_bytes()));
        let pace = kind.and_then(|kind| self.0.lock().get(&kind).copied());
        let pace = pace.unwrap_or_default();
        let wanted = pace.was_slow || pace.quick_runs < QUICK_RUNS;
        Timed {
            paces: self,
            kind,
            slow,
            // without a threshold, profiling is not switched
            is_profiled: is_asked && set_profiling(connection, wanted),
            clock: Instant::now(),
        }
    }
}

impl Timed<'_> {
    /// Ends the run, before the connection runs anything else; returns its profile if it was slow and profiled.
    pub(super) fn end(self, connection: &Connection, planning: Duration) -> Option<Profile> {
        let kind = self.kind?;
        let took = self.clock.elapsed();
        {
            let mut paces = self.paces.0.lock();
            if paces.len() >= MEMO && !paces.contains_key(&kind) {
                paces.clear();
            }
            let pace = paces.entry(kind).or_default();
            pace.was_slow |= took > self.slow;
            pace.quick_runs = match took < self.slow / QUICK_PART {
                true => pace.quick_runs.saturating_add(1),
                false => 0,
            };
        }
        (self.is_profiled && took > self.slow)
            .then(|| last_profile(connection, planning))
            .flatten()
    }
}

/// Resets the profiling state, since the connection of this thread was replaced.
pub(super) fn reset() {
    IS_PROFILING.set(false);
}

/// Enables or disables profiling on the connection of this thread. An engine without profiles works as well.
fn set_profiling(connection: &Connection, wanted: bool) -> bool {
    if IS_PROFILING.get() == wanted {
        return wanted;
    }
    let metrics: Vec<String> = METRICS
        .iter()
        .map(|metric| format!("\"{metric}\": \"true\""))
        .collect();
    let done = match wanted {
        true => connection.execute_batch(&format!(
            "PRAGMA enable_profiling = 'no_output'; PRAGMA custom_profiling_settings = '{{{}}}'",
            metrics.join(", ")
        )),
        false => connection.execute_batch("PRAGMA disable_profiling"),
    };
    match done {
        Ok(()) => {
            IS_PROFILING.set(wanted);
            wanted
        }
        Err(error) => {
            tracing::debug!(target: "data_cache", %error, "queries_not_profiled");
            false
        }
    }
}

/// Returns the profile of the last statement, whose result was read
/// to its end. It was planned before the engine began to measure.
fn last_profile(connection: &Connection, planning: Duration) -> Option<Profile> {
    let root = connection.get_profiling_info()?;
    let mut profile = Profile {
        planning,
        cpu: seconds(&root, "CPU_TIME"),
        spilled_bytes: number(&root, "SYSTEM_PEAK_TEMP_DIR_SIZE"),
        peak_memory_bytes: number(&root, "SYSTEM_PEAK_BUFFER_MEMORY"),
        ..Profile::default()
    };
    // in the order of the plan, with an explicit stack, since plans may be deep
    let mut open: Vec<(&ProfilingInfo, usize)> =
        root.children.iter().rev().map(|one| (one, 0)).collect();
    while let Some((node, depth)) = open.pop() {
        open.extend(node.children.iter().rev().map(|child| (child, depth + 1)));
        if profile.operators.len() >= MAX_OPERATORS {
            profile.left_out += 1;
            continue;
        }
        let name = text(node, "OPERATOR_NAME").trim().to_owned();
        profile.operators.push(Operator {
            kind: kind_of(&name),
            depth,
            time: seconds(node, "OPERATOR_TIMING"),
            rows: number(node, "OPERATOR_CARDINALITY"),
            rows_scanned: number(node, "OPERATOR_ROWS_SCANNED"),
            table: table_of(text(node, "EXTRA_INFO")),
            name,
        });
    }
    Some(profile)
}

fn text<'a>(node: &'a ProfilingInfo, metric: &str) -> &'a str {
    node.metrics.get(metric).map_or("", String::as_str)
}

fn number(node: &ProfilingInfo, metric: &str) -> u64 {
    text(node, metric).parse().unwrap_or(0)
}

fn seconds(node: &ProfilingInfo, metric: &str) -> Duration {
    let seconds = text(node, metric).parse().unwrap_or(0.0);
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn kind_of(name: &str) -> OperatorKind {
    let is = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if is(&["WINDOW"]) {
        OperatorKind::Window
    } else if is(&["JOIN", "CROSS_PRODUCT"]) {
        OperatorKind::Join
    } else if is(&["GROUP_BY", "AGGREGATE"]) {
        OperatorKind::Aggregate
    } else if is(&["ORDER_BY", "TOP_N"]) {
        OperatorKind::Sort
    } else if is(&["SCAN", "READ_"]) {
        OperatorKind::Scan
    } else {
        OperatorKind::Other
    }
}

/// Returns the table of a scan: `{Table=memory.main.orders, ..}`, if it comes first. The rest of this text contains
/// literals of the statement, and is not passed on.
fn table_of(extra: &str) -> Option<String> {
    let rest = extra.strip_prefix("{Table=")?;
    let end = rest.find([',', '}', '\n']).unwrap_or(rest.len());
    // without the names of database and schema
    let name = rest[..end].trim().trim_matches('\'');
    let last = name.rsplit('.').next()?.trim_matches(['\\', '"']);
    (!last.is_empty()).then(|| last.to_owned())
}

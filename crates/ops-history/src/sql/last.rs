//! `last_lines`: the newest lines of each run, from as few files as possible.

use std::cmp::Reverse;

use crate::Table;
use crate::file::directory::Found;
use crate::file::stored::Stored;

/// Minimum number of lines per run, if it has as many.
const LINES: u64 = 1000;

/// Returns the files that contain the newest lines of each run.
pub(super) fn files(all: &[Found]) -> Vec<Found> {
    let lines = all.iter().filter(|one| one.name.table == Table::Logs);
    let mut lines: Vec<&Found> = lines.collect();
    let run = |one: &Found| (one.name.run, one.name.instance);
    lines.sort_by_key(|one| (run(one), Reverse(one.name.hour)));
    let runs = lines.chunk_by(|a, b| run(a) == run(b));
    runs.flat_map(newest).collect()
}

/// Selects among the files of one run, newest hour first. Late lines may be in another file than their neighbors.
fn newest(files: &[&Found]) -> Vec<Found> {
    let mut candidates: Vec<(Range, &Found)> = Vec::new();
    for hour in files.chunk_by(|a, b| a.name.hour == b.name.hour) {
        candidates.extend(hour.iter().map(|one| (Range::of(one), *one)));
        let rows = candidates.iter().map(|(range, _)| range.rows);
        if rows.fold(0, u64::saturating_add) >= LINES {
            break;
        }
    }
    candidates.sort_by_key(|(range, _)| Reverse(range.last));
    let mut rows = 0;
    let enough = candidates.iter().take_while(|(range, _)| {
        let before = rows;
        rows += range.rows.min(LINES);
        before < LINES
    });
    let since = enough.map(|(range, _)| range.first).min();
    let since = since.unwrap_or(i64::MIN);
    let chosen = candidates.iter().filter(|(range, _)| range.last >= since);
    chosen.map(|(_, one)| (*one).clone()).collect()
}

/// Rows of a file, and the times of the first and last row.
struct Range {
    rows: u64,
    first: i64,
    last: i64,
}

impl Range {
    /// Reads the footer. A file that was removed counts as the newest one, so that reading it fails.
    fn of(one: &Found) -> Self {
        let stored = Stored::open(one).ok();
        let known = stored.and_then(|stored| Some((stored.rows, stored.times()?)));
        match known {
            Some((rows, (first, last))) => Self { rows, first, last },
            None => Self {
                rows: 0,
                first: i64::MAX,
                last: i64::MAX,
            },
        }
    }
}

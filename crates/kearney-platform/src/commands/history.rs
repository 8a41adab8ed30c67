//! `kearney-platform history`: maintenance of the history files.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use ops_layer::history::{self, Inventory, Table};

use crate::args;
use crate::buckets::{Sources, Wanted, export, only_directories};
use crate::error::{Error, Kind, Result};
use crate::output::{print_json, print_result, print_to_stderr};

/// Maximum bytes copied from buckets.
const STATS_BYTES: u64 = 4 << 30;
/// Time limit for copying them.
const STATS_TIME: Duration = Duration::from_secs(600);

pub fn run(command: &args::History) -> Result<()> {
    let failed = |attempted: &'static str| {
        move |error: history::Error| Error::new(Kind::File, attempted).because(error)
    };
    match command {
        args::History::Stats { verify, json, dirs } => {
            let wanted = Wanted {
                tables: Table::ALL.to_vec(),
                since: None,
                until: None,
                bytes: STATS_BYTES,
                time: STATS_TIME,
            };
            let sources = Sources::gather(&dirs.dirs, &wanted)?;
            let found = history::inventory(&sources.dirs, *verify)
                .map_err(failed("cannot read the history"))?;
            if *json {
                return print_json(&as_json(&found));
            }
            for skipped in &found.skipped {
                print_to_stderr(&format!("skipped: {skipped}"));
            }
            print_result(&table(&found))
        }
        args::History::Prune { older_than, dirs } => {
            only_directories(&dirs.dirs, "prune")?;
            let mut text = String::new();
            for dir in &dirs.dirs {
                let removed =
                    history::prune(dir, *older_than).map_err(failed("cannot prune the history"))?;
                let (files, bytes) = (removed.files, removed.bytes);
                // writing to a string does not fail
                let _ = writeln!(
                    text,
                    "{}: removed {files} files, {bytes} bytes",
                    dir.display()
                );
            }
            print_result(&text)
        }
        args::History::Export {
            to,
            since,
            until,
            dirs,
        } => {
            let since = since.unwrap_or(SystemTime::UNIX_EPOCH);
            let until = until.unwrap_or_else(SystemTime::now);
            only_directories(&dirs.dirs, "--dir of export")?;
            let copied = match export(to, &dirs.dirs, since, until)? {
                Some(copied) => copied,
                None => history::export(&dirs.dirs, to, since, until)
                    .map_err(failed("cannot export the history"))?,
            };
            let (files, bytes) = (copied.files, copied.bytes);
            print_result(&format!(
                "{}: copied {files} files, {bytes} bytes\n",
                to.display()
            ))
        }
    }
}

fn instant(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

fn as_json(found: &Inventory) -> serde_json::Value {
    let tables = found.tables.iter().map(|held| {
        serde_json::json!({
            "table": held.table.as_str(),
            "files": held.files,
            "rows": held.rows,
            "bytes": held.bytes,
            "from": held.hours.map(|(from, _)| instant(from)),
            "to": held.hours.map(|(_, to)| instant(to)),
        })
    });
    serde_json::json!({"tables": tables.collect::<Vec<_>>(), "skipped": found.skipped})
}

fn table(found: &Inventory) -> String {
    let mut text = format!(
        "{:<8} {:>7} {:>12} {:>14}  hours\n",
        "table", "files", "rows", "bytes"
    );
    for held in &found.tables {
        let hours = held.hours.map_or_else(String::new, |(from, to)| {
            format!("{} to {}", instant(from), instant(to))
        });
        let line = format!(
            "{:<8} {:>7} {:>12} {:>14}  {hours}",
            held.table.as_str(),
            held.files,
            held.rows,
            held.bytes
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

//! `kearney-platform sql`: SQL queries over the history.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use ops_layer::history::ErrorKind;
use ops_layer::history::sql::{Answer, Limits, NAMED, named, query, tables_of};
use ops_layer::log::reader::escaped;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::admin_client::{Answer as Reply, post, token, url};
use crate::args;
use crate::buckets::{Sources, Wanted};
use crate::error::{Error, Kind, Result};
use crate::output::{print_json, print_result, print_to_stderr};

/// Maximum length of a cell in characters; `--json` prints all of it.
const MAX_CELL: usize = 100;
/// Time limit for a platform to write its queued records to files.
const FLUSH_TIME: Duration = Duration::from_secs(10);

pub fn run(options: &args::Sql) -> Result<()> {
    if options.list {
        return print_result(&list_named());
    }
    let sql = statement(options)?;
    let mut limits = Limits::default();
    limits.rows = options.limit;
    limits.bytes = u64::MAX;
    limits.time = options.timeout;
    (limits.since, limits.until) = (options.since, options.until);
    let wanted = Wanted {
        tables: tables_of(&sql),
        since: options.since,
        until: options.until,
        bytes: options.s3_bytes,
        time: options.timeout,
    };
    let mut sources = Sources::gather(&options.dirs, &wanted)?;
    for address in &options.admin {
        sources.dirs.push(flush_history(address)?);
    }
    let found = query(&sources.dirs, &sql, &limits).map_err(|error| {
        let kind = match error.kind() {
            ErrorKind::Statement => Kind::Config,
            _ => Kind::File,
        };
        Error::new(kind, "cannot run the statement").because(error)
    })?;
    for skipped in &found.skipped {
        print_to_stderr(&format!("skipped: {skipped}"));
    }
    if options.json {
        return print_json(&as_json(&found));
    }
    print_result(&table(&found))?;
    let (rows, files, seconds) = (found.rows.len(), found.files, found.seconds);
    let more = if found.is_truncated {
        "; more rows are available (--limit)"
    } else {
        ""
    };
    print_to_stderr(&format!(
        "{rows} rows from {files} files in {seconds:.2} s{more}"
    ));
    Ok(())
}

/// Asks a running platform to flush its history, and returns the directory.
fn flush_history(address: &str) -> Result<PathBuf> {
    let token = token()?;
    let url = format!("{}/api/history/flush", url(address));
    let failed = |why: String| Error::new(Kind::Service, format!("POST {url}: {why}"));
    let reply = post(&url, token.as_deref(), "{}", FLUSH_TIME);
    let body = match reply {
        Reply::Http { status: 200, body } => body,
        Reply::Http { status, body } => {
            let why = body.lines().next().unwrap_or_default();
            return Err(failed(format!("status {status}: {}", escaped(why))));
        }
        reply => return Err(failed(reply.describe())),
    };
    let reply: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let Some(directory) = reply["directory"].as_str().map(PathBuf::from) else {
        return Err(failed("not an admin page".to_owned()));
    };
    if reply["written"] != true {
        return Err(failed(
            "flushing the history timed out; to query the files as they are, use --dir instead of --admin"
                .to_owned(),
        ));
    }
    if !directory.is_dir() {
        let directory = directory.display();
        return Err(failed(format!(
            "its history is in {directory}, which is not on this machine; use its admin page, or run this command there"
        )));
    }
    Ok(directory)
}

fn statement(options: &args::Sql) -> Result<String> {
    let Some(name) = &options.name else {
        return Ok(options.statement.clone().unwrap_or_default());
    };
    let question = named(name).ok_or_else(|| {
        Error::new(
            Kind::Config,
            format!("unknown query {name}; --list shows the named queries"),
        )
    })?;
    let sql = question.sql(options.argument.as_deref());
    sql.map_err(|error| Error::new(Kind::Config, "--argument").because(error))
}

fn list_named() -> String {
    let mut text = String::new();
    for question in NAMED {
        let (name, about) = (question.name, question.about);
        // writing to a string does not fail
        let _ = write!(text, "{name:<17} {about}");
        if let Some(argument) = question.argument {
            let _ = write!(text, "; --argument is {argument}");
        }
        text.push('\n');
    }
    text
}

/// Formats columns and rows as one document. Rows are lists, since columns may share a name.
fn as_json(found: &Answer) -> impl Serialize {
    #[derive(Serialize)]
    struct Document<'a> {
        columns: &'a [String],
        files: usize,
        /// Values as written by the engine: a number may have more digits than a float.
        rows: Vec<Vec<Option<Box<RawValue>>>>,
        seconds: f64,
        skipped: &'a [String],
        truncated: bool,
    }
    let raw = |json: &String| RawValue::from_string(json.clone()).ok();
    let cells = |row: &Vec<String>| row.iter().map(raw).collect();
    Document {
        columns: &found.columns,
        files: found.files,
        rows: found.rows.iter().map(cells).collect(),
        seconds: found.seconds,
        skipped: &found.skipped,
        truncated: found.is_truncated,
    }
}

/// Formats the columns below their names, each as wide as its longest cell.
fn table(found: &Answer) -> String {
    let cells = |row: &Vec<String>| row.iter().map(|json| cell(json)).collect::<Vec<_>>();
    let mut rows = vec![
        found
            .columns
            .iter()
            .map(|name| escaped(name).to_string())
            .collect(),
    ];
    rows.extend(found.rows.iter().map(cells));
    let width = |column: usize| {
        let lengths = rows.iter().filter_map(|row: &Vec<String>| row.get(column));
        lengths.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..found.columns.len()).map(width).collect();
    let mut text = String::new();
    for row in rows.iter().filter(|row| !row.is_empty()) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Formats a JSON value for reading.
fn cell(json: &str) -> String {
    let text = serde_json::from_str::<String>(json);
    let text = match text {
        Ok(text) => escaped(&text),
        Err(_) if json == "null" => "-".to_owned(),
        // lists, structs and JSON values contain texts that are not escaped for a terminal
        Err(_) => escaped(json),
    };
    match text.char_indices().nth(MAX_CELL) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

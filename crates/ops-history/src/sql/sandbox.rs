use std::borrow::Cow;
use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use duckdb::Connection;
use duckdb::arrow::array::AsArray;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::tables::{literal, pattern, views};
use super::{Answer, Limits, counted};
use crate::error::Error;
use crate::file::directory::Found;

/// Alias of a whole row that matches no column: a column of the same name would take precedence.
const ROW: &str = "\"row of this answer\"";
/// Interval between interrupts: the engine ignores an interrupt that arrives before the statement starts.
const INTERRUPT_INTERVAL: Duration = Duration::from_millis(20);

/// An in-memory engine that can read these files and nothing else.
pub(super) struct Sandbox(Connection);

impl Sandbox {
    /// Creates the views of these files that the statement may read.
    pub(super) fn open(files: &[Found], sql: &str, limits: &Limits) -> Result<Self, Error> {
        let connection = Connection::open_in_memory().map_err(failed)?;
        let threads = limits.threads.map_or_else(String::new, |threads| {
            format!("SET threads = {};", threads.max(1))
        });
        let bounds = format!(
            "SET autoinstall_known_extensions = false;
             SET autoload_known_extensions = false;
             SET memory_limit = '{}B'; {threads}",
            limits.memory
        );
        connection.execute_batch(&bounds).map_err(failed)?;
        // times have no zone and would be compared with `now()` in the machine's zone; an engine built without time
        // zones lacks this setting and uses UTC
        let _ = connection.execute_batch("SET TimeZone = 'UTC'");
        counted::create(&connection, files, sql)?;
        // both the paths and the patterns under which the views name them
        let paths = files.iter().flat_map(|one| {
            let (path, pattern) = (one.path.to_string_lossy(), pattern(one));
            let differs = (path != pattern).then(|| literal(&pattern));
            [Some(literal(&path)), differs].into_iter().flatten()
        });
        let paths: Vec<_> = paths.collect();
        let settings = format!(
            "SET temp_directory = '';
             SET allowed_paths = [{}];
             SET enable_external_access = false;
             {}
             SET lock_configuration = true;",
            paths.join(","),
            views(files, sql)
        );
        connection.execute_batch(&settings).map_err(failed)?;
        Ok(Self(connection))
    }

    pub(super) fn answer(
        &self,
        sql: &str,
        left: Duration,
        limits: &Limits,
    ) -> Result<Answer, Error> {
        let (done, is_done) = channel::<()>();
        let handle = self.0.interrupt_handle();
        let watch = std::thread::Builder::new().name("ops-history-sql".to_owned());
        let watch = watch.spawn(move || {
            let (mut left, mut is_late) = (left, false);
            while is_done.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                handle.interrupt();
                (left, is_late) = (INTERRUPT_INTERVAL, true);
            }
            is_late
        });
        let watch = watch.map_err(|error| Error::statement(error.to_string()))?;
        let answer = self.rows(sql, limits);
        drop(done);
        let is_late = watch.join().unwrap_or(false);
        match answer {
            Err(_) if is_late => Err(Error::timed_out(limits.time)),
            answer => answer,
        }
    }

    fn rows(&self, sql: &str, limits: &Limits) -> Result<Answer, Error> {
        // the engine counts rows with 63 bits
        let more = i64::try_from(limits.rows).unwrap_or(i64::MAX);
        let more = more.saturating_add(1);
        // the engine converts the values to JSON, so that each type has one form
        let subquery = as_subquery(sql);
        let wrapped = format!("SELECT to_json({ROW}) {subquery} AS {ROW} LIMIT {more}");
        let mut statement = self.0.prepare(&wrapped).map_err(failed_in_subquery)?;
        // streamed: the engine does not count results against its memory limit, and its iterator panics where `step`
        // returns an error
        drop(statement.stream_arrow([]).map_err(failed_in_subquery)?);
        let mut answer = Answer::default();
        let mut left = limits.bytes;
        while let Some(piece) = statement.step().map_err(failed_in_subquery)? {
            let texts = piece.column(0).as_string_opt::<i32>();
            let texts = texts.ok_or_else(|| Error::statement("the engine did not return JSON"))?;
            for json in texts.iter().map(Option::unwrap_or_default) {
                let fits = left.checked_sub(json.len() as u64);
                let Some(rest) = fits.filter(|_| answer.rows.len() < limits.rows) else {
                    if answer.rows.is_empty() && limits.rows > 0 {
                        let (most, found) = (limits.bytes, json.len());
                        return Err(Error::statement(format!(
                            "{found} bytes of the first row exceed the limit of {most}"
                        )));
                    }
                    answer.is_truncated = true;
                    return Ok(answer);
                };
                left = rest;
                let row = serde_json::from_str::<Row>(json)
                    .or_else(|_| serde_json::from_str(&with_words_quoted(json)))
                    .map_err(|error| Error::statement(error.to_string()))?;
                let (columns, values) = row.0.into_iter().unzip();
                answer.columns = columns;
                answer.rows.push(values);
            }
        }
        Ok(answer)
    }

    /// Returns the statement without a trailing semicolon and anything after it, if it is a single SELECT.
    pub(super) fn checked<'a>(&self, sql: &'a str) -> Result<Cow<'a, str>, Error> {
        let sql = sql.trim_end().trim_end_matches(';').trim_end();
        let parsed = self.parsed(sql)?;
        if parsed.error {
            let message = parsed.error_message.unwrap_or_default();
            let kind = parsed.error_type.unwrap_or_default();
            return Err(Error::statement(match kind.as_str() {
                "not implemented" => "only SELECT statements are allowed".to_owned(),
                _ => format!("{kind} error: {message}"),
            }));
        }
        match parsed.statements.len() {
            // a comment follows the semicolon: if it contains semicolons too, the parser regenerates the statement without it
            1 if sql.contains(';') && self.parsed(&as_subquery(sql))?.error => {
                let before = sql.rsplit_once(';').map_or(sql, |(before, _)| before);
                if !self.parsed(&as_subquery(before))?.error {
                    return Ok(Cow::Borrowed(before));
                }
                let question =
                    "SELECT json_deserialize_sql(json_serialize_sql(CAST(? AS VARCHAR)))";
                let alone = self.0.query_row(question, [sql], |row| row.get(0));
                alone.map(Cow::Owned).map_err(failed)
            }
            1 => Ok(Cow::Borrowed(sql)),
            0 => Err(Error::statement("the statement is empty")),
            count => Err(Error::statement(format!(
                "{count} statements given, expected a single SELECT"
            ))),
        }
    }

    /// Parses the statement with the engine's parser, which reports an error for anything but SELECT.
    fn parsed(&self, sql: &str) -> Result<Parsed, Error> {
        let question = "SELECT CAST(json_serialize_sql(CAST(? AS VARCHAR)) AS VARCHAR)";
        let json: String = self
            .0
            .query_row(question, [sql], |row| row.get(0))
            .map_err(failed)?;
        // a number out of range is written as one of these words
        serde_json::from_str(&json)
            .or_else(|_| serde_json::from_str(&with_words_quoted(&json)))
            .map_err(|error| Error::statement(error.to_string()))
    }
}

/// Wraps a statement as a subquery.
fn as_subquery(sql: &str) -> String {
    format!("FROM (\n{sql}\n)")
}

/// Quotes `NaN`, `Infinity` and `-Infinity`, which the engine writes although JSON has no such numbers.
fn with_words_quoted(json: &str) -> String {
    let mut quoted = String::with_capacity(json.len() + 2);
    let (mut rest, mut is_text) = (json, false);
    while let Some(char) = rest.chars().next() {
        let word = ["NaN", "Infinity", "-Infinity"]
            .into_iter()
            .find(|word| !is_text && rest.starts_with(word));
        let (piece, quote) = match (word, char) {
            (Some(word), _) => (word.len(), "\""),
            (None, '\\') if is_text => (2, ""), // what follows is ASCII
            (None, _) => (char.len_utf8(), ""),
        };
        is_text ^= char == '"';
        let (piece, after) = rest.split_at(piece.min(rest.len()));
        quoted.extend([quote, piece, quote]);
        rest = after;
    }
    quoted
}

#[derive(Deserialize)]
struct Parsed {
    error: bool,
    error_type: Option<String>,
    error_message: Option<String>,
    #[serde(default)]
    statements: Vec<serde::de::IgnoredAny>,
}

/// Columns of a row in order.
struct Row(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut pairs = Vec::new();
                while let Some((column, value)) = map.next_entry::<_, Box<RawValue>>()? {
                    pairs.push((column, value.get().to_owned()));
                }
                Ok(Row(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Converts the error of a statement within `as_subquery`, which puts a line before it: corrects the line number.
fn failed_in_subquery(error: duckdb::Error) -> Error {
    const LINE: &str = "\nLINE ";
    let text = error.to_string();
    // the last one: the message itself may contain the word
    let found = text.rsplit_once(LINE).and_then(|(before, after)| {
        let (line, excerpt) = after.split_once(':')?;
        let line = line.parse::<usize>().ok()?.checked_sub(1)?.max(1);
        Some(format!("{before}{LINE}{line}:{excerpt}"))
    });
    found.map_or_else(|| failed(error), Error::statement)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: duckdb::Error) -> Error {
    Error::statement(error.to_string())
}

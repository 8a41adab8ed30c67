//! Settings of the connections that affect results.

use std::sync::atomic::{AtomicU64, Ordering};

use duckdb::Connection;
use parking_lot::RwLock;

use crate::error::Error;
use crate::sql::{Lexer, Token};

/// Settings that affect rows, columns or types.
const RESULT_SETTINGS: &[&str] = &[
    "arrow_large_buffer_size",
    "arrow_lossless_conversion",
    "arrow_output_list_view",
    "arrow_output_version",
    "binary_as_string",
    "calendar",
    "default_collation",
    "default_null_order",
    "default_order",
    "ieee_floating_point_ops",
    "integer_division",
    "lambda_syntax",
    "null_order",
    "old_implicit_casting",
    "order_by_non_integer_literal",
    "preserve_identifier_case",
    "preserve_insertion_order",
    "produce_arrow_string_view",
    "scalar_subquery_error_on_multiple_rows",
    "schema",
    "search_path",
    "timezone",
];

#[derive(Default)]
pub(super) struct Settings {
    /// Statements to run on each connection, in order, each with the name of its setting in lower case.
    statements: RwLock<Vec<(String, String)>>,
    fingerprint: RwLock<String>,
    changes: AtomicU64,
}

/// Returns `SET name = 'value'`.
pub(super) fn statement(name: &str, value: &str) -> Result<String, Error> {
    let mut tokens = Lexer::new(name);
    let word = tokens.next();
    if !matches!(word, Some(Ok(Token::Word(word))) if word == name) || !name.is_ascii() {
        return Err(Error::input(format!(
            "{name:?} is not a valid setting name; expected one word such as TimeZone"
        )));
    }
    Ok(format!("SET {name} = '{}'", value.replace('\'', "''")))
}

impl Settings {
    /// Adds the statement of a setting, replacing an earlier one.
    pub(super) fn add(&self, name: &str, statement: String) {
        let name = name.to_ascii_lowercase();
        let mut statements = self.statements.write();
        statements.retain(|(known, _)| *known != name);
        statements.push((name, statement));
    }

    /// Applies all statements to a new connection.
    pub(super) fn apply(&self, connection: &Connection) -> duckdb::Result<()> {
        let statements = self.statements.read();
        statements
            .iter()
            .try_for_each(|(_, statement)| connection.execute_batch(statement))
    }

    /// Returns the number of changes started so far. What ran
    /// between two reads of one number ran under the same settings.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Counts a change; called while nothing is looked up, before a connection has a new value.
    pub(super) fn count_change(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn fingerprint(&self) -> String {
        self.fingerprint.read().clone()
    }

    /// Returns `true` if the time zone is known to be UTC.
    pub(super) fn is_utc(&self) -> bool {
        let fingerprint = self.fingerprint.read();
        let zone = fingerprint
            .lines()
            .find_map(|line| line.strip_prefix("TimeZone="));
        matches!(zone, Some("\"UTC\"" | "\"Etc/UTC\""))
    }

    /// Reads the current values and the engine's version.
    pub(super) fn read(&self, connection: &Connection) -> duckdb::Result<()> {
        let mut values = values(connection)?;
        // anything else that was set may matter too
        let statements = self.statements.read();
        let mut set: Vec<_> = statements.iter().map(|(_, set)| set.clone()).collect();
        // independent of the order in which they were set
        set.sort_unstable();
        values.extend(set);
        *self.fingerprint.write() = values.join("\n");
        Ok(())
    }
}

/// Returns the settings of a connection that affect results, and the
/// engine's version, since another version may return other results.
pub(super) fn values(connection: &Connection) -> duckdb::Result<Vec<String>> {
    let version = "SELECT library_version || ' ' || source_id FROM pragma_version()";
    let version: String = connection.query_row(version, [], |row| row.get(0))?;
    let mut statement = connection
        .prepare("SELECT name, coalesce(value, '') FROM duckdb_settings() ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut values = vec![format!("duckdb={version}")];
    while let Some(row) = rows.next()? {
        let (name, value): (String, String) = (row.get(0)?, row.get(1)?);
        if RESULT_SETTINGS.contains(&name.to_lowercase().as_str()) {
            values.push(format!("{name}={value:?}"));
        }
    }
    Ok(values)
}

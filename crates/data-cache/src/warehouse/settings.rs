//! The settings of the connections, as far as they change results.

use std::sync::atomic::{AtomicU64, Ordering};

use duckdb::Connection;
use parking_lot::RwLock;

use crate::error::Error;
use crate::sql::{Lexer, Token};

/// Settings that change rows, columns or types.
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
    /// Statements that hold on each connection, in order, each behind the name that it sets, in lower case.
    statements: RwLock<Vec<(String, String)>>,
    fingerprint: RwLock<String>,
    changes: AtomicU64,
}

/// `SET name = 'value'`.
pub(super) fn statement(name: &str, value: &str) -> Result<String, Error> {
    let mut tokens = Lexer::new(name);
    let word = tokens.next();
    if !matches!(word, Some(Ok(Token::Word(word))) if word == name) || !name.is_ascii() {
        return Err(Error::input(format!(
            "{name:?} is not the name of a setting; accepted is one word, such as TimeZone"
        )));
    }
    Ok(format!("SET {name} = '{}'", value.replace('\'', "''")))
}

impl Settings {
    /// Takes the statement of a setting, in place of an earlier one.
    pub(super) fn add(&self, name: &str, statement: String) {
        let name = name.to_ascii_lowercase();
        let mut statements = self.statements.write();
        statements.retain(|(known, _)| *known != name);
        statements.push((name, statement));
    }

    /// Applies everything that was set to a connection that is new.
    pub(super) fn apply(&self, connection: &Connection) -> duckdb::Result<()> {
        let statements = self.statements.read();
        statements
            .iter()
            .try_for_each(|(_, statement)| connection.execute_batch(statement))
    }

    /// Returns the number of changes that began. What ran between two looks at one number ran under the same settings.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Called while nothing is looked up, before a connection has a new value.
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

    /// Asks the engine for the values that hold now, and for its version.
    pub(super) fn read(&self, connection: &Connection) -> duckdb::Result<()> {
        let mut values = values(connection)?;
        // whatever else was set may matter too
        let statements = self.statements.read();
        let mut set: Vec<_> = statements.iter().map(|(_, set)| set.clone()).collect();
        // in whatever order they were set
        set.sort_unstable();
        values.extend(set);
        *self.fingerprint.write() = values.join("\n");
        Ok(())
    }
}

/// The settings that hold on a connection, as far as they change results, and the engine's version: another one may
/// answer otherwise.
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

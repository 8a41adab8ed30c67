//! Functions of the engine, by what their results depend on.

use std::collections::HashSet;

use duckdb::Connection;

/// Words that refer to the clock, random values or the session, with or without a parenthesis.
const NONDETERMINISTIC_COLUMNS: &[&str] = &[
    "current_catalog",
    "current_database",
    "current_date",
    "current_localtime",
    "current_localtimestamp",
    "current_role",
    "current_schema",
    "current_schemas",
    "current_setting",
    "current_time",
    "current_timestamp",
    "current_user",
    "get_current_time",
    "get_current_timestamp",
    "localtime",
    "localtimestamp",
    // a position in storage: a checkpoint moves it
    "rowid",
    "session_user",
    "transaction_timestamp",
];
/// Functions that the engine declares consistent although they are not.
const NONDETERMINISTIC_CALLS: &[&str] = &[
    "age",
    "current_setting",
    "getenv",
    "getvariable",
    "json_serialize_plan",
    "now",
    "reservoir_quantile",
    "today",
    "vector_type",
    "version",
];
/// Literals that some casts interpret as a time, or as the name of a column.
const NONDETERMINISTIC_TEXTS: &[&str] = &["now", "rowid", "today", "tomorrow", "yesterday"];
/// Table functions whose result depends on their arguments only.
const PURE_TABLE_FUNCTIONS: &[&str] = &[
    "generate_series",
    "json_each",
    "json_tree",
    "range",
    "repeat",
    "repeat_row",
    "unnest",
];
const CATALOG_SCHEMAS: &[&str] = &["information_schema", "pg_catalog"];
const CATALOG_PREFIXES: &[&str] = &["duckdb_", "pragma_", "pg_", "sqlite_"];

/// The engine's own functions and views.
pub(super) struct Functions {
    /// Functions whose result depends on their arguments only.
    consistent: HashSet<String>,
    /// Functions with at least one overload for which that is not certain.
    volatile: HashSet<String>,
    /// Table functions; macros are not included.
    tables: HashSet<String>,
    /// Views of the catalog that are found without a schema.
    views: HashSet<String>,
}

impl Functions {
    /// Reads the functions. A function without a stability counts as
    /// volatile, except for a macro, which is judged by its text.
    pub(super) fn of(connection: &Connection) -> duckdb::Result<Self> {
        let mut found = Self {
            consistent: HashSet::new(),
            volatile: HashSet::new(),
            tables: HashSet::new(),
            views: HashSet::new(),
        };
        let functions = "SELECT DISTINCT function_name, coalesce(lower(stability::VARCHAR), '') FROM duckdb_functions() \
                         WHERE function_type IN ('scalar', 'aggregate', 'window')";
        let mut statement = connection.prepare(functions)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (name, stability): (String, String) = (row.get(0)?, row.get(1)?);
            match stability.as_str() {
                "consistent" => found.consistent.insert(name.to_lowercase()),
                _ => found.volatile.insert(name.to_lowercase()),
            };
        }
        let tables =
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'table'";
        found.tables = names(connection, tables)?;
        found.views = names(
            connection,
            "SELECT view_name FROM duckdb_views() WHERE internal AND schema_name <> 'information_schema'",
        )?;
        Ok(found)
    }

    /// Returns `true` if the engine has a scalar function, an aggregate or an operator of this name.
    pub(super) fn knows(&self, call: &str) -> bool {
        self.consistent.contains(call)
            || self.volatile.contains(call)
            || PURE_TABLE_FUNCTIONS.contains(&call)
    }

    pub(super) fn is_volatile(&self, call: &str) -> bool {
        self.volatile.contains(call)
            || NONDETERMINISTIC_CALLS.contains(&call)
            || is_volatile_column(call)
    }

    /// Returns `true` if the engine has a built-in table function of this name.
    pub(super) fn is_table_function(&self, name: &str) -> bool {
        self.tables.contains(name)
    }

    pub(super) fn is_catalog_view(&self, name: &str) -> bool {
        self.views.contains(name)
    }
}

/// Returns the first column of a select, in lower case.
fn names(connection: &Connection, select: &str) -> duckdb::Result<HashSet<String>> {
    let mut statement = connection.prepare(select)?;
    let mut rows = statement.query([])?;
    let mut names = HashSet::new();
    while let Some(row) = rows.next()? {
        names.insert(row.get::<_, String>(0)?.to_lowercase());
    }
    Ok(names)
}

pub(super) fn is_volatile_column(name: &str) -> bool {
    NONDETERMINISTIC_COLUMNS.contains(&name)
}

pub(super) fn is_volatile_text(text: &str) -> bool {
    NONDETERMINISTIC_TEXTS.contains(&text.trim())
}

pub(super) fn is_pure_table_function(name: &str) -> bool {
    PURE_TABLE_FUNCTIONS.contains(&name)
}

pub(super) fn is_catalog_schema(name: &str) -> bool {
    CATALOG_SCHEMAS.contains(&name)
}

pub(super) fn is_catalog_name(name: &str) -> bool {
    CATALOG_PREFIXES
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

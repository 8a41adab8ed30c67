//! What the names in a statement stand for: tables, what views and macros hide, and functions that are not the same
//! from one moment to the next.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use duckdb::Connection;
use parking_lot::{Mutex, RwLock};

use crate::sql::Words;
use crate::stats::Bypass;

/// Words that mean the clock, chance or the session without a parenthesis; some of them are missing in the engine's
/// own list, or are called constant there.
const NONDETERMINISTIC_WORDS: &[&str] = &[
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
    "sample",
    "session_user",
    "tablesample",
    "transaction_timestamp",
];
const NONDETERMINISTIC_CALLS: &[&str] =
    &["age", "getenv", "getvariable", "now", "today", "version"];
/// Literals that some casts read as a time.
const NONDETERMINISTIC_TEXTS: &[&str] = &["now", "today", "tomorrow", "yesterday"];
const CATALOGUE_WORDS: &[&str] = &[
    "information_schema",
    "pg_catalog",
    "sqlite_master",
    "sqlite_schema",
    "sqlite_temp_master",
    "sqlite_temp_schema",
];
const CATALOGUE_PREFIXES: &[&str] = &["duckdb_", "pragma_", "pg_", "sqlite_"];
/// Table functions whose result follows from their arguments.
const PURE_TABLE_FUNCTIONS: &[&str] = &[
    "generate_series",
    "json_each",
    "json_tree",
    "range",
    "repeat",
    "repeat_row",
    "unnest",
];
/// Functions that read what a text names.
const OUTSIDE_CALLS: &[&str] = &["glob", "query", "query_table", "sniff_csv"];
const OUTSIDE_PREFIXES: &[&str] = &["read_", "parquet_"];
/// In a name or a text: it may be a file.
const FILE_MARKS: &[&str] = &[
    "://", ".arrow", ".avro", ".csv", ".db", ".duckdb", ".json", ".ndjson", ".parquet", ".tsv",
    ".txt", ".xlsx", ".gz", ".zst",
];
/// Statements that are remembered.
const MEMO: usize = 4096;

type Judgement = Result<Arc<[String]>, Bypass>;

pub(super) struct Catalog {
    /// Functions of the engine.
    builtin: Builtin,
    user: RwLock<User>,
    judgements: Mutex<HashMap<String, Judgement>>,
}

struct Builtin {
    nondeterministic: HashSet<String>,
    outside: HashSet<String>,
}

/// What users made; `None` where it could not be read.
type User = Option<Definitions>;

struct Definitions {
    /// Tables and views.
    tables: HashSet<String>,
    /// What views, macros and computed columns say, by name.
    texts: HashMap<String, Vec<String>>,
}

impl Catalog {
    pub(super) fn of(connection: &Connection) -> duckdb::Result<Self> {
        Ok(Self {
            builtin: builtin(connection)?,
            user: RwLock::new(Some(definitions(connection)?)),
            judgements: Mutex::default(),
        })
    }

    /// Called after what may have changed it, before anybody may keep a result again.
    pub(super) fn reload(&self, connection: &Connection) {
        let found = definitions(connection);
        if let Err(error) = &found {
            tracing::warn!(target: "data_cache", %error, "catalog_not_read");
        }
        let mut user = self.user.write();
        *user = found.ok();
        self.judgements.lock().clear();
    }

    /// The tables that a query may read, or why its result must not be kept.
    pub(super) fn judge(&self, sql: &str) -> Judgement {
        let user = self.user.read();
        if let Some(known) = self.judgements.lock().get(sql) {
            return known.clone();
        }
        let judgement = match &*user {
            Some(definitions) => self.judge_with(sql, definitions),
            None => Err(Bypass::UnknownState),
        };
        let mut judgements = self.judgements.lock();
        if judgements.len() >= MEMO {
            judgements.clear();
        }
        judgements.insert(sql.to_owned(), judgement.clone());
        judgement
    }

    fn judge_with(&self, sql: &str, definitions: &Definitions) -> Judgement {
        let words = definitions.closure(sql)?;
        self.refuse(&words)?;
        let mut tables: Vec<_> = definitions
            .tables
            .iter()
            .filter(|table| words.could_name(table))
            .cloned()
            .collect();
        tables.sort_unstable();
        Ok(tables.into())
    }

    fn refuse(&self, words: &Words) -> Result<(), Bypass> {
        let names = || words.names.iter().map(String::as_str);
        let calls = || words.calls.iter().map(String::as_str);
        let texts = || words.texts.iter().map(String::as_str);
        let starts = |name: &str, with: &[&str]| with.iter().any(|prefix| name.starts_with(prefix));
        if names().any(|name| CATALOGUE_WORDS.contains(&name) || starts(name, CATALOGUE_PREFIXES)) {
            return Err(Bypass::Catalog);
        }
        let is_outside = |name: &str| {
            OUTSIDE_CALLS.contains(&name)
                || starts(name, OUTSIDE_PREFIXES)
                || self.builtin.outside.contains(name)
        };
        let mut mentioned = names().chain(texts());
        if calls().any(is_outside) || mentioned.any(|n| FILE_MARKS.iter().any(|m| n.contains(m))) {
            return Err(Bypass::Outside);
        }
        let differs = names().any(|name| NONDETERMINISTIC_WORDS.contains(&name))
            || texts().any(|text| NONDETERMINISTIC_TEXTS.contains(&text))
            || calls().any(|call| {
                NONDETERMINISTIC_CALLS.contains(&call)
                    || self.builtin.nondeterministic.contains(call)
            });
        if differs {
            return Err(Bypass::Nondeterministic);
        }
        Ok(())
    }
}

impl Definitions {
    /// The words of a statement and of every view and macro that it could name, and so on.
    fn closure(&self, sql: &str) -> Result<Words, Bypass> {
        let mut all = Words::of(sql).map_err(|_| Bypass::UnusualText)?;
        let mut seen = HashSet::new();
        let mut open: Vec<String> = all.names.iter().chain(&all.texts).cloned().collect();
        while let Some(name) = open.pop() {
            let Some(texts) = self.texts.get(&name).filter(|_| seen.insert(name.clone())) else {
                continue;
            };
            for text in texts {
                let words = Words::of(text).map_err(|_| Bypass::UnusualText)?;
                open.extend(words.names.iter().chain(&words.texts).cloned());
                all.extend(&words);
            }
        }
        Ok(all)
    }
}

fn builtin(connection: &Connection) -> duckdb::Result<Builtin> {
    let mut found = Builtin {
        nondeterministic: HashSet::new(),
        outside: HashSet::new(),
    };
    let functions = "SELECT DISTINCT function_name, lower(function_type), coalesce(lower(stability::VARCHAR), '') \
                     FROM duckdb_functions() WHERE internal";
    let mut statement = connection.prepare(functions)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, kind, stability): (String, String, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        let name = name.to_lowercase();
        if kind == "table" && !PURE_TABLE_FUNCTIONS.contains(&name.as_str()) {
            found.outside.insert(name);
        } else if !stability.is_empty() && stability != "consistent" {
            found.nondeterministic.insert(name);
        }
    }
    Ok(found)
}

fn definitions(connection: &Connection) -> duckdb::Result<Definitions> {
    let mut found = Definitions {
        tables: HashSet::new(),
        texts: HashMap::new(),
    };
    let made = "SELECT 'table', table_name, coalesce(sql, '') FROM duckdb_tables() WHERE NOT internal \
                UNION ALL SELECT 'view', view_name, coalesce(sql, '') FROM duckdb_views() WHERE NOT internal \
                UNION ALL SELECT 'macro', function_name, coalesce(macro_definition, '') FROM duckdb_functions() \
                WHERE NOT internal OR (macro_definition IS NOT NULL AND function_type <> 'table_macro')";
    let mut statement = connection.prepare(made)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name, text): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        // like the words of a statement: the engine's lower() may differ beyond ASCII
        let name = name.to_lowercase();
        let is_computed = kind != "table" || text.to_lowercase().contains("generated");
        if is_computed {
            found.texts.entry(name.clone()).or_default().push(text);
        }
        if kind != "macro" {
            found.tables.insert(name);
        }
    }
    Ok(found)
}

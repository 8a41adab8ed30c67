//! Classification of statements: the tables that a query may read, or the reason why its result must not be stored.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use duckdb::Connection;
use parking_lot::{Mutex, RwLock};

use super::definitions::{Definitions, Kind, Leftover};
use super::functions::{
    Functions, is_catalog_name, is_catalog_schema, is_pure_table_function, is_volatile_column,
    is_volatile_text,
};
use super::tree::{self, Names, NoTree, Table};
use crate::sql::Words;
use crate::stats::Bypass;

/// Maximum number of remembered statements, and of bytes of their texts; beyond either, all are dropped.
const MEMO: usize = 4096;
const MEMO_BYTES: usize = 8 << 20;

/// Classification of one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The result depends on these tables only.
    Tables(Arc<[String]>),
    /// The result must not be stored.
    Refused {
        reason: Bypass,
        /// Names that cause the refusal; empty if it cannot be permitted.
        names: Arc<[String]>,
        /// Tables that the result depends on besides.
        tables: Arc<[String]>,
    },
}

/// Remembered judgements.
#[derive(Default)]
struct Judgements {
    by_text: HashMap<String, Judgement>,
    /// Total bytes of the texts.
    bytes: usize,
}

impl Judgements {
    fn remember(&mut self, sql: &str, judgement: &Judgement) {
        if sql.len() > MEMO_BYTES {
            return;
        }
        if self.by_text.len() >= MEMO || self.bytes + sql.len() > MEMO_BYTES {
            self.clear();
        }
        let before = self.by_text.insert(sql.to_owned(), judgement.clone());
        self.bytes += if before.is_none() { sql.len() } else { 0 };
    }

    fn clear(&mut self) {
        self.by_text.clear();
        self.bytes = 0;
    }
}

pub(super) struct Catalog {
    /// Reads parse trees; no query runs on it, so that a judgement never waits for one.
    parser: Mutex<Connection>,
    functions: Functions,
    /// `None` if they could not be read.
    definitions: RwLock<Option<Definitions>>,
    judgements: Mutex<Judgements>,
    is_reported: AtomicBool,
}

impl Catalog {
    pub(super) fn of(connection: &Connection) -> duckdb::Result<Self> {
        Ok(Self {
            parser: Mutex::new(connection.try_clone()?),
            functions: Functions::of(connection)?,
            definitions: RwLock::new(Some(Definitions::of(connection)?)),
            judgements: Mutex::default(),
            is_reported: AtomicBool::new(false),
        })
    }

    /// Reloads the definitions after a possible change, before any result may be
    /// stored again. Returns the definitions that exist on this connection only.
    pub(super) fn reload(&self, connection: &Connection) -> Leftover {
        let found = Definitions::of(connection);
        let leftover = found.as_ref().map_or(Leftover::None, Definitions::leftover);
        if let Err(error) = &found {
            tracing::warn!(target: "data_cache", %error, "catalog_not_read");
        }
        let mut definitions = self.definitions.write();
        *definitions = found.ok();
        self.judgements.lock().clear();
        leftover
    }

    /// Returns `true` if every name denotes base tables only.
    pub(super) fn are_tables<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> bool {
        let definitions = self.definitions.read();
        let definitions = definitions.as_ref();
        definitions.is_some_and(|known| names.into_iter().all(|name| known.is_table(name)))
    }

    /// Returns `true` if the statement was judged before: [`judge`](Self::judge) then takes microseconds.
    pub(super) fn knows(&self, sql: &str) -> bool {
        self.judgements.lock().by_text.contains_key(sql)
    }

    /// Classifies a statement; calls the engine's parser once per text.
    pub(super) fn judge(&self, sql: &str) -> Judgement {
        let definitions = self.definitions.read();
        if let Some(known) = self.judgements.lock().by_text.get(sql) {
            return known.clone();
        }
        let judged = match &*definitions {
            Some(definitions) => self.judge_with(sql, definitions),
            None => Err(Refusal::of(Bypass::UnknownState)),
        };
        let judgement = match judged {
            Ok(tables) => Judgement::Tables(tables.into_iter().collect()),
            Err(refusal) => Judgement::Refused {
                reason: refusal.reason,
                names: refusal.names.into_iter().collect(),
                tables: refusal.tables.into_iter().collect(),
            },
        };
        self.judgements.lock().remember(sql, &judgement);
        judgement
    }

    fn judge_with(
        &self,
        sql: &str,
        definitions: &Definitions,
    ) -> Result<BTreeSet<String>, Refusal> {
        let closure = self.closure(sql, definitions)?;
        let mut refusal = Refusal::of(Bypass::Nondeterministic);
        for part in &closure {
            self.check(part, definitions, &mut refusal)?;
        }
        if depends_on_current_offset(&closure, definitions) {
            refusal.add(Bypass::Nondeterministic, "current_time");
        }
        let named = closure.iter().flat_map(|part| &part.tables);
        let tables = named
            .map(|table| &table.name)
            .filter(|name| definitions.is_table_or_view(name));
        let tables = tables.cloned().collect();
        if refusal.names.is_empty() {
            return Ok(tables);
        }
        refusal.tables = tables;
        Err(refusal)
    }

    /// Returns the names of a statement, and of every view and macro that it uses.
    fn closure(&self, sql: &str, definitions: &Definitions) -> Result<Vec<Names>, Refusal> {
        let parser = self.parser.lock();
        let read = |text: &str| {
            tree::names(&parser, text).map_err(|problem| match problem {
                NoTree::Unavailable => self.unavailable(),
                NoTree::NotUnderstood => Refusal::of(not_understood(text)),
            })
        };
        let mut all = vec![read(sql)?];
        let mut seen = HashSet::new();
        let mut at = 0;
        while let Some(names) = all.get(at) {
            let tables = names.tables.iter().map(|table| (Kind::View, &table.name));
            // of the functions called without a parenthesis, only `user` is not refused anyway
            let columns = names.columns.iter().filter(|name| *name == "user");
            let calls = names.calls.iter().chain(columns);
            let table_calls = names.table_calls.iter().map(|call| &call.name);
            let open: Vec<(Kind, String)> = tables
                .chain(calls.map(|name| (Kind::Macro, name)))
                .chain(table_calls.map(|name| (Kind::TableMacro, name)))
                .map(|(kind, name)| (kind, name.clone()))
                .filter(|open| seen.insert(open.clone()))
                .collect();
            for (kind, name) in open {
                for select in definitions.selects(kind, &name) {
                    let select = select.as_deref();
                    all.push(read(select.ok_or(Refusal::of(Bypass::UnusualText))?)?);
                }
                let computed = match kind {
                    Kind::View => definitions.computed(&name),
                    Kind::Macro | Kind::TableMacro => &[],
                };
                if !computed.is_empty() {
                    let macros = computed
                        .iter()
                        .filter(|call| definitions.is_defined(Kind::Macro, call));
                    all.push(Names {
                        calls: macros.cloned().collect(),
                        loose_calls: computed.iter().cloned().collect(),
                        ..Names::default()
                    });
                }
            }
            at += 1;
        }
        Ok(all)
    }

    fn unavailable(&self) -> Refusal {
        if !self.is_reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "data_cache",
                effect = "json_serialize_sql is unavailable: query results are not cached", "duckdb_json_extension_missing"
            );
        }
        Refusal::of(Bypass::UnknownState)
    }

    fn check(
        &self,
        names: &Names,
        definitions: &Definitions,
        refusal: &mut Refusal,
    ) -> Result<(), Refusal> {
        if names.is_shown || names.is_pivoted {
            return Err(Refusal::of(Bypass::Statement));
        }
        for table in &names.tables {
            if let Some(reason) = self.refused_table(table, names, definitions) {
                refusal.add(reason, &table.name);
            }
        }
        for call in &names.table_calls {
            let name = call.name.as_str();
            // a macro of this name in another schema is not called
            let is_macro = definitions.is_defined(Kind::TableMacro, name)
                && (!self.functions.is_table_function(name)
                    || definitions.is_at(Kind::TableMacro, call));
            if is_catalog_name(name) {
                refusal.add(Bypass::Catalog, name);
            } else if !is_macro && !is_pure_table_function(name) {
                refusal.add(Bypass::Outside, name);
            }
        }
        for call in &names.calls {
            if self.functions.is_volatile(call) {
                refusal.add(Bypass::Nondeterministic, call);
            } else if is_catalog_name(call) {
                refusal.add(Bypass::Catalog, call);
            } else if !self.functions.knows(call) && !definitions.is_defined(Kind::Macro, call) {
                return Err(Refusal::of(Bypass::UnusualText));
            }
        }
        let loose = names.loose_calls.iter();
        let calls = loose.filter(|call| call.is_empty() || self.functions.is_volatile(call));
        let columns = names.columns.iter().filter(|name| is_volatile_column(name));
        let texts = names.texts.iter().filter(|text| is_volatile_text(text));
        for name in calls.chain(columns).chain(texts) {
            refusal.add(Bypass::Nondeterministic, name);
        }
        if names.is_sampled {
            refusal.add(Bypass::Nondeterministic, "sample");
        }
        Ok(())
    }

    fn refused_table(
        &self,
        table: &Table,
        names: &Names,
        definitions: &Definitions,
    ) -> Option<Bypass> {
        let name = table.name.as_str();
        let is_unqualified = table.schema.is_empty() && table.catalog.is_empty();
        // the name of a file has an extension after a dot, or a directory or a protocol before it
        let is_no_file = is_unqualified && !name.contains(['.', '/', '\\', ':']);
        if is_catalog_schema(&table.schema) || is_catalog_schema(&table.catalog) {
            return Some(Bypass::Catalog);
        }
        if definitions.is_at(Kind::View, table) {
            return None;
        }
        if self.functions.is_catalog_view(name) || is_catalog_name(name) {
            return Some(Bypass::Catalog);
        }
        let is_known = definitions.is_table_or_view(name) || names.subqueries.contains(name);
        (!is_no_file || !is_known).then_some(Bypass::Outside)
    }
}

/// Returns `true` if a statement with these parts may depend on the current offset of a zone from UTC: it names a
/// TIMETZ type, or reads a table whose definition does. A TIMETZ column is compared with texts, and a computed one is
/// cast, by that offset, even if the statement does not mention it.
fn depends_on_current_offset(closure: &[Names], definitions: &Definitions) -> bool {
    let mut types = closure.iter().flat_map(|part| &part.types);
    let mut tables = closure.iter().flat_map(|part| &part.tables);
    types.any(|name| definitions.is_zoned_time(name))
        || tables.any(|table| definitions.has_zoned_times(&table.name))
}

/// Returns the reason for a text without a parse tree.
fn not_understood(text: &str) -> Bypass {
    const STATEMENTS: [&str; 6] = [
        "pivot",
        "unpivot",
        "explain",
        "describe",
        "show",
        "summarize",
    ];
    match Words::of(text) {
        Ok(words) if STATEMENTS.iter().any(|name| words.names.contains(*name)) => Bypass::Statement,
        _ => Bypass::UnusualText,
    }
}

/// Reason why a result must not be stored, and the names that cause it.
struct Refusal {
    reason: Bypass,
    names: BTreeSet<String>,
    tables: BTreeSet<String>,
}

impl Refusal {
    fn of(reason: Bypass) -> Self {
        Self {
            reason,
            names: BTreeSet::new(),
            tables: BTreeSet::new(),
        }
    }

    /// Adds a name. The most severe reason is kept: catalog over outside over nondeterministic.
    fn add(&mut self, reason: Bypass, name: &str) {
        let rank = |reason: Bypass| match reason {
            Bypass::Catalog => 2,
            Bypass::Outside => 1,
            _ => 0,
        };
        if self.names.is_empty() || rank(reason) > rank(self.reason) {
            self.reason = reason;
        }
        self.names.insert(name.to_owned());
    }
}

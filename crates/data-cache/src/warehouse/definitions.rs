//! Tables, views and macros that users made.

use std::collections::{HashMap, HashSet};

use duckdb::Connection;

use super::tree::Table;
use crate::sql::{Lexer, Token, Words, stands_in};

/// The definitions of one moment, by lower-case name without schema.
#[derive(Default)]
pub(super) struct Definitions {
    /// Base tables.
    tables: HashSet<String>,
    /// Names that are a view too, or only a view.
    views: HashSet<String>,
    /// Names of tables and views (as of views), and of macros, behind the schema and the database of each.
    places: HashSet<(Kind, String, String)>,
    /// Selects behind views and macros, the engine's own macros included.
    selects: HashMap<(Kind, String), Vec<Text>>,
    /// Calls in computed columns.
    computed: HashMap<String, Vec<String>>,
    /// Names of TIMETZ, those of users included, and the tables whose definition has one of them.
    zoned_times: HashSet<String>,
    with_zoned_times: HashSet<String>,
    /// Something holds for the connection that was asked alone.
    holds_temporary: bool,
    /// Some of that is not what PIVOT leaves.
    was_asked_for: bool,
}

/// Beginning of the names of the types that PIVOT makes for the connection that it runs on.
const OF_PIVOT: &str = "__pivot_enum_";

/// The type of a time of day whose offset from UTC may be that of the current date.
const ZONED_TIME: &str = "time with time zone";

/// Definitions of one connection alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leftover {
    None,
    /// Those that PIVOT makes on the way, of no use to anybody afterwards.
    OfPivot,
    /// Others.
    AskedFor,
}

/// Place in which a name stands for a definition: `histogram` is an aggregate, and a macro that stands for a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    View,
    Macro,
    TableMacro,
}

/// A definition as a text that the engine's parser reads; `None` if it could not be found.
pub(super) type Text = Option<String>;

impl Definitions {
    pub(super) fn of(connection: &Connection) -> duckdb::Result<Self> {
        let mut found = Self::default();
        let made = "SELECT 'table', table_name, coalesce(sql, ''), temporary, database_name, schema_name FROM duckdb_tables() \
                    WHERE NOT internal \
                    UNION ALL SELECT 'view', view_name, coalesce(sql, ''), temporary, database_name, schema_name \
                    FROM duckdb_views() WHERE NOT internal \
                    UNION ALL SELECT function_type, function_name, coalesce(macro_definition, ''), \
                    database_name = 'temp' AND NOT internal, database_name, schema_name FROM duckdb_functions() \
                    WHERE function_type IN ('macro', 'table_macro') \
                    UNION ALL SELECT 'sequence', sequence_name, '', temporary, '', '' FROM duckdb_sequences() \
                    UNION ALL SELECT 'type', type_name, logical_type, database_name = 'temp' AND NOT internal, '', '' \
                    FROM duckdb_types()";
        let mut statement = connection.prepare(made)?;
        let mut rows = statement.query([])?;
        let mut tables = Vec::new();
        while let Some(row) = rows.next()? {
            let (kind, name, text): (String, String, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            // like the names of a tree: the engine's lower() may differ beyond ASCII
            let name = name.to_lowercase();
            if row.get(3)? {
                found.holds_temporary = true;
                found.was_asked_for |= kind != "type" || !name.starts_with(OF_PIVOT);
            }
            if kind == "table" {
                tables.push((name.clone(), text.to_lowercase()));
            }
            let placed = match kind.as_str() {
                "table" | "view" => Some(Kind::View),
                "table_macro" => Some(Kind::TableMacro),
                _ => None,
            };
            if let Some(kind) = placed {
                let (database, schema): (String, String) = (row.get(4)?, row.get(5)?);
                let of = |part: String| (kind, part.to_lowercase(), name.clone());
                found.places.extend([of(database), of(schema)]);
            }
            found.add(&kind, name, text);
        }
        tables.retain(|(_, text)| found.zoned_times.iter().any(|name| stands_in(text, name)));
        found.with_zoned_times = tables.into_iter().map(|(name, _)| name).collect();
        Ok(found)
    }

    fn add(&mut self, kind: &str, name: String, text: String) {
        let (kind, select) = match kind {
            "table" => {
                if text.to_lowercase().contains("generated") {
                    let calls = Words::of(&text).map(|words| words.calls.into_iter().collect());
                    let calls = calls.unwrap_or_else(|_| vec![String::new()]);
                    self.computed.entry(name.clone()).or_default().extend(calls);
                }
                self.tables.insert(name);
                return;
            }
            "view" => {
                self.views.insert(name.clone());
                (Kind::View, select_of_view(&text).map(str::to_owned))
            }
            "type" => {
                if text.eq_ignore_ascii_case(ZONED_TIME) {
                    self.zoned_times.insert(name);
                }
                return;
            }
            "sequence" => return,
            "macro" => (Kind::Macro, Some(format!("SELECT {text}"))),
            _ => (Kind::TableMacro, Some(text)),
        };
        self.selects.entry((kind, name)).or_default().push(select);
    }

    /// Returns what the connection that was asked holds for itself.
    pub(super) fn leftover(&self) -> Leftover {
        match (self.holds_temporary, self.was_asked_for) {
            (false, _) => Leftover::None,
            (true, false) => Leftover::OfPivot,
            (true, true) => Leftover::AskedFor,
        }
    }

    /// Returns `true` if the name stands for base tables alone.
    pub(super) fn is_table(&self, name: &str) -> bool {
        self.tables.contains(name) && !self.views.contains(name)
    }

    pub(super) fn is_table_or_view(&self, name: &str) -> bool {
        self.tables.contains(name) || self.views.contains(name)
    }

    /// Returns `true` if a definition is meant by this whatever the search path is: the name is qualified by its schema or database,
    /// or it stands alone and is of the schema `main`, which every search path has.
    pub(super) fn is_at(&self, kind: Kind, table: &Table) -> bool {
        let is_in = |part: &str| {
            let place = (kind, part.to_owned(), table.name.clone());
            self.places.contains(&place)
        };
        match (table.catalog.as_str(), table.schema.as_str()) {
            ("", "") => is_in("main"),
            ("", schema) => is_in(schema),
            (catalog, schema) => is_in(catalog) && is_in(schema),
        }
    }

    pub(super) fn is_defined(&self, kind: Kind, name: &str) -> bool {
        !self.selects(kind, name).is_empty()
    }

    pub(super) fn selects(&self, kind: Kind, name: &str) -> &[Text] {
        let found = self.selects.get(&(kind, name.to_owned()));
        found.map_or(&[], Vec::as_slice)
    }

    /// Returns `true` if this is a name of TIMETZ.
    pub(super) fn is_zoned_time(&self, type_name: &str) -> bool {
        self.zoned_times.contains(type_name)
    }

    /// Returns `true` if the definition of a table of this name names TIMETZ, for a column or in what computes one.
    pub(super) fn has_zoned_times(&self, table: &str) -> bool {
        self.with_zoned_times.contains(table)
    }

    /// Calls in the computed columns of a table.
    pub(super) fn computed(&self, name: &str) -> &[String] {
        self.computed.get(name).map_or(&[], Vec::as_slice)
    }
}

/// The select of a `CREATE VIEW` statement as the engine writes it: behind the first `AS` outside of parentheses.
fn select_of_view(create: &str) -> Option<&str> {
    let (mut at, mut depth) = (0, 0_u32);
    for token in Lexer::new(create) {
        let token = token.ok()?;
        at += token.text().len();
        match token {
            Token::Symbol("(") => depth += 1,
            Token::Symbol(")") => depth = depth.saturating_sub(1),
            Token::Word(word) if depth == 0 && word.eq_ignore_ascii_case("as") => {
                return create.get(at..);
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::select_of_view;

    #[test]
    fn the_select_of_a_view_is_behind_its_name_and_columns() {
        for (create, select) in [
            ("CREATE VIEW v AS SELECT 1;", " SELECT 1;"),
            (
                "CREATE VIEW \"a as b\" (\"x as y\", z) AS WITH q AS (SELECT 1) FROM q",
                " WITH q AS (SELECT 1) FROM q",
            ),
        ] {
            assert_eq!(select_of_view(create), Some(select));
        }
        assert_eq!(select_of_view("CREATE VIEW v"), None);
    }
}

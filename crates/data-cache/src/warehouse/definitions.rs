//! Tables, views and macros created by users.

use std::collections::{HashMap, HashSet};

use duckdb::Connection;

use super::tree::Table;
use crate::sql::{Lexer, Token, Words, contains_word};

/// Definitions at one moment, by lower-case name without schema.
#[derive(Default)]
pub(super) struct Definitions {
    /// Base tables.
    tables: HashSet<String>,
    /// Names that denote a view, and possibly a table as well.
    views: HashSet<String>,
    /// Names of tables and views (both as views), and of table macros, with the schema and with the database of each.
    places: HashSet<(Kind, String, String)>,
    /// Selects of views and macros, including the engine's own macros.
    selects: HashMap<(Kind, String), Vec<Text>>,
    /// Calls in computed columns, by table.
    computed: HashMap<String, Vec<String>>,
    /// Names of TIMETZ, including user-defined ones, and the tables whose definition contains one of them.
    zoned_times: HashSet<String>,
    with_zoned_times: HashSet<String>,
    /// `true` if something exists only on the connection that was queried.
    has_temporary: bool,
    /// `true` if some of that was not left by PIVOT.
    has_user_defined: bool,
}

/// Prefix of the names of the types that PIVOT creates on its connection.
const PIVOT_PREFIX: &str = "__pivot_enum_";

/// The type of a time of day whose offset from UTC may be that of the current date.
const ZONED_TIME: &str = "time with time zone";

/// Definitions that exist on one connection only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leftover {
    None,
    /// Definitions that PIVOT creates internally; they are not used afterwards.
    FromPivot,
    /// Others.
    UserDefined,
}

/// Role of a name: `histogram`, for example, is an aggregate and also a table macro.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    View,
    Macro,
    TableMacro,
}

/// A definition as text for the engine's parser; `None` if it could not be found.
pub(super) type Text = Option<String>;

impl Definitions {
    pub(super) fn of(connection: &Connection) -> duckdb::Result<Self> {
        let mut found = Self::default();
        let objects = "SELECT 'table', table_name, coalesce(sql, ''), temporary, database_name, schema_name FROM duckdb_tables() \
                    WHERE NOT internal \
                    UNION ALL SELECT 'view', view_name, coalesce(sql, ''), temporary, database_name, schema_name \
                    FROM duckdb_views() WHERE NOT internal \
                    UNION ALL SELECT function_type, function_name, coalesce(macro_definition, ''), \
                    database_name = 'temp' AND NOT internal, database_name, schema_name FROM duckdb_functions() \
                    WHERE function_type IN ('macro', 'table_macro') \
                    UNION ALL SELECT 'sequence', sequence_name, '', temporary, '', '' FROM duckdb_sequences() \
                    UNION ALL SELECT 'type', type_name, logical_type, database_name = 'temp' AND NOT internal, \
                    if(internal OR logical_type = 'ENUM', '', database_name), schema_name FROM duckdb_types()";
        let mut statement = connection.prepare(objects)?;
        let mut rows = statement.query([])?;
        let mut tables = Vec::new();
        let mut types = Vec::new();
        while let Some(row) = rows.next()? {
            let (kind, name, text): (String, String, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            // like the names in a tree: the engine's lower() may differ beyond ASCII
            let name = name.to_lowercase();
            if row.get(3)? {
                found.has_temporary = true;
                found.has_user_defined |= kind != "type" || !name.starts_with(PIVOT_PREFIX);
            }
            if kind == "table" {
                tables.push((name.clone(), text.to_lowercase()));
            }
            if kind == "type" {
                let parts: [String; 3] = [row.get(4)?, row.get(5)?, row.get(1)?];
                types.extend((!parts[0].is_empty()).then_some(parts));
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
        for parts in types {
            if contains_zoned_time(connection, &parts) {
                let [_, _, name] = parts;
                found.zoned_times.insert(name.to_lowercase());
            }
        }
        tables.retain(|(_, text)| {
            found
                .zoned_times
                .iter()
                .any(|name| contains_word(text, name))
        });
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

    /// Returns the definitions that exist only on the connection that was queried.
    pub(super) fn leftover(&self) -> Leftover {
        match (self.has_temporary, self.has_user_defined) {
            (false, _) => Leftover::None,
            (true, false) => Leftover::FromPivot,
            (true, true) => Leftover::UserDefined,
        }
    }

    /// Returns `true` if the name denotes base tables only.
    pub(super) fn is_table(&self, name: &str) -> bool {
        self.tables.contains(name) && !self.views.contains(name)
    }

    pub(super) fn is_table_or_view(&self, name: &str) -> bool {
        self.tables.contains(name) || self.views.contains(name)
    }

    /// Returns `true` if this name denotes a definition under every search path: it is qualified by schema or database,
    /// or it is unqualified and defined in the schema `main`, which is part of every search path.
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

    /// Returns `true` if the definition of a table of this name contains TIMETZ, in a column type or a computed column.
    pub(super) fn has_zoned_times(&self, table: &str) -> bool {
        self.with_zoned_times.contains(table)
    }

    /// Returns the calls in the computed columns of a table.
    pub(super) fn computed(&self, name: &str) -> &[String] {
        self.computed.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Returns `true` unless the definition of a user's type is known to contain no TIMETZ, also inside lists and structs.
fn contains_zoned_time(connection: &Connection, parts: &[String; 3]) -> bool {
    let quoted = parts
        .each_ref()
        .map(|part| format!("\"{}\"", part.replace('"', "\"\"")));
    let sql = format!("SELECT lower(typeof(NULL::{}))", quoted.join("."));
    let definition = connection.query_row(&sql, [], |row| row.get::<_, String>(0));
    definition.map_or(true, |text| text.contains(ZONED_TIME))
}

/// Returns the select of a `CREATE VIEW` statement as written
/// by the engine: after the first `AS` outside of parentheses.
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

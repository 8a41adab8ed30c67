//! The engine's parse tree of a statement, reduced to the names that a result depends on.
//!
//! Only listed node kinds are accepted: a tree with any other kind is not understood, and its result is not stored.

use std::collections::BTreeSet;

use duckdb::Connection;
use serde_json::{Map, Value};

/// Names of a statement, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Tables: base tables, views, or something outside of the database.
    pub(super) tables: BTreeSet<Table>,
    /// Functions and operators, without table functions.
    pub(super) calls: BTreeSet<String>,
    /// Table functions.
    pub(super) table_calls: BTreeSet<Table>,
    /// Columns; each part of a qualified name.
    pub(super) columns: BTreeSet<String>,
    /// Types by name.
    pub(super) types: BTreeSet<String>,
    /// Literals.
    pub(super) texts: BTreeSet<String>,
    /// Calls in a text that is not parsed as a tree; they include types.
    pub(super) loose_calls: BTreeSet<String>,
    /// Named subqueries.
    pub(super) subqueries: BTreeSet<String>,
    /// `true` if rows are sampled.
    pub(super) is_sampled: bool,
    /// `true` for DESCRIBE, SHOW and SUMMARIZE, which show the catalog.
    pub(super) is_shown: bool,
    /// `true` for PIVOT, whose columns depend on rows.
    pub(super) is_pivoted: bool,
}

/// Name of a table or table function; missing parts are empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Table {
    pub(super) catalog: String,
    pub(super) schema: String,
    pub(super) name: String,
}

/// Reason why there is no tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTree {
    /// The engine has no `json_serialize_sql`.
    Unavailable,
    /// The text is not a single SELECT, or contains something that is not listed.
    NotUnderstood,
}

/// Classes of expressions whose meaning depends on their children only.
const EXPRESSIONS: &[&str] = &[
    "BETWEEN",
    "CASE",
    "CAST",
    "COLLATE",
    "COLUMN_REF",
    "COMPARISON",
    "CONJUNCTION",
    "CONSTANT",
    "FUNCTION",
    "LAMBDA",
    "OPERATOR",
    "PARAMETER",
    "POSITIONAL_REFERENCE",
    "STAR",
    "SUBQUERY",
    "WINDOW",
];
/// Kinds of nodes, of modifiers and of types.
const KINDS: &[&str] = &[
    "ARRAY_TYPE_INFO",
    "BASE_TABLE",
    "CTE_NODE",
    "DECIMAL_TYPE_INFO",
    "DISTINCT_MODIFIER",
    "EMPTY",
    "EXPRESSION_LIST",
    "JOIN",
    "LIMIT_MODIFIER",
    "LIMIT_PERCENT_MODIFIER",
    "LIST_TYPE_INFO",
    "ORDER_ASCENDING",
    "ORDER_DEFAULT",
    "ORDER_DESCENDING",
    "ORDER_MODIFIER",
    "ASCENDING",
    "DESCENDING",
    "PIVOT",
    "RECURSIVE_CTE_NODE",
    "SELECT_NODE",
    "SET_OPERATION_NODE",
    "SHOW_REF",
    "STRING_TYPE_INFO",
    "STRUCT_TYPE_INFO",
    "SUBQUERY",
    "TABLE_FUNCTION",
    "UNBOUND_TYPE_INFO",
];

/// Returns the names of one SELECT. Calls the engine's parser; nothing runs.
pub(super) fn names(connection: &Connection, sql: &str) -> Result<Names, NoTree> {
    let text = serialize(connection, sql)?;
    let tree: Value = serde_json::from_str(&text).map_err(|_| NoTree::NotUnderstood)?;
    let statements = tree.get("statements").and_then(Value::as_array);
    let Some([statement]) = statements.map(Vec::as_slice) else {
        return Err(NoTree::NotUnderstood);
    };
    let mut names = Names::default();
    names.read(statement)?;
    Ok(names)
}

/// Returns the number of statements of a text, if the engine can parse all of them as SELECT.
pub(super) fn count_of_selects(connection: &Connection, sql: &str) -> Option<usize> {
    let tree: Value = serde_json::from_str(&serialize(connection, sql).ok()?).ok()?;
    Some(tree.get("statements")?.as_array()?.len())
}

fn serialize(connection: &Connection, sql: &str) -> Result<String, NoTree> {
    let unavailable = |_| NoTree::Unavailable;
    let mut statement = connection
        .prepare_cached("SELECT json_serialize_sql($1::VARCHAR)")
        .map_err(unavailable)?;
    statement
        .query_row([sql], |row| row.get(0))
        .map_err(unavailable)
}

impl Names {
    fn read(&mut self, value: &Value) -> Result<(), NoTree> {
        match value {
            Value::Object(node) => self.read_node(node),
            Value::Array(values) => values.iter().try_for_each(|value| self.read(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn read_node(&mut self, node: &Map<String, Value>) -> Result<(), NoTree> {
        let is_known = match (node.get("class"), node.get("type")) {
            (Some(class), _) => is_one_of(class, EXPRESSIONS),
            (None, Some(kind @ Value::String(_))) => is_one_of(kind, KINDS),
            // a constant with its type, a type, or a plain record
            (None, _) => true,
        };
        let is_set = |name: &str| node.get(name).is_some_and(|value| !value.is_null());
        // `at_clause`: a past state of the data
        if !is_known || is_set("at_clause") {
            return Err(NoTree::NotUnderstood);
        }
        self.is_sampled |= is_set("sample");
        match text_of(node, "class").as_str() {
            "function" | "window" => {
                self.calls.insert(text_of(node, "function_name"));
            }
            "column_ref" => add_texts(node.get("column_names"), &mut self.columns),
            "constant" => add_texts(node.get("value"), &mut self.texts),
            _ => {}
        }
        // its offset from UTC is that of the current date, whatever it is cast from and to
        if ["id", "name"]
            .iter()
            .any(|part| ["time with time zone", "timetz"].contains(&text_of(node, part).as_str()))
        {
            self.columns.insert("current_time".to_owned());
        }
        let kind = text_of(node, "type");
        match kind.as_str() {
            "base_table" => {
                self.tables.insert(Table {
                    catalog: text_of(node, "catalog_name"),
                    schema: text_of(node, "schema_name"),
                    name: text_of(node, "table_name"),
                });
            }
            "table_function" => {
                let call = node.get("function").and_then(Value::as_object);
                let call = call.ok_or(NoTree::NotUnderstood)?;
                self.table_calls.insert(Table {
                    catalog: text_of(call, "catalog"),
                    schema: text_of(call, "schema"),
                    name: text_of(call, "function_name"),
                });
                // not a call of the scalar function of that name
                call.values().try_for_each(|value| self.read(value))?;
            }
            "join" => add_texts(node.get("using_columns"), &mut self.columns),
            "unbound_type_info" => {
                self.types.insert(text_of(node, "name"));
            }
            "show_ref" => self.is_shown = true,
            "pivot" => self.is_pivoted = true,
            _ => {}
        }
        if let Some(map) = node.get("cte_map").and_then(|map| map.get("map")) {
            let entries = map.as_array().ok_or(NoTree::NotUnderstood)?;
            let keys = entries
                .iter()
                .filter_map(|entry| entry.get("key")?.as_str());
            self.subqueries.extend(keys.map(str::to_lowercase));
        }
        let is_read = |part: &str| kind == "table_function" && part == "function";
        let mut parts = node.iter().filter(|(part, _)| !is_read(part));
        parts.try_for_each(|(_, value)| self.read(value))
    }
}

/// Adds every text inside a value.
fn add_texts(value: Option<&Value>, texts: &mut BTreeSet<String>) {
    match value {
        Some(Value::String(text)) => {
            texts.insert(text.to_lowercase());
        }
        Some(Value::Array(values)) => {
            values
                .iter()
                .for_each(|value| add_texts(Some(value), texts));
        }
        Some(Value::Object(node)) => {
            node.values()
                .for_each(|value| add_texts(Some(value), texts));
        }
        _ => {}
    }
}

fn is_one_of(value: &Value, known: &[&str]) -> bool {
    value.as_str().is_some_and(|text| known.contains(&text))
}

fn text_of(node: &Map<String, Value>, name: &str) -> String {
    let text = node.get(name).and_then(Value::as_str);
    text.unwrap_or_default().to_lowercase()
}

//! Selection of the entries to invalidate.

use serde::{Deserialize, Serialize};

use crate::pattern::Pattern;
use crate::sql::could_name;

/// Selects entries by text or table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Target {
    All,
    /// Entries whose text or label matches.
    Text(Pattern),
    /// Entries that depend on this table (in lower case), or whose text does not rule it out.
    Table(String),
}

impl Target {
    pub(crate) fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Returns the pattern or the table name.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::All => "",
            Self::Text(pattern) => pattern.text(),
            Self::Table(table) => table,
        }
    }

    pub(crate) fn matches(&self, label: &str, tables: &[String]) -> bool {
        match self {
            Self::All => true,
            Self::Text(pattern) => pattern.matches(label),
            Self::Table(table) => {
                let known = tables.iter().any(|known| known == table);
                let is_function = label.starts_with("fn:");
                known || !is_function && could_name(label, table)
            }
        }
    }
}

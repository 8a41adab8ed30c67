//! The rules of systems, by their names.

/// Systems in which a backslash in a text is one, `"` encloses a name and `#` begins no comment.
const STANDARD: [&str; 8] = [
    "derby",
    "firebirdsql",
    "h2database",
    "hsqldb",
    "ibm.db2",
    "sqlite",
    "teradata",
    "trino",
];
/// Systems like the standard ones in which comments nest.
const NESTING: [&str; 4] = ["cockroachdb", "duckdb", "greenplum", "postgresql"];
/// Systems in which a backslash escapes, and `"` encloses a name.
const ESCAPING: [&str; 4] = ["aws.redshift", "clickhouse", "redshift", "snowflake"];
/// Systems like the standard ones in which `[..]` encloses a name.
const BRACKETS: [&str; 3] = ["microsoft.sql_server", "mssql", "sqlserver"];
/// Systems like the standard ones in which `q'[..]'` encloses text.
const ORACLE: [&str; 2] = ["oracle.db", "oracle"];
/// Systems of GoogleSQL.
const GOOGLE: [&str; 2] = ["bigquery", "gcp.bigquery"];

/// Systems whose statements are commands with bare arguments, as in `SET key value`.
const COMMANDS: [&str; 4] = ["keydb", "memcached", "redis", "valkey"];

/// Reports whether the statements of a system are such commands.
pub(super) fn has_commands(system: &str) -> bool {
    COMMANDS
        .iter()
        .any(|name| system.eq_ignore_ascii_case(name))
}

/// The rules by which a system finds the end of a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Standard,
    /// Rules of the standard ones, and comments nest.
    Nesting,
    /// Rules of the standard ones, and `//` begins a comment.
    Cassandra,
    Escaping,
    Brackets,
    Oracle,
    /// A backslash escapes, `"` encloses text and `#` begins a comment.
    Mysql,
    /// Rules of MySQL, and three quotes enclose text that may have fewer of them in it.
    Google,
    /// Rules of GoogleSQL or of PostgreSQL: what may be text is.
    Spanner,
    /// Nobody knows: what may be text is.
    Unknown,
}

/// Meaning of a backslash in a text.
#[derive(Clone, Copy)]
pub(super) enum Backslash {
    IsText,
    Escapes,
    /// Nobody knows: behind one before a quote the text may end or not, and all that follows counts as part of it.
    Unknown,
}

impl Dialect {
    pub(super) fn of(system: &str) -> Self {
        let is = |name: &&str| system.eq_ignore_ascii_case(name);
        if STANDARD.iter().any(is) {
            Self::Standard
        } else if NESTING.iter().any(is) {
            Self::Nesting
        } else if is(&"cassandra") {
            Self::Cassandra
        } else if ["mysql", "mariadb"].iter().any(is) {
            Self::Mysql
        } else if GOOGLE.iter().any(is) {
            Self::Google
        } else if ["gcp.spanner", "spanner"].iter().any(is) {
            Self::Spanner
        } else if ESCAPING.iter().any(is) {
            Self::Escaping
        } else if BRACKETS.iter().any(is) {
            Self::Brackets
        } else if ORACLE.iter().any(is) {
            Self::Oracle
        } else {
            Self::Unknown
        }
    }

    pub(super) fn backslash(self) -> Backslash {
        match self {
            Self::Escaping | Self::Mysql | Self::Google => Backslash::Escapes,
            Self::Spanner | Self::Unknown => Backslash::Unknown,
            _ => Backslash::IsText,
        }
    }

    /// A backslash escapes in names too, as in ClickHouse.
    pub(super) fn escapes_names(self) -> bool {
        matches!(
            self,
            Self::Escaping | Self::Google | Self::Spanner | Self::Unknown
        )
    }

    pub(super) fn has_quoted_text(self) -> bool {
        matches!(
            self,
            Self::Mysql | Self::Google | Self::Spanner | Self::Unknown
        )
    }

    /// `q'[it's]'` is text.
    pub(super) fn has_delimited_text(self) -> bool {
        matches!(self, Self::Oracle | Self::Unknown)
    }

    /// `INSERT INTO t FORMAT CSV` has rows behind it.
    pub(super) fn has_data_in_statements(self) -> bool {
        matches!(self, Self::Escaping | Self::Unknown)
    }

    /// Returns whether comments nest; `None` if nobody knows, or some of these systems differ.
    pub(super) fn nests_comments(self) -> Option<bool> {
        match self {
            Self::Nesting | Self::Brackets => Some(true),
            Self::Cassandra | Self::Oracle | Self::Mysql | Self::Google => Some(false),
            Self::Standard | Self::Escaping | Self::Spanner | Self::Unknown => None,
        }
    }

    /// `//` begins a comment in some systems, such as Snowflake, and is an operator in others, such as DuckDB.
    pub(super) fn has_slash_comments(self) -> bool {
        matches!(self, Self::Cassandra | Self::Escaping | Self::Unknown)
    }

    /// `#` is an operator or part of a name in some systems, and begins a comment in others if a blank follows.
    pub(super) fn is_comment(self, text: &str) -> bool {
        match self {
            Self::Mysql | Self::Google | Self::Spanner => true,
            Self::Escaping | Self::Unknown => text.starts_with("# ") || text.starts_with("#!"),
            _ => false,
        }
    }
}

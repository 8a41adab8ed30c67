//! Syntax of database systems by name: the names of the semantic conventions, earlier names and common ones.

/// Systems in which a backslash in a text is an ordinary character,
/// `"` encloses a name and `#` does not begin a comment.
const STANDARD: [&str; 7] = [
    "db2",
    "derby",
    "firebird",
    "firebirdsql",
    "ibm.db2",
    "teradata",
    "trino",
];
/// Systems with the standard rules in which `//` begins a comment.
const SLASHES: [&str; 3] = ["h2", "h2database", "hsqldb"];
/// Systems with the standard rules in which comments nest.
const NESTING: [&str; 5] = [
    "cockroachdb",
    "duckdb",
    "greenplum",
    "postgres",
    "postgresql",
];
/// Systems in which a backslash escapes, and `"` encloses a name.
const ESCAPING: [&str; 4] = ["aws.redshift", "clickhouse", "redshift", "snowflake"];
/// Systems with the standard rules in which `[..]` encloses a name.
const BRACKETS: [&str; 3] = ["microsoft.sql_server", "mssql", "sqlserver"];
/// Systems with the standard rules in which `q'[..]'` encloses text.
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

/// Rules by which the end of a text is found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Standard,
    /// Standard rules, and `//` begins a comment.
    Slashes,
    /// Standard rules, `[..]` encloses a name, and `".."` encloses text where no name can occur.
    Sqlite,
    /// Standard rules, and comments nest.
    Nesting,
    /// Standard rules, `//` begins a comment, and comments do not nest.
    Cassandra,
    Escaping,
    Brackets,
    Oracle,
    /// A backslash escapes, `"` encloses text, `#` begins a comment, and so does `--` if a blank follows.
    Mysql,
    /// A backslash escapes, `"` encloses text, `//` begins a comment, and `--` is a relationship.
    Cypher,
    /// Rules of MySQL, and three quotes enclose text that may contain fewer of them.
    Google,
    /// Rules of GoogleSQL or of PostgreSQL: anything that may be text is text.
    Spanner,
    /// Unknown rules: anything that may be text is text.
    Unknown,
}

/// Meaning of a backslash in a text.
#[derive(Clone, Copy)]
pub(super) enum Backslash {
    IsText,
    Escapes,
    /// Unknown: after a backslash before a quote the text may end
    /// or not, so everything that follows counts as part of it.
    Unknown,
}

impl Dialect {
    pub(super) fn of(system: &str) -> Self {
        let is = |name: &&str| system.eq_ignore_ascii_case(name);
        if STANDARD.iter().any(is) {
            Self::Standard
        } else if SLASHES.iter().any(is) {
            Self::Slashes
        } else if is(&"sqlite") {
            Self::Sqlite
        } else if is(&"neo4j") {
            Self::Cypher
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
            Self::Escaping | Self::Mysql | Self::Google | Self::Cypher => Backslash::Escapes,
            Self::Spanner | Self::Unknown => Backslash::Unknown,
            _ => Backslash::IsText,
        }
    }

    /// Reports whether a backslash may escape in names too, as in ClickHouse.
    pub(super) fn escapes_names(self) -> bool {
        matches!(
            self,
            Self::Escaping | Self::Google | Self::Spanner | Self::Unknown
        )
    }

    pub(super) fn has_quoted_text(self) -> bool {
        matches!(
            self,
            Self::Mysql | Self::Google | Self::Cypher | Self::Spanner | Self::Unknown
        )
    }

    /// Reports whether `[..]` encloses a name.
    pub(super) fn has_brackets(self) -> bool {
        matches!(self, Self::Brackets | Self::Sqlite)
    }

    /// Reports whether `q'[it's]'` may be text.
    pub(super) fn has_delimited_text(self) -> bool {
        matches!(self, Self::Oracle | Self::Unknown)
    }

    /// Reports whether rows may follow `INSERT INTO t FORMAT CSV`.
    pub(super) fn has_data_in_statements(self) -> bool {
        matches!(self, Self::Escaping | Self::Unknown)
    }

    /// Returns whether comments nest; `None` if it is unknown, or the systems of this dialect differ.
    pub(super) fn nests_comments(self) -> Option<bool> {
        match self {
            Self::Nesting | Self::Brackets => Some(true),
            Self::Cassandra
            | Self::Oracle
            | Self::Mysql
            | Self::Google
            | Self::Cypher
            | Self::Sqlite => Some(false),
            Self::Standard | Self::Slashes | Self::Escaping | Self::Spanner | Self::Unknown => None,
        }
    }

    /// Returns whether `//` begins a comment, as in Snowflake,
    /// or is an operator, as in DuckDB; `None` if it is unknown.
    pub(super) fn has_slash_comments(self) -> Option<bool> {
        match self {
            Self::Cassandra | Self::Slashes | Self::Escaping | Self::Cypher => Some(true),
            Self::Unknown => None,
            _ => Some(false),
        }
    }

    /// Returns whether the `--` at the start of the text begins a comment; `None` if it is unknown.
    pub(super) fn is_dash_comment(self, text: &str) -> Option<bool> {
        let is_spaced = |rest: &str| {
            let next = rest.bytes().next();
            next.is_none_or(|byte| byte == b' ' || byte.is_ascii_control())
        };
        match self {
            Self::Mysql => Some(is_spaced(&text[2..])),
            Self::Cypher => Some(false),
            // of a line of dashes, as above a heading, the last two begin a comment
            Self::Unknown => is_spaced(text.trim_start_matches('-')).then_some(true),
            _ => Some(true),
        }
    }

    /// Reports whether `#` begins a comment. In some systems it is an
    /// operator or part of a name, in others a blank has to follow.
    pub(super) fn is_comment(self, text: &str) -> bool {
        match self {
            Self::Mysql | Self::Google | Self::Spanner => true,
            Self::Escaping | Self::Unknown => text.starts_with("# ") || text.starts_with("#!"),
            _ => false,
        }
    }
}

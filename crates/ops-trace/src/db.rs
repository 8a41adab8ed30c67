mod dialect;
mod ends;

use std::borrow::Cow;

use dialect::{Backslash, Dialect};
use ends::{comment, delimited, digits, dollar_quoted, line, literal, number, quoted};

use crate::limits::{MAX_VALUE_BYTES, cut};
use crate::options::SpanOptions;
use crate::{Handle, Span, SpanKind, SpanStart, Value, global};

/// Maximum bytes of a summary, which is the span's name.
const MAX_SUMMARY_BYTES: usize = 200;

/// Builder of the span of a query by the semantic conventions for databases, from [`query_span`].
#[must_use = "no span is created until `start` is called"]
#[derive(Debug)]
pub struct QuerySpan {
    handle: Option<Handle>,
    system: Cow<'static, str>,
    statement: String,
    kind: SpanKind,
    attributes: Vec<(&'static str, Value)>,
}

/// Begins the span of a query: the system's name, such as `postgresql`, `sqlite` or `duckdb`, the statement, and
/// [`SpanKind::Client`] for a database over the network, [`SpanKind::Internal`] for one inside the process.
///
/// Literals of the statement become `?` and comments are removed, so that no value is recorded;
/// parameters are never recorded. The system determines which texts are literals; for an unknown system
/// `".."` is one too. For a system of commands, such as `redis`, only the name of the command is
/// recorded: `SET ?`. The span's name is `db.query.summary`, such as `SELECT users`.
///
/// ```
/// use ops_trace::{SpanKind, query_span};
///
/// # async fn execute() -> Result<u64, &'static str> { Ok(1) }
/// # async fn example() {
/// let span = query_span("postgresql", "SELECT * FROM users WHERE id = $1", SpanKind::Client)
///     .server("db.internal", 5432)
///     .namespace("shop")
///     .start();
/// let rows = span.instrument(execute()).await;
/// # }
/// ```
pub fn query_span(
    system: impl Into<Cow<'static, str>>,
    statement: &str,
    kind: SpanKind,
) -> QuerySpan {
    QuerySpan::new(global().cloned(), system.into(), statement, kind)
}

impl Handle {
    /// Begins the span of a query; see [`query_span`].
    pub fn query_span(
        &self,
        system: impl Into<Cow<'static, str>>,
        statement: &str,
        kind: SpanKind,
    ) -> QuerySpan {
        QuerySpan::new(Some(self.clone()), system.into(), statement, kind)
    }
}

impl QuerySpan {
    fn new(
        handle: Option<Handle>,
        system: Cow<'static, str>,
        statement: &str,
        kind: SpanKind,
    ) -> Self {
        let statement = match &handle {
            Some(_) if dialect::has_commands(&system) => command(statement),
            Some(_) => sanitized(statement, Dialect::of(&system)),
            None => String::new(),
        };
        Self {
            handle,
            system,
            statement,
            kind,
            attributes: Vec::new(),
        }
    }

    /// Sets the host and port of the database.
    pub fn server(mut self, address: impl Into<String>, port: u16) -> Self {
        self.attributes
            .push(("server.address", address.into().into()));
        self.attributes.push(("server.port", port.into()));
        self
    }

    /// Sets the name of the database, qualified as the system does.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.attributes.push(("db.namespace", name.into().into()));
        self
    }

    /// Sets the number of statements of a batch; fewer than two are ignored.
    pub fn batch(mut self, statements: u32) -> Self {
        if statements > 1 {
            self.attributes
                .push(("db.operation.batch.size", statements.into()));
        }
        self
    }

    /// Starts the span. [`Span::set_error`] takes the error of the database, such as its SQLSTATE.
    pub fn start(self) -> Span {
        let summary = summary(&self.statement, Dialect::of(&self.system));
        let name = match summary.text.as_str() {
            "" => self.system.clone(),
            text => Cow::Owned(text.to_owned()),
        };
        let options = SpanOptions::default().kind(self.kind);
        let mut span = SpanStart::with_options(self.handle.as_ref(), name, options);
        if span.is_recording() {
            span.attribute("db.system.name", Value::from(self.system));
            if !summary.text.is_empty() {
                span.attribute("db.query.summary", summary.text);
                span.attribute("db.operation.name", summary.operation);
            }
            if let Some(collection) = summary.collection {
                span.attribute("db.collection.name", collection);
            }
            if !self.statement.is_empty() {
                span.attribute("db.query.text", self.statement);
            }
            for (key, value) in self.attributes {
                span.attribute(key, value);
            }
        }
        span.span()
    }
}

#[derive(Default)]
struct Summary {
    text: String,
    operation: String,
    /// The table, if there is only one.
    collection: Option<String>,
}

/// Returns the operation and the tables of a sanitized statement.
fn summary(statement: &str, dialect: Dialect) -> Summary {
    let mut words = words(statement, dialect);
    let is_word = |word: &&str| word.bytes().all(|b| b.is_ascii_alphabetic());
    let first = words.find(|word| !is_mark(word));
    let Some(first) = first.filter(is_word) else {
        return Summary::default();
    };
    let operation = first.to_ascii_uppercase();
    let mut text = operation.clone();
    let mut tables: Vec<&str> = Vec::new();
    let (mut before, mut is_table, mut is_listed) = ("", false, false);
    // a bit for each open parenthesis, set if it belongs to a function with a FROM of its own
    let mut functions = 0_u64;
    // number of words other than `AS` that may still come before a comma and another table, as in `FROM a x, b`
    let mut aliases: Option<u8> = None;
    // an ALTER lists changes, not tables
    let has_lists = operation != "ALTER";
    let mut next = Some(first);
    while let Some(word) = next {
        next = words.next();
        match word {
            "(" => functions = functions << 1 | u64::from(is_any(before, FUNCTIONS_WITH_FROM)),
            ")" => functions >>= 1,
            "," => (is_table, is_listed) = (aliases.is_some(), aliases.is_some()),
            _ => {}
        }
        if is_mark(word) {
            aliases = None;
            continue;
        }
        let is_function = std::mem::take(&mut is_listed) && next == Some("(");
        let may_be_table = is_table && !is_function && !is_any(word, NO_TABLES);
        is_table = match word {
            _ if is_any(word, &["ONLY", "IF", "NOT", "EXISTS"]) => is_table,
            // a table function, or the columns of a table variable
            _ if is_any(word, &["TABLE"]) && next == Some("(") => false,
            _ => functions & 1 == 0 && precedes_table(word, before),
        };
        let before = std::mem::replace(&mut before, word);
        aliases = match aliases {
            // one alias may follow, unless this is the only table of an INSERT or ALTER
            _ if may_be_table => has_lists
                .then_some(1)
                .filter(|_| !is_any(before, &["INTO"])),
            left if is_any(word, &["AS"]) => left,
            left => left.and_then(|words| words.checked_sub(1)),
        };
        if !may_be_table || tables.contains(&word) {
            continue;
        }
        if text.len() + 1 + word.len() > MAX_SUMMARY_BYTES {
            break;
        }
        tables.push(word);
        text.push(' ');
        text.push_str(word);
    }
    let collection = match tables[..] {
        [table] => Some(table.to_owned()),
        _ => None,
    };
    Summary {
        text,
        operation,
        collection,
    }
}

/// Functions whose arguments may contain `FROM`, as in `EXTRACT(YEAR FROM day)`.
const FUNCTIONS_WITH_FROM: &[&str] = &["EXTRACT", "TRIM", "SUBSTRING", "OVERLAY"];

/// Words in the position of a table that are not tables.
const NO_TABLES: &[&str] = &[
    "SELECT", "ONLY", "IF", "NOT", "EXISTS", "SET", "INTO", "LATERAL", "STDIN", "TABLE", "VALUES",
    "WITH", "?",
];

/// Reports whether a table follows a word. None follows in `FOR UPDATE SKIP LOCKED`, `ON DUPLICATE KEY UPDATE a`,
/// `DO UPDATE SET`, `ON UPDATE CASCADE` and `IS DISTINCT FROM a`.
fn precedes_table(word: &str, before: &str) -> bool {
    match word {
        _ if is_any(word, &["UPDATE"]) => !is_any(before, &["FOR", "KEY", "DO", "ON"]),
        _ if is_any(word, &["FROM"]) => !is_any(before, &["DISTINCT"]),
        // a column may be named `COPY`
        _ if is_any(word, &["COPY"]) => before.is_empty(),
        // ClickHouse's ARRAY JOIN joins arrays, not tables
        _ if is_any(word, &["JOIN"]) => !is_any(before, &["ARRAY"]),
        _ => is_any(word, &["INTO", "TABLE"]),
    }
}

fn is_any(word: &str, of: &[&str]) -> bool {
    of.iter().any(|known| known.eq_ignore_ascii_case(word))
}

fn is_mark(word: &str) -> bool {
    matches!(word, "(" | ")" | ",")
}

/// Returns the words, parentheses and commas of a sanitized statement; a quoted name is part of a word.
fn words(statement: &str, dialect: Dialect) -> impl Iterator<Item = &str> {
    const ENDS: [char; 5] = [' ', '(', ')', ',', ';'];
    let mut quote = None;
    let is_end = move |c: char| {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '`' => quote = Some(c),
            None if c == '[' && dialect.has_brackets() => quote = Some(']'),
            _ => {}
        }
        quote.is_none() && ENDS.contains(&c)
    };
    let pieces = statement.split_inclusive(is_end);
    let pieces = pieces.flat_map(|piece| {
        let word = piece.strip_suffix(ENDS).unwrap_or(piece);
        let end = piece.get(word.len()..).unwrap_or_default();
        [word, if is_mark(end) { end } else { "" }]
    });
    pieces.filter(|word| !word.is_empty())
}

/// Returns the statement with each literal as `?`, without comments, and
/// with one blank between words. An unterminated quote extends to the end.
fn sanitized(statement: &str, dialect: Dialect) -> String {
    let mut text = String::with_capacity(statement.len().min(MAX_VALUE_BYTES));
    let mut rest = statement;
    while let Some(first) = rest.chars().next() {
        if text.len() > MAX_VALUE_BYTES {
            break;
        }
        let (taken, shown) = token(rest, first, &text, dialect);
        match shown {
            Shown::Blank if text.is_empty() || text.ends_with(' ') => {}
            Shown::Blank => text.push(' '),
            // a list of values becomes a single `?`
            Shown::Literal => match before_comma(&text).filter(|value| value.ends_with('?')) {
                Some(value) => text.truncate(value.len()),
                None => text.push('?'),
            },
            Shown::AsIs => text.push_str(&rest[..taken]),
        }
        rest = &rest[taken..];
    }
    text.truncate(text.trim_end().len());
    cut(text, MAX_VALUE_BYTES)
}

/// Returns the name of a command, and `?` for all of its arguments: values cannot be distinguished from the rest.
fn command(statement: &str) -> String {
    let mut words = statement.split_whitespace();
    let is_name = |word: &&str| {
        let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        word.len() <= MAX_SUMMARY_BYTES && word.chars().all(is_known)
    };
    match (words.next(), words.next()) {
        (None, _) => String::new(),
        (Some(name), None) if is_name(&name) => name.to_owned(),
        (Some(name), Some(_)) if is_name(&name) => format!("{name} ?"),
        _ => "?".to_owned(),
    }
}

enum Shown {
    AsIs,
    Blank,
    Literal,
}

/// Returns the length in bytes of the first token, and how it is shown; `before` is the text shown so far.
fn token(text: &str, first: char, before: &str, dialect: Dialect) -> (usize, Shown) {
    let in_word = match before.strip_suffix(':') {
        Some(before) => is_parameter_after(before),
        None => before.ends_with(|c| is_word(c) || c == '$' || c == '"'),
    };
    match first {
        '"' if is_password_after(before, dialect) => {
            (quoted(text, '"', dialect.backslash()), Shown::Literal)
        }
        _ if is_word(first) && is_password_after(before, dialect) => {
            let end = text.find(|c| !is_word(c) && !matches!(c, '$' | '#'));
            (end.unwrap_or(text.len()), Shown::Literal)
        }
        _ if first.is_whitespace() => {
            let end = text.find(|c: char| !c.is_whitespace());
            (end.unwrap_or(text.len()), Shown::Blank)
        }
        _ if dialect.has_data_in_statements() && first != ';' && is_data_after(before) => {
            (text.len(), Shown::Literal)
        }
        _ if !in_word && is_uuid(text) => (UUID_BYTES, Shown::Literal),
        '-' if text.starts_with("--") => comment_line(text, dialect.is_dash_comment(text)),
        // the slashes of `file:///data/a` do not begin a comment
        '/' if text.starts_with("//") && !before.ends_with([':', '/']) => {
            comment_line(text, dialect.has_slash_comments())
        }
        '/' if text.starts_with("/*") => (comment(text, dialect.nests_comments()), Shown::Blank),
        '#' if dialect.is_comment(text) => (line(text), Shown::Blank),
        '\'' => (literal(text, '\'', dialect), Shown::Literal),
        '"' if dialect.has_quoted_text() || dialect == Dialect::Sqlite && is_text(text, before) => {
            (literal(text, '"', dialect), Shown::Literal)
        }
        '"' | '`' => name(text, first, dialect),
        '[' if dialect.has_brackets() => name(text, ']', dialect),
        // `?1` is a parameter
        '?' => (1 + digits(&text[1..]), Shown::AsIs),
        // an amount of money
        '$' if dialect == Dialect::Brackets
            && !in_word
            && text[1..].starts_with(|c: char| c.is_ascii_digit()) =>
        {
            (1 + number(&text[1..]), Shown::Literal)
        }
        '$' if !in_word => match dollar_quoted(text) {
            Some(end) => (end, Shown::Literal),
            None => (1, Shown::AsIs),
        },
        '0'..='9' if !in_word => (number(text), Shown::Literal),
        _ if first.is_alphabetic() || first == '_' => {
            let end = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
            if dialect.has_delimited_text()
                && let Some(end) = delimited(text)
            {
                return (end, Shown::Literal);
            }
            // E'..', B'..', X'..', N'..', U&'..'
            let prefix = text.get(1..2) == Some("'") || text.get(1..3) == Some("&'");
            if prefix && "eEbBxXnNuUrR".contains(first) {
                let quote = text.find('\'').unwrap_or(1);
                let text = &text[quote..];
                let end = match first {
                    'e' | 'E' => quoted(text, '\'', Backslash::Escapes),
                    _ => literal(text, '\'', dialect),
                };
                return (quote + end, Shown::Literal);
            }
            (end, Shown::AsIs)
        }
        _ => (first.len_utf8(), Shown::AsIs),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Length of a UUID such as `123e4567-e89b-12d3-a456-426655440000`, which is a value without apostrophes in Cassandra.
const UUID_BYTES: usize = 36;

fn is_uuid(text: &str) -> bool {
    let is_digit = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    let parts = text.split_at_checked(UUID_BYTES);
    parts.is_some_and(|(uuid, rest)| {
        uuid.bytes().enumerate().all(is_digit) && !rest.starts_with(is_word)
    })
}

/// Reports whether rows follow, as after `INSERT INTO t FORMAT JSONEachRow` in ClickHouse.
fn is_data_after(before: &str) -> bool {
    let of_format = before.strip_suffix(' ').and_then(|before| {
        let (before, format) = before.rsplit_once(' ')?;
        let is_format = format.chars().all(is_word) && !is_any(format, &["FROM"]);
        without_end(before, "FORMAT").filter(|_| is_format)
    });
    of_format.is_some_and(|before| is_any(verb(before), &["INSERT"]))
}

/// Returns the first word of the last statement of the text.
fn verb(before: &str) -> &str {
    let statement = before.rsplit(';').next().unwrap_or_default();
    statement.split_whitespace().next().unwrap_or_default()
}

/// Reports whether the next word or quoted name is a password. It may be without apostrophes in
/// `ALTER USER a IDENTIFIED BY b REPLACE c`, `GRANT CONNECT TO a, b IDENTIFIED BY c, d`,
/// `ALTER KEYSTORE PASSWORD IDENTIFIED BY a SET b` and `EXPORT KEYS WITH SECRET a` of Oracle,
/// `MODIFY USER a AS PASSWORD = b` of Teradata and `CREATE USER a PASSWORD b` of SAP HANA. In MySQL a user follows the
/// comma, and an option follows the word `PASSWORD`.
fn is_password_after(before: &str, dialect: Dialect) -> bool {
    let is_first = |before: &str| without_end(before, "IDENTIFIED BY").is_some();
    let has_one = |before: &str| without_end(before, "?").is_some_and(is_first);
    let follows = |word| without_end(before, word).is_some_and(has_one);
    is_first(before)
        || follows("REPLACE")
        || follows("SET")
        || dialect != Dialect::Mysql && before_comma(before).is_some_and(has_one)
        || dialect == Dialect::Oracle && without_end(before, "WITH SECRET").is_some()
        || matches!(
            dialect,
            Dialect::Standard
                | Dialect::Slashes
                | Dialect::Sqlite
                | Dialect::Nesting
                | Dialect::Cassandra
                | Dialect::Spanner
                | Dialect::Unknown
        ) && (is_option_password(before) || is_key_after(before))
}

/// Reports whether the key of an encrypted file follows, as in
/// `PRAGMA key = "x'2DD2'"` and `ATTACH 'a' AS b KEY "c"` of SQLite extensions.
fn is_key_after(before: &str) -> bool {
    let value_of = ["=", "("].iter().find_map(|end| without_end(before, end));
    without_end(value_of.unwrap_or(before), "KEY").is_some()
        && is_any(verb(before), &["ATTACH", "PRAGMA"])
}

/// Reports whether the text ends with `PASSWORD` or `PASSWORD =` in a
/// statement about a user. In other statements `PASSWORD` is a column.
fn is_option_password(before: &str) -> bool {
    let option = without_end(before, "=").unwrap_or(before);
    if without_end(option, "PASSWORD").is_none() {
        return false;
    }
    let statement = before.rsplit(';').next().unwrap_or_default();
    let mut words = statement.split_whitespace();
    let verb = words.next().unwrap_or_default();
    // CREATE OR REPLACE USER
    let mut object = words.next().unwrap_or_default();
    if is_any(object, &["OR"]) {
        object = words.nth(1).unwrap_or_default();
    }
    is_any(verb, &["CONNECT"])
        || is_any(verb, &["SET"]) && is_any(object, &["PASSWORD"])
        || is_any(verb, &["CREATE", "ALTER", "MODIFY", "VALIDATE"])
            && is_any(object, &["USER", "ROLE", "LOGIN"])
}

/// Returns the text before its final comma; `None` if it does not end with a comma.
fn before_comma(text: &str) -> Option<&str> {
    without_end(text, ",").map(str::trim_end)
}

/// Returns the text before this ending, which matches in any case and may be followed by blanks.
fn without_end<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    let text = text.trim_end();
    let (before, found) = text.split_at_checked(text.len().checked_sub(end.len())?)?;
    found.eq_ignore_ascii_case(end).then_some(before)
}

/// Reports whether a number after a colon is a parameter, such
/// as `:1`. In `{'a':1}` and `a[1:2]` the colon follows a value.
fn is_parameter_after(before: &str) -> bool {
    let is_value = |c: char| is_word(c) || "?\"`)]}[:".contains(c);
    let is_key = |c: char| matches!(c, '?' | '"');
    !before.ends_with(is_value) && !before.trim_end().ends_with(is_key)
}

/// Returns a comment up to the end of its line, or the first character of an operator. If it is
/// unknown which of the two it is, the line is hidden; if the line contains a quote, the rest
/// of the text is hidden too, because a literal may begin there.
fn comment_line(text: &str, is_comment: Option<bool>) -> (usize, Shown) {
    // before the end of the line is searched: a long line may contain many operators
    if is_comment == Some(false) {
        return (1, Shown::AsIs);
    }
    let end = line(text);
    let has_quote = || text[..end].contains(['\'', '"', '`', '$']) || text[..end].contains("/*");
    match is_comment {
        None if has_quote() => (text.len(), Shown::Literal),
        _ => (end, Shown::Blank),
    }
}

/// Reports whether a double-quoted name is text, as in SQLite if it matches no name: it is in the position of a value,
/// is not followed by a dot, and was not a name before, as in `SET "a" = "a" + 1`.
fn is_text(text: &str, before: &str) -> bool {
    const BEFORE_VALUES: [&str; 7] = ["LIKE", "GLOB", "MATCH", "REGEXP", "ESCAPE", "BETWEEN", "IS"];
    let (name, rest) = text.split_at(quoted(text, '"', Backslash::IsText));
    if rest.starts_with('.') {
        return false;
    }
    let is_between =
        |before| without_end(before, "?").is_some_and(|b| is_any(last_word(b), &["BETWEEN"]));
    let is_value = before.trim_end().ends_with(['=', '<', '>'])
        || is_any(last_word(before), &BEFORE_VALUES)
        || without_end(before, "AND").is_some_and(is_between)
        || is_in_list(before);
    is_value && !before.contains(name)
}

/// Reports whether a value of `IN (..)` or of `VALUES (..), (..)` follows.
fn is_in_list(before: &str) -> bool {
    let Some((before, values)) = before.rsplit_once('(') else {
        return false;
    };
    let is_row =
        |before: &str| before.ends_with(')') && is_any(verb(before), &["INSERT", "REPLACE"]);
    let begins = values.split_whitespace().next().unwrap_or_default();
    let is_query = is_any(begins, &["SELECT", "WITH"]);
    let is_value = begins.is_empty() || values.trim_end().ends_with(',');
    !is_query
        && is_value
        && !values.contains(')')
        && (is_any(last_word(before), &["IN", "VALUES"])
            || before_comma(before).is_some_and(is_row))
}

/// Returns the last word of the text; blanks may follow it.
fn last_word(text: &str) -> &str {
    text.trim_end()
        .rsplit(|c| !is_word(c))
        .next()
        .unwrap_or_default()
}

/// Returns a quoted name. An unterminated name is hidden. If a backslash
/// may escape the quote, as in some systems, the rest is hidden.
fn name(text: &str, quote: char, dialect: Dialect) -> (usize, Shown) {
    let end = quoted(text, quote, Backslash::IsText);
    let is_escaped = |pair: &[u8]| pair[0] == b'\\' && char::from(pair[1]) == quote;
    let is_closed = text.get(1..end).is_some_and(|rest| rest.ends_with(quote));
    if !is_closed {
        (end, Shown::Literal)
    } else if dialect.escapes_names() && text.as_bytes()[..end].windows(2).any(is_escaped) {
        (text.len(), Shown::Literal)
    } else {
        (end, Shown::AsIs)
    }
}

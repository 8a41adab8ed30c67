//! Test files in DuckDB's dialect of sqllogictest, parsed into records.

use std::collections::VecDeque;

/// Directives without effect here.
const IGNORED: &[&str] = &["tags", "set", "reset", "hash-threshold"];
/// Modes that affect only the output of DuckDB's own runner.
const MODES: &[&str] = &[
    "debug",
    "no_output",
    "output_hash",
    "output_result",
    "skip",
    "unskip",
];
/// Conditions on the value of a loop variable, longer ones first.
const COMPARISONS: &[&str] = &["<=", ">=", "!=", "<>", "=", "<", ">"];

/// Problem of a file, and its line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    pub(super) line: usize,
    pub(super) problem: String,
}

#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) line: usize,
    pub(super) conditions: Vec<Condition>,
    pub(super) command: Command,
}

/// `skipif` or `onlyif`, on the engine or on the value of a loop variable.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) is_skip: bool,
    pub(super) subject: String,
    /// A comparison and its right-hand side.
    pub(super) comparison: Option<(&'static str, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    Ok,
    Error,
    Maybe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    None,
    Rows,
    Values,
}

#[derive(Clone, Debug)]
pub(super) enum Command {
    Statement {
        expect: Expect,
        sql: String,
        message: Option<String>,
    },
    Query {
        columns: usize,
        sort: Sort,
        sql: String,
        expected: Option<Vec<String>>,
    },
    Loop {
        names: Vec<String>,
        values: Values,
        body: Vec<Record>,
    },
    Require(Vec<String>),
    RequireEnv(Vec<String>),
    TestEnv(String, String),
    IsSkipping(bool),
    Load {
        path: String,
        is_read_only: bool,
    },
    Restart,
    Halt,
    Nothing,
}

#[derive(Clone, Debug)]
pub(super) enum Values {
    /// From the first value up to, but excluding, the second; both may name a variable.
    Range(String, String),
    List(Vec<String>),
}

/// Parses a whole file: with one unknown directive, none of it is run.
pub(super) fn parse(text: &str) -> Result<Vec<Record>, Unknown> {
    let lines = text.lines().map(|line| line.trim_end_matches('\r'));
    let mut lines: Lines<'_> = (1..).zip(lines).collect();
    let records = block(&mut lines, None)?;
    Ok(records)
}

type Lines<'a> = VecDeque<(usize, &'a str)>;

/// Parses the records up to the end of a loop, or of the file.
fn block(lines: &mut Lines<'_>, opened: Option<usize>) -> Result<Vec<Record>, Unknown> {
    let mut records = Vec::new();
    let mut conditions = Vec::new();
    while let Some((line, text)) = lines.pop_front() {
        if is_blank(text) {
            continue;
        }
        let unknown = |problem: &str| Unknown {
            line,
            problem: format!("{problem}: {text:?}"),
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let rest = &words[1..];
        let command = match (words[0], rest) {
            ("skipif" | "onlyif", [condition]) => {
                conditions.push(condition_of(words[0] == "skipif", condition));
                continue;
            }
            ("endloop", []) => match opened {
                Some(_) => return Ok(records),
                None => return Err(unknown("no loop is open")),
            },
            ("statement", [expect, ..]) => {
                let expect = match *expect {
                    "ok" | "debug" | "debug_ok" => Expect::Ok,
                    "error" | "debug_error" => Expect::Error,
                    "maybe" => Expect::Maybe,
                    _ => return Err(unknown("unknown expectation")),
                };
                let sql = text_of(lines);
                let message = results(lines).map(|lines| lines.join("\n"));
                Command::Statement {
                    expect,
                    sql,
                    message,
                }
            }
            ("query", [types, more @ ..]) => {
                if !types.chars().all(|kind| "TIR".contains(kind)) {
                    return Err(unknown("unknown type of a column"));
                }
                let sort = match more.first() {
                    Some(&("rowsort" | "sort")) => Sort::Rows,
                    Some(&"valuesort") => Sort::Values,
                    // the name of a connection or of a result
                    _ => Sort::None,
                };
                Command::Query {
                    columns: types.len(),
                    sort,
                    sql: text_of(lines),
                    expected: results(lines),
                }
            }
            ("loop" | "concurrentloop", [name, from, to]) => Command::Loop {
                names: vec![(*name).to_owned()],
                values: Values::Range((*from).to_owned(), (*to).to_owned()),
                body: block(lines, Some(line))?,
            },
            ("foreach" | "concurrentforeach", [names, _, ..]) => Command::Loop {
                names: names.split(',').map(str::to_owned).collect(),
                values: Values::List(values(&rest[1..]).map_err(|problem| unknown(&problem))?),
                body: block(lines, Some(line))?,
            },
            ("require", [_, ..]) => Command::Require(owned(rest)),
            ("require-env", [_, ..]) => Command::RequireEnv(owned(rest)),
            ("test-env", [name, value @ ..]) => {
                Command::TestEnv((*name).to_owned(), value.join(" "))
            }
            ("mode", [mode, ..]) if MODES.contains(mode) => match *mode {
                "skip" => Command::IsSkipping(true),
                "unskip" => Command::IsSkipping(false),
                _ => Command::Nothing,
            },
            ("load", [] | [_] | [_, "readonly"]) => Command::Load {
                path: rest
                    .first()
                    .map_or_else(String::new, |path| (*path).to_owned()),
                is_read_only: rest.len() == 2,
            },
            ("restart", []) | ("restart", ["no_extension_load"]) | ("reconnect", []) => {
                Command::Restart
            }
            ("halt", []) => Command::Halt,
            (word, _) if IGNORED.contains(&word) => Command::Nothing,
            _ => return Err(unknown("unknown directive")),
        };
        records.push(Record {
            line,
            conditions: std::mem::take(&mut conditions),
            command,
        });
    }
    match opened {
        Some(line) => Err(Unknown {
            line,
            problem: "this loop has no end".to_owned(),
        }),
        None => Ok(records),
    }
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#')
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Reads SQL up to a blank line, a comment, or the expected result.
fn text_of(lines: &mut Lines<'_>) -> String {
    let mut text = Vec::new();
    while let Some((_, line)) = lines.front() {
        if is_blank(line) || *line == "----" {
            break;
        }
        text.push(*line);
        lines.pop_front();
    }
    text.join("\n")
}

/// Reads the lines after `----`, up to a blank one.
fn results(lines: &mut Lines<'_>) -> Option<Vec<String>> {
    if lines.front()?.1 != "----" {
        return None;
    }
    lines.pop_front();
    let mut found = Vec::new();
    while let Some((_, line)) = lines.front() {
        if line.is_empty() {
            break;
        }
        found.push((*line).to_owned());
        lines.pop_front();
    }
    Some(found)
}

fn condition_of(is_skip: bool, text: &str) -> Condition {
    let compared = COMPARISONS.iter().find_map(|comparison| {
        let (subject, with) = text.split_once(comparison)?;
        Some((subject, *comparison, with))
    });
    match compared {
        None => Condition {
            is_skip,
            subject: text.to_owned(),
            comparison: None,
        },
        Some((subject, comparison, with)) => Condition {
            is_skip,
            subject: subject.to_owned(),
            comparison: Some((comparison, with.to_owned())),
        },
    }
}

const SIGNED: &[&str] = &["tinyint", "smallint", "integer", "bigint", "hugeint"];
const UNSIGNED: &[&str] = &["utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"];
const FLOATING: &[&str] = &["float", "double"];
const OTHERS: &[&str] = &["bool", "interval", "varchar"];
const COMPRESSIONS: &[&str] = &[
    "none",
    "uncompressed",
    "rle",
    "bitpacking",
    "dictionary",
    "fsst",
    "alp",
    "alprd",
];

/// Returns the values of a `foreach`: plain words, named sets of types, and `!` before excluded ones.
fn values(words: &[&str]) -> Result<Vec<String>, String> {
    let mut found: Vec<String> = Vec::new();
    for word in words {
        if let Some(left_out) = word.strip_prefix('!') {
            found.retain(|value| value != left_out);
            continue;
        }
        let sets: &[&[&str]] = match *word {
            "<integral>" => &[SIGNED, UNSIGNED],
            "<signed>" => &[SIGNED],
            "<unsigned>" => &[UNSIGNED],
            "<numeric>" => &[SIGNED, UNSIGNED, FLOATING],
            "<alltypes>" => &[SIGNED, UNSIGNED, FLOATING, OTHERS],
            "<compression>" => &[COMPRESSIONS],
            _ if word.starts_with('<') && word.ends_with('>') => {
                return Err(format!("unknown set {word}"));
            }
            _ => {
                found.push((*word).to_owned());
                continue;
            }
        };
        found.extend(sets.iter().flat_map(|set| owned(set)));
    }
    Ok(found)
}

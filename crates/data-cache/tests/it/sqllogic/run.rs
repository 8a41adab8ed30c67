//! Runs a test file on both sides.

use std::collections::HashMap;
use std::path::Path;

use data_cache::{Status, Tier};

use super::expected;
use super::report::Report;
use super::script::{Command, Condition, Expect, Record, Values, parse};
use super::ways::{Answer, Place, Ways, are_alike, ask, is_hit};

/// Maximum number of queries of a file that are repeated after its end.
const ASKED_AGAIN: usize = 300;
/// DuckDB's name of an in-memory database, which test files rely on.
const FILE: &str = "memory";

/// Reason why the rest of a file is not run.
enum Stop {
    /// `halt`.
    Halted,
    Skipped(String),
    Cut(usize, String),
}

/// A query as it is run on each side.
#[derive(Clone)]
struct Asked {
    line: usize,
    plain: String,
    ours: String,
}

struct Run<'a> {
    name: &'a str,
    /// Folder that relative paths of a test start from.
    root: &'a Path,
    place: Place,
    /// `None` while it is reopened.
    ways: Option<Ways>,
    file: String,
    is_read_only: bool,
    /// Settings that apply to all connections.
    settings: Vec<(String, String)>,
    variables: HashMap<String, String>,
    is_skipping: bool,
    reopened: usize,
    most_reopened: usize,
    /// Queries since the last write, and their results.
    current: Vec<(Asked, Answer)>,
    asked: Vec<Asked>,
    report: Report,
}

/// Runs one file; `root` is the folder that its relative paths start from. The database is reopened at the end, and
/// before at most `most_reopened` of its writes.
pub(super) fn run(name: &str, text: &str, root: &Path, dir: &Path, most_reopened: usize) -> Report {
    let mut report = Report {
        files: 1,
        ..Report::default()
    };
    let records = match parse(text) {
        Ok(records) => records,
        Err(unknown) => {
            let place = format!("{name}:{}", unknown.line);
            report.skipped.insert(unknown.problem, vec![place]);
            return report;
        }
    };
    let place = Place::new(dir);
    let mut run = Run {
        name,
        root,
        ways: Some(Ways::open(&place, FILE, false).unwrap()),
        place,
        file: FILE.to_owned(),
        is_read_only: false,
        settings: Vec::new(),
        variables: HashMap::new(),
        is_skipping: false,
        reopened: 0,
        most_reopened,
        current: Vec::new(),
        asked: Vec::new(),
        report,
    };
    run.set("file_search_path", &root.display().to_string());
    let stopped = run.records(&records).and_then(|()| run.end());
    match stopped {
        Ok(()) => {}
        Err(Stop::Halted) => {
            let _ = run.end();
        }
        Err(Stop::Skipped(reason)) => {
            run.report.skipped.insert(reason, vec![name.to_owned()]);
        }
        Err(Stop::Cut(line, reason)) => {
            let place = format!("{name}:{line}");
            run.report.cut.insert(reason, vec![place]);
            if run.ways.is_some() {
                let _ = run.end();
            }
        }
    }
    run.report
}

impl Run<'_> {
    fn ways(&self) -> &Ways {
        self.ways.as_ref().unwrap()
    }

    fn records(&mut self, records: &[Record]) -> Result<(), Stop> {
        for record in records {
            if self.is_meant(&record.conditions) {
                self.record(record)?;
            }
        }
        Ok(())
    }

    fn is_meant(&self, conditions: &[Condition]) -> bool {
        conditions.iter().all(|condition| {
            let holds = match &condition.comparison {
                None => condition.subject == "duckdb",
                Some((comparison, with)) => {
                    let value = self.variables.get(&condition.subject);
                    value.is_some_and(|value| compare(value, comparison, with))
                }
            };
            holds != condition.is_skip
        })
    }

    fn record(&mut self, record: &Record) -> Result<(), Stop> {
        match &record.command {
            Command::IsSkipping(is_skipping) => {
                self.is_skipping = *is_skipping;
                return Ok(());
            }
            _ if self.is_skipping => return Ok(()),
            _ => {}
        }
        match &record.command {
            Command::Statement {
                expect,
                sql,
                message,
            } => self.statement(record.line, *expect, sql, message.as_deref()),
            Command::Query {
                columns,
                sort,
                sql,
                expected,
            } => {
                let Some(answer) = self.query(record.line, sql)? else {
                    return Ok(());
                };
                if let Some(expected) = expected {
                    let expected: Vec<String> =
                        expected.iter().map(|line| self.fill(line, true)).collect();
                    match expected::check(&answer, &expected, *sort, *columns, self.ways()) {
                        Ok(()) => self.report.as_expected += 1,
                        Err(problem) => self.otherwise(record.line, &problem),
                    }
                }
                Ok(())
            }
            Command::Loop {
                names,
                values,
                body,
            } => self.repeat(record.line, names, values, body),
            Command::Require(words) => self.require(words),
            Command::RequireEnv(words) => {
                let value = std::env::var(&words[0]).ok();
                let is_there = match words.get(1) {
                    Some(wanted) => value.as_ref() == Some(wanted),
                    None => value.is_some(),
                };
                if !is_there {
                    return Err(Stop::Skipped(format!("require-env {}", words.join(" "))));
                }
                self.variables
                    .insert(words[0].clone(), value.unwrap_or_default());
                Ok(())
            }
            Command::TestEnv(name, default) => {
                let value = std::env::var(name).unwrap_or_else(|_| default.clone());
                self.variables.insert(name.clone(), value);
                Ok(())
            }
            Command::Load { path, is_read_only } => {
                let path = self.fill(path, false);
                let side = self.place.cached.display().to_string();
                self.file = path
                    .trim_start_matches(&side)
                    .trim_start_matches('/')
                    .to_owned();
                self.place.copy_from(self.root, &self.file);
                if self.file.is_empty() || self.file == ":memory:" {
                    // an empty database, in addition to the previous one
                    self.file = format!("{FILE}.{}", record.line);
                }
                self.is_read_only = *is_read_only;
                self.settings.truncate(1);
                self.current.clear();
                self.asked.clear();
                self.open(record.line)
            }
            Command::Restart => {
                self.settings.truncate(1);
                self.reopen(record.line)
            }
            Command::Halt => Err(Stop::Halted),
            Command::Nothing | Command::IsSkipping(_) => Ok(()),
        }
    }

    /// Substitutes variables. The two sides have separate files.
    fn fill(&self, text: &str, is_plain: bool) -> String {
        let side = match is_plain {
            true => &self.place.plain,
            false => &self.place.cached,
        };
        let side = side.display().to_string();
        let root = self.root.display().to_string();
        let mut text = text
            .replace("__TEST_DIR__", &side)
            .replace("{TEST_DIR}", &side);
        for root_name in ["__WORKING_DIRECTORY__", "{WORKING_DIR}"] {
            text = text.replace(root_name, &root);
        }
        for (name, value) in &self.variables {
            text = text
                .replace(&format!("${{{name}}}"), value)
                .replace(&format!("{{{name}}}"), value);
        }
        text
    }

    fn repeat(
        &mut self,
        line: usize,
        names: &[String],
        values: &Values,
        body: &[Record],
    ) -> Result<(), Stop> {
        let values = match values {
            Values::List(values) => values.iter().map(|value| self.fill(value, true)).collect(),
            Values::Range(from, to) => {
                let bound = |text: &str| self.fill(text, true).parse::<i64>();
                let (Ok(from), Ok(to)) = (bound(from), bound(to)) else {
                    return Err(Stop::Cut(
                        line,
                        "a loop whose ends are no numbers".to_owned(),
                    ));
                };
                (from..to).map(|at| at.to_string()).collect::<Vec<_>>()
            }
        };
        for value in values {
            let parts: Vec<&str> = match names.len() {
                1 => vec![&value],
                _ => value.split(',').collect(),
            };
            if parts.len() != names.len() {
                return Err(Stop::Cut(line, "a loop with too few values".to_owned()));
            }
            for (name, part) in names.iter().zip(parts) {
                self.variables.insert(name.clone(), part.to_owned());
            }
            self.records(body)?;
        }
        for name in names {
            self.variables.remove(name);
        }
        Ok(())
    }

    /// Skips the file unless this build supports its requirement.
    fn require(&self, words: &[String]) -> Result<(), Stop> {
        let number = words.get(1).and_then(|word| word.parse::<usize>().ok());
        let is_there = match (words[0].as_str(), number) {
            (
                "notmusl"
                | "notmingw"
                | "notwindows"
                | "longdouble"
                | "64bit"
                | "nothreadsan"
                | "noforcestorage"
                | "no_extension_autoloading"
                | "skip_reload"
                | "no_alternative_verify"
                | "no_block_verification"
                | "no_vector_verification"
                | "no_latest_storage"
                | "strinline",
                _,
            ) => true,
            // DuckDB's own builds have 2048
            ("vector_size", Some(size)) => size <= 2048,
            ("exact_vector_size", Some(size)) => size == 2048,
            ("block_size", Some(size)) => size == 262_144,
            (extension, _) => {
                let loaded = "SELECT count(*)::VARCHAR FROM duckdb_extensions() WHERE loaded AND extension_name = ?";
                self.ways().scalar(loaded, &[&extension.to_lowercase()]) == "1"
            }
        };
        match is_there {
            true => Ok(()),
            false => Err(Stop::Skipped(format!("require {}", words.join(" ")))),
        }
    }

    fn statement(
        &mut self,
        line: usize,
        expect: Expect,
        sql: &str,
        message: Option<&str>,
    ) -> Result<(), Stop> {
        let (plain, ours) = (self.fill(sql, true), self.fill(sql, false));
        if self.ways().is_query(&ours) {
            let answer = self.query(line, sql)?;
            if let Some(answer) = answer {
                self.check_outcome(
                    line,
                    expect,
                    answer.as_ref().err().map(String::as_str),
                    message,
                );
            }
            return Ok(());
        }
        if let Some((name, value)) = setting(&plain) {
            return self.change_setting(line, &plain, &name, &value);
        }
        if is_verification(&plain) {
            return Ok(());
        }
        // earlier queries are repeated after reopening
        if self.reopened < self.most_reopened && !self.current.is_empty() {
            self.reopened += 1;
            self.reopen(line)?;
        }
        self.current.clear();
        let plain = self
            .ways()
            .plain
            .execute_batch(&plain)
            .map_err(|e| e.to_string());
        let ours = self
            .ways()
            .cached
            .execute_batch(&ours)
            .map_err(|e| e.to_string());
        self.report.statements += 1;
        self.check_outcome(
            line,
            expect,
            plain.as_ref().err().map(String::as_str),
            message,
        );
        match (plain, ours) {
            (Ok(()), Err(refused)) => Err(Stop::Cut(line, first_line(&refused))),
            (Err(error), Ok(())) => {
                self.differs(
                    line,
                    sql,
                    &format!("a write succeeded; DuckDB alone: {error}"),
                );
                Err(Stop::Cut(line, "a write succeeded".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn check_outcome(
        &mut self,
        line: usize,
        expect: Expect,
        error: Option<&str>,
        message: Option<&str>,
    ) {
        let problem = match (expect, error) {
            (Expect::Maybe, None) | (Expect::Ok, None) => None,
            (Expect::Ok, Some(error)) => Some(format!("fails: {error}")),
            (Expect::Error, None) => Some("succeeds".to_owned()),
            (Expect::Error | Expect::Maybe, Some(error)) => match message {
                Some(message) if !expected::is_message(error, message, self.ways()) => {
                    Some(format!("fails otherwise: {error}"))
                }
                _ => None,
            },
        };
        match problem {
            None => self.report.as_expected += 1,
            Some(problem) => self.otherwise(line, &problem),
        }
    }

    fn change_setting(
        &mut self,
        line: usize,
        sql: &str,
        name: &str,
        value: &str,
    ) -> Result<(), Stop> {
        self.current.clear();
        let plain = self.ways().plain.execute_batch(sql);
        let ours = self.ways().cached.engine().set(name, value);
        match (plain, ours) {
            (Ok(()), Ok(())) => {
                self.settings.push((name.to_owned(), value.to_owned()));
                Ok(())
            }
            (Err(_), Err(_)) => Ok(()),
            (Ok(()), Err(error)) => Err(Stop::Cut(line, first_line(&error.to_string()))),
            (Err(_), Ok(())) => Err(Stop::Cut(line, format!("the setting {name} is refused"))),
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        let statement = format!("SET {name} = '{value}'");
        let _ = self.ways().plain.execute_batch(&statement);
        let _ = self.ways().cached.engine().set(name, value);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Runs a query in four ways and compares; returns the result of DuckDB alone, or `None` if it is not a query.
    fn query(&mut self, line: usize, sql: &str) -> Result<Option<Answer>, Stop> {
        let (plain, ours) = (self.fill(sql, true), self.fill(sql, false));
        if !self.ways().is_query(&ours) {
            let expect = Expect::Maybe;
            self.statement(line, expect, sql, None)?;
            return Ok(None);
        }
        self.report.queries += 1;
        let answer = self.ways().ask_plain(&plain);
        let asked = Asked { line, plain, ours };
        for way in ["first", "memory", "files"] {
            let cached = match way {
                "files" => &self.ways().files,
                _ => &self.ways().cached,
            };
            let (found, status) = ask(cached, &asked.ours);
            self.report.from_memory += usize::from(is_hit(status, Tier::Memory));
            self.report.from_files += usize::from(is_hit(status, Tier::Disk));
            let is_bypass = matches!(status, Some(Status::Bypass(_)));
            self.report.bypassed += usize::from(is_bypass && way == "first");
            self.compare(&asked, &answer, &found, way, status);
        }
        let is_new = !self.asked.iter().any(|before| before.ours == asked.ours);
        if is_new && self.asked.len() < ASKED_AGAIN {
            self.asked.push(asked.clone());
        }
        self.current.push((asked, answer.clone()));
        Ok(Some(answer))
    }

    fn compare(
        &mut self,
        asked: &Asked,
        plain: &Answer,
        found: &Answer,
        way: &str,
        status: Option<Status>,
    ) {
        if are_alike(plain, found) {
            return;
        }
        // paths and the like: compared with results of the same database without
        // the cache; random functions and the clock: no two results agree
        let others: Vec<Answer> = (0..4)
            .map(|_| self.ways().ask_plain(&asked.plain))
            .collect();
        let past: Vec<Answer> = (0..4)
            .map(|_| self.ways().ask_past_the_cache(&asked.ours))
            .collect();
        let is_stable = others.iter().all(|other| are_alike(other, plain))
            && past.iter().all(|other| are_alike(other, &past[0]));
        if !is_stable {
            self.report.unstable += 1;
            if matches!(status, Some(Status::Hit(_))) {
                let text = format!("{}:{}: {}", self.name, asked.line, asked.ours);
                self.report.kept_unstable.push(text);
            }
        } else if !are_alike(&past[0], found) {
            let text = format!("{way}, {status:?}: {found:?}; DuckDB alone: {plain:?}");
            self.differs(asked.line, &asked.ours, &text);
        }
    }

    /// Reopens everything, and repeats the queries since the last write.
    fn reopen(&mut self, line: usize) -> Result<(), Stop> {
        self.open(line)?;
        for (asked, answer) in std::mem::take(&mut self.current) {
            self.ask_reopened(&asked, &answer);
        }
        Ok(())
    }

    fn ask_reopened(&mut self, asked: &Asked, answer: &Answer) {
        let (found, status) = ask(&self.ways().cached, &asked.ours);
        self.report.from_files_reopened += usize::from(is_hit(status, Tier::Disk));
        self.compare(asked, answer, &found, "reopened", status);
    }

    fn open(&mut self, line: usize) -> Result<(), Stop> {
        // closes the files first: they can be open only once
        self.ways = None;
        let opened = Ways::open(&self.place, &self.file, self.is_read_only);
        self.ways = Some(opened.map_err(|error| Stop::Cut(line, first_line(&error)))?);
        for (name, value) in std::mem::take(&mut self.settings) {
            self.set(&name, &value);
        }
        Ok(())
    }

    /// Repeats all queries after reopening.
    fn end(&mut self) -> Result<(), Stop> {
        self.reopen(0)?;
        for asked in std::mem::take(&mut self.asked) {
            let answer = self.ways().ask_plain(&asked.plain);
            self.ask_reopened(&asked, &answer);
        }
        Ok(())
    }

    fn otherwise(&mut self, line: usize, problem: &str) {
        let text = format!("{}:{line}: {}", self.name, first_line(problem));
        self.report.otherwise.push(text);
    }

    fn differs(&mut self, line: usize, sql: &str, text: &str) {
        let text = format!("{}:{line}: {sql}: {text}", self.name);
        self.report.differ.push(text);
    }
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(160)
        .collect()
}

fn compare(value: &str, comparison: &str, with: &str) -> bool {
    let ordering = match (value.parse::<i64>(), with.parse::<i64>()) {
        (Ok(value), Ok(with)) => value.cmp(&with),
        _ => value.cmp(with),
    };
    match comparison {
        "=" => ordering.is_eq(),
        "!=" | "<>" => ordering.is_ne(),
        "<" => ordering.is_lt(),
        "<=" => ordering.is_le(),
        ">" => ordering.is_gt(),
        _ => ordering.is_ge(),
    }
}

/// Returns name and value of `SET name = value` and `PRAGMA name = value`.
fn setting(sql: &str) -> Option<(String, String)> {
    let sql = sql.trim().trim_end_matches(';');
    let (first, rest) = sql.split_once(char::is_whitespace)?;
    if !first.eq_ignore_ascii_case("set") && !first.eq_ignore_ascii_case("pragma") {
        return None;
    }
    let (name, value) = rest
        .split_once('=')
        .or_else(|| rest.split_once(" TO "))
        .or_else(|| rest.split_once(" to "))?;
    let words: Vec<&str> = name.split_whitespace().collect();
    let name = match words.as_slice() {
        [name] => name,
        [scope, name]
            if ["global", "session", "local"].contains(&scope.to_lowercase().as_str()) =>
        {
            name
        }
        _ => return None,
    };
    let value = value.trim();
    let value = match value
        .strip_prefix('\'')
        .and_then(|value| value.strip_suffix('\''))
    {
        Some(text) => text.replace("''", "'"),
        None => value.to_owned(),
    };
    Some(((*name).to_owned(), value))
}

/// Returns `true` for pragmas by which DuckDB checks itself; no result depends on them.
fn is_verification(sql: &str) -> bool {
    let sql = sql.trim().trim_end_matches(';').to_lowercase();
    let words: Vec<&str> = sql.split_whitespace().collect();
    matches!(words.as_slice(), ["pragma", name] if name.contains("verif") || *name == "enable_checkpoint_on_shutdown"
        || *name == "disable_checkpoint_on_shutdown")
}

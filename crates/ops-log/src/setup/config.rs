use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use slog::SendSyncRefUnwindSafeDrain;

use crate::level::filter::Threshold;
use crate::level::rate_limit::RateLimit;
use crate::output::Output;
use crate::output::rotation::Rotation;
use crate::output::slog_output::SlogOutput;
use crate::redact::deny::{ALLOWED_KEYS, DENIED_KEYS, DenyList};
use crate::{Error, Filter, JsonForm, LateLines, Level, ParseFilterError, Value};

/// The environment variable for the format: `json` or `console`.
const FORMAT: &str = "OPS_LOG_FORMAT";
/// The environment variable for the format where [`FORMAT`] is not set: `production` has `json`.
const ENV: &str = "OPS_ENV";
/// The environment variable for the level from which on lines are written.
const LEVEL: &str = "OPS_LOG_LEVEL";
/// The environment variable for levels by target.
const RUST_LOG: &str = "RUST_LOG";
/// The environment variable for the rotation of log files.
const ROTATION: &str = "OPS_LOG_ROTATION";
/// The environment variable for the limit on the lines of each event.
const RATE_LIMIT: &str = "OPS_LOG_RATE_LIMIT";
/// The environment variable for the lines that are kept for each request.
const LATE_LINES: &str = "OPS_LOG_LATE_LINES";

/// Lines that are kept for the admin page, unless configured otherwise.
pub const RECENT_LINES: usize = 200;

/// Options for logging.
///
/// In a file the keys are the names of the methods: `service_name`, `format` (`json`, `ecs`, `gcp`, `datadog` or
/// `console`), `level`, `filter` (as
/// `RUST_LOG`), `stdout`, `console_context`, `blocking`, `file`, `rotation` (`64MiB x 4` or `off`), `rate_limit`
/// (`10/s x 50` or `off`), `target_rate_limits` (a map from targets), `sample_traces` (0 to 1), `late_lines`
/// (`debug > 500ms` or `off`), `fields` (a map), `denied_keys`, `allowed_keys`, `span_id`, `call_site`, `recent_lines`, `panics`,
/// `install_bridges`. Keys that are not known are refused.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) service_name: String,
    pub(crate) filter: Filter,
    pub(crate) main: Option<Output>,
    pub(crate) more: Vec<Output>,
    pub(crate) drain: Option<SlogOutput>,
    pub(crate) rotation: Rotation,
    pub(crate) rate_limit: RateLimit,
    pub(crate) target_rate_limits: Vec<(String, RateLimit)>,
    pub(crate) sampled_traces: f64,
    pub(crate) late_lines: LateLines,
    pub(crate) json_form: JsonForm,
    pub(crate) call_site: bool,
    pub(crate) install_bridges: bool,
    pub(crate) fields: Vec<(Cow<'static, str>, Value)>,
    pub(crate) denied: Vec<String>,
    pub(crate) allowed: Vec<String>,
    pub(crate) span_id: bool,
    pub(crate) recent: usize,
    pub(crate) panics: bool,
    pub(crate) clock: Option<Clock>,
    /// Error of a variable of the environment.
    pub(crate) problem: Option<Arc<Error>>,
    pub(crate) refused: Vec<ParseFilterError>,
    /// Value of `OPS_ENV`, if that is neither `development` nor `production` and no format is named.
    pub(crate) unknown_env: Option<String>,
}

/// Tells the time of a line.
#[derive(Clone)]
pub(crate) struct Clock(pub(crate) Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service_name: "root".to_owned(),
            filter: Filter::new(Level::Info),
            main: Some(Output::stdout()),
            more: Vec::new(),
            drain: None,
            rotation: Rotation::default(),
            rate_limit: RateLimit::off(),
            target_rate_limits: Vec::new(),
            sampled_traces: 1.0,
            late_lines: LateLines::off(),
            json_form: JsonForm::new(),
            call_site: false,
            install_bridges: true,
            fields: Vec::new(),
            denied: owned(DENIED_KEYS),
            allowed: owned(ALLOWED_KEYS),
            span_id: false,
            recent: RECENT_LINES,
            panics: true,
            clock: None,
            problem: None,
            refused: Vec::new(),
            unknown_env: None,
        }
    }
}

/// A variable, whether its text asks for what holds, and what holds.
type Setting<'a> = (&'static str, &'a dyn Fn(&str) -> bool, String);

impl Config {
    /// Lines for people, from `info` on, to stdout.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads `OPS_LOG_FORMAT` (`json`, `ecs`, `gcp`, `datadog` or `console`; `json` where `OPS_ENV` is `production`), `OPS_LOG_LEVEL`,
    /// `OPS_LOG_ROTATION` (`64MiB x 4`, `off`), `OPS_LOG_RATE_LIMIT` (`10/s x 50`, `off`), `OPS_LOG_LATE_LINES` (`debug > 500ms`,
    /// `off`) and `RUST_LOG`.
    ///
    /// A value of ours that cannot be understood is an error of [`init`](crate::init). `RUST_LOG` belongs to others
    /// too: what is not understood there is a line.
    pub fn from_env() -> Self {
        Self::default().with_env()
    }

    /// Lets the environment override what is set so far, as for what was read from a file; the variables are those of
    /// [`from_env`](Self::from_env).
    #[must_use]
    pub fn with_env(self) -> Self {
        let mut problem = None;
        let mut config = self.format_from_env(&mut problem);
        let level = variable(LEVEL);
        let level = parsed(level.trim(), &mut problem, |source| Error::Level {
            variable: LEVEL,
            source,
        });
        config.rotation = parsed(&variable(ROTATION), &mut problem, |source| {
            Error::Rotation {
                variable: ROTATION,
                source,
            }
        })
        .unwrap_or(config.rotation);
        config.rate_limit = parsed(&variable(RATE_LIMIT), &mut problem, |source| {
            Error::RateLimit {
                variable: RATE_LIMIT,
                source,
            }
        })
        .unwrap_or(config.rate_limit);
        config.late_lines = parsed(&variable(LATE_LINES), &mut problem, |source| {
            Error::LateLines {
                variable: LATE_LINES,
                source,
            }
        })
        .unwrap_or(config.late_lines);
        let rust_log = variable(RUST_LOG);
        if !rust_log.trim().is_empty() {
            (config.filter, config.refused) =
                Filter::parse_leniently(&rust_log, config.filter.base);
        }
        if let Some(level) = level {
            config = config.level(level);
        }
        config.problem = problem.map(Arc::new).or(config.problem);
        config
    }

    /// Returns the variables of [`from_env`](Self::from_env) that ask for something else than this configuration has, each with what
    /// holds.
    pub fn overruled(&self) -> Vec<(&'static str, String)> {
        let base = self.filter.base;
        let format = match &self.main {
            Some(main) if main.json => self.json_form.of_schema(),
            _ => "console",
        };
        let settings: [Setting<'_>; 6] = [
            (FORMAT, &|text| self.has_format(text), format.to_owned()),
            (
                LEVEL,
                &|text| Threshold::parse(text) == Some(base),
                base.as_str().to_owned(),
            ),
            (
                RUST_LOG,
                &|text| self.has_filter(text),
                self.filter.to_string(),
            ),
            (
                ROTATION,
                &|text| text.parse() == Ok(self.rotation),
                self.rotation.to_string(),
            ),
            (
                RATE_LIMIT,
                &|text| text.parse() == Ok(self.rate_limit),
                self.rate_limit.to_string(),
            ),
            (
                LATE_LINES,
                &|text| {
                    text.parse()
                        .is_ok_and(|late: LateLines| late == self.late_lines)
                },
                self.late_lines.to_string(),
            ),
        ];
        let other = settings.into_iter().filter(|(name, holds, _)| {
            let text = variable(name);
            !text.trim().is_empty() && !holds(text.trim())
        });
        other.map(|(name, _, used)| (name, used)).collect()
    }

    /// Reports whether lines for standard output have the format of this name; without that there is none.
    fn has_format(&self, name: &str) -> bool {
        self.main
            .as_ref()
            .is_none_or(|main| match name.to_ascii_lowercase().as_str() {
                "json" => main.json,
                "console" => !main.json,
                name => {
                    main.json
                        && name
                            .parse()
                            .is_ok_and(|form: JsonForm| form == self.json_form)
                }
            })
    }

    /// Reports whether `RUST_LOG` says the same, whose level of everything is below that of `OPS_LOG_LEVEL`.
    fn has_filter(&self, text: &str) -> bool {
        let mut asked = Filter::parse_leniently(text, self.filter.base).0;
        if !variable(LEVEL).trim().is_empty() {
            asked.base = self.filter.base;
        }
        asked == self.filter
    }

    /// Sets the format that `OPS_LOG_FORMAT` names, else that of `OPS_ENV`.
    fn format_from_env(self, problem: &mut Option<Error>) -> Self {
        let text = variable(FORMAT);
        match text.trim().to_ascii_lowercase().as_str() {
            // the form that is set so far stays
            "json" => self.json(true),
            "console" => self.json(false),
            "" => match variable(ENV).trim() {
                "production" => self.json(true),
                "" | "development" => self,
                text => Self {
                    unknown_env: Some(text.to_owned()),
                    ..self
                },
            },
            name => match name.parse() {
                Ok(form) => self.json(true).json_form(form),
                Err(_) => {
                    *problem = Some(Error::Format {
                        variable: FORMAT,
                        text,
                    });
                    self
                }
            },
        }
    }

    /// The name of the root logger.
    #[must_use]
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = name.into();
        self
    }

    /// Writes JSON lines to stdout, instead of lines for people.
    #[must_use]
    pub fn json(mut self, json: bool) -> Self {
        self.unknown_env = None;
        if let Some(main) = &mut self.main {
            main.json = json;
        }
        self
    }

    /// Names of the keys of JSON lines, and the form of their time, on standard output and in files; ours unless set. It does not switch
    /// JSON on, which [`json`](Self::json) does. Two keys of the same name are an error of [`init`](crate::init).
    #[must_use]
    pub fn json_form(mut self, form: JsonForm) -> Self {
        self.json_form = form;
        self
    }

    /// Adds file and line of the call as `location`; no unless set. Records of the crate `log` and events of `tracing` have one
    /// if their macros wrote it down.
    #[must_use]
    pub fn call_site(mut self, call_site: bool) -> Self {
        self.call_site = call_site;
        self
    }

    /// Adds logger and context to lines for people.
    #[must_use]
    pub fn console_context(mut self, context: bool) -> Self {
        for output in self.main.iter_mut().chain(&mut self.more) {
            output.context = context;
        }
        self
    }

    /// The level from which on lines are written; what [`filter`](Self::filter) says about targets stays.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.filter = self.filter.with("", level);
        self
    }

    /// Levels for each target.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Appends JSON lines to this file too, see [`Output::file`]. A file that has all of them already stays one output.
    #[must_use]
    pub fn file(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        // a second one would double each line, and each would rotate the other's file away
        match self.more.iter().any(|output| output.has_all_in(&path)) {
            true => self,
            false => self.output(Output::file(path).json(true)),
        }
    }

    /// Limit on the disk space of each log file: 64 MiB times 4 unless set, [`Rotation::off`] for none.
    #[must_use]
    pub fn rotation(mut self, rotation: Rotation) -> Self {
        self.rotation = rotation;
        self
    }

    /// Limit on the lines of each event: a level, a logger, a module and a text. Text that is formatted (by the crate `log`)
    /// does not count, so that such lines of a module are one event. [`RateLimit::off`] unless set.
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = limit;
        self
    }

    /// Limit on all lines of a target together, such as `hyper`; those of `hyper::client` belong to it. Of several targets
    /// that a line belongs to, the one that was set first counts. `my-crate` is `my_crate`.
    #[must_use]
    pub fn target_rate_limit(mut self, target: impl Into<String>, limit: RateLimit) -> Self {
        self.target_rate_limits.push((target.into(), limit));
        self
    }

    /// Share of the traces whose lines of level `info` and below are written, from 0 to 1; all unless set. Of a sampled trace every
    /// line is, and of any other only those of level `warning` and above. Lines without a trace are always written.
    ///
    /// The id of the trace decides, by the rule of OpenTelemetry's sampler by ratio: all processes of a request agree. A number
    /// outside of 0 to 1 is an error of [`init`](crate::init).
    #[must_use]
    pub fn sample_traces(mut self, ratio: f64) -> Self {
        if (0.0..=1.0).contains(&ratio) {
            self.sampled_traces = ratio;
        } else {
            self.problem = Some(Arc::new(Error::Sampling { ratio }));
        }
        self
    }

    /// Lines below the level that are kept for each request, and written if it fails or is slow; none unless set.
    #[must_use]
    pub fn late_lines(mut self, late: LateLines) -> Self {
        self.late_lines = late;
        self
    }

    /// Standard output waits for its reader, see [`Output::blocking`]; no unless set.
    #[must_use]
    pub fn blocking(mut self, blocking: bool) -> Self {
        if let Some(main) = &mut self.main {
            main.blocking = blocking;
        }
        self
    }

    /// One more place that lines go to.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.more.push(output);
        self
    }

    /// Writes lines to stdout, or does not; on by default.
    #[must_use]
    pub fn stdout(mut self, stdout: bool) -> Self {
        match (stdout, &self.main) {
            (true, None) => self.main = Some(Output::stdout()),
            (false, Some(_)) => self.main = None,
            _ => {}
        }
        self
    }

    /// Hands every record to a drain of slog's too: keys in order, each once, context first.
    #[must_use]
    pub fn drain<D>(mut self, drain: D) -> Self
    where
        D: SendSyncRefUnwindSafeDrain<Ok = (), Err = slog::Never> + 'static,
    {
        self.drain = Some(SlogOutput(Arc::new(drain)));
        self
    }

    /// A field of every line of the process, before the context.
    #[must_use]
    pub fn field(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.fields.push((key.into(), value.into()));
        self
    }

    /// Keys whose values are never written, in place of [`DENIED_KEYS`]. A key that ends in one is one.
    ///
    /// A key with dots is a path: `user.email` is `email` within `user`, at any depth. It holds for what was bound before
    /// too: the list that decides is the one that is configured while a line is written. Of a pair, in a list of lists or as an object
    /// with `name` or `key` and then `value`, the first part is the key. In a text that is a JSON document, such as the body of a
    /// request, in a connection string and in a cookie, keys alone count, without paths.
    #[must_use]
    pub fn denied_keys(mut self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.denied = keys.into_iter().map(Into::into).collect();
        self
    }

    /// Exceptions of [`denied_keys`](Self::denied_keys), in place of [`ALLOWED_KEYS`]: whole keys like
    /// `next_page_token`, or paths like `page.token`.
    #[must_use]
    pub fn allowed_keys(mut self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allowed = keys.into_iter().map(Into::into).collect();
        self
    }

    pub(crate) fn deny_list(&self) -> DenyList {
        DenyList::new(&self.denied, &self.allowed)
    }

    /// `span_id` behind `trace_id`; no unless set.
    #[must_use]
    pub fn span_id(mut self, span_id: bool) -> Self {
        self.span_id = span_id;
        self
    }

    /// Number of lines that [`recent`](crate::recent) returns at most; 0 costs least.
    #[must_use]
    pub fn recent_lines(mut self, lines: usize) -> Self {
        self.recent = lines;
        self
    }

    /// Writes a line of level `critical` for each panic; on by default.
    #[must_use]
    pub fn panics(mut self, panics: bool) -> Self {
        self.panics = panics;
        self
    }

    /// Lets [`init`](crate::init) install a `tracing` subscriber and a `log` logger if there is none; on by default. If there is a
    /// subscriber without [`tracing_layer`](crate::tracing_layer), its events are no lines, and one line, `tracing_events_elsewhere`,
    /// says so.
    #[must_use]
    pub fn install_bridges(mut self, install: bool) -> Self {
        self.install_bridges = install;
        self
    }

    /// Returns itself, or the error of a variable of the environment.
    pub(crate) fn checked(mut self) -> Result<Self, Error> {
        if self.problem.is_none()
            && let Some(key) = self.ambiguous_key()
        {
            return Err(Error::JsonKeys { key });
        }
        match self.problem.take().map(Arc::try_unwrap) {
            None => Ok(self),
            Some(Ok(problem)) => Err(problem),
            Some(Err(shared)) => Err(Error::Environment(shared)),
        }
    }

    /// Key that names two parts of a line, if one does.
    fn ambiguous_key(&self) -> Option<String> {
        let outputs = self.main.iter().chain(&self.more);
        let of_outputs = outputs.filter_map(|output| output.form.as_ref());
        let mut forms = of_outputs.chain([&self.json_form]);
        forms.find_map(|form| form.ambiguous_key().map(str::to_owned))
    }

    /// Sets another clock, for tests.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Some(Clock(Arc::new(clock)));
        self
    }
}

/// Returns the value of a variable of the environment, empty if it is not set. Bytes that are not UTF-8 are U+FFFD, which no setting
/// accepts: such a value is wrong, and not unset.
fn variable(name: &str) -> String {
    let value = std::env::var_os(name).unwrap_or_default();
    value.to_string_lossy().into_owned()
}

/// Parses the text of a variable; `None` if it is empty or wrong. An error replaces the one before.
fn parsed<T: FromStr>(
    text: &str,
    problem: &mut Option<Error>,
    refused: impl FnOnce(T::Err) -> Error,
) -> Option<T> {
    if text.trim().is_empty() {
        return None;
    }
    let parsed = text.parse();
    parsed
        .map_err(|source| *problem = Some(refused(source)))
        .ok()
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

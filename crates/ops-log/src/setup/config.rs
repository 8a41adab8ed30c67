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

/// Environment variable for the format.
const FORMAT: &str = "OPS_LOG_FORMAT";
/// Environment variable for the format if [`FORMAT`] is unset: `production` selects `json`.
const ENV: &str = "OPS_ENV";
/// Environment variable for the minimum level.
const LEVEL: &str = "OPS_LOG_LEVEL";
/// Environment variable for levels by target.
const RUST_LOG: &str = "RUST_LOG";
/// Environment variable for the rotation of log files.
const ROTATION: &str = "OPS_LOG_ROTATION";
/// Environment variable for the limit on the lines of each event.
const RATE_LIMIT: &str = "OPS_LOG_RATE_LIMIT";
/// Environment variable for the lines that are kept for each request.
const LATE_LINES: &str = "OPS_LOG_LATE_LINES";

/// Default number of lines kept for the admin page.
pub const RECENT_LINES: usize = 200;

/// Options for logging.
///
/// In a file the keys are the names of the methods: `service_name`, `format` (`json`, `ecs`, `gcp`, `datadog` or
/// `console`), `level`, `filter` (syntax of `RUST_LOG`), `stdout`, `console_context`, `blocking`, `file`,
/// `rotation` (`64MiB x 4` or `off`), `rate_limit` (`10/s x 50` or `off`), `target_rate_limits` (a map from
/// targets), `sample_traces` (0 to 1), `late_lines` (`debug > 500ms` or `off`), `fields` (a map), `denied_keys`,
/// `allowed_keys`, `span_id`, `call_site`, `recent_lines`, `panics`, `install_bridges`. Unknown keys are refused.
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
    /// Error of an environment variable or a setter, returned by `init`.
    pub(crate) problem: Option<Arc<Error>>,
    pub(crate) refused: Vec<ParseFilterError>,
    /// Value of `OPS_ENV`, if it is neither `development` nor `production` and no format is set.
    pub(crate) unknown_env: Option<String>,
}

/// Source of the time of lines.
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

/// A variable, a check if its text matches the value in effect, and that value.
type Setting<'a> = (&'static str, &'a dyn Fn(&str) -> bool, String);

impl Config {
    /// Returns the default: console lines of level `info` and above, to stdout.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads `OPS_LOG_FORMAT` (`json`, `ecs`, `gcp`, `datadog` or `console`; `json` if `OPS_ENV` is
    /// `production`), `OPS_LOG_LEVEL`, `OPS_LOG_ROTATION` (`64MiB x 4`, `off`), `OPS_LOG_RATE_LIMIT`
    /// (`10/s x 50`, `off`), `OPS_LOG_LATE_LINES` (`debug > 500ms`, `off`) and `RUST_LOG`.
    ///
    /// An invalid value of an `OPS_LOG_*` variable is an error of [`init`](crate::init).
    /// `RUST_LOG` is shared with other libraries: its invalid parts are only logged.
    pub fn from_env() -> Self {
        Self::default().with_env()
    }

    /// Overrides the current settings, such as those read from a file, with the
    /// environment; the variables are those of [`from_env`](Self::from_env).
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

    /// Returns the variables of [`from_env`](Self::from_env) that
    /// differ from this configuration, each with the value in effect.
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

    /// Returns `true` if lines on standard output have the format of this name, or if there is no standard output.
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

    /// Returns `true` if `RUST_LOG` results in this filter; `OPS_LOG_LEVEL`, if set, overrides its base level.
    fn has_filter(&self, text: &str) -> bool {
        let mut asked = Filter::parse_leniently(text, self.filter.base).0;
        if !variable(LEVEL).trim().is_empty() {
            asked.base = self.filter.base;
        }
        asked == self.filter
    }

    /// Sets the format from `OPS_LOG_FORMAT`, or else from `OPS_ENV`.
    fn format_from_env(self, problem: &mut Option<Error>) -> Self {
        let text = variable(FORMAT);
        match text.trim().to_ascii_lowercase().as_str() {
            // the JSON form set so far stays
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

    /// Sets the name of the root logger.
    #[must_use]
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = name.into();
        self
    }

    /// Writes JSON lines to stdout instead of console lines.
    #[must_use]
    pub fn json(mut self, json: bool) -> Self {
        self.unknown_env = None;
        if let Some(main) = &mut self.main {
            main.json = json;
        }
        self
    }

    /// Sets the key names of JSON lines, and the format of their time, on standard output and
    /// in files; default: [`JsonForm::new`]. This does not enable JSON, see
    /// [`json`](Self::json). Two keys of the same name are an error of [`init`](crate::init).
    #[must_use]
    pub fn json_form(mut self, form: JsonForm) -> Self {
        self.json_form = form;
        self
    }

    /// Adds file and line of the call as `location`; off by default. Records of the
    /// crate `log` and events of `tracing` have it only if their macros recorded it.
    #[must_use]
    pub fn call_site(mut self, call_site: bool) -> Self {
        self.call_site = call_site;
        self
    }

    /// Adds logger and context to console lines.
    #[must_use]
    pub fn console_context(mut self, context: bool) -> Self {
        for output in self.main.iter_mut().chain(&mut self.more) {
            output.context = context;
        }
        self
    }

    /// Sets the minimum level; levels of targets set by [`filter`](Self::filter) stay.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.filter = self.filter.with("", level);
        self
    }

    /// Sets the level of each target.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Also appends JSON lines to this file, see [`Output::file`]. If
    /// an output already writes all of them to it, nothing is added.
    #[must_use]
    pub fn file(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        // a second output would double each line, and each would rotate the other's file away
        match self
            .more
            .iter()
            .any(|output| output.writes_all_json_to(&path))
        {
            true => self,
            false => self.output(Output::file(path).json(true)),
        }
    }

    /// Limits the disk space of each log file; default: 64 MiB times 4. [`Rotation::off`] removes the limit.
    #[must_use]
    pub fn rotation(mut self, rotation: Rotation) -> Self {
        self.rotation = rotation;
        self
    }

    /// Limits the lines of each event, which is a level, a logger, a module and a text. Formatted text (from the
    /// crate `log`) is not compared, so all such lines of a module are one event. Default: [`RateLimit::off`].
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = limit;
        self
    }

    /// Limits all lines of a target together, such as `hyper`, including those of `hyper::client`.
    /// If a line belongs to several targets, the one set first applies. `my-crate` means `my_crate`.
    #[must_use]
    pub fn target_rate_limit(mut self, target: impl Into<String>, limit: RateLimit) -> Self {
        self.target_rate_limits.push((target.into(), limit));
        self
    }

    /// Sets the share of traces whose lines of level `info` and below are written, from 0
    /// to 1; default: all. Every line of a sampled trace is written; for other traces
    /// only lines of level `warning` and above. Lines without a trace are always written.
    ///
    /// The trace id decides, by the rule of OpenTelemetry's ratio-based sampler, so all processes
    /// of a request agree. A number outside of 0 to 1 is an error of [`init`](crate::init).
    #[must_use]
    pub fn sample_traces(mut self, ratio: f64) -> Self {
        if (0.0..=1.0).contains(&ratio) {
            self.sampled_traces = ratio;
        } else {
            self.problem = Some(Arc::new(Error::Sampling { ratio }));
        }
        self
    }

    /// Sets the lines below the level that are kept for each
    /// request, and written if it fails or is slow; default: none.
    #[must_use]
    pub fn late_lines(mut self, late: LateLines) -> Self {
        self.late_lines = late;
        self
    }

    /// Makes standard output wait for its reader, see [`Output::blocking`]; off by default.
    #[must_use]
    pub fn blocking(mut self, blocking: bool) -> Self {
        if let Some(main) = &mut self.main {
            main.blocking = blocking;
        }
        self
    }

    /// Adds an output for lines.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.more.push(output);
        self
    }

    /// Enables or disables standard output; on by default.
    #[must_use]
    pub fn stdout(mut self, stdout: bool) -> Self {
        match (stdout, &self.main) {
            (true, None) => self.main = Some(Output::stdout()),
            (false, Some(_)) => self.main = None,
            _ => {}
        }
        self
    }

    /// Also passes every record to a slog drain: keys in order, each once, context first.
    #[must_use]
    pub fn drain<D>(mut self, drain: D) -> Self
    where
        D: SendSyncRefUnwindSafeDrain<Ok = (), Err = slog::Never> + 'static,
    {
        self.drain = Some(SlogOutput(Arc::new(drain)));
        self
    }

    /// Adds a field to every line of the process, before the context.
    #[must_use]
    pub fn field(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.fields.push((key.into(), value.into()));
        self
    }

    /// Sets the keys whose values are never written, in place of
    /// [`DENIED_KEYS`]. Keys that end in one of them are denied too.
    ///
    /// A key with dots is a path: `user.email` is `email` within `user`, at any depth. Fields that were bound before
    /// are covered too: the list configured while a line is written applies. In a pair, as a list of two within a
    /// list, or as an object with `name` or `key` and then `value`, the first part is the key. In a text that is a
    /// JSON document, such as a request body, in a connection string and in a cookie, only keys apply, not paths.
    #[must_use]
    pub fn denied_keys(mut self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.denied = keys.into_iter().map(Into::into).collect();
        self
    }

    /// Sets exceptions to [`denied_keys`](Self::denied_keys), in place of
    /// [`ALLOWED_KEYS`]: whole keys like `next_page_token`, or paths like `page.token`.
    #[must_use]
    pub fn allowed_keys(mut self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allowed = keys.into_iter().map(Into::into).collect();
        self
    }

    pub(crate) fn deny_list(&self) -> DenyList {
        DenyList::new(&self.denied, &self.allowed)
    }

    /// Adds `span_id` after `trace_id`; off by default.
    #[must_use]
    pub fn span_id(mut self, span_id: bool) -> Self {
        self.span_id = span_id;
        self
    }

    /// Sets the maximum number of lines that [`recent`](crate::recent) returns; 0 costs least.
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

    /// Lets [`init`](crate::init) install a `tracing` subscriber and a `log` logger if there is none;
    /// on by default. If there is a subscriber without [`tracing_layer`](crate::tracing_layer), its
    /// events do not become lines, and a warning, `tracing_events_elsewhere`, is logged.
    #[must_use]
    pub fn install_bridges(mut self, install: bool) -> Self {
        self.install_bridges = install;
        self
    }

    /// Returns the configuration, or the error of a variable or setter.
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

    /// Returns a key name that is used for two parts of a line.
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

/// Returns the value of an environment variable, empty if it is unset. Bytes that are not
/// UTF-8 become U+FFFD, which no setting accepts: such a value is invalid, not unset.
fn variable(name: &str) -> String {
    let value = std::env::var_os(name).unwrap_or_default();
    value.to_string_lossy().into_owned()
}

/// Parses the text of a variable; `None` if it is empty or invalid. An error replaces the previous one.
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

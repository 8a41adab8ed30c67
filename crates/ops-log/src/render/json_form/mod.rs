//! JSON lines with the key names of other systems.

pub(crate) mod read;
mod schema;
mod write;

use std::fmt;
use std::str::FromStr;

use crate::render::json_form::schema::{DATADOG, DEFAULT, ECS, GCP, Schema};

/// Key names of JSON lines, and the format of their time: the default, those of a vendor, or custom names.
///
/// | form | instant | level | event | logger | service |
/// |---|---|---|---|---|---|
/// | default | `timestamp` | `level` | `event` | `logger` | |
/// | `ecs` | `@timestamp` | `log.level` | `message` | `log.logger` | `service.name` |
/// | `gcp` | `time` | `severity` (`DEBUG` to `CRITICAL`) | `message` | `logger` | `serviceContext` |
/// | `datadog` | `timestamp` | `status` | `message` | `logger.name` | `service` |
///
/// Trace and span ids, errors, backtraces, call sites and the fields of access lines get the
/// vendor's names too; a field whose name has another meaning there gets a `_` appended.
/// [`reader`](crate::reader) and [`recent`](crate::recent) use the default names for all of
/// them. Lines in a form other than the default cost a second pass and an allocation.
///
/// ```
/// use ops_log::{Config, JsonForm};
///
/// let config = Config::new().json(true).json_form(JsonForm::ecs());
/// # let _ = config;
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct JsonForm {
    schema: &'static Schema,
    /// Keys of time, level, logger and event, escaped, that replace those of the schema.
    keys: [Option<String>; 4],
    time: TimeForm,
    /// Google Cloud project of the traces, escaped.
    project: Option<String>,
}

/// Format of the time of a JSON line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeForm {
    /// `"2025-01-15T10:30:00.123Z"`, in UTC.
    #[default]
    Rfc3339,
    /// `1736937000123`: milliseconds since 1970.
    UnixMillis,
    /// `1736937000.123`: seconds since 1970.
    UnixSeconds,
}

/// Indices in [`JsonForm::keys`], in the order of default lines.
const TIMESTAMP: usize = 0;
const LEVEL: usize = 1;
const LOGGER: usize = 2;
const EVENT: usize = 3;

impl JsonForm {
    fn of(schema: &'static Schema) -> Self {
        Self {
            schema,
            keys: [const { None }; 4],
            time: TimeForm::Rfc3339,
            project: None,
        }
    }

    /// Returns the default form: `timestamp`, `level`, `logger`, `event`.
    pub fn new() -> Self {
        Self::of(&DEFAULT)
    }

    /// Returns the form of the Elastic Common Schema, version 8.11,
    /// according to Elastic's specification for log libraries.
    pub fn ecs() -> Self {
        Self::of(&ECS)
    }

    /// Returns the form parsed by the agents of Google Cloud Logging. A trace is named by its id alone, which
    /// is enough on standard output of Google's platforms; elsewhere set the [`project`](Self::project).
    pub fn gcp() -> Self {
        Self::of(&GCP)
    }

    /// Returns the form of Datadog's reserved and standard attributes. Trace ids are those
    /// of OpenTelemetry, with 32 digits, which Datadog accepts as `trace_id` and `span_id`.
    pub fn datadog() -> Self {
        Self::of(&DATADOG)
    }

    /// Sets the key of the time.
    #[must_use]
    pub fn timestamp_key(self, key: impl AsRef<str>) -> Self {
        self.key(TIMESTAMP, key.as_ref())
    }

    /// Sets the key of the level.
    #[must_use]
    pub fn level_key(self, key: impl AsRef<str>) -> Self {
        self.key(LEVEL, key.as_ref())
    }

    /// Sets the key of the logger's name.
    #[must_use]
    pub fn logger_key(self, key: impl AsRef<str>) -> Self {
        self.key(LOGGER, key.as_ref())
    }

    /// Sets the key of the event's text.
    #[must_use]
    pub fn event_key(self, key: impl AsRef<str>) -> Self {
        self.key(EVENT, key.as_ref())
    }

    fn key(mut self, at: usize, key: &str) -> Self {
        self.keys[at] = Some(write::escaped(key));
        self
    }

    /// Sets the format of the time.
    #[must_use]
    pub fn time(mut self, time: TimeForm) -> Self {
        self.time = time;
        self
    }

    /// Sets the Google Cloud project of the traces: `projects/PROJECT/traces/ID`.
    #[must_use]
    pub fn project(mut self, project: impl AsRef<str>) -> Self {
        self.project = Some(write::escaped(project.as_ref()));
        self
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::new()
    }

    /// Returns a key that occurs twice in a line, if there is one: such a line could not be read back.
    pub(crate) fn ambiguous_key(&self) -> Option<&str> {
        let keys: Vec<&str> = (0..4).map(|at| self.name(at)).collect();
        let is_again =
            |at: &usize| keys[..*at].contains(&keys[*at]) || self.schema.writes(keys[*at]);
        Some(keys[(0..4).find(is_again)?])
    }

    /// Returns the name of the form, whatever its keys are.
    pub(crate) fn of_schema(&self) -> &'static str {
        self.schema.name
    }

    /// Returns the key of a part of the line, escaped.
    fn name(&self, at: usize) -> &str {
        self.keys[at].as_deref().unwrap_or(self.schema.keys[at])
    }
}

impl Default for JsonForm {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for JsonForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = (0..4).map(|at| self.name(at)).collect();
        f.debug_struct("JsonForm")
            .field("schema", &self.schema.name)
            .field("keys", &keys)
            .field("time", &self.time)
            .field("project", &self.project)
            .finish()
    }
}

/// Text that is not the name of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseJsonFormError(String);

impl fmt::Display for ParseJsonFormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown JSON form {:?}: expected json, ecs, gcp or datadog",
            self.0
        )
    }
}

impl std::error::Error for ParseJsonFormError {}

/// Parses `json`, `ecs`, `gcp` or `datadog`, in any case.
impl FromStr for JsonForm {
    type Err = ParseJsonFormError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim().to_ascii_lowercase();
        let mut known = [&DEFAULT, &ECS, &GCP, &DATADOG].into_iter();
        let schema = known.find(|schema| schema.name == name);
        let schema = schema.ok_or_else(|| ParseJsonFormError(text.to_owned()))?;
        Ok(Self::of(schema))
    }
}

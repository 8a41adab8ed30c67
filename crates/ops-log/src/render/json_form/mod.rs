//! JSON lines under the names that others give to their parts.

pub(crate) mod read;
mod schema;
mod write;

use std::fmt;
use std::str::FromStr;

use crate::render::json_form::schema::{DATADOG, ECS, GCP, OURS, Schema};

/// Names of the keys of JSON lines, and the form of their time: ours, those of a vendor, or names of one's own.
///
/// | form | instant | level | event | logger | service |
/// |---|---|---|---|---|---|
/// | default | `timestamp` | `level` | `event` | `logger` | |
/// | `ecs` | `@timestamp` | `log.level` | `message` | `log.logger` | `service.name` |
/// | `gcp` | `time` | `severity` (`DEBUG` to `CRITICAL`) | `message` | `logger` | `serviceContext` |
/// | `datadog` | `timestamp` | `status` | `message` | `logger.name` | `service` |
///
/// Trace and span ids, errors, backtraces, call sites and the fields of access lines have the names of the vendor too, and a field
/// whose name means something else there gets a `_` behind it. [`reader`](crate::reader) and [`recent`](crate::recent) know all
/// of them by our names. Lines in another form than ours cost a second pass and an allocation.
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
    /// Keys of instant, level, logger and event, escaped, in place of those of the schema.
    keys: [Option<String>; 4],
    time: TimeForm,
    /// Project of Google Cloud that traces belong to, escaped.
    project: Option<String>,
}

/// Form of the instant of a JSON line.
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

/// Places of keys in [`JsonForm::keys`], in the order of our lines.
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

    /// Returns our own form: `timestamp`, `level`, `logger`, `event`.
    pub fn new() -> Self {
        Self::of(&OURS)
    }

    /// Returns the form of the Elastic Common Schema, version 8.11, as Elastic's specification for log libraries has it.
    pub fn ecs() -> Self {
        Self::of(&ECS)
    }

    /// Returns the form that the agents of Google Cloud Logging take apart. A trace is named by its id alone, which is enough on
    /// standard output of Google's platforms; elsewhere set the [`project`](Self::project).
    pub fn gcp() -> Self {
        Self::of(&GCP)
    }

    /// Returns the form of Datadog's reserved and standard attributes. Trace ids are those of OpenTelemetry, 32 digits, which Datadog
    /// knows as `trace_id` and `span_id`.
    pub fn datadog() -> Self {
        Self::of(&DATADOG)
    }

    /// Sets the key of the instant.
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

    /// Sets the form of the instant.
    #[must_use]
    pub fn time(mut self, time: TimeForm) -> Self {
        self.time = time;
        self
    }

    /// Sets the project of Google Cloud that traces belong to: `projects/PROJECT/traces/ID`.
    #[must_use]
    pub fn project(mut self, project: impl AsRef<str>) -> Self {
        self.project = Some(write::escaped(project.as_ref()));
        self
    }

    pub(crate) fn is_ours(&self) -> bool {
        *self == Self::new()
    }

    /// Two of the keys of a line that are the same, if any are: such a line could not be read.
    pub(crate) fn ambiguous_key(&self) -> Option<&str> {
        let keys: Vec<&str> = (0..4).map(|at| self.name(at)).collect();
        let is_again =
            |at: &usize| keys[..*at].contains(&keys[*at]) || self.schema.writes(keys[*at]);
        Some(keys[(0..4).find(is_again)?])
    }

    /// Name of the form, whatever its keys are.
    pub(crate) fn of_schema(&self) -> &'static str {
        self.schema.name
    }

    /// Key of a part of the line, escaped.
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

/// Name that is none of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseJsonFormError(String);

impl fmt::Display for ParseJsonFormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown form of JSON lines {:?}: expected json, ecs, gcp or datadog",
            self.0
        )
    }
}

impl std::error::Error for ParseJsonFormError {}

/// `json`, `ecs`, `gcp` or `datadog`, in any case.
impl FromStr for JsonForm {
    type Err = ParseJsonFormError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim().to_ascii_lowercase();
        let mut known = [&OURS, &ECS, &GCP, &DATADOG].into_iter();
        let schema = known.find(|schema| schema.name == name);
        let schema = schema.ok_or_else(|| ParseJsonFormError(text.to_owned()))?;
        Ok(Self::of(schema))
    }
}

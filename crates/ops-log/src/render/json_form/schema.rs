//! Vendors' names for the parts of a line.
//!
//! Sources: the specification of ecs-logging and the field reference of ECS 8.11; "special fields in structured payloads" of the
//! Google Cloud Logging agents and the resource LogEntry; Datadog's reserved and standard attributes, and its page about
//! OpenTelemetry's trace ids in JSON logs.

/// Names used by one vendor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Schema {
    pub(super) name: &'static str,
    /// Keys of time, level, logger and event.
    pub(super) keys: [&'static str; 4],
    /// Names of the levels, the most verbose first.
    pub(super) levels: [&'static str; 6],
    /// Field with a fixed value on every line.
    pub(super) fixed: Option<(&'static str, &'static str)>,
    pub(super) service: Service,
    /// Default names of fields, and the vendor's names.
    pub(super) fields: &'static [(&'static str, &'static str)],
    /// The same for fields of access lines, because only there their meaning is known.
    pub(super) access: &'static [(&'static str, &'static str)],
    pub(super) location: Location,
    /// Key of a trace that is named with its project.
    pub(super) trace: Option<&'static str>,
    /// Other keys with a meaning: fields with these names get a `_` appended.
    pub(super) reserved: &'static [&'static str],
}

/// Position of the service's name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Service {
    None,
    Key(&'static str),
    /// In an object with this key, under `service`.
    Within(&'static str),
}

/// Form of a call site.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// `location`, as `file:line`.
    Joined,
    /// Two keys: of the file, and of the line as a number.
    Keys(&'static str, &'static str),
    /// An object with `file` and `line`, both texts.
    Object(&'static str),
}

const LEVELS: [&str; 6] = ["trace", "debug", "info", "warning", "error", "critical"];

pub(super) static DEFAULT: Schema = Schema {
    name: "json",
    keys: ["timestamp", "level", "logger", "event"],
    levels: LEVELS,
    fixed: None,
    service: Service::None,
    fields: &[],
    access: &[],
    location: Location::Joined,
    trace: None,
    reserved: &[],
};

pub(super) static ECS: Schema = Schema {
    name: "ecs",
    keys: ["@timestamp", "log.level", "log.logger", "message"],
    levels: LEVELS,
    fixed: Some(("ecs.version", "8.11.0")),
    service: Service::Key("service.name"),
    fields: &[
        ("trace_id", "trace.id"),
        ("span_id", "span.id"),
        ("request_id", "http.request.id"),
        ("error", "error.message"),
        ("error_type", "error.type"),
        ("backtrace", "error.stack_trace"),
        ("thread", "process.thread.name"),
    ],
    access: &[
        ("method", "http.request.method"),
        ("path", "url.path"),
        ("status", "http.response.status_code"),
        ("client", "client.address"),
    ],
    location: Location::Keys("log.origin.file.name", "log.origin.file.line"),
    trace: None,
    // Elasticsearch refuses a text under the name of an object: the field sets of ECS 8.11
    reserved: &[
        "agent",
        "client",
        "cloud",
        "container",
        "data_stream",
        "destination",
        "device",
        "dll",
        "dns",
        "ecs",
        "email",
        "error",
        "event",
        "faas",
        "file",
        "group",
        "host",
        "http",
        "labels",
        "log",
        "network",
        "observer",
        "orchestrator",
        "organization",
        "package",
        "process",
        "registry",
        "related",
        "rule",
        "server",
        "service",
        "source",
        "span",
        "threat",
        "tls",
        "trace",
        "transaction",
        "url",
        "user",
        "user_agent",
        "volume",
        "vulnerability",
    ],
};

pub(super) static GCP: Schema = Schema {
    name: "gcp",
    keys: ["time", "severity", "logger", "message"],
    levels: ["DEBUG", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    fixed: None,
    service: Service::Within("serviceContext"),
    fields: &[
        ("trace_id", "logging.googleapis.com/trace"),
        ("span_id", "logging.googleapis.com/spanId"),
        ("backtrace", "stack_trace"),
    ],
    access: &[],
    location: Location::Object("logging.googleapis.com/sourceLocation"),
    trace: Some("logging.googleapis.com/trace"),
    reserved: &[
        "exception",
        "httpRequest",
        "log",
        "timestamp",
        "timestampNanos",
        "timestampSeconds",
    ],
};

pub(super) static DATADOG: Schema = Schema {
    name: "datadog",
    keys: ["timestamp", "status", "logger.name", "message"],
    levels: LEVELS,
    fixed: None,
    service: Service::Key("service"),
    fields: &[
        ("request_id", "http.request_id"),
        ("error", "error.message"),
        ("error_type", "error.kind"),
        ("backtrace", "error.stack"),
        ("thread", "logger.thread_name"),
    ],
    access: &[
        ("method", "http.method"),
        ("path", "http.url_details.path"),
        ("status", "http.status_code"),
    ],
    location: Location::Joined,
    trace: None,
    // Datadog uses these for the status, then for host, service,
    // message, source and tags, and the last ones for the date
    reserved: &[
        "level",
        "severity",
        "syslog",
        "host",
        "hostname",
        "msg",
        "log",
        "dd",
        "ddsource",
        "ddtags",
        "@timestamp",
        "_timestamp",
        "Timestamp",
        "eventTime",
        "date",
        "published_date",
        "error",
        "http",
        "logger",
    ],
};

/// Event of access lines.
pub(super) const ACCESS_LINE: &str = "request_completed";

impl Schema {
    /// Returns the vendor's name of a field, if there is one.
    pub(super) fn field(&self, key: &str, is_access: bool) -> Option<&'static str> {
        let of_access = self.access.iter().filter(|_| is_access);
        let mut known = self.fields.iter().chain(of_access);
        known
            .find(|(default, _)| *default == key)
            .map(|(_, vendor)| *vendor)
    }

    /// Returns the default name of a vendor's field.
    pub(super) fn default_field(&self, key: &str) -> Option<&'static str> {
        let mut known = self.fields.iter().chain(self.access);
        known
            .find(|(_, vendor)| *vendor == key)
            .map(|(default, _)| *default)
    }

    /// Returns `true` if a field with this name would get another meaning.
    pub(super) fn means_something(&self, key: &str) -> bool {
        self.writes(key) || self.reserved.contains(&key)
    }

    /// Returns `true` if lines have a part with this key besides time, level, logger and event.
    pub(super) fn writes(&self, key: &str) -> bool {
        let of_service = match self.service {
            Service::None => false,
            Service::Key(name) | Service::Within(name) => name == key,
        };
        let of_location = match self.location {
            Location::Joined => false,
            Location::Keys(file, line) => key == file || key == line,
            Location::Object(name) => name == key,
        };
        of_service
            || of_location
            || self.default_field(key).is_some()
            || self.fixed.is_some_and(|(name, _)| name == key)
    }
}

//! Keys of a configuration file.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{Config, Filter, JsonForm, LateLines, Level, RateLimit, Rotation, Value};

/// Keys as in the file: the names of the methods; `filter` has the syntax of `RUST_LOG`.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "level, file and the other keys of the log"
)]
struct ConfigFile {
    service_name: Option<String>,
    format: Format,
    #[serde(deserialize_with = "parsed")]
    filter: Option<Filter>,
    #[serde(deserialize_with = "parsed")]
    level: Option<Level>,
    stdout: bool,
    console_context: bool,
    blocking: bool,
    file: Option<PathBuf>,
    #[serde(deserialize_with = "parsed")]
    rotation: Option<Rotation>,
    #[serde(deserialize_with = "parsed")]
    rate_limit: Option<RateLimit>,
    target_rate_limits: InOrder<OneRateLimit>,
    sample_traces: Ratio,
    #[serde(deserialize_with = "parsed")]
    late_lines: Option<LateLines>,
    fields: InOrder<Scalar>,
    denied_keys: Option<Vec<String>>,
    allowed_keys: Option<Vec<String>>,
    span_id: bool,
    call_site: bool,
    recent_lines: usize,
    panics: bool,
    install_bridges: bool,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Format {
    Json,
    Ecs,
    Gcp,
    Datadog,
    Console,
}

impl Format {
    fn form(&self) -> JsonForm {
        match self {
            Self::Json | Self::Console => JsonForm::new(),
            Self::Ecs => JsonForm::ecs(),
            Self::Gcp => JsonForm::gcp(),
            Self::Datadog => JsonForm::datadog(),
        }
    }
}

/// Map in the order of the file: if a line belongs to several targets, the first one applies.
struct InOrder<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for InOrder<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = InOrder<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InOrder<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(InOrder(entries))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// Part of the traces, checked while the deserializer still knows its line.
struct Ratio(f64);

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(RatioVisitor)
    }
}

struct RatioVisitor;

impl Visitor<'_> for RatioVisitor {
    type Value = Ratio;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 0 to 1")
    }

    fn visit_f64<E: serde::de::Error>(self, ratio: f64) -> Result<Ratio, E> {
        match (0.0..=1.0).contains(&ratio) {
            true => Ok(Ratio(ratio)),
            false => Err(E::invalid_value(Unexpected::Float(ratio), &self)),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, ratio: u64) -> Result<Ratio, E> {
        self.visit_f64(ratio as f64)
    }

    fn visit_i64<E: serde::de::Error>(self, ratio: i64) -> Result<Ratio, E> {
        self.visit_f64(ratio as f64)
    }
}

/// Rate limit of a target.
struct OneRateLimit(RateLimit);

impl<'de> Deserialize<'de> for OneRateLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsed(PhantomData)).map(Self)
    }
}

/// Value of a field.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string, a number or a boolean")]
enum Scalar {
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Text(String),
}

impl From<Scalar> for Value {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Bool(value) => value.into(),
            Scalar::Int(value) => value.into(),
            Scalar::UInt(value) => value.into(),
            Scalar::Float(value) => value.into(),
            Scalar::Text(value) => value.into(),
        }
    }
}

fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_str(Parsed(PhantomData)).map(Some)
}

/// Parses while the deserializer still knows its position, so that an error can name the line.
struct Parsed<T>(PhantomData<T>);

impl<T: FromStr<Err: Display>> Visitor<'_> for Parsed<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl Default for ConfigFile {
    fn default() -> Self {
        let config = Config::default();
        Self {
            service_name: None,
            format: Format::Console,
            filter: None,
            level: None,
            stdout: true,
            console_context: false,
            blocking: false,
            file: None,
            rotation: None,
            rate_limit: None,
            target_rate_limits: InOrder(Vec::new()),
            sample_traces: Ratio(config.sampled_traces),
            late_lines: None,
            fields: InOrder(Vec::new()),
            denied_keys: None,
            allowed_keys: None,
            span_id: config.span_id,
            call_site: config.call_site,
            recent_lines: config.recent,
            panics: config.panics,
            install_bridges: config.install_bridges,
        }
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ConfigFile::deserialize(deserializer).map(Self::from)
    }
}

impl From<ConfigFile> for Config {
    fn from(file: ConfigFile) -> Self {
        let mut config = Self::new()
            .stdout(file.stdout)
            .json(file.format != Format::Console)
            .json_form(file.format.form())
            .call_site(file.call_site)
            .console_context(file.console_context)
            .blocking(file.blocking)
            .span_id(file.span_id)
            .sample_traces(file.sample_traces.0)
            .recent_lines(file.recent_lines)
            .panics(file.panics)
            .install_bridges(file.install_bridges);
        if let Some(name) = file.service_name {
            config = config.service_name(name);
        }
        if let Some(filter) = file.filter {
            config = config.filter(filter);
        }
        if let Some(level) = file.level {
            config = config.level(level);
        }
        if let Some(rotation) = file.rotation {
            config = config.rotation(rotation);
        }
        if let Some(limit) = file.rate_limit {
            config = config.rate_limit(limit);
        }
        if let Some(late) = file.late_lines {
            config = config.late_lines(late);
        }
        for (target, OneRateLimit(limit)) in file.target_rate_limits.0 {
            config = config.target_rate_limit(target, limit);
        }
        if let Some(path) = file.file {
            config = config.file(path);
        }
        if let Some(keys) = file.denied_keys {
            config = config.denied_keys(keys);
        }
        if let Some(keys) = file.allowed_keys {
            config = config.allowed_keys(keys);
        }
        for (key, value) in file.fields.0 {
            config = config.field(key, value);
        }
        config
    }
}

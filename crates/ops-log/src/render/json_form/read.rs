//! Reading of lines in other forms.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::value::RawValue;

use super::schema::{DATADOG, DEFAULT, ECS, GCP, Location, Schema, Service};
use super::{EVENT, JsonForm, LEVEL, LOGGER, TIMESTAMP, TimeForm};
use crate::Level;
use crate::render::timestamp::Timestamps;

/// Member of a line, under its default name.
pub(crate) enum Member {
    Timestamp(String),
    Level(String),
    Logger(String),
    Event(String),
    Field(String, Box<RawValue>),
    /// File and line of the call, which are one field in the default form.
    File(String),
    Line(String),
    /// Member without a counterpart in the default form.
    Nothing,
}

impl JsonForm {
    /// Recognizes the form of a line by its keys; the default form if it is not a vendor's.
    pub(crate) fn recognized(entries: &[(String, &RawValue)]) -> Self {
        let has = |keys: &[&str]| {
            keys.iter()
                .all(|key| entries.iter().any(|(name, _)| name == key))
        };
        let of = |schema: &'static Schema| {
            let [timestamp, level, _, event] = schema.keys;
            has(&[timestamp, level, event])
        };
        let status = entries.iter().find(|(key, _)| key == "status");
        let is_level = |text: &str| text.parse::<Level>().is_ok();
        let has_status = status.is_some_and(|(_, value)| is_level(&plain(value)));
        if has(&["level", "event"]) {
            Self::of(&DEFAULT)
        } else if of(&ECS) {
            Self::of(&ECS)
        } else if of(&GCP) {
            Self::of(&GCP)
        } else if of(&DATADOG) && has_status {
            Self::of(&DATADOG)
        } else {
            Self::of(&DEFAULT)
        }
    }

    /// Converts a member of a line.
    pub(crate) fn member(&self, key: String, value: &RawValue) -> Member {
        let is = |at: usize| self.names(at, &key);
        if is(TIMESTAMP) {
            return Member::Timestamp(self.rfc3339(value));
        }
        if is(LEVEL) {
            return Member::Level(plain(value));
        }
        if is(LOGGER) {
            return Member::Logger(plain(value));
        }
        if is(EVENT) {
            return Member::Event(plain(value));
        }
        let schema = self.schema;
        if schema.fixed.is_some_and(|(name, _)| name == key) {
            return Member::Nothing;
        }
        if let Service::Key(name) | Service::Within(name) = schema.service
            && name == key
        {
            return Member::Nothing;
        }
        if let Some(default) = schema.default_field(&key) {
            let value = match schema.trace == Some(key.as_str()) {
                true => trace_id(value),
                false => value.to_owned(),
            };
            return Member::Field(default.to_owned(), value);
        }
        match schema.location {
            Location::Object(name) if name == key => {
                if let Some(place) = joined(value) {
                    return Member::Field("location".to_owned(), place);
                }
            }
            Location::Keys(of_file, _) if of_file == key => {
                return Member::File(plain(value));
            }
            Location::Keys(_, of_line) if of_line == key => {
                return Member::Line(plain(value));
            }
            _ => {}
        }
        let is_renamed = |bare: &&str| schema.means_something(bare) || self.is_head(bare);
        let bare = key.strip_suffix('_').filter(|_| !self.is_default());
        match bare.filter(is_renamed) {
            Some(bare) => Member::Field(bare.to_owned(), value.to_owned()),
            None => Member::Field(key, value.to_owned()),
        }
    }

    /// Returns `true` for the key of time, level, logger or event.
    pub(crate) fn is_head(&self, key: &str) -> bool {
        (0..4).any(|at| self.names(at, key))
    }

    /// Returns `true` if this is the key of the part at this index.
    fn names(&self, at: usize, key: &str) -> bool {
        match &self.keys[at] {
            None => self.schema.keys[at] == key,
            Some(escaped) => *escaped == super::write::escaped(key),
        }
    }

    fn rfc3339(&self, value: &RawValue) -> String {
        let text = plain(value);
        let is_text = value.get().starts_with('"');
        let time = match self.time {
            TimeForm::Rfc3339 if is_text => return text,
            // the unit is unknown to the reader: milliseconds are larger than seconds will be for 3000 years
            TimeForm::Rfc3339 if text.contains('.') || text.len() < 12 => TimeForm::UnixSeconds,
            TimeForm::Rfc3339 => TimeForm::UnixMillis,
            time => time,
        };
        let millis = match time {
            TimeForm::UnixSeconds => millis_of_seconds(&text),
            _ => text.parse().ok(),
        };
        // no later than the year 9999
        let millis = millis.filter(|millis| *millis < 253_402_300_800_000);
        let at = millis.and_then(|millis| UNIX_EPOCH.checked_add(Duration::from_millis(millis)));
        at.map_or(text, Timestamps::text)
    }
}

/// Returns the milliseconds of seconds with any number of decimals.
fn millis_of_seconds(text: &str) -> Option<u64> {
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = decimals.bytes().all(|byte| byte.is_ascii_digit());
    let padded = format!("{decimals:0<3}");
    let millis: u64 = padded.get(..3).filter(|_| is_number)?.parse().ok()?;
    let seconds: u64 = seconds.parse().ok()?;
    seconds.checked_mul(1000)?.checked_add(millis)
}

/// Returns a string without its quotes, anything else unchanged.
pub(crate) fn plain(value: &RawValue) -> String {
    serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

/// Returns the id at the end of `projects/P/traces/ID`.
fn trace_id(value: &RawValue) -> Box<RawValue> {
    let name = plain(value);
    let id = name.rsplit('/').next().unwrap_or_default();
    serde_json::value::to_raw_value(id).unwrap_or_else(|_| value.to_owned())
}

/// Returns `file:line` of an object that has both.
fn joined(value: &RawValue) -> Option<Box<RawValue>> {
    #[derive(serde::Deserialize)]
    struct Place<'a> {
        #[serde(borrow)]
        file: Cow<'a, str>,
        #[serde(borrow)]
        line: Cow<'a, str>,
    }
    let Place { file, line } = serde_json::from_str(value.get()).ok()?;
    serde_json::value::to_raw_value(&format!("{file}:{line}")).ok()
}

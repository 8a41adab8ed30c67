use std::fmt;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::value::RawValue;

use super::instant::parse_instant;
use crate::redact::deny::DenyList;
use crate::render::console::{self, Parts};
use crate::render::json_form::JsonForm;
use crate::render::json_form::read::{Member, plain};
use crate::render::nested::{Nested, Written};
use crate::render::raw::{Entries, Raw};
use crate::render::timestamp::Timestamps;
use crate::{Level, escape};

/// Whoever wrote a line has hidden what is not to be read.
static SHOW_ALL: LazyLock<DenyList> = LazyLock::new(|| DenyList::new([""; 0], [""; 0]));

/// A line that was written as one JSON object. `Display` is the form for people, without colors.
///
/// Fields keep their order. Control characters and marks that change the direction of text stay escaped, also if another
/// program wrote the line.
pub struct StoredLine {
    timestamp: String,
    /// As it was written, by our name if it is a level of ours.
    level_text: String,
    level: Option<Level>,
    event: String,
    logger: String,
    fields: Vec<(String, Box<RawValue>)>,
}

/// Failure to read a line: it is not one JSON object.
#[derive(Debug)]
pub struct ParseLineError(serde_json::Error);

impl StoredLine {
    /// Reads a line in our form, or in the one of a vendor that [`JsonForm`] knows: it is told by its keys. Keys besides `timestamp`,
    /// `level`, `event` and `logger` are fields, by our names; a missing one of those is empty, and so is a `null`. NULs and a mark of
    /// byte order before the line are skipped.
    ///
    /// # Errors
    ///
    /// Fails if the text is not one JSON object: a stack trace, the beginning of a line that was cut off.
    pub fn parse(text: &str) -> Result<Self, ParseLineError> {
        let Entries(entries) = entries(text)?;
        let form = JsonForm::recognized(&entries);
        Ok(Self::of(entries, &form))
    }

    /// Reads a line in this form, whose keys may be one's own.
    ///
    /// # Errors
    ///
    /// Fails as [`parse`](Self::parse) does.
    pub fn parse_with(text: &str, form: &JsonForm) -> Result<Self, ParseLineError> {
        let Entries(entries) = entries(text)?;
        Ok(Self::of(entries, form))
    }

    fn of(entries: Vec<(String, &RawValue)>, form: &JsonForm) -> Self {
        let mut line = Self {
            timestamp: String::new(),
            level_text: String::new(),
            level: None,
            event: String::new(),
            logger: String::new(),
            fields: Vec::new(),
        };
        // file and line of the call, and their place among the fields
        let (mut file, mut number, mut place) = (None, None, None);
        for (key, value) in entries {
            if value.get() == "null" && form.is_head(&key) {
                continue;
            }
            match form.member(key, value) {
                Member::Timestamp(text) => line.timestamp = text,
                Member::Level(text) => {
                    line.level = text.parse().ok();
                    let name = line.level.map(Level::as_str);
                    line.level_text = name.map_or(text, str::to_owned);
                }
                Member::Event(text) => line.event = text,
                Member::Logger(text) => line.logger = text,
                Member::Field(key, value) => line.fields.push((key, value)),
                Member::File(text) => {
                    file = Some(text);
                    place.get_or_insert(line.fields.len());
                }
                Member::Line(text) => {
                    number = Some(text);
                    place.get_or_insert(line.fields.len());
                }
                Member::Nothing => {}
            }
        }
        let location = match (file, number) {
            (Some(file), Some(number)) => Some(format!("{file}:{number}")),
            (file, number) => file.or(number),
        };
        let location = location.map(|location| serde_json::value::to_raw_value(&location));
        if let (Some(place), Some(Ok(location))) = (place, location) {
            line.fields.insert(place, ("location".to_owned(), location));
        }
        line
    }

    /// Instant of the line as it was written, such as `2025-01-15T10:30:00.123Z`; empty if it has none.
    pub fn timestamp(&self) -> &str {
        &self.timestamp
    }

    /// Instant of the line; `None` if it has none that [`parse_instant`] reads.
    pub fn instant(&self) -> Option<SystemTime> {
        parse_instant(&self.timestamp).ok()
    }

    /// Level of the line; `None` if it has none, or one of another system.
    pub fn level(&self) -> Option<Level> {
        self.level
    }

    /// Event of the line.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// Returns a field as text: a string without its quotes, anything else as JSON. The last one counts if a key is there
    /// twice. `timestamp`, `level`, `event` and `logger` are the parts of the line, unless they are empty.
    pub fn field(&self, key: &str) -> Option<String> {
        let found = self.fields.iter().rfind(|(name, _)| name == key);
        let part = self.part(key).map(str::to_owned);
        part.or_else(|| found.map(|(_, value)| plain(value)))
    }

    fn part(&self, key: &str) -> Option<&str> {
        let text = match key {
            "timestamp" => &self.timestamp,
            "level" => &self.level_text,
            "event" => &self.event,
            "logger" => &self.logger,
            _ => return None,
        };
        Some(text.as_str()).filter(|text| !text.is_empty())
    }

    /// Reports whether a part or a field has this value; levels have several names.
    pub(super) fn has(&self, key: &str, value: &str) -> bool {
        let is_level = || self.level.is_some() && value.parse().ok() == self.level;
        self.part(key)
            .is_some_and(|part| part == value || (key == "level" && is_level()))
            || self
                .fields
                .iter()
                .rfind(|(name, _)| name == key)
                .is_some_and(|(_, found)| plain(found) == value)
    }

    /// The instant to the second, in UTC; as it was written if it cannot be read.
    fn shown_instant(&self) -> Vec<u8> {
        // an instant before 1970 is written as 1970
        let instant = self.instant().filter(|instant| *instant >= UNIX_EPOCH);
        let text = instant.map(Timestamps::text);
        match text.as_deref().and_then(|text| text.get(..19)) {
            Some(second) => second.as_bytes().to_vec(),
            None => json_escaped(&self.timestamp),
        }
    }

    /// The line for people, without a newline; with colors for terminals if `color` is set.
    pub fn console(&self, color: bool) -> String {
        let fields: Vec<_> = self
            .fields
            .iter()
            .map(|(key, value)| (json_escaped(key), shown_value(key, value)))
            .collect();
        let level_text = json_escaped(&self.level_text);
        let mut out = Vec::new();
        console::line(
            &mut out,
            color,
            &Parts {
                timestamp: &self.shown_instant(),
                level: self.level.ok_or(&level_text),
                event: &json_escaped(&self.event),
                logger: &self.logger,
            },
            fields
                .iter()
                .map(|(key, value)| (key.as_slice(), value.as_slice())),
        );
        String::from_utf8_lossy(&out).into_owned()
    }

    pub(super) fn contains(&self, text: &str) -> bool {
        let within = |place: &str| place.contains(text);
        within(&self.event)
            || within(&self.logger)
            || self
                .fields
                .iter()
                .any(|(key, value)| within(key) || within(&plain(value)))
    }
}

fn entries(text: &str) -> Result<Entries<'_>, ParseLineError> {
    let text = text.trim_start_matches(['\0', '\u{feff}']);
    serde_json::from_str(text).map_err(ParseLineError)
}

fn json_escaped(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    escape::json(text, &mut out);
    out
}

/// A value as JSON without characters that move a cursor.
fn shown_value(key: &str, value: &RawValue) -> Vec<u8> {
    let mut json = Vec::new();
    let raw = Raw::to_show(value.get());
    match Nested::write(&raw, key.as_bytes(), &SHOW_ALL, &mut json) {
        // JSON, and more than we would write: a number beyond all numbers, or deeper lists
        Written::Failed => escaped(value.get()).into_bytes(),
        _ => json,
    }
}

/// Text of a line that is not JSON, with control characters escaped so that none moves a cursor; tabs stay.
pub fn escaped(text: &str) -> String {
    let stays = ['\t', '"', '\\'];
    let mut out = Vec::with_capacity(text.len());
    for part in text.split_inclusive(stays) {
        let body = part.strip_suffix(stays).unwrap_or(part);
        escape::json(body, &mut out);
        out.extend_from_slice(&part.as_bytes()[body.len()..]);
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl fmt::Display for StoredLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.console(false))
    }
}

impl fmt::Debug for StoredLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredLine({self})")
    }
}

impl fmt::Display for ParseLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a line of JSON")
    }
}

impl std::error::Error for ParseLineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

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

/// Empty list, because stored lines are redacted already.
static SHOW_ALL: LazyLock<DenyList> = LazyLock::new(|| DenyList::new([""; 0], [""; 0]));

/// Line that was written as one JSON object. `Display` is the console form, without colors.
///
/// Fields keep their order. Control characters and marks that change the
/// direction of text stay escaped, even if another program wrote the line.
pub struct StoredLine {
    timestamp: String,
    /// The level as written, or its name in this crate if it is known.
    level_text: String,
    level: Option<Level>,
    event: String,
    logger: String,
    fields: Vec<(String, Box<RawValue>)>,
}

/// Error for a line that is not one JSON object.
#[derive(Debug)]
pub struct ParseLineError(serde_json::Error);

impl StoredLine {
    /// Parses a line in this crate's form, or in the form of a vendor supported by
    /// [`JsonForm`], which is recognized by its keys. Keys other than `timestamp`, `level`,
    /// `event` and `logger` are fields, under this crate's names; if one of these four is
    /// missing or `null`, it is empty. NULs and a byte order mark before the line are skipped.
    ///
    /// # Errors
    ///
    /// Fails if the text is not one JSON object, such as a stack trace or a cut line.
    pub fn parse(text: &str) -> Result<Self, ParseLineError> {
        let Entries(entries) = entries(text)?;
        let form = JsonForm::recognized(&entries);
        Ok(Self::of(entries, &form))
    }

    /// Parses a line in this form, which may have custom keys.
    ///
    /// # Errors
    ///
    /// Fails like [`parse`](Self::parse).
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
        // file and line of the call, and their position among the fields
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

    /// Returns the time of the line as written, such as `2025-01-15T10:30:00.123Z`; empty if there is none.
    pub fn timestamp(&self) -> &str {
        &self.timestamp
    }

    /// Returns the time of the line; `None` if there is none, or [`parse_instant`] cannot parse it.
    pub fn instant(&self) -> Option<SystemTime> {
        parse_instant(&self.timestamp).ok()
    }

    /// Returns the level of the line; `None` if there is none, or it is one of another system.
    pub fn level(&self) -> Option<Level> {
        self.level
    }

    /// Returns the event of the line.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// Returns a field as text: a string without its quotes, anything else as JSON. If a key occurs twice, the last
    /// one counts. `timestamp`, `level`, `event` and `logger` are the parts of the line, unless they are empty.
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

    /// Returns `true` if a part or a field has this value; levels have several names.
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

    /// Returns the time to the second, in UTC; as written if it cannot be parsed.
    fn shown_instant(&self) -> Vec<u8> {
        // a time before 1970 would be written as 1970
        let instant = self.instant().filter(|instant| *instant >= UNIX_EPOCH);
        let text = instant.map(Timestamps::text);
        match text.as_deref().and_then(|text| text.get(..19)) {
            Some(second) => second.as_bytes().to_vec(),
            None => json_escaped(&self.timestamp),
        }
    }

    /// Returns the line for the console, without a newline; `color` adds colors for terminals.
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

/// Returns a value as JSON without characters that move the cursor.
fn shown_value(key: &str, value: &RawValue) -> Vec<u8> {
    let mut json = Vec::new();
    let raw = Raw::to_show(value.get());
    match Nested::write(&raw, key.as_bytes(), &SHOW_ALL, &mut json) {
        // valid JSON beyond our limits: a number out of range, or deeper nesting
        Written::Failed => escaped(value.get()).into_bytes(),
        _ => json,
    }
}

/// Returns a line that is not JSON with control characters escaped, so that none moves the cursor; tabs are kept.
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
        f.write_str("not a JSON object")
    }
}

impl std::error::Error for ParseLineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

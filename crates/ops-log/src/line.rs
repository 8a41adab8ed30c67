use std::borrow::Cow;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::value::json_text;
use crate::{Level, Value};

/// The keys that are ours on every line.
const RESERVED: [&str; 4] = ["timestamp", "level", "logger", "event"];

/// One line before it is rendered.
pub(crate) struct Line<'a> {
    pub(crate) at: SystemTime,
    pub(crate) level: Level,
    pub(crate) logger: &'a str,
    pub(crate) event: &'a str,
    pub(crate) context: &'a [(Cow<'static, str>, Value)],
    pub(crate) trace_id: Option<String>,
    pub(crate) fields: &'a [(&'a str, Value)],
}

impl Line<'_> {
    /// `{"timestamp":…,"level":…,"logger":…,"event":…, context, the event's own fields}`; one value for each key.
    pub(crate) fn json(&self) -> String {
        let mut out = String::with_capacity(256);
        out.push_str("{\"timestamp\":\"");
        timestamp(self.at, true, &mut out);
        let _ = write!(out, "\",\"level\":\"{}\",\"logger\":", self.level.as_str());
        json_text(self.logger, &mut out);
        out.push_str(",\"event\":");
        json_text(self.event, &mut out);
        let mut pair = |key: &str, value: &Value| {
            out.push(',');
            json_text(key, &mut out);
            out.push(':');
            value.json(&mut out);
        };
        for (key, value) in self.context.iter().filter(|(key, _)| self.is_free(key)) {
            pair(key, value);
        }
        if let Some(id) = self.trace_id.as_deref().filter(|_| {
            self.is_free("trace_id") && !self.context.iter().any(|(key, _)| key == "trace_id")
        }) {
            pair("trace_id", &Value::Text(id.to_owned()));
        }
        for (key, value) in self.own() {
            pair(key, value);
        }
        out.push_str("}\n");
        out
    }

    /// `2025-01-15 10:30:00 [info     ] event  key=value key=value`
    pub(crate) fn console(&self) -> String {
        let mut out = String::with_capacity(128);
        timestamp(self.at, false, &mut out);
        let _ = write!(out, " [{:<9}] ", self.level.as_str());
        out.push_str(&self.event.escape_debug().to_string().replace("\\'", "'"));
        for (index, (key, value)) in self.own().enumerate() {
            out.push_str(if index == 0 { "  " } else { " " });
            out.extend(key.chars().map(|c| {
                if c.is_control() || c.is_whitespace() || c == '=' {
                    '_'
                } else {
                    c
                }
            }));
            out.push('=');
            value.console(&mut out);
        }
        out.push('\n');
        out
    }

    /// The event's own fields, the last one of a name in the place of the first.
    fn own(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields
            .iter()
            .enumerate()
            .filter_map(|(index, (key, _))| {
                let first = self.fields[..index].iter().all(|(before, _)| before != key);
                let last = self.fields.iter().rev().find(|(other, _)| other == key)?;
                (first && !RESERVED.contains(key)).then_some((*key, &last.1))
            })
    }

    fn is_free(&self, key: &str) -> bool {
        !RESERVED.contains(&key) && self.fields.iter().all(|(own, _)| *own != key)
    }
}

/// UTC: `2025-01-15T10:30:00.123Z`, or `2025-01-15 10:30:00` for people.
fn timestamp(at: SystemTime, machine: bool, out: &mut String) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let _ = if machine {
        write!(
            out,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
            since.subsec_millis()
        )
    } else {
        write!(
            out,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
        )
    };
}

/// The date of a day since 1970, by Howard Hinnant's `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

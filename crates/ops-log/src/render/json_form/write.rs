//! Writing of lines in other forms.

use std::borrow::Cow;
use std::str;

use super::schema::{ACCESS_LINE, Location, Service};
use super::{EVENT, JsonForm, LEVEL, LOGGER, TIMESTAMP, TimeForm};
use crate::escape;
use crate::redact::scrub::token_len;

/// Returns text as between quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = Vec::new();
    escape::json(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

impl JsonForm {
    /// Writes a default line, with its newline, in this form.
    pub(crate) fn write(&self, line: &[u8], service: &str, out: &mut Vec<u8>) {
        let members: Option<Vec<(&str, &[u8])>> = str::from_utf8(line).ok().map(members);
        let Some([timestamp, level, logger, event, fields @ ..]) = members.as_deref() else {
            return out.extend_from_slice(line);
        };
        let mut object = Object {
            out,
            is_empty: true,
        };
        object.member(self.name(TIMESTAMP), &self.instant(timestamp.1));
        object.member(self.name(LEVEL), &self.level(level.1));
        if self.schema.fixed.is_none() && self.schema.service == Service::None {
            object.member(self.name(LOGGER), logger.1);
            object.member(self.name(EVENT), event.1);
        } else {
            object.member(self.name(EVENT), event.1);
            self.describe(service, &mut object);
            object.member(self.name(LOGGER), logger.1);
        }
        let is_access = unquoted(event.1) == Some(ACCESS_LINE);
        for (key, value) in fields {
            self.field(key, value, is_access, fields, &mut object);
        }
        object.out.extend_from_slice(b"}\n");
    }

    /// Writes the members that are the same on every line.
    fn describe(&self, service: &str, object: &mut Object<'_>) {
        if let Some((key, value)) = self.schema.fixed {
            object.member(key, format!("\"{value}\"").as_bytes());
        }
        let service = escaped(service);
        match self.schema.service {
            Service::None => {}
            Service::Key(key) => object.member(key, format!("\"{service}\"").as_bytes()),
            Service::Within(key) => {
                object.member(key, format!("{{\"service\":\"{service}\"}}").as_bytes());
            }
        }
    }

    fn field(
        &self,
        key: &str,
        value: &[u8],
        is_access: bool,
        fields: &[(&str, &[u8])],
        object: &mut Object<'_>,
    ) {
        if key == "location"
            && let Some((file, line)) = unquoted(value).and_then(|text| text.rsplit_once(':'))
            && line
                .parse::<u32>()
                .is_ok_and(|number| number.to_string() == line)
        {
            match self.schema.location {
                Location::Joined => {}
                Location::Keys(of_file, of_line) => {
                    object.member(of_file, format!("\"{file}\"").as_bytes());
                    return object.member(of_line, line.as_bytes());
                }
                Location::Object(name) => {
                    let place = format!("{{\"file\":\"{file}\",\"line\":\"{line}\"}}");
                    return object.member(name, place.as_bytes());
                }
            }
        }
        let vendor = self.schema.field(key, is_access);
        let is_of_vendor_type = key == "status" || unquoted(value).is_some();
        match vendor.filter(|_| is_of_vendor_type) {
            Some(vendor) if self.schema.trace == Some(vendor) => {
                object.member(vendor, &self.trace(value));
            }
            Some(vendor) => object.member(vendor, value),
            None => object.member(&self.free_name(key, fields), value),
        }
    }

    /// Returns the name for a field for which the vendor has no name.
    fn free_name<'a>(&self, key: &'a str, fields: &[(&str, &[u8])]) -> Cow<'a, str> {
        let is_head = |key: &str| (0..4).any(|at| self.name(at) == key);
        let mut name = Cow::Borrowed(key);
        let is_taken = |name: &str| {
            is_head(name)
                || self.schema.means_something(name)
                || (name != key && fields.iter().any(|(other, _)| *other == name))
        };
        while is_taken(&name) {
            name.to_mut().push('_');
        }
        name
    }

    fn level<'a>(&self, level: &'a [u8]) -> Cow<'a, [u8]> {
        let names = super::schema::DEFAULT
            .levels
            .iter()
            .zip(&self.schema.levels);
        let text = unquoted(level);
        match names
            .into_iter()
            .find(|(default, _)| Some(**default) == text)
        {
            Some((default, vendor)) if default != vendor => {
                format!("\"{vendor}\"").into_bytes().into()
            }
            _ => level.into(),
        }
    }

    fn trace<'a>(&self, id: &'a [u8]) -> Cow<'a, [u8]> {
        match (&self.project, unquoted(id)) {
            (Some(project), Some(id)) => {
                let name = format!("\"projects/{project}/traces/{id}\"");
                name.into_bytes().into()
            }
            _ => id.into(),
        }
    }

    fn instant<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let millis = |text: &[u8]| millis_of(unquoted(text)?);
        match (self.time, millis(text)) {
            (TimeForm::UnixMillis, Some(millis)) => millis.to_string().into_bytes().into(),
            (TimeForm::UnixSeconds, Some(millis)) => {
                let seconds = format!("{}.{:03}", millis / 1000, millis % 1000);
                seconds.into_bytes().into()
            }
            _ => text.into(),
        }
    }
}

/// Object whose members are written one by one.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl Object<'_> {
    /// Adds a member, whose key is escaped.
    fn member(&mut self, key: &str, value: &[u8]) {
        let before: &[u8] = if self.is_empty { b"{\"" } else { b",\"" };
        self.is_empty = false;
        for part in [before, key.as_bytes(), b"\":", value] {
            self.out.extend_from_slice(part);
        }
    }
}

/// Returns the milliseconds since 1970 of `2025-01-15T10:30:00.123Z`.
fn millis_of(text: &str) -> Option<u64> {
    let number = |at: std::ops::Range<usize>| text.get(at)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let clock = (number(11..13)? * 60 + number(14..16)?) * 60 + number(17..19)?;
    // days since 1970, by Howard Hinnant's `days_from_civil`
    let shifted_year = if month > 2 {
        year
    } else {
        year.checked_sub(1)?
    };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    Some((days * 86_400 + clock) * 1000 + number(20..23)?)
}

/// Returns a text without its quotes; `None` for any other value.
fn unquoted(value: &[u8]) -> Option<&str> {
    let [b'"', inner @ .., b'"'] = value else {
        return None;
    };
    str::from_utf8(inner).ok()
}

/// Returns the keys, without quotes, and values of a line.
fn members(line: &str) -> Vec<(&str, &[u8])> {
    let bytes = line.as_bytes();
    let mut members = Vec::new();
    let mut at = 1;
    while bytes.get(at) == Some(&b'"') {
        let key = at + 1..at + token_len(&bytes[at..]) - 1;
        let start = key.end + 2;
        let mut end = start;
        let mut depth = 0_u32;
        while let Some(byte) = bytes.get(end) {
            match byte {
                b'{' | b'[' => depth += 1,
                b',' | b'}' if depth == 0 => break,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            end += token_len(&bytes[end..]);
        }
        let Some((key, value)) = line.get(key).zip(bytes.get(start..end)) else {
            break;
        };
        members.push((key, value));
        at = end + 1;
    }
    members
}

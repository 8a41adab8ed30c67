//! Conversion of a line to a log record.

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use serde_json::{Map, Value};

use crate::config::signals::LogLimits;
use crate::signals::lines::Line;
use crate::signals::nanos;

/// Returns the logger and the record of a line.
pub(super) fn of(line: &Line, limits: LogLimits) -> (String, LogRecord) {
    let observed = nanos(line.written);
    let mut record = LogRecord {
        observed_time_unix_nano: observed,
        time_unix_nano: observed,
        flags: u32::from(line.flags.to_u8()),
        ..LogRecord::default()
    };
    let (mut trace_id, mut span_id) = (line.trace_id, line.span_id);
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(&line.text) else {
        let text = String::from_utf8_lossy(&line.text).into_owned();
        record.body = Some(any(Value::String(text)));
        set_ids(&mut record, trace_id, span_id);
        return (String::new(), record);
    };
    if let Some(at) = take(&mut fields, "timestamp", unix_nanos) {
        record.time_unix_nano = at;
    }
    if let Some((severity, text)) = take(&mut fields, "level", severity) {
        record.severity_number = severity as i32;
        record.severity_text = text;
    }
    record.body = fields.remove("event").map(any);
    let logger = take(&mut fields, "logger", |text| Some(text.to_owned()));
    // a line may be bound to a trace that is not the current one
    if let Some(of_line) = take(&mut fields, "trace_id", trace_id_of)
        && of_line != trace_id
        && of_line != TraceId::INVALID
    {
        (trace_id, span_id) = (of_line, SpanId::INVALID);
        // the flags are those of the current trace
        record.flags = 0;
    }
    if let Some(of_line) = take(&mut fields, "span_id", span_id_of) {
        span_id = of_line;
    }
    set_ids(&mut record, trace_id, span_id);
    record.attributes = pairs(fields);
    limit(&mut record, limits);
    (logger.unwrap_or_default(), record)
}

/// Parses a trace id of 32 digits; the library's parser accepts fewer digits too.
fn trace_id_of(hex: &str) -> Option<TraceId> {
    TraceId::from_hex(hex).ok().filter(|_| hex.len() == 32)
}

fn span_id_of(hex: &str) -> Option<SpanId> {
    SpanId::from_hex(hex).ok().filter(|_| hex.len() == 16)
}

fn set_ids(record: &mut LogRecord, trace_id: TraceId, span_id: SpanId) {
    if trace_id != TraceId::INVALID {
        record.trace_id = trace_id.to_bytes().to_vec();
    }
    if span_id != SpanId::INVALID {
        record.span_id = span_id.to_bytes().to_vec();
    }
}

/// Removes a field that can be read; any other field stays among the attributes.
fn take<T>(
    fields: &mut Map<String, Value>,
    key: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let found = read(fields.get(key)?.as_str()?)?;
    fields.remove(key);
    Some(found)
}

/// Reads levels in any case: other loggers write them in capitals.
fn severity(level: &str) -> Option<(SeverityNumber, String)> {
    const LEVELS: [(&str, SeverityNumber); 8] = [
        ("trace", SeverityNumber::Trace),
        ("debug", SeverityNumber::Debug),
        ("info", SeverityNumber::Info),
        ("warning", SeverityNumber::Warn),
        ("warn", SeverityNumber::Warn),
        ("error", SeverityNumber::Error),
        ("critical", SeverityNumber::Fatal),
        ("fatal", SeverityNumber::Fatal),
    ];
    let mut levels = LEVELS.into_iter();
    let (_, number) = levels.find(|(name, _)| name.eq_ignore_ascii_case(level))?;
    Some((number, level.to_owned()))
}

fn pairs(fields: Map<String, Value>) -> Vec<KeyValue> {
    let pairs = fields.into_iter().map(|(key, value)| KeyValue {
        key,
        value: Some(any(value)),
        ..KeyValue::default()
    });
    pairs.collect()
}

fn limit(record: &mut LogRecord, limits: LogLimits) {
    let attributes = &mut record.attributes;
    let excess = attributes.len().saturating_sub(limits.attributes);
    attributes.truncate(limits.attributes);
    record.dropped_attributes_count = u32::try_from(excess).unwrap_or(u32::MAX);
    for attribute in attributes {
        shorten(attribute.value.as_mut(), limits.value_chars);
    }
}

/// Cuts each text of a value.
fn shorten(value: Option<&mut AnyValue>, chars: usize) {
    match value.and_then(|value| value.value.as_mut()) {
        // a text with at most `chars` bytes has at most `chars` characters
        Some(Any::StringValue(text)) if text.len() > chars => {
            let end = text.char_indices().nth(chars);
            text.truncate(end.map_or(text.len(), |(at, _)| at));
        }
        Some(Any::ArrayValue(array)) => {
            for value in &mut array.values {
                shorten(Some(value), chars);
            }
        }
        Some(Any::KvlistValue(fields)) => {
            for field in &mut fields.values {
                shorten(field.value.as_mut(), chars);
            }
        }
        _ => {}
    }
}

/// Converts a JSON value. `null` has no value, and a number above
/// `i64::MAX` becomes text, because a float would change it.
fn any(value: Value) -> AnyValue {
    let value = match value {
        Value::Null => None,
        Value::Bool(value) => Some(Any::BoolValue(value)),
        Value::String(text) => Some(Any::StringValue(text)),
        Value::Number(number) => Some(match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Any::IntValue(number),
            (None, Some(number)) => Any::StringValue(number.to_string()),
            (None, None) => Any::DoubleValue(number.as_f64().unwrap_or(f64::NAN)),
        }),
        Value::Array(values) => Some(Any::ArrayValue(ArrayValue {
            values: values.into_iter().map(any).collect(),
        })),
        Value::Object(fields) => Some(Any::KvlistValue(KeyValueList {
            values: pairs(fields),
        })),
    };
    AnyValue { value }
}

/// Reads `2025-01-15T10:30:00.123Z`, with any number of fraction digits, and any offset instead of `Z`. RFC 3339 also
/// allows small letters, and a blank instead of `T`, as Python and databases write it.
fn unix_nanos(text: &str) -> Option<u64> {
    let (text, offset) = split_offset(text)?;
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [hour, minute, second] = numbers(time, ':')?;
    let digits = fraction.bytes().all(|digit| digit.is_ascii_digit());
    let is_month = (1970..=9999).contains(&year) && (1..=12).contains(&month);
    let is_date = is_month && (1..=days_of(year, month)).contains(&day);
    if !digits || !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let nanos = format!("{:0<9}", fraction.get(..fraction.len().min(9))?);
    let seconds = (days(year, month, day)? * 24 + hour) * 3600 + minute * 60 + second;
    seconds
        .checked_add_signed(-offset)?
        .checked_mul(1_000_000_000)?
        .checked_add(nanos.parse().ok()?)
}

/// Returns the text before the offset of a time, and the offset in seconds.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let (time, offset) = text.split_at_checked(text.len().checked_sub("+01:00".len())?)?;
    let &[sign, h1, h2, b':', m1, m2] = offset.as_bytes() else {
        return None;
    };
    let (hours, minutes) = (two_digits(h1, h2)?, two_digits(m1, m2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = hours * 3600 + minutes * 60;
    match sign {
        b'+' => Some((time, seconds)),
        b'-' => Some((time, -seconds)),
        _ => None,
    }
}

fn two_digits(tens: u8, ones: u8) -> Option<i64> {
    let digit = |byte: u8| char::from(byte).to_digit(10).map(i64::from);
    Some(digit(tens)? * 10 + digit(ones)?)
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(|part| part.parse().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// Returns the number of days of a month in the Gregorian calendar.
fn days_of(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the number of days from 1970 to this date in the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    // a year that begins in March has its leap day at its end
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = year.checked_mul(365)? + leap_days + (153 * month + 2) / 5 + day - 1;
    // days since 1 March of the year 0
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read_to_the_digit() {
        let seconds = |text| unix_nanos(text).map(|nanos| nanos as f64 / 1e9);
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(
            unix_nanos("2025-01-15T10:30:00.123Z"),
            Some(1_736_937_000_123_000_000)
        );
        assert_eq!(
            unix_nanos("2024-02-29T23:59:59.000000001Z"),
            Some(1_709_251_199_000_000_001)
        );
        for text in [
            "2025-01-15T11:30:00.5+01:00",
            "2025-01-15T04:45:00.5-05:45",
            "2025-01-15T10:30:00.5-00:00",
        ] {
            assert_eq!(unix_nanos(text), Some(1_736_937_000_500_000_000), "{text}");
        }
        for text in [
            "",
            "Z",
            "+01:00",
            "2025-01-15",
            "2025-13-01T00:00:00Z",
            "2025-01-15T10:30:00.-3Z",
            "2025-01-15T10:30:00+0100",
            "2025-01-15T10:30:00 01:00",
            "2025-01-15T10:30:00+24:00",
            "2025-01-15T10:30:00+01:60",
            "2025-01-15T10:30:00+99:99",
            "2025-01-15T10:30:00+1:000",
            "2025-01-15T10:30:00++1:00",
            "2025-01-15T10:30:00+-1:00",
            "2025-01-15T10:30:00+01:+5",
            "2025-01-15T10:30:00-01:-5",
            "1970-01-01T00:30:00+01:00",
            "99999999999999999999-01-01T00:00:00Z",
            "9223372036854775807-01-01T00:00:00Z",
        ] {
            assert_eq!(unix_nanos(text), None, "{text}");
        }
    }
}

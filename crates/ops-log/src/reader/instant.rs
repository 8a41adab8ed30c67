use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

/// Text that is not an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseInstantError {
    text: String,
}

/// Parses an instant of RFC 3339, with any offset and precision, or a day, which starts in
/// UTC: `2025-01-15T10:30:00.123456Z`, `2025-01-15 12:30:00+02:00`, `2025-01-15`. Digits below
/// a nanosecond are ignored. `23:59:60` in UTC, a leap second, is the start of the next day.
///
/// # Errors
///
/// Fails if the text has another format, no offset, or a day or time that does not exist.
pub fn parse_instant(text: &str) -> Result<SystemTime, ParseInstantError> {
    let refused = || ParseInstantError {
        text: text.chars().take(64).collect(),
    };
    read(text.trim().as_bytes()).ok_or_else(refused)
}

fn read(text: &[u8]) -> Option<SystemTime> {
    let (date, rest) = text.split_at_checked(10)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else {
        return None;
    };
    let year = number(&[y1, y2, y3, y4])?;
    let (month, day) = (number(&[m1, m2])?, number(&[d1, d2])?);
    if !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let midnight = days_since_1970(year, month, day) * DAY;
    let Some((b'T' | b't' | b' ', rest)) = rest.split_first() else {
        return rest.is_empty().then(|| at(midnight, 0))?;
    };
    let (time, rest) = rest.split_at_checked(8)?;
    let [h1, h2, b':', n1, n2, b':', s1, s2] = *time else {
        return None;
    };
    let (hour, minute) = (number(&[h1, h2])?, number(&[n1, n2])?);
    let second = number(&[s1, s2])?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, zone) = fraction(rest)?;
    let seconds = midnight + hour * 3600 + minute * 60 + second - offset(zone)?;
    match second {
        60 if seconds % DAY != 0 => None,
        60 => at(seconds, 0),
        _ => at(seconds, nanos),
    }
}

/// Returns the nanoseconds of `.123`, and the rest.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some((b'.', text)) = text.split_first() else {
        return Some((0, text));
    };
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    let (digits, zone) = text.split_at_checked(digits.count())?;
    if digits.is_empty() {
        return None;
    }
    let padded = digits.iter().copied().chain(std::iter::repeat(b'0'));
    let nanos = padded.take(9).fold(0, |nanos, digit| {
        nanos * 10 + u32::from(digit.wrapping_sub(b'0'))
    });
    Some((nanos, zone))
}

/// Returns the seconds by which this zone is ahead of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    match *zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[h1, h2])?, number(&[m1, m2])?);
            let ahead = hours * 3600 + minutes * 60;
            let exists = hours < 24 && minutes < 60;
            exists.then_some(if sign == b'-' { -ahead } else { ahead })
        }
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    digits
        .iter()
        .try_fold(0, |number, byte| Some(number * 10 + digit(byte)?))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the number of a day, by Howard Hinnant's `days_from_civil`.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn at(seconds: i64, nanos: u32) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second = if seconds < 0 {
        UNIX_EPOCH.checked_sub(whole)
    } else {
        UNIX_EPOCH.checked_add(whole)
    };
    second?.checked_add(Duration::from_nanos(nanos.into()))
}

impl fmt::Display for ParseInstantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid time {:?}: expected 2025-01-15T10:30:00Z, with any offset and precision as in 2025-01-15T12:30:00.123+02:00, or a date, 2025-01-15",
            self.text
        )
    }
}

impl std::error::Error for ParseInstantError {}

use std::time::{SystemTime, UNIX_EPOCH};

/// Offset of the time in `{"timestamp":"2025-01-15T10:30:00.123Z`.
const AT: usize = 14;

/// Last second of the year 9999: years have four digits.
const LAST_SECOND: u64 = 253_402_300_799;

/// Writer of the start of lines: `{"timestamp":"2025-01-15T10:30:00.123Z`,
/// in UTC. The text of the current second is kept.
pub(crate) struct Timestamps {
    second: u64,
    text: [u8; AT + 24],
}

impl Timestamps {
    pub(crate) const fn new() -> Self {
        Self {
            second: 0,
            text: *b"{\"timestamp\":\"1970-01-01T00:00:00.000Z",
        }
    }

    /// Writes a time with milliseconds; before 1970 it is written as 1970, after 9999 as the end of 9999.
    #[inline]
    pub(crate) fn write(&mut self, at: SystemTime, out: &mut Vec<u8>) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        if since.as_secs() != self.second {
            self.second = since.as_secs();
            self.write_second();
        }
        let millis = since.subsec_millis();
        let digit = |number: u32| b'0' + (number % 10) as u8;
        let digits = [digit(millis / 100), digit(millis / 10), digit(millis)];
        let start = out.len();
        out.extend_from_slice(&self.text);
        // written in place: reading back bytes that were just written one by one stalls the processor
        if let Some(place) = out[start..].get_mut(AT + 20..AT + 23) {
            place.copy_from_slice(&digits);
        }
    }

    /// Returns the time alone: `2025-01-15T10:30:00.123Z`.
    pub(crate) fn text(at: SystemTime) -> String {
        let mut out = Vec::new();
        Self::new().write(at, &mut out);
        String::from_utf8_lossy(&out[AT..]).into_owned()
    }

    fn write_second(&mut self) {
        let second = self.second.min(LAST_SECOND);
        let (days, second) = (second / 86_400, second % 86_400);
        let (year, month, day) = civil(days);
        let text = &mut self.text[AT..];
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], month);
        digits(&mut text[8..10], day);
        digits(&mut text[11..13], second / 3600);
        digits(&mut text[14..16], second / 60 % 60);
        digits(&mut text[17..19], second % 60);
    }
}

fn digits(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Returns the date of a day since 1970, by Howard Hinnant's `civil_from_days`.
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

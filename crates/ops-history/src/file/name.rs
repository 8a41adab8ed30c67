use chrono::{DateTime, Datelike, NaiveDate, Utc};

use crate::Table;

pub(crate) const MINUTE_US: i64 = 60_000_000;
pub(crate) const HOUR_US: i64 = 60 * MINUTE_US;

/// Name of a file: the hour of its rows, the run that wrote them, and the range of writes it contains.
///
/// `2026-11-27T00_000012_9f86d081884c7d65_00000001-00000016.parquet`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) table: Table,
    /// Hours since 1970.
    pub(crate) hour: i64,
    /// Number of the run in its directory, independent of clocks.
    pub(crate) run: u64,
    /// Random number of the run, the same in copies of its files.
    pub(crate) instance: u64,
    /// First and last write whose rows are in the file.
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Name {
    pub(crate) fn parse(table: Table, text: &str) -> Option<Self> {
        let text = text.strip_suffix(".parquet")?;
        let mut parts = text.split('_');
        let hour = hour_of(parts.next()?)?;
        let run = number(parts.next()?)?;
        let instance = parts.next().filter(|text| text.len() == 16)?;
        let instance = u64::from_str_radix(instance, 16).ok()?;
        let (first, last) = parts.next()?.split_once('-')?;
        let name = Self {
            table,
            hour,
            run,
            instance,
            first: number(first)?,
            last: number(last)?,
        };
        // each name has exactly one spelling
        let is_whole = parts.next().is_none() && name.first <= name.last;
        (is_whole && name.text().strip_suffix(".parquet") == Some(text)).then_some(name)
    }

    pub(crate) fn text(&self) -> String {
        let Self {
            run,
            instance,
            first,
            last,
            ..
        } = self;
        let hour = start_of(self.hour).format("%Y-%m-%dT%H");
        format!("{hour}_{run:06}_{instance:016x}_{first:08}-{last:08}.parquet")
    }

    /// Returns the key of the group; only files of one group are merged.
    pub(crate) fn group(&self) -> (Table, u64, u64, i64) {
        (self.table, self.run, self.instance, self.hour)
    }

    /// Returns `true` if this file contains all rows of `other`, which was merged but not removed yet.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self != other
            && self.group() == other.group()
            && self.first <= other.first
            && other.last <= self.last
    }
}

fn number(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Returns the start of an hour, counted from 1970.
fn start_of(hour: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(hour.saturating_mul(3600), 0).unwrap_or_default()
}

fn hour_of(text: &str) -> Option<i64> {
    let (date, hour) = text.split_once('T')?;
    let start = date
        .parse::<NaiveDate>()
        .ok()?
        .and_hms_opt(hour.parse().ok()?, 0, 0)?;
    (1970..=9999)
        .contains(&start.year())
        .then(|| start.and_utc().timestamp() / 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hour_has_one_name_and_is_read_back_from_it() {
        for hour in (0..24 * 366 * 200).step_by(17) {
            let name = Name {
                table: Table::Logs,
                hour,
                run: 12,
                instance: 0x9f86,
                first: 1,
                last: 16,
            };
            assert_eq!(Name::parse(Table::Logs, &name.text()), Some(name));
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        for text in [
            "",
            "x.parquet",
            "2026-11-27T00_000012_9f86d081884c7d65_00000001-00000016.parquet.tmp",
            "2026-11-27T00_000012_9f86d081884c7d65_00000016-00000001.parquet",
            "2026-11-27T24_000012_9f86d081884c7d65_00000001-00000016.parquet",
            "2026-02-31T00_000012_9f86d081884c7d65_00000001-00000016.parquet",
            "2026-11-27T00_12_9f86d081884c7d65_00000001-00000016.parquet",
            "2026-11-27T00_000012_9F86d081884c7d65_00000001-00000016.parquet",
            "2026-11-27T00_000012_9f86d081884c7d65_00000001-00000016_1.parquet",
            "+026-11-27T00_000012_9f86d081884c7d65_00000001-00000016.parquet",
        ] {
            assert_eq!(Name::parse(Table::Logs, text), None, "{text}");
        }
    }
}

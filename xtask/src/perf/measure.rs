//! Figures of a served platform, and statistics over rounds.

use crate::Result;
use crate::platform::Served;
use std::time::Duration;

/// Unit of processor time in `/proc`, the same on every Linux.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Returns the number of completed requests since the start.
pub(super) fn requests(served: &Served) -> Result<f64> {
    let metrics = served.get("/metrics")?;
    Ok(total(&metrics, "http_requests_total", |_| true))
}

/// Returns the sum of the series of a metric whose labels match, from the text of a scrape.
pub(super) fn total(metrics: &str, name: &str, wanted: impl Fn(&str) -> bool) -> f64 {
    let lines = metrics.lines().filter(|line| {
        let rest = line.strip_prefix(name).unwrap_or_default();
        (rest.starts_with('{') || rest.starts_with(' ')) && wanted(rest)
    });
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

/// Returns the processor time of the process since its start, including ended threads, with a resolution of 10 ms.
pub(super) fn process_time(served: &Served) -> Result<Duration> {
    let ticks = ticks_of(served.id(), 2)?;
    Ok(Duration::from_secs_f64(ticks as f64 * TICK.as_secs_f64()))
}

/// Returns the sum of the first `fields` processor times of a process, as [`ticks`] does.
pub(super) fn ticks_of(process: u32, fields: usize) -> Result<u64> {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let ticks = ticks(&text, fields);
    ticks.ok_or_else(|| format!("{path} contains no processor time: {text:?}"))
}

/// Returns the sum of `fields` fields starting with the 14th: user and system time, then those of ended children. The
/// second field, the name in parentheses, may contain any text.
pub(super) fn ticks(stat: &str, fields: usize) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut numbers = behind_name.split_whitespace().skip(11);
    let mut sum = 0;
    for _ in 0..fields {
        sum += numbers.next()?.parse::<u64>().ok()?;
    }
    Some(sum)
}

/// Returns the number after a key such as `VmRSS:` (in KiB).
pub(super) fn status(process: u32, key: &str) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or(format!("{path}: no {key}"))
}

/// Returns the processor time of the live threads of a process: those of this name, or all.
pub(super) fn threads_time(process: u32, thread: Option<&str>) -> Result<Duration> {
    let folder = format!("/proc/{process}/task");
    let failed = |e: std::io::Error| format!("{folder}: {e}");
    let mut nanoseconds = 0;
    for task in std::fs::read_dir(&folder).map_err(failed)? {
        let task = task.map_err(failed)?.path();
        // a thread may end before its file is opened or read
        let has_ended = |error: &std::io::Error| {
            error.kind() == std::io::ErrorKind::NotFound
                || rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::SRCH)
        };
        let read = |name: &str| match std::fs::read_to_string(task.join(name)) {
            Err(error) if has_ended(&error) => Ok(None),
            text => text.map(Some).map_err(failed),
        };
        let (Some(name), Some(text)) = (read("comm")?, read("schedstat")?) else {
            continue;
        };
        if thread.is_some_and(|wanted| wanted != name.trim_end()) {
            continue;
        }
        let first = text
            .split(' ')
            .next()
            .and_then(|text| text.parse::<u64>().ok());
        nanoseconds += first.ok_or(format!("{folder}: schedstat has no number: {text:?}"))?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Returns the median and the limits of its 95 % confidence interval, by ranks.
pub(super) fn median(values: &mut [f64]) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let count = values.len();
    let half_width = (0.98 * (count as f64).sqrt()).ceil() as usize;
    let middle = count / 2;
    let at = |rank: usize| {
        values
            .get(rank.min(count.saturating_sub(1)))
            .copied()
            .unwrap_or(f64::NAN)
    };
    [
        at(middle.saturating_sub(half_width)),
        at(middle),
        at(middle + half_width),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_any_name() {
        let stat = "628 (a b) c)) S 1 2 3 4 5 6 7 8 9 10 700 50 11 12 20 0 17 0 5 6";
        assert_eq!(ticks(stat, 2), Some(750));
        assert_eq!(ticks(stat, 4), Some(773));
        assert_eq!(ticks("628 (a) S 1 2", 2), None);
    }
}

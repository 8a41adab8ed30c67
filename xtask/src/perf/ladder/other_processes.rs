//! Processor time of other processes during a measurement: if it is large, the figures are unusable.

use crate::Result;
use crate::perf::measure::{TICK, ticks};
use std::fs;
use std::time::{Duration, Instant};

/// Processor time up to a point in time, in ticks.
pub(super) struct OtherProcesses {
    cores: [usize; 2],
    busy: u64,
    own: u64,
    since: Instant,
}

impl OtherProcesses {
    pub(super) fn watch(cores: [usize; 2]) -> Result<Self> {
        Ok(Self {
            cores,
            busy: read("/proc/stat", |text| busy(text, cores))?,
            own: read("/proc/self/stat", |text| ticks(text, 4))?,
            since: Instant::now(),
        })
    }

    /// Returns the share of both cores since then that was used by neither this process, nor its ended children, nor
    /// the server.
    pub(super) fn share(&self, server: Duration) -> Result<f64> {
        let now = Self::watch(self.cores)?;
        let ticks = (now.busy - self.busy).saturating_sub(now.own - self.own);
        let others = ticks as f64 * TICK.as_secs_f64() - server.as_secs_f64();
        let both = self.since.elapsed().as_secs_f64() * 2.0;
        Ok((others / both).max(0.0))
    }
}

fn read(path: &str, ticks: impl Fn(&str) -> Option<u64>) -> Result<u64> {
    let text = fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    ticks(&text).ok_or_else(|| format!("{path} contains no processor time"))
}

/// Returns the ticks in which these cores were busy: all fields of a line except the fourth and fifth, which are idle.
fn busy(stat: &str, cores: [usize; 2]) -> Option<u64> {
    let mut sum = 0;
    for core in cores {
        let name = format!("cpu{core} ");
        let mut lines = stat.lines().filter_map(|line| line.strip_prefix(&name));
        for (at, field) in lines.next()?.split_whitespace().take(8).enumerate() {
            if !matches!(at, 3 | 4) {
                sum += field.parse::<u64>().ok()?;
            }
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_not_busy() {
        let stat =
            "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 4 100 100 8 16 32 64 0\ncpu1 1 0 0 7 7 0 0 0 0 0\n";
        assert_eq!(busy(stat, [0, 1]), Some(64));
        assert_eq!(busy(stat, [0, 2]), None);
    }
}

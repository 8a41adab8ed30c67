//! Generates load with wrk over 32 connections.

use crate::{Result, command};
use std::path::Path;
use std::time::Duration;

/// Results of a load without errors.
#[derive(Debug, PartialEq)]
pub(super) struct Load {
    pub(super) requests: f64,
    pub(super) requests_a_second: f64,
    pub(super) median: Duration,
    pub(super) p99: Duration,
}

/// Requests an address for a while. Fails if a response is an error.
pub(super) fn ask(folder: &Path, url: &str, seconds: u64) -> Result<Load> {
    let mut wrk = command::program(folder.join("usr/bin/wrk"));
    let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    wrk.env("LD_LIBRARY_PATH", folder.join(libraries));
    wrk.args(["-t1", "-c32", "--latency", &format!("-d{seconds}s"), url]);
    let output = command::output(&mut wrk)?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    read(&printed).ok_or_else(|| format!("{}: {printed}{complaint}", command::shown(&wrk)))
}

/// Parses the final output of wrk; `None` if it reports errors.
fn read(printed: &str) -> Option<Load> {
    if printed.contains("Non-2xx") || printed.contains("Socket errors") {
        return None;
    }
    let value = |key: &str| {
        let mut lines = printed
            .lines()
            .filter_map(|line| line.trim().strip_prefix(key));
        lines.next().map(str::trim)
    };
    let mut counts = printed
        .lines()
        .filter_map(|line| line.split_once(" requests in "));
    Some(Load {
        requests: counts.next()?.0.trim().parse().ok()?,
        requests_a_second: value("Requests/sec:")?.parse().ok()?,
        median: duration(value("50%")?)?,
        p99: duration(value("99%")?)?,
    })
}

/// Parses `635.00us`, `2.15ms` and `1.20s`.
fn duration(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(end)?;
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "Running 3s test @ http://127.0.0.1:1/users/7
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   367.00us  120.00us   5.00ms   91.00%
    Req/Sec    85.30k     2.10k   90.00k    70.00%
  Latency Distribution
     50%  350.00us
     75%  400.00us
     90%  470.00us
     99%    1.25ms
  263000 requests in 3.10s, 35.10MB read
Requests/sec:  84838.71
Transfer/sec:     11.32MB
";

    #[test]
    fn a_load_is_read_and_one_with_errors_is_none() {
        let load = read(TOLD).unwrap();
        assert_eq!(
            (load.requests, load.requests_a_second),
            (263_000.0, 84838.71)
        );
        assert_eq!(load.median, Duration::from_micros(350));
        assert_eq!(load.p99, Duration::from_micros(1250));
        let failed = TOLD.replace(
            "Requests/sec",
            "  Non-2xx or 3xx responses: 5\nRequests/sec",
        );
        assert_eq!(read(&failed), None);
        assert_eq!(read(""), None);
    }
}

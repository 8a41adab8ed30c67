//! Extrapolates a run without faults: its counters continue at their rate for two hours, and no alert may fire.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::promql::queries;
use crate::workspace::{self, Scratch};
use crate::{Result, command};

/// Extrapolated duration in minutes.
const MINUTES: u32 = 120;
/// Alerts that depend on the speed of this machine too: checked separately, and a fault only if the machine is not
/// busy.
const ABOUT_SPEED: [&str; 7] = [
    "HighApiLatency",
    "ApiLatencyBurnFast",
    "ApiLatencyBurnSlow",
    "ApiLatencyBurnDay",
    "ApiLatencyBurnThreeDays",
    "DuckDbSlow",
    "CpuThrottled",
];
/// Maximum load average per core at which the platform's speed is judged; it includes the requests of the run.
const LOAD_MAX: f64 = 2.0;
/// Alerts that are correct if no collector is running.
const ABOUT_COLLECTOR: [&str; 2] = ["TraceExportDown", "TraceSpansDropped"];

/// Returns the alerts that fire, from the metrics at the start and end of a run of this many seconds.
pub(super) fn check(
    promtool: &Path,
    before: &str,
    after: &str,
    seconds: f64,
) -> Result<Vec<String>> {
    let has_collector = !after.contains("\ntrace_exporter_up 0");
    let alerts = queries::of_alerts(&workspace::root())?;
    let names = alerts.iter().map(|alert| alert.name.as_str());
    let (speed, names): (Vec<&str>, Vec<&str>) = names
        .filter(|name| has_collector || !ABOUT_COLLECTOR.contains(name))
        .partition(|name| ABOUT_SPEED.contains(name));
    let left_out = alerts.len() - speed.len() - names.len();
    let ask =
        |names: &[&str]| firing_alerts(promtool, &promtool_test(before, after, seconds, names));
    let mut faults = Vec::new();
    match ask(&names)? {
        None => println!(
            "{} alerts do not fire over {MINUTES} minutes like this run, {left_out} were skipped",
            names.len()
        ),
        Some(printed) => faults.push(format!("a healthy run fires an alert: {printed}")),
    }
    let (load, cores) = load_average();
    let machine = format!("on a machine of {cores} cores with a load of {load}");
    match ask(&speed)? {
        None => println!(
            "{} alerts about speed do not fire either, {machine}",
            speed.len()
        ),
        Some(printed) if load <= cores * LOAD_MAX => {
            faults.push(format!("a healthy run is slow, {machine}: {printed}"));
        }
        Some(_) => println!("some of {} alerts about speed fire, {machine}", speed.len()),
    }
    Ok(faults)
}

/// Returns the load average of the last minute, and the number of cores.
fn load_average() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = text.split(' ').next().and_then(|load| load.parse().ok());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // a machine without this file counts as idle
    (load.unwrap_or(0.0), cores as f64)
}

/// Returns promtool's output if an alert of this test fires; `None` otherwise.
fn firing_alerts(promtool: &Path, test: &str) -> Result<Option<String>> {
    let scratch = Scratch::new("healthy")?;
    let file = scratch.path().join("healthy.yml");
    std::fs::write(&file, test).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    let mut promtool = command::program(promtool);
    promtool.args(["test", "rules"]).arg(&file);
    println!("$ {}", command::shown(&promtool));
    let output = command::output(&mut promtool)?;
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    Ok((!output.status.success()).then_some(printed))
}

/// Returns a promtool test: every series with its rate, and every alert silent in the middle and at the end.
fn promtool_test(before: &str, after: &str, seconds: f64, alerts: &[&str]) -> String {
    let rules = queries::RULE_FILES.map(|file| workspace::root().join(file));
    let [alerts_file, slo_file] = rules.each_ref().map(|file| file.display());
    let mut text = format!(
        "rule_files: ['{alerts_file}', '{slo_file}']\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n  \
         - {{series: 'up{{job=\"kearney-platform\",instance=\"a\"}}', values: '1x{MINUTES}'}}\n"
    );
    let (begin, gauges) = (values(before), gauges(after));
    for (series, end) in values(after) {
        let name = series.split('{').next().unwrap_or(series);
        let (start, step) = if gauges.contains(&name) {
            (end, 0.0)
        } else {
            let start = begin.get(series).copied().unwrap_or(0.0);
            (start, (end - start) * 60.0 / seconds)
        };
        let series = series.replace('\'', "''");
        // writing to a string does not fail
        let _ = writeln!(
            text,
            "  - {{series: '{series}', values: '{start}+{step}x{MINUTES}'}}"
        );
    }
    text += "  alert_rule_test:\n";
    for alert in alerts {
        for minute in [MINUTES / 2, MINUTES] {
            let _ = writeln!(
                text,
                "  - {{eval_time: {minute}m, alertname: {alert}, exp_alerts: []}}"
            );
        }
    }
    text
}

/// Returns each series of an exposition with its value, except non-finite ones.
fn values(exposition: &str) -> BTreeMap<&str, f64> {
    let samples = exposition.lines().filter(|line| !line.starts_with('#'));
    samples
        .filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let value: f64 = value.parse().ok()?;
            value.is_finite().then_some((series, value))
        })
        .collect()
}

fn gauges(exposition: &str) -> Vec<&str> {
    let types = exposition
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .filter_map(|line| line.strip_suffix(" gauge"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_go_on_at_their_pace_and_gauges_stay() {
        let before = "# TYPE a counter\na{b=\"c\"} 10\n# TYPE g gauge\ng 5\n";
        let after = "# TYPE a counter\na{b=\"c\"} 30\na{b=\"d\"} 1\n# TYPE g gauge\ng 7\ng2 NaN\n";
        let test = promtool_test(before, after, 30.0, &["Slow"]);
        for line in [
            "{series: 'a{b=\"c\"}', values: '10+40x120'}",
            "{series: 'a{b=\"d\"}', values: '0+2x120'}",
            "{series: 'g', values: '7+0x120'}",
            "{eval_time: 60m, alertname: Slow, exp_alerts: []}",
        ] {
            assert!(test.contains(line), "{line} is not in {test}");
        }
        assert!(!test.contains("NaN"));
    }
}

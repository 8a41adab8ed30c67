use std::fmt::Write as _;

use crate::state::State;
use crate::text::printable;

/// Maximum number of routes that are listed, those with most requests.
#[cfg(feature = "metrics")]
const ROUTES: usize = 10;

/// Renders the document in a few lines, for a terminal.
pub(super) fn text(state: &State) -> String {
    let mut text = String::new();
    // writing to a string does not fail
    let _ = write(&mut text, state);
    text
}

fn write(to: &mut String, state: &State) -> std::fmt::Result {
    let build = state.version.iter().chain(&state.commit);
    let build: String = build.map(|part| format!(" {}", printable(part))).collect();
    let up = duration(state.uptime_seconds);
    let verdict = state.verdict.state.to_uppercase();
    writeln!(
        to,
        "{}{build}: {verdict}, up {up}",
        printable(&state.service)
    )?;
    for reason in &state.verdict.reasons {
        writeln!(to, "  {}", printable(reason))?;
    }
    for finding in state.findings.iter().flatten() {
        let severity = finding.severity.as_str();
        writeln!(to, "\n{severity}: {}", printable(&finding.title))?;
        let rest = [
            ("seen", Some(&finding.seen)),
            ("means", Some(&finding.means)),
            ("do", Some(&finding.action)),
            ("runbook", finding.runbook.as_ref()),
            ("explained by", finding.explained_by.as_ref()),
        ];
        for (name, value) in rest {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                writeln!(to, "  {name}: {}", printable(value))?;
            }
        }
    }
    if !state.dependencies.is_empty() {
        writeln!(to, "\ndependencies")?;
    }
    for one in &state.dependencies {
        let detail = printable(&one.detail);
        let line = format!("  {:<24} {:<9} {detail}", printable(&one.name), one.state);
        writeln!(to, "{}", line.trim_end())?;
    }
    #[cfg(feature = "metrics")]
    if let Some(metrics) = &state.metrics {
        numbers(to, metrics)?;
    }
    writeln!(
        to,
        "\nA browser shows more. For scripts: /api/state, /api/openapi.json, /metrics"
    )
}

#[cfg(feature = "metrics")]
fn numbers(to: &mut String, metrics: &crate::state::metrics::Part) -> std::fmt::Result {
    writeln!(to, "\nnow")?;
    for line in metrics.lines() {
        let value = line
            .latest
            .map_or_else(|| "-".to_owned(), |value| number(value, line.unit));
        writeln!(to, "  {:<24} {value}", line.name)?;
    }
    if metrics.routes.is_empty() {
        return writeln!(to, "\nno requests in the last 5 minutes");
    }
    writeln!(
        to,
        "\n{:>9} {:>9} {:>9} {:>9} {:>7}  route (5 minutes)",
        "per s", "p50 ms", "p95 ms", "p99 ms", "errors"
    )?;
    let ms = |seconds: Option<f64>| {
        seconds.map_or_else(|| "-".to_owned(), |seconds| three_digits(seconds * 1e3))
    };
    for route in metrics.routes.iter().take(ROUTES) {
        let name = format!("{} {}", printable(route.method), printable(route.route));
        let [p50, p95, p99] = [route.p50_seconds, route.p95_seconds, route.p99_seconds].map(ms);
        let (rate, errors) = (three_digits(route.per_second), route.errors);
        writeln!(
            to,
            "{rate:>9} {p50:>9} {p95:>9} {p99:>9} {errors:>7}  {name}"
        )?;
    }
    Ok(())
}

/// Formats a number with its unit, as the page does in a browser: small ones are not 0, and large ones have few digits.
#[cfg(feature = "metrics")]
fn number(value: f64, unit: &str) -> String {
    match unit {
        "s" if value >= 1.0 => format!("{} s", three_digits(value)),
        "s" if value >= 1e-3 => format!("{} ms", three_digits(value * 1e3)),
        "s" => format!("{} µs", three_digits(value * 1e6)),
        "B" => {
            let units = ["B", "KiB", "MiB", "GiB", "TiB"];
            let (mut value, mut at) = (value, 0);
            while value >= 1024.0 && at + 1 < units.len() {
                (value, at) = (value / 1024.0, at + 1);
            }
            format!("{} {}", three_digits(value), units.get(at).unwrap_or(&""))
        }
        "ratio" => format!("{} %", percent(value)),
        "1/s" => format!("{} /s", three_digits(value)),
        "" => three_digits(value),
        unit => format!("{} {unit}", three_digits(value)),
    }
}

/// Formats a percentage, which is 100 only for the whole.
#[cfg(feature = "metrics")]
fn percent(ratio: f64) -> String {
    match (0.9995..1.0).contains(&ratio) {
        true => format!("{:.2}", (ratio * 10_000.0).floor() / 100.0),
        false => three_digits(ratio * 100.0),
    }
}

/// Formats three significant digits, or all digits before the point.
#[cfg(feature = "metrics")]
fn three_digits(value: f64) -> String {
    if value.abs() >= 100.0 {
        return format!("{value:.0}");
    }
    let rounded = format!("{value:.2e}").parse::<f64>();
    rounded.unwrap_or(value).to_string()
}

/// Formats a duration in its two largest units.
fn duration(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (length, unit) in units {
        if left >= length {
            parts.push(format!("{} {unit}", left / length));
            left %= length;
        }
    }
    parts.truncate(2);
    if parts.is_empty() {
        parts.push("0 s".to_owned());
    }
    parts.join(" ")
}

use ops_metrics::{Window, latency_over, routes_over, sparklines_over};
use serde::Serialize;

use super::trace;
use crate::text::redacted;

/// Maximum number of refused label values shown as examples for a label.
const EXAMPLES: usize = 5;

/// Lines of five minutes, requests of each route in that time, and the size of each metric.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    metrics: Vec<Line>,
    pub(crate) routes: Vec<Route>,
    cardinality: Vec<Size>,
}

impl Part {
    pub(crate) fn lines(&self) -> &[Line] {
        &self.metrics
    }
}

/// A number over time.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) latest: Option<f64>,
    /// Oldest first; `None` if nothing was measured.
    pub(crate) recent: Vec<Option<f64>>,
}

/// Requests of one route and method in a window.
#[derive(Debug, Serialize)]
pub(crate) struct Route {
    pub(crate) route: &'static str,
    pub(crate) method: &'static str,
    requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_seconds: Option<f64>,
    pub(crate) p95_seconds: Option<f64>,
    pub(crate) p99_seconds: Option<f64>,
    pub(crate) errors: u64,
    client_errors: u64,
    /// Slowest trace that is kept.
    slowest: Option<trace::Slowest>,
}

/// Number of series of a metric, and of values of its labels.
#[derive(Debug, Serialize)]
struct Size {
    metric: &'static str,
    series: usize,
    series_max: usize,
    labels: Vec<LabelSize>,
}

#[derive(Debug, Serialize)]
struct LabelSize {
    label: &'static str,
    values: usize,
    values_max: usize,
    /// Number of lookups that became `other`.
    refused: u64,
    examples: Vec<String>,
}

/// All lines over one window.
#[derive(Debug, Serialize)]
pub(crate) struct Tiles {
    window: &'static str,
    step_seconds: u64,
    points_max: usize,
    /// Length of the history in seconds: the number of the newest point of five minutes.
    second: u64,
    p50_seconds: Option<f64>,
    p95_seconds: Option<f64>,
    p99_seconds: Option<f64>,
    lines: Vec<Line>,
}

/// The newest points of all lines.
#[derive(Debug, Serialize)]
pub(crate) struct Newest {
    second: u64,
    /// The last two seconds of each line, by its name.
    points: Vec<(&'static str, Vec<Option<f64>>)>,
}

/// Windows by their names in addresses.
const WINDOWS: [(&str, Window); 3] = [
    ("5m", Window::FiveMinutes),
    ("1h", Window::Hour),
    ("24h", Window::Day),
];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Named(&'static str, Window);

impl Named {
    pub(crate) const ACCEPTED: &'static str = "window must be 5m, 1h or 24h";

    pub(crate) fn find(name: &str) -> Option<Self> {
        let found = WINDOWS.iter().find(|(known, _)| *known == name);
        found.map(|(name, window)| Self(name, *window))
    }
}

pub(crate) fn collect() -> Option<Part> {
    Some(Part {
        metrics: lines(Window::FiveMinutes),
        routes: routes_of(Window::FiveMinutes),
        cardinality: cardinality(),
    })
}

pub(crate) fn tiles(Named(window, of): Named) -> Tiles {
    // before the lines: a point that is added in between is sent again, and none is missing
    let second = ops_metrics::history_seconds();
    let latency = latency_over(of);
    Tiles {
        window,
        step_seconds: of.step().as_secs(),
        points_max: of.points(),
        second,
        p50_seconds: latency.quantile(0.5),
        p95_seconds: latency.quantile(0.95),
        p99_seconds: latency.quantile(0.99),
        lines: lines(of),
    }
}

pub(crate) fn routes(Named(_, window): Named) -> Vec<Route> {
    routes_of(window)
}

pub(crate) fn newest() -> Option<Newest> {
    let lines = sparklines_over(Window::FiveMinutes);
    let newest = |points: &[Option<f64>]| {
        let last = &points[points.len().saturating_sub(2)..];
        last.iter().map(|value| value.map(rounded)).collect()
    };
    Some(Newest {
        second: ops_metrics::history_seconds(),
        points: lines
            .iter()
            .map(|line| (line.name, newest(&line.points)))
            .collect(),
    })
}

fn lines(window: Window) -> Vec<Line> {
    let lines = sparklines_over(window).into_iter();
    lines
        .map(|line| Line {
            name: line.name,
            unit: unit(line.name),
            latest: line.points.last().copied().flatten(),
            recent: line.points.iter().map(|value| value.map(rounded)).collect(),
        })
        .collect()
}

/// Returns the unit, from the suffix of a name.
fn unit(name: &str) -> &'static str {
    let units = [
        ("_per_second", "1/s"),
        ("_ratio", "ratio"),
        ("_seconds", "s"),
        ("_bytes", "B"),
        ("_cores", "cores"),
    ];
    let found = units.iter().find(|(end, _)| name.ends_with(end));
    found.map_or("", |(_, unit)| unit)
}

/// Rounds to four digits, which is more than a chart can show.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powi(3 - value.abs().log10().floor() as i32);
    if scale.is_finite() && scale > 0.0 {
        (value * scale).round() / scale
    } else {
        value
    }
}

fn routes_of(window: Window) -> Vec<Route> {
    let reach = window.step() * u32::try_from(window.points()).unwrap_or(u32::MAX);
    let slowest = trace::slowest(reach);
    let route = |one: ops_metrics::RouteSummary| Route {
        route: one.route,
        method: one.method,
        requests: one.requests,
        per_second: rounded(one.per_second),
        p50_seconds: one.latency.quantile(0.5).map(rounded),
        p95_seconds: one.latency.quantile(0.95).map(rounded),
        p99_seconds: one.latency.quantile(0.99).map(rounded),
        errors: one.errors,
        client_errors: one.client_errors,
        slowest: slowest
            .get(&(one.method.to_owned(), one.route.to_owned()))
            .cloned(),
    };
    routes_over(window).into_iter().map(route).collect()
}

fn cardinality() -> Vec<Size> {
    let overflows = ops_metrics::overflows();
    let sizes = ops_metrics::cardinality().into_iter();
    let label = |metric: &str, (label, values, values_max): (&'static str, usize, usize)| {
        let mut found = overflows.iter();
        let over = found.find(|one| one.metric == metric && one.label == label);
        LabelSize {
            label,
            values,
            values_max,
            refused: over.map_or(0, |over| over.count),
            examples: over
                .map(|over| {
                    let examples = over.examples.iter().take(EXAMPLES);
                    examples.map(|example| redacted(example)).collect()
                })
                .unwrap_or_default(),
        }
    };
    sizes
        .filter(|size| size.series > 0)
        .map(|size| Size {
            metric: size.metric,
            series: size.series,
            series_max: size.series_max,
            labels: size
                .labels
                .iter()
                .map(|one| label(size.metric, *one))
                .collect(),
        })
        .collect()
}

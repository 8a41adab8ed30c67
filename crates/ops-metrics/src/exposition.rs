use std::fmt::Write as _;

use crate::family::{Definition, Family, Series, Value};
use crate::value::Histogram;

/// Writes HELP, TYPE and all series. A family without series is announced all the same.
pub(crate) fn write_family(out: &mut String, family: &Family) {
    let definition = family.definition();
    let Definition { name, kind, .. } = definition;
    let _ = writeln!(out, "# HELP {name} {}", definition.help());
    let _ = writeln!(out, "# TYPE {name} {}", kind.as_str());
    for series in family.sorted() {
        write_series(out, definition, series);
    }
    out.push('\n');
}

fn write_series(out: &mut String, definition: &Definition, series: &Series) {
    match &series.value {
        Value::Counter(counter) => {
            write_line(out, definition, series, ("", None), counter.get() as f64)
        }
        Value::Gauge(gauge) => write_line(out, definition, series, ("", None), gauge.get()),
        Value::Histogram(histogram) => write_histogram(out, definition, series, histogram),
    }
}

fn write_histogram(
    out: &mut String,
    definition: &Definition,
    series: &Series,
    histogram: &Histogram,
) {
    let counts = histogram.snapshot();
    let sum = histogram.sum();
    let mut total = 0;
    for (index, count) in counts.iter().enumerate() {
        total += count;
        let bound = definition
            .buckets
            .get(index)
            .copied()
            .unwrap_or(f64::INFINITY);
        write_line(
            out,
            definition,
            series,
            ("_bucket", Some(bound)),
            total as f64,
        );
    }
    write_line(out, definition, series, ("_sum", None), sum);
    write_line(out, definition, series, ("_count", None), total as f64);
}

/// Values need no escapes: the guard admits neither quotes, backslashes nor line ends.
fn write_line(
    out: &mut String,
    definition: &Definition,
    series: &Series,
    (suffix, bound): (&str, Option<f64>),
    value: f64,
) {
    out.push_str(definition.name);
    out.push_str(suffix);
    let mut separator = '{';
    for (label, text) in definition.labels.iter().zip(&series.labels) {
        let _ = write!(out, "{separator}{}=\"{text}\"", label.name);
        separator = ',';
    }
    match bound {
        Some(bound) if bound.is_infinite() => {
            let _ = write!(out, "{separator}le=\"+Inf\"");
            separator = ',';
        }
        Some(bound) => {
            let _ = write!(out, "{separator}le=\"{bound}\"");
            separator = ',';
        }
        None => {}
    }
    if separator == ',' {
        out.push('}');
    }
    let _ = writeln!(out, " {value}");
}

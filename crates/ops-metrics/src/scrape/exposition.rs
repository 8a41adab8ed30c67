use std::fmt::Write as _;

use crate::series::definition::MetricDefinition;
use crate::series::family::{Family, Series, Value};
use crate::series::value::Histogram;

/// Writes HELP, TYPE and all series. A family without series is announced all the same.
pub(crate) fn write_family(out: &mut String, family: &Family) {
    let definition = family.definition();
    let MetricDefinition { name, kind, .. } = definition;
    let _ = writeln!(out, "# HELP {name} {}", definition.help());
    let _ = writeln!(out, "# TYPE {name} {}", kind.as_str());
    let bounds = bounds(definition);
    for series in family.sorted() {
        match &series.value {
            Value::Histogram(histogram) => write_histogram(out, name, &bounds, (series, histogram)),
            value => write_value(out, name, series, value),
        }
    }
    out.push('\n');
}

fn write_value(out: &mut String, name: &str, series: &Series, value: &Value) {
    begin(out, (name, ""), series, "");
    let _ = match value {
        Value::Counter(counter) => writeln!(out, "{}", counter.get()),
        Value::Seconds(seconds) => writeln!(out, "{}", seconds.get().as_secs_f64()),
        Value::Gauge(gauge) => writeln!(out, "{}", gauge.get()),
        Value::Histogram(_) => Ok(()), // has more than one line
    };
}

fn write_histogram(
    out: &mut String,
    name: &str,
    bounds: &[String],
    (series, histogram): (&Series, &Histogram),
) {
    let sum = histogram.sum();
    let mut total = 0;
    for (bound, count) in bounds.iter().zip(histogram.snapshot()) {
        total += count;
        begin(out, (name, "_bucket"), series, bound);
        let _ = writeln!(out, "{total}");
    }
    begin(out, (name, "_sum"), series, "");
    let _ = writeln!(out, "{sum}");
    begin(out, (name, "_count"), series, "");
    let _ = writeln!(out, "{total}");
}

/// `le="0.1"` for each bucket and `+Inf`.
fn bounds(definition: &MetricDefinition) -> Vec<String> {
    let finite = definition.buckets.iter();
    finite
        .map(|bound| format!("le=\"{bound}\""))
        .chain(["le=\"+Inf\"".to_owned()])
        .collect()
}

/// Writes up to the space before the value.
fn begin(out: &mut String, (name, suffix): (&str, &str), series: &Series, bound: &str) {
    out.push_str(name);
    out.push_str(suffix);
    match (series.rendered.as_str(), bound) {
        ("", "") => {}
        (one, "") | ("", one) => {
            out.extend(["{", one, "}"]);
        }
        (labels, bound) => {
            out.extend(["{", labels, ",", bound, "}"]);
        }
    }
    out.push(' ');
}

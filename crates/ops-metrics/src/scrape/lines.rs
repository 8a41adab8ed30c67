//! Lines of the two exposition formats.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::series::definition::{Kind, unit_of};
use crate::series::facade::FacadeMetric;
use crate::series::family::{Family, Series, Value};
use crate::series::registry::has_sample;
use crate::series::value::Histogram;

/// Number of series whose values are read together: the reads do not depend on each other, so that the processor waits
/// once for all cache misses, and not for each series.
pub(crate) const BATCH: usize = 64;

/// Exposition format. Both formats have the same series, with the same names and labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// Families that share HELP and TYPE.
pub(crate) struct Metric {
    name: &'static str,
    kind: Kind,
    help: Cow<'static, str>,
    pub(crate) families: Vec<&'static Family>,
}

impl Metric {
    pub(crate) fn of_catalog(family: &'static Family) -> Self {
        let definition = family.definition();
        Self {
            name: definition.name,
            kind: definition.kind,
            help: Cow::Borrowed(definition.help()),
            families: vec![family],
        }
    }

    pub(crate) fn of_facade(metric: &'static FacadeMetric) -> Self {
        let help = metric.help.get().map_or("", |help| help.as_ref()).trim();
        Self {
            name: metric.name,
            kind: metric.kind,
            help: Cow::Borrowed(help),
            families: metric.families(),
        }
    }

    /// Returns the name and the type in the lines before the samples.
    fn head(&self, format: Format) -> (&'static str, &'static str) {
        let counts = matches!(self.kind, Kind::Counter | Kind::Seconds);
        match format {
            Format::OpenMetrics if counts => match self.name.strip_suffix("_total") {
                Some(base) if may_be_counter(base) => (base, "counter"),
                // OpenMetrics has no counter without the suffix, and names are not changed
                _ => (self.name, "unknown"),
            },
            _ => (self.name, self.kind.as_str()),
        }
    }
}

/// Returns whether the names that OpenMetrics reserves for a counter of this name are free.
fn may_be_counter(base: &str) -> bool {
    let created = format!("{base}_created");
    let taken = [base, &created].into_iter().any(has_sample);
    !base.is_empty() && !taken && !has_sample(&format!("{created}_total"))
}

impl Metric {
    /// Returns the name of the samples with the creation time of each series; `None` for types without them. No other
    /// metric has that name: a histogram claims it, and a metric is only rendered as a counter if it is free.
    pub(crate) fn created(&self, format: Format) -> Option<String> {
        let (name, kind) = self.head(format);
        matches!(kind, "counter" | "histogram").then(|| format!("{name}_created"))
    }

    /// Writes HELP, TYPE and UNIT, even for a metric without series.
    pub(crate) fn write_head(&self, format: Format, out: &mut String) {
        let (name, kind) = self.head(format);
        if !self.help.is_empty() {
            let help = escaped_help(&self.help, format);
            let _ = writeln!(out, "# HELP {name} {help}");
        }
        let _ = writeln!(out, "# TYPE {name} {kind}");
        let unit = unit_of(name);
        // a name that keeps `_total` does not end with its unit
        if format == Format::OpenMetrics && !unit.is_empty() && name.ends_with(unit) {
            let _ = writeln!(out, "# UNIT {name} {unit}");
        }
    }

    /// Writes up to [`BATCH`] series of one of the families.
    pub(crate) fn write(
        &self,
        format: Format,
        bounds: &[String],
        batch: &[&'static Series],
        created: Option<&str>,
        out: &mut String,
    ) {
        if self.kind == Kind::Histogram {
            for series in batch {
                if let Value::Histogram(histogram) = &series.value {
                    histogram_lines(self.name, format, bounds, (series, histogram), out);
                    created_line(created, series, out);
                }
            }
            return;
        }
        let mut numbers = [Number::Whole(0); BATCH];
        let mut touched = 0;
        for (number, series) in numbers.iter_mut().zip(batch) {
            *number = Number::of(&series.value);
            touched ^= series.rendered.as_bytes().first().copied().unwrap_or(0);
        }
        std::hint::black_box(touched);
        for (number, series) in numbers.iter().zip(batch) {
            begin((self.name, ""), series, "", out);
            number.write(out);
            out.push('\n');
            created_line(created, series, out);
        }
    }
}

/// Value of a series that is rendered as one line.
#[derive(Clone, Copy)]
enum Number {
    Whole(u64),
    Real(f64),
}

impl Number {
    fn of(value: &Value) -> Self {
        match value {
            Value::Counter(counter) => Self::Whole(counter.get()),
            Value::Seconds(seconds) => Self::Real(seconds.get().as_secs_f64()),
            Value::Gauge(gauge) => Self::Real(gauge.get()),
            Value::Histogram(histogram) => Self::Whole(histogram.count()),
        }
    }

    fn write(self, out: &mut String) {
        match self {
            Self::Whole(whole) => out.push_str(itoa::Buffer::new().format(whole)),
            Self::Real(real) => {
                let _ = write!(out, "{real}");
            }
        }
    }
}

fn histogram_lines(
    name: &str,
    format: Format,
    bounds: &[String],
    (series, histogram): (&Series, &Histogram),
    out: &mut String,
) {
    let sum = histogram.sum();
    let mut total = 0;
    let mut digits = itoa::Buffer::new();
    let buckets = bounds.iter().zip(histogram.snapshot());
    for (bucket, (bound, count)) in buckets.enumerate() {
        total += count;
        begin((name, "_bucket"), series, bound, out);
        out.push_str(digits.format(total));
        let exemplar = match format {
            Format::OpenMetrics => histogram.exemplar(bucket),
            Format::Text => None,
        };
        if let Some(exemplar) = exemplar {
            let _ = write!(out, " {exemplar}");
        }
        out.push('\n');
    }
    begin((name, "_sum"), series, "", out);
    let _ = writeln!(out, "{sum}");
    begin((name, "_count"), series, "", out);
    out.push_str(digits.format(total));
    out.push('\n');
}

/// Writes the creation time of a series, if enabled.
fn created_line(name: Option<&str>, series: &Series, out: &mut String) {
    if let Some(name) = name {
        begin((name, ""), series, "", out);
        let _ = writeln!(out, "{:.3}", series.created);
    }
}

/// Writes a line up to the space before the value.
fn begin((name, suffix): (&str, &str), series: &Series, bound: &str, out: &mut String) {
    out.push_str(name);
    out.push_str(suffix);
    match (series.rendered.as_str(), bound) {
        ("", "") => {}
        (one, "") | ("", one) => {
            out.push('{');
            out.push_str(one);
            out.push('}');
        }
        (labels, bound) => {
            out.push('{');
            out.push_str(labels);
            out.push(',');
            out.push_str(bound);
            out.push('}');
        }
    }
    out.push(' ');
}

fn escaped_help(help: &str, format: Format) -> Cow<'_, str> {
    if !help.contains(['\\', '\n', '"']) {
        return Cow::Borrowed(help);
    }
    let escaped = help.replace('\\', r"\\").replace('\n', r"\n");
    Cow::Owned(match format {
        Format::Text => escaped,
        Format::OpenMetrics => escaped.replace('"', r#"\""#),
    })
}

/// Returns `le="0.1"` for each bucket and `+Inf`; nothing for other types than histograms.
pub(crate) fn bounds(family: &Family) -> Vec<String> {
    if family.definition().kind != Kind::Histogram {
        return Vec::new();
    }
    let finite = family.buckets().iter();
    finite
        .map(|bound| format!("le=\"{bound}\""))
        .chain(["le=\"+Inf\"".to_owned()])
        .collect()
}

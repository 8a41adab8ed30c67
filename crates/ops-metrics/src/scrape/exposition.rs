use std::borrow::Cow;
use std::fmt::Write as _;

use crate::series::definition::{Kind, unit_of};
use crate::series::facade::FacadeMetric;
use crate::series::family::{Family, Series, Value};
use crate::series::registry::{facade_metrics, families, has_sample};
use crate::series::value::Histogram;

/// Bytes that are collected before they are handed on.
const CHUNK_BYTES: usize = 64 * 1024;

/// A form in which Prometheus reads metrics. Both have the same series, with the same names and labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// Writes all metrics: the catalogs in their order, then those of other crates by name. `out` takes chunks of about
/// 64 KiB, so that no more than that is held here.
pub(crate) fn write_all(format: Format, out: &mut dyn FnMut(&str)) {
    let mut writer = Writer {
        format,
        chunk: String::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4),
        out,
    };
    for family in families() {
        writer.metric(&Metric::of_catalog(family));
    }
    for metric in facade_metrics() {
        writer.metric(&Metric::of_facade(metric));
    }
    if format == Format::OpenMetrics {
        writer.chunk.push_str("# EOF\n");
    }
    writer.flush();
}

/// Families under one HELP and one TYPE.
struct Metric {
    name: &'static str,
    kind: Kind,
    help: Cow<'static, str>,
    families: Vec<&'static Family>,
}

impl Metric {
    fn of_catalog(family: &'static Family) -> Self {
        let definition = family.definition();
        Self {
            name: definition.name,
            kind: definition.kind,
            help: Cow::Borrowed(definition.help()),
            families: vec![family],
        }
    }

    fn of_facade(metric: &'static FacadeMetric) -> Self {
        let help = metric.help.get().map_or("", |help| help.as_ref()).trim();
        Self {
            name: metric.name,
            kind: metric.kind,
            help: Cow::Borrowed(help),
            families: metric.families(),
        }
    }

    /// Returns the name and the type for the lines before the samples.
    fn head(&self, format: Format) -> (&'static str, &'static str) {
        let counts = matches!(self.kind, Kind::Counter | Kind::Seconds);
        match format {
            Format::OpenMetrics if counts => match self.name.strip_suffix("_total") {
                Some(base) if may_be_counter(base) => (base, "counter"),
                // a counter without the suffix is none there, and no name may change
                _ => (self.name, "unknown"),
            },
            _ => (self.name, self.kind.as_str()),
        }
    }
}

/// Returns whether no other metric has a name that OpenMetrics reserves for a counter of this name.
fn may_be_counter(base: &str) -> bool {
    let created = format!("{base}_created");
    let taken = [base, &created].into_iter().any(has_sample);
    !base.is_empty() && !taken && !has_sample(&format!("{created}_total"))
}

struct Writer<'a> {
    format: Format,
    chunk: String,
    out: &'a mut dyn FnMut(&str),
}

impl Writer<'_> {
    /// Writes HELP, TYPE and all series. A metric without series is announced all the same.
    fn metric(&mut self, metric: &Metric) {
        let (name, kind) = metric.head(self.format);
        if !metric.help.is_empty() {
            let help = self.escaped_help(&metric.help);
            let _ = writeln!(self.chunk, "# HELP {name} {help}");
        }
        let _ = writeln!(self.chunk, "# TYPE {name} {kind}");
        let unit = unit_of(name);
        // a name that keeps `_total` does not end with its unit
        if self.format == Format::OpenMetrics && !unit.is_empty() && name.ends_with(unit) {
            let _ = writeln!(self.chunk, "# UNIT {name} {unit}");
        }
        for family in &metric.families {
            self.family(family);
        }
        if self.format == Format::Text {
            self.chunk.push('\n');
        }
        self.flush_if_full();
    }

    fn family(&mut self, family: &Family) {
        let definition = family.definition();
        let bounds = match definition.kind {
            Kind::Histogram => bounds(family),
            _ => Vec::new(),
        };
        for series in family.sorted() {
            match &series.value {
                Value::Histogram(histogram) => {
                    self.histogram(definition.name, &bounds, (series, histogram));
                }
                value => self.value(definition.name, series, value),
            }
            self.flush_if_full();
        }
    }

    fn value(&mut self, name: &str, series: &Series, value: &Value) {
        self.begin((name, ""), series, "");
        let _ = match value {
            Value::Counter(counter) => writeln!(self.chunk, "{}", counter.get()),
            Value::Seconds(seconds) => writeln!(self.chunk, "{}", seconds.get().as_secs_f64()),
            Value::Gauge(gauge) => writeln!(self.chunk, "{}", gauge.get()),
            Value::Histogram(_) => Ok(()), // has more than one line
        };
    }

    fn histogram(
        &mut self,
        name: &str,
        bounds: &[String],
        (series, histogram): (&Series, &Histogram),
    ) {
        let sum = histogram.sum();
        let mut total = 0;
        let buckets = bounds.iter().zip(histogram.snapshot());
        for (bucket, (bound, count)) in buckets.enumerate() {
            total += count;
            self.begin((name, "_bucket"), series, bound);
            let exemplar = match self.format {
                Format::OpenMetrics => histogram.exemplar(bucket),
                Format::Text => None,
            };
            let _ = match exemplar {
                Some(exemplar) => writeln!(self.chunk, "{total} {exemplar}"),
                None => writeln!(self.chunk, "{total}"),
            };
        }
        self.begin((name, "_sum"), series, "");
        let _ = writeln!(self.chunk, "{sum}");
        self.begin((name, "_count"), series, "");
        let _ = writeln!(self.chunk, "{total}");
    }

    /// Writes up to the space before the value.
    fn begin(&mut self, (name, suffix): (&str, &str), series: &Series, bound: &str) {
        let out = &mut self.chunk;
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

    fn escaped_help<'h>(&self, help: &'h str) -> Cow<'h, str> {
        if !help.contains(['\\', '\n', '"']) {
            return Cow::Borrowed(help);
        }
        let escaped = help.replace('\\', r"\\").replace('\n', r"\n");
        Cow::Owned(match self.format {
            Format::Text => escaped,
            Format::OpenMetrics => escaped.replace('"', r#"\""#),
        })
    }

    fn flush_if_full(&mut self) {
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        (self.out)(&self.chunk);
        self.chunk.clear();
    }
}

/// `le="0.1"` for each bucket and `+Inf`.
fn bounds(family: &Family) -> Vec<String> {
    let finite = family.buckets().iter();
    finite
        .map(|bound| format!("le=\"{bound}\""))
        .chain(["le=\"+Inf\"".to_owned()])
        .collect()
}

/// Type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A total that only grows.
    Counter,
    /// A total of time that only grows, rendered as a counter in seconds.
    Seconds,
    /// A value that goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

impl Kind {
    /// Returns the suffixes of the names of a metric's samples, including those that OpenMetrics reserves.
    pub(crate) fn sample_suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Histogram => &["", "_bucket", "_sum", "_count", "_created"],
            Self::Counter | Self::Seconds | Self::Gauge => &[""],
        }
    }

    /// Returns the word after `# TYPE name`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter | Self::Seconds => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A label of a metric.
#[derive(Clone, Copy, Debug)]
pub struct LabelDefinition {
    /// Name of the label.
    pub name: &'static str,
    /// All values if they are known, otherwise empty.
    pub values: &'static [&'static str],
}

/// Definition of a metric, available before anything is counted.
#[derive(Clone, Copy, Debug)]
pub struct MetricDefinition {
    /// The name, with unit and `_total`.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The text after `# HELP name`.
    pub help: &'static str,
    /// The labels, in the order in which they are rendered.
    pub labels: &'static [LabelDefinition],
    /// `true` if series whose label values are all known exist with 0 from the start.
    pub at_start: bool,
    /// Upper bounds of the buckets, ascending, without `+Inf`; used by histograms only.
    pub buckets: &'static [f64],
}

impl MetricDefinition {
    /// Default buckets of a histogram: seconds of a request.
    pub const BUCKETS: &'static [f64] = &[
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ];

    /// Returns the text after `# HELP name`, without the leading space of a doc comment.
    pub fn help(&self) -> &'static str {
        self.help.trim()
    }

    /// Returns the unit at the end of the name, before `_total`: `seconds` or `bytes`, or empty for counts of things.
    pub fn unit(&self) -> &'static str {
        unit_of(self.name)
    }

    /// Checks names, labels and buckets; `define!` calls it at compile time.
    #[doc(hidden)]
    #[must_use]
    pub const fn check(self) -> Self {
        assert!(
            is_name(self.name),
            "a metric name must match [a-z][a-z0-9_]*"
        );
        let total = ends_with(self.name, "_total");
        match self.kind {
            Kind::Counter | Kind::Seconds => assert!(total, "a counter name must end with _total"),
            Kind::Histogram => {
                assert!(!total, "a histogram name must not end with _total");
                assert!(
                    are_bounds(self.buckets),
                    "buckets must be 1 to 40 finite, ascending numbers above 0"
                );
            }
            Kind::Gauge => {}
        }
        let mut index = 0;
        while index < self.labels.len() {
            let label = self.labels[index].name;
            assert!(is_name(label), "a label name must match [a-z][a-z0-9_]*");
            assert!(
                !is_same(label, "le") && !is_same(label, "quantile"),
                "a label cannot be named le or quantile: Prometheus reserves these names"
            );
            let mut before = 0;
            while before < index {
                assert!(
                    !is_same(label, self.labels[before].name),
                    "a metric must not have a label twice"
                );
                before += 1;
            }
            index += 1;
        }
        self
    }
}

/// Returns the unit at the end of a metric's name, before `_total`.
pub(crate) fn unit_of(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    let ends = |unit: &&str| {
        name.strip_suffix(*unit)
            .is_some_and(|rest| rest.ends_with('_'))
    };
    ["seconds", "bytes"].into_iter().find(ends).unwrap_or("")
}

const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        let fits = match bytes[index] {
            b'a'..=b'z' => true,
            b'0'..=b'9' | b'_' => index > 0,
            _ => false,
        };
        if !fits {
            return false;
        }
        index += 1;
    }
    !bytes.is_empty()
}

const fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && ends_with(one, other)
}

const fn ends_with(text: &str, end: &str) -> bool {
    let (text, end) = (text.as_bytes(), end.as_bytes());
    if text.len() < end.len() {
        return false;
    }
    let mut index = 0;
    while index < end.len() {
        if text[text.len() - end.len() + index] != end[index] {
            return false;
        }
        index += 1;
    }
    true
}

pub(crate) const fn are_bounds(bounds: &[f64]) -> bool {
    let mut index = 0;
    let mut below = 0.0;
    while index < bounds.len() {
        if !bounds[index].is_finite() || bounds[index] <= below {
            return false;
        }
        below = bounds[index];
        index += 1;
    }
    !bounds.is_empty() && bounds.len() <= 40
}

use std::time::{Duration, SystemTime};

/// A span that ended, without secrets.
#[derive(Clone, Debug)]
pub struct Span {
    /// Start.
    pub start: SystemTime,
    /// Time from start to end.
    pub duration: Duration,
    /// Name.
    pub name: String,
    /// Kind, such as `server`.
    pub kind: &'static str,
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span in it.
    pub span_id: [u8; 8],
    /// The span above it; `None` for the first one.
    pub parent_span_id: Option<[u8; 8]>,
    /// It failed.
    pub is_error: bool,
}

/// One series of a metric at one moment, without secrets.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Moment.
    pub at: SystemTime,
    /// Name of the metric.
    pub name: &'static str,
    /// Unit, such as `s`; empty for none.
    pub unit: &'static str,
    /// Labels as a JSON object; empty for none.
    pub attributes: String,
    /// Value.
    pub value: SampleValue,
}

/// Value of a [`Sample`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SampleValue {
    /// A total that only grows.
    Sum(f64),
    /// A value that goes up and down.
    Gauge(f64),
    /// Observations in buckets.
    Histogram {
        /// Upper bounds, ascending, without infinity.
        bounds: Vec<f64>,
        /// Number of observations in each bucket, not cumulated; the last one is above all bounds.
        counts: Vec<u64>,
        /// Sum of the observations.
        sum: f64,
    },
}

pub(super) enum Record {
    Span(Span),
    Sample(Sample),
}

impl Record {
    pub(super) fn bytes(&self) -> usize {
        let more = match self {
            Self::Span(span) => span.name.len(),
            Self::Sample(sample) => {
                let counts = match &sample.value {
                    SampleValue::Histogram { bounds, counts, .. } => bounds.len() + counts.len(),
                    _ => 0,
                };
                sample.attributes.len() + counts * 8
            }
        };
        size_of::<Self>() + more
    }
}

/// Microseconds since 1970; before it and far in the future, the nearest that there is.
pub(super) fn micros(at: SystemTime) -> i64 {
    // year 9999: names of files have four digits for it
    const LAST: i64 = 253_402_300_799_000_000;
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default().as_micros();
    i64::try_from(since).unwrap_or(LAST).min(LAST)
}

use std::time::{Duration, SystemTime};

/// A completed span, from which secrets are removed.
#[derive(Clone, Debug)]
pub struct Span {
    /// Start time.
    pub start: SystemTime,
    /// Time from start to end.
    pub duration: Duration,
    /// Name.
    pub name: String,
    /// Kind, such as `server`.
    pub kind: &'static str,
    /// Trace id.
    pub trace_id: [u8; 16],
    /// Span id.
    pub span_id: [u8; 8],
    /// Id of the parent span; `None` for the root.
    pub parent_span_id: Option<[u8; 8]>,
    /// Set if the span failed.
    pub is_error: bool,
}

/// One series of a metric at one time, from which secrets are removed.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Time of the sample.
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
    /// A monotonic total.
    Sum(f64),
    /// A value that can increase and decrease.
    Gauge(f64),
    /// Observations in buckets.
    Histogram {
        /// Upper bounds, ascending, without infinity.
        bounds: Vec<f64>,
        /// Number of observations in each bucket, not cumulative; the last bucket is above all bounds.
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

/// Returns microseconds since 1970, clamped to the years 1970 to 9999.
pub(super) fn micros(at: SystemTime) -> i64 {
    // the end of the year 9999: file names have four digits for the year
    const LAST: i64 = 253_402_300_799_000_000;
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default().as_micros();
    i64::try_from(since).unwrap_or(LAST).min(LAST)
}

use metrics::Unit;

use crate::series::definition::MetricDefinition;

/// The same times as [`MetricDefinition::BUCKETS`], in milliseconds.
const MILLISECONDS: &[f64] = &[
    1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4,
];
const MICROSECONDS: &[f64] = &[
    1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7,
];
const NANOSECONDS: &[f64] = &[
    1e6, 2.5e6, 5e6, 1e7, 2.5e7, 5e7, 1e8, 2.5e8, 5e8, 1e9, 2.5e9, 5e9, 1e10,
];
/// 64 bytes to 1 GiB; each bound is four times the previous one.
const BYTES: &[f64] = &[
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
];
const COUNTS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4,
];

/// Suffixes of names, with the buckets of such histograms.
const BY_NAME: [(&str, &[f64]); 10] = [
    ("_milliseconds", MILLISECONDS),
    ("_millis", MILLISECONDS),
    ("_ms", MILLISECONDS),
    ("_microseconds", MICROSECONDS),
    ("_micros", MICROSECONDS),
    ("_us", MICROSECONDS),
    ("_nanoseconds", NANOSECONDS),
    ("_nanos", NANOSECONDS),
    ("_ns", NANOSECONDS),
    ("_bytes", BYTES),
];

/// Returns the buckets of a histogram that another crate records, by the unit of its description, or else by its name:
/// with the buckets for seconds, all sizes would be above the last bound.
pub(crate) fn of(name: &str, unit: Option<Unit>) -> &'static [f64] {
    match unit {
        Some(Unit::Seconds) => MetricDefinition::BUCKETS,
        Some(Unit::Milliseconds) => MILLISECONDS,
        Some(Unit::Microseconds) => MICROSECONDS,
        Some(Unit::Nanoseconds) => NANOSECONDS,
        Some(Unit::Bytes) => BYTES,
        Some(Unit::Count) => COUNTS,
        _ => {
            let named = BY_NAME.iter().find(|(end, _)| name.ends_with(end));
            named.map_or(MetricDefinition::BUCKETS, |(_, buckets)| buckets)
        }
    }
}

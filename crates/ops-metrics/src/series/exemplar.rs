use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::SystemTime;

use parking_lot::Mutex;

/// Id of a trace, as in W3C trace context.
pub type TraceId = [u8; 16];

type Source = Box<dyn Fn() -> Option<TraceId> + Send + Sync>;

static SOURCE: OnceLock<Source> = OnceLock::new();

/// Sets the function that returns the id of the current trace, if it is sampled; histograms store it with the last
/// value of each bucket, as an exemplar. OpenMetrics shows exemplars, the text format does not.
///
/// `read` is called for each observed value. A panic in it is caught, and counts as no trace. Returns `false`, and
/// changes nothing, if a source is already set.
///
/// ```
/// ops_metrics::set_exemplar_source(|| Some([7; 16]));
/// ```
pub fn set_exemplar_source(read: impl Fn() -> Option<TraceId> + Send + Sync + 'static) -> bool {
    SOURCE.set(Box::new(read)).is_ok()
}

/// Returns the id of the current trace, if it is sampled.
#[inline]
pub(crate) fn current_trace() -> Option<TraceId> {
    SOURCE.get().and_then(read_caught)
}

#[inline(never)]
fn read_caught(read: &Source) -> Option<TraceId> {
    catch_unwind(AssertUnwindSafe(read)).ok().flatten()
}

/// A value and the trace in which it was observed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exemplar {
    trace: TraceId,
    value: f64,
    at: SystemTime,
}

/// Writes the exemplar as OpenMetrics appends it to a sample.
impl fmt::Display for Exemplar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("# {trace_id=\"")?;
        for byte in self.trace {
            write!(f, "{byte:02x}")?;
        }
        let at = self.at.duration_since(SystemTime::UNIX_EPOCH);
        let at = at.unwrap_or_default();
        let (seconds, millis) = (at.as_secs(), at.subsec_millis());
        write!(f, "\"}} {} {seconds}.{millis:03}", self.value)
    }
}

/// Last exemplar of each bucket. Allocates nothing until there is one.
#[derive(Debug, Default)]
pub(crate) struct Exemplars(OnceLock<Box<[Mutex<Option<Exemplar>>]>>);

impl Exemplars {
    pub(crate) fn set(&self, bucket: usize, buckets: usize, trace: TraceId, value: f64) {
        let all = self
            .0
            .get_or_init(|| (0..buckets).map(|_| Mutex::default()).collect());
        // if contended, another thread writes a newer exemplar or renders this one; the next observation sets it
        if let Some(mut place) = all.get(bucket).and_then(Mutex::try_lock) {
            let at = SystemTime::now();
            *place = Some(Exemplar { trace, value, at });
        }
    }

    pub(crate) fn get(&self, bucket: usize) -> Option<Exemplar> {
        *self.0.get()?.get(bucket)?.lock()
    }
}

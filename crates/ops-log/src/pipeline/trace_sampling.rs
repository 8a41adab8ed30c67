use std::sync::Arc;

use crate::Value;
use crate::pipeline::trace_ids;
use crate::render::bound::BoundFields;

/// Sampling decision by the trace of a line, the same for all lines of a trace.
#[derive(Debug)]
pub(crate) struct TraceSampling {
    /// Bound for the last 64 bits of a trace id, without the lowest bit:
    /// ids below it are sampled, as by OpenTelemetry's ratio-based sampler.
    below: u64,
}

impl TraceSampling {
    /// Returns `None` if every trace is sampled.
    pub(crate) fn new(ratio: f64) -> Option<Self> {
        (ratio < 1.0).then(|| Self {
            below: (ratio.max(0.0) * (1_u64 << 63) as f64) as u64,
        })
    }

    /// Returns `true` if the trace of a line is sampled, or the line has no trace.
    pub(crate) fn keeps(&self, bound: &[&Arc<BoundFields>], context: Option<&BoundFields>) -> bool {
        // a bound trace id is the one shown in the line, whatever trace is current
        let layers = bound.iter().rev().map(|layer| &***layer).chain(context);
        let trace = layers.filter_map(trace_of).next();
        let trace = trace.or_else(|| {
            let ids = trace_ids::current()?;
            Some(u128::from_be_bytes(ids.trace_id) as u64)
        });
        trace.is_none_or(|trace| trace >> 1 < self.below)
    }
}

/// Returns the last 64 bits of the bound trace id.
fn trace_of(bound: &BoundFields) -> Option<u64> {
    let (_, value) = bound.pairs().iter().find(|(key, _)| key == "trace_id")?;
    let Value::Text(text) = value else {
        return None;
    };
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(text.get(16..).filter(|_| is_id)?, 16).ok()
}

use std::sync::Arc;

use crate::pipeline::trace_ids;
use crate::render::bound::BoundFields;
use crate::render::head::RecordMeta;
use crate::{Level, Value};

/// Decides by the trace of a line, so that all lines of a trace share the answer.
#[derive(Debug)]
pub(crate) struct TraceSampling {
    /// Of the last 63 bits of a trace id, those below are sampled: as samplers of OpenTelemetry decide by ratio.
    below: u64,
}

impl TraceSampling {
    /// `None` if every trace is sampled.
    pub(crate) fn new(ratio: f64) -> Option<Self> {
        (ratio < 1.0).then(|| Self {
            below: (ratio.max(0.0) * (1_u64 << 63) as f64) as u64,
        })
    }

    /// Reports whether a line is written. Warnings and worse, reports of our own and lines without a trace always are.
    pub(crate) fn keeps(
        &self,
        meta: &RecordMeta<'_>,
        bound: &[&Arc<BoundFields>],
        context: Option<&BoundFields>,
    ) -> bool {
        if meta.always || meta.level >= Level::Warning {
            return true;
        }
        // what is bound is what the line will say
        let layers = bound.iter().rev().map(|layer| &***layer).chain(context);
        let trace = layers.filter_map(trace_of).next();
        let trace = trace.or_else(|| {
            let ids = trace_ids::current()?;
            Some(u128::from_be_bytes(ids.trace_id) as u64)
        });
        trace.is_none_or(|trace| trace >> 1 < self.below)
    }
}

/// The last 64 bits of the trace id that is bound.
fn trace_of(bound: &BoundFields) -> Option<u64> {
    let (_, value) = bound.pairs().iter().find(|(key, _)| key == "trace_id")?;
    let Value::Text(text) = value else {
        return None;
    };
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(text.get(16..).filter(|_| is_id)?, 16).ok()
}

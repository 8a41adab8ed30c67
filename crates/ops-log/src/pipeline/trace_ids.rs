use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwapOption;

use crate::render::callback::caught;

/// The span that is current while a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceIds {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span in it.
    pub span_id: [u8; 8],
}

type Reader = Box<dyn Fn() -> Option<TraceIds> + Send + Sync>;

/// Most processes without traces ask no further.
static HAS_READER: AtomicBool = AtomicBool::new(false);
static READER: ArcSwapOption<Reader> = ArcSwapOption::const_empty();

/// Sets the source that is asked for the current span whenever a line is written.
pub fn set_trace_id_source(reader: impl Fn() -> Option<TraceIds> + Send + Sync + 'static) {
    READER.store(Some(Arc::new(Box::new(reader))));
    HAS_READER.store(true, Relaxed);
}

#[inline]
pub(crate) fn current() -> Option<TraceIds> {
    HAS_READER.load(Relaxed).then(read).flatten()
}

#[inline(never)]
fn read() -> Option<TraceIds> {
    let reader = READER.load();
    caught(|| reader.as_ref().and_then(|reader| reader())).flatten()
}

#[inline(always)]
pub(crate) fn with_current(work: impl FnOnce(&TraceIds)) {
    if HAS_READER.load(Relaxed)
        && let Some(ids) = read()
    {
        work(&ids);
    }
}

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::{ArcSwapOption, Cache};

use crate::render::callback::caught;

/// Span that is current while a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceIds {
    /// Id of the trace.
    pub trace_id: [u8; 16],
    /// Id of the span.
    pub span_id: [u8; 8],
}

type Reader = Box<dyn Fn() -> Option<TraceIds> + Send + Sync>;

/// Set if there is a reader, so that processes without traces check only this.
static HAS_READER: AtomicBool = AtomicBool::new(false);
static READER: ArcSwapOption<Reader> = ArcSwapOption::const_empty();

type Known = Cache<&'static ArcSwapOption<Reader>, Option<Arc<Reader>>>;

thread_local! {
    /// Reader last used by the thread, cached to avoid reference counting.
    static KNOWN: Cell<Option<Known>> = const { Cell::new(None) };
}

/// Sets the source of the current span, which is called for each line. A previous source is not
/// called any more; it is dropped once each thread that used it has written another line, or ended.
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
    // a line that the reader logs finds no cache, and creates its own
    let known = KNOWN.try_with(Cell::take).ok().flatten();
    let mut known = known.unwrap_or_else(|| Cache::new(&READER));
    let reader = known.load();
    let ids = caught(|| reader.as_ref().and_then(|reader| reader())).flatten();
    let _ = KNOWN.try_with(|slot| slot.set(Some(known)));
    ids
}

#[inline(always)]
pub(crate) fn with_current(work: impl FnOnce(&TraceIds)) {
    if HAS_READER.load(Relaxed)
        && let Some(ids) = read()
    {
        work(&ids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(byte: u8) -> Option<TraceIds> {
        Some(TraceIds {
            trace_id: [byte; 16],
            span_id: [byte; 8],
        })
    }

    #[test]
    fn the_source_that_was_set_last_is_asked_also_by_one_that_asks_itself() {
        set_trace_id_source(|| ids(1));
        assert_eq!([current(), current()], [ids(1), ids(1)]);
        set_trace_id_source(|| {
            set_trace_id_source(|| ids(3));
            assert_eq!(current(), ids(3));
            ids(2)
        });
        assert_eq!([current(), current()], [ids(2), ids(3)]);
        set_trace_id_source(|| panic!("no span"));
        assert_eq!(current(), None);
        set_trace_id_source(|| ids(4));
        assert_eq!(current(), ids(4));
    }
}

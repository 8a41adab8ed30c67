//! The reader is the process's: it answers on threads that say so.

use std::cell::{Cell, RefCell};

use ops_log::{TraceIds, bind_context, clear_context, info, set_trace_id_source};

use crate::{json, pipeline, rest};

thread_local! {
    static IN_SPAN: Cell<bool> = const { Cell::new(false) };
    pub(crate) static PANICS: Cell<bool> = const { Cell::new(false) };
    pub(crate) static NEEDS_STORAGE: Cell<bool> = const { Cell::new(false) };
    /// Storage that is gone when a thread ends.
    pub(crate) static STORAGE: RefCell<Option<Box<u8>>> = RefCell::new(Some(Box::new(1)));
}

/// The tests of this binary agree on one source.
pub(crate) fn set_source() {
    set_trace_id_source(|| {
        assert!(!PANICS.get(), "no span");
        if NEEDS_STORAGE.get() {
            STORAGE.with_borrow(|storage| assert!(storage.is_some()));
        }
        IN_SPAN.get().then_some(TraceIds {
            trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes(),
            span_id: 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes(),
        })
    });
}

fn in_span(work: impl FnOnce()) {
    set_source();
    IN_SPAN.set(true);
    work();
    IN_SPAN.set(false);
}

#[test]
fn the_current_trace_is_on_each_line_between_context_and_fields() {
    let (pipeline, written) = json();
    in_span(|| {
        bind_context!(request_id = "req-1");
        info!(pipeline.root(), "traced", n = 1);
        info!(pipeline.root(), "own", trace_id = "mine");
        bind_context!(trace_id = "bound");
        info!(pipeline.root(), "bound");
        clear_context();
    });
    info!(pipeline.root(), "after");
    let lines = written.lines();
    let found: Vec<_> = lines.iter().map(|line| rest(line)).collect();
    assert_eq!(
        found,
        [
            r#","request_id":"req-1","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","n":1}"#,
            r#","request_id":"req-1","trace_id":"mine"}"#,
            r#","request_id":"req-1","trace_id":"bound"}"#,
            "}"
        ]
    );
}

#[test]
fn the_span_is_told_where_it_is_asked_for() {
    let (pipeline, written) = pipeline(|config| config.span_id(true), true);
    in_span(|| info!(pipeline.root(), "traced"));
    assert_eq!(
        rest(&written.last()),
        r#","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}"#
    );
}

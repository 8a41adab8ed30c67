//! The trace id source is global: it returns ids on threads that request it.

use std::cell::{Cell, RefCell};

use ops_log::{TraceIds, bind_context, clear_context, info, set_trace_id_source};

use crate::{json, pipeline, rest};

thread_local! {
    static IN_SPAN: Cell<bool> = const { Cell::new(false) };
    pub(crate) static PANICS: Cell<bool> = const { Cell::new(false) };
    pub(crate) static NEEDS_STORAGE: Cell<bool> = const { Cell::new(false) };
    /// Thread-local storage that is destroyed when the thread ends.
    pub(crate) static STORAGE: RefCell<Option<Box<u8>>> = RefCell::new(Some(Box::new(1)));
}

/// Sets the source, which all tests of this binary share.
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
fn the_span_is_reported_where_it_is_asked_for() {
    let (pipeline, written) = pipeline(|config| config.span_id(true), true);
    in_span(|| info!(pipeline.root(), "traced"));
    assert_eq!(
        rest(&written.last()),
        r#","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}"#
    );
}

fn of_trace(low: u64) -> String {
    format!("{:016x}{low:016x}", 0x4bf9_2f35_77b3_4da6_u64)
}

#[test]
fn a_sampled_trace_has_all_of_its_lines_and_another_one_its_warnings() {
    let (pipeline, written) = pipeline(|config| config.sample_traces(0.25), true);
    let log = pipeline.root();
    // the share refers to the values of the last 64 bits
    let sampled = [0, 1, (1 << 62) - 1];
    let others = [1 << 62, u64::MAX / 2, u64::MAX];
    for low in sampled.into_iter().chain(others) {
        let before = written.lines().len();
        let log = log.bind("trace_id", of_trace(low));
        for number in 0..3 {
            info!(log, "step", number = number);
        }
        ops_log::warn!(log, "slow");
        ops_log::error!(log, "failed");
        let expected = if sampled.contains(&low) { 5 } else { 2 };
        assert_eq!(written.lines().len() - before, expected, "{low:x}");
    }
    assert_eq!(pipeline.stats().unsampled, 9);
    // the context, and the current span: 0xa3ce929d0e0e4736 is not in the first quarter
    let before = written.lines().len();
    bind_context!(trace_id = of_trace(u64::MAX));
    info!(log, "of the context");
    clear_context();
    in_span(|| info!(log, "of the span"));
    assert_eq!(written.lines().len(), before);
    // no trace, and a value that is not a trace id
    info!(log, "alone");
    info!(log.bind("trace_id", "none"), "no id");
    assert_eq!(written.lines().len(), before + 2);
    assert_eq!(pipeline.stats().unsampled, 11);
}

#[test]
fn the_share_of_traces_is_from_none_to_all() {
    for (ratio, expected) in [(0.0, 0), (1.0, 1)] {
        let (pipeline, written) = pipeline(|config| config.sample_traces(ratio), true);
        info!(pipeline.root().bind("trace_id", of_trace(0)), "step");
        assert_eq!(written.lines().len(), expected, "{ratio}");
    }
    for wrong in [-0.1, 1.5, f64::NAN] {
        let config = ops_log::Config::new().sample_traces(wrong).with_env();
        let error = ops_log::Pipeline::new(config).unwrap_err();
        assert_eq!(error.kind(), ops_log::ErrorKind::Config, "{wrong}");
        assert!(error.to_string().contains("from 0 to 1"), "{error}");
    }
    let file = "stdout: false\n\nsample_traces: 2\n";
    let error = serde_yaml::from_str::<ops_log::Config>(file).unwrap_err();
    let expected = "sample_traces: invalid value: floating point `2.0`, expected a number from 0 to 1 at line 3 ";
    assert!(error.to_string().contains(expected), "{error}");
    assert!(serde_yaml::from_str::<ops_log::Config>("sample_traces: 1").is_ok());
}

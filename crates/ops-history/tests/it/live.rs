//! The same query over data being written, data from before a restart, and data of another replica.

use std::time::Duration;

use ops_history::{History, Sample, SampleValue, Span};
use serde_json::json;

use crate::{LONG, Place, ask, at, number, rows};

/// Offers lines, spans and samples with these numbers from four threads.
fn offer(history: &History, from: u64, to: u64) {
    std::thread::scope(|scope| {
        for part in 0..4 {
            scope.spawn(move || {
                for n in (from..to).filter(|n| n % 4 == part) {
                    number(history, n, n);
                    history.span(Span {
                        start: at(n),
                        duration: Duration::from_millis(1),
                        name: n.to_string(),
                        kind: "server",
                        trace_id: [1; 16],
                        span_id: n.to_be_bytes(),
                        parent_span_id: None,
                        is_error: false,
                    });
                    history.sample(Sample {
                        at: at(n),
                        name: "counted_total",
                        unit: "",
                        attributes: format!(r#"{{"n":"{n}"}}"#),
                        value: SampleValue::Sum(n as f64),
                    });
                }
            });
        }
    });
}

/// Asserts that each table has each number below `count` exactly once.
fn assert_is_answered(places: &[&Place], count: u64) {
    let dirs: Vec<_> = places.iter().map(|place| place.dir()).collect();
    for numbers in [
        "SELECT (attributes ->> '$.n')::BIGINT AS n FROM logs WHERE body = 'counted'",
        "SELECT name::BIGINT AS n FROM spans",
        "SELECT value::BIGINT AS n FROM metrics",
    ] {
        let sql = format!("SELECT count(*), count(DISTINCT n), min(n), max(n) FROM ({numbers})");
        let expected = json!([[count, count, 0, count - 1]]);
        assert_eq!(json!(rows(&ask(&dirs, &sql))), expected, "{numbers}");
    }
}

#[test]
fn the_same_question_over_live_restarted_and_two_replicas_data_gives_what_was_sent() {
    let (one, two) = (Place::new(), Place::new());
    let history = one.open();
    // with files written once a minute, all of this still waits in memory when it is queried
    for round in 0..5 {
        offer(&history, round * 200, round * 200 + 200);
        assert!(history.flush(LONG));
        assert_is_answered(&[&one], round * 200 + 200);
    }
    assert!(history.close(LONG));
    drop(history);
    // after a restart, with both running at the same time
    let (again, other) = (one.open(), two.open());
    assert_is_answered(&[&one], 1000);
    offer(&again, 1000, 1300);
    offer(&other, 1300, 1700);
    assert!(again.flush(LONG) && other.flush(LONG));
    assert_is_answered(&[&one], 1300);
    assert_is_answered(&[&one, &two], 1700);
    assert_is_answered(&[&two, &one, &two], 1700);
    assert!(again.close(LONG) && other.close(LONG));
    assert_is_answered(&[&one, &two], 1700);
}

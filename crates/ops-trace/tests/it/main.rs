//! One process has one tracer, so that the story of its life is one test.

#![expect(clippy::unwrap_used, reason = "tests")]

mod collector;

use std::time::{Duration, SystemTime};

use collector::Collector;
use ops_trace::{Config, Error};

#[test]
fn endpoints_without_scheme_or_with_a_password_are_refused_and_the_password_is_not_repeated() {
    for endpoint in [
        "localhost:4318",
        "grpc://h:4317",
        "http://u:hunter2@h:4318",
        "http://",
    ] {
        let error = ops_trace::init(Config::new("s").endpoint(endpoint))
            .err()
            .unwrap();
        assert!(matches!(error, Error::InvalidEndpoint { .. }), "{endpoint}");
        assert!(!error.to_string().contains("hunter2"));
    }
    let error = ops_trace::init(Config::new("s").sampling_ratio(f64::NAN)).err();
    assert!(matches!(error, Some(Error::InvalidRatio { .. })));
}

#[test]
fn spans_arrive_with_name_parent_and_attributes_and_every_one_is_counted() {
    assert_eq!(ops_trace::get_current_trace_id(), "no-trace");
    let collector = Collector::start();
    let config = Config::new("it").endpoint(&collector.endpoint);
    let tracer = ops_trace::init(config.export_delay(Duration::from_millis(100))).unwrap();
    let again = ops_trace::init(Config::new("it").endpoint("http://localhost:1"));
    assert!(matches!(again.err(), Some(Error::AlreadyInitialized)));

    let id = ops_trace::span!("outer", table = "users").in_scope(|span| {
        span.set_attribute("rows", 1_u32);
        span.set_attribute("rows", 2_u32);
        ops_trace::completed_span("inner", SystemTime::now(), Duration::from_millis(5)).record();
        let carried = ops_trace::carry(ops_trace::get_current_trace_id);
        std::thread::spawn(carried).join().unwrap()
    });
    let panicked =
        std::panic::catch_unwind(|| ops_trace::span!("bad").in_scope(|_| panic!("on purpose")));
    assert!(panicked.is_err());
    tracer.flush();

    let spans = collector.spans();
    let outer = spans.iter().find(|s| s.name == "outer").unwrap();
    let inner = spans.iter().find(|s| s.name == "inner").unwrap();
    assert_eq!(inner.parent_span_id, outer.span_id);
    assert_eq!(hex(&outer.trace_id), id);
    let keys: Vec<_> = outer.attributes.iter().map(|a| a.key.as_str()).collect();
    assert_eq!(keys, ["table", "rows"]);
    assert!(ops_trace::recent().recent.iter().any(|t| t.error));
    assert_eq!(ops_trace::collector_answers(), Some(true));

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let stats = runtime.block_on(tracer.shutdown(Duration::from_secs(3)));
    let sum = stats.exported + stats.rejected + stats.queued + stats.dropped();
    assert_eq!(stats.ended_sampled, sum, "{stats:?}");
    assert!(stats.exported >= 3);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

use ops_layer::log::{bind_context, clear_context, info, recent};
use ops_layer::trace::{create_span, get_current_trace_id};

use crate::OPS;

fn line(event: &str) -> serde_json::Value {
    let lines = recent(1_000);
    let found = lines.iter().find(|line| line.contains(event));
    serde_json::from_str(found.unwrap_or_else(|| panic!("no {event} in {lines:#?}"))).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_spawned_keeps_the_log_context_and_the_span() {
    let _ops = &*OPS;
    bind_context!(request_id = "req-carried");
    let span = create_span("outer", []);
    let trace = span.in_scope(|_| {
        let trace = get_current_trace_id();
        let task = ops_layer::spawn(async {
            tokio::task::yield_now().await;
            info!("carried_into_task");
        });
        let thread = ops_layer::spawn_blocking(|| info!("carried_to_thread"));
        (trace, task, thread)
    });
    clear_context();
    let (trace, task, thread) = trace;
    task.await.unwrap();
    thread.await.unwrap();
    for event in ["carried_into_task", "carried_to_thread"] {
        let line = line(event);
        assert_eq!(line["request_id"], "req-carried", "{line}");
        assert_eq!(line["trace_id"], trace.as_str(), "{line}");
    }
}

#[test]
fn outside_of_a_request_a_line_has_neither_request_nor_trace() {
    let _ops = &*OPS;
    std::thread::spawn(|| info!("carried_nowhere"))
        .join()
        .unwrap();
    let line = line("carried_nowhere");
    assert!(
        line.get("request_id").is_none() && line.get("trace_id").is_none(),
        "{line}"
    );
}

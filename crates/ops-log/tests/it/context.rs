use ops_log::{bind_context, carry, clear_context, info, with_log_context};

use crate::line_of;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_on_shared_workers_never_see_each_others_context() {
    let tasks: Vec<_> = (0..20)
        .map(|number: u64| {
            tokio::spawn(with_log_context(async move {
                bind_context!(task = number);
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                    info!("context_task", of = number);
                }
            }))
        })
        .collect();
    for task in tasks {
        task.await.expect("no task panics");
    }
    let lines = ops_log::recent(ops_log::RECENT_LINES);
    let ours: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("\"context_task\""))
        .collect();
    assert!(!ours.is_empty());
    for line in ours {
        let parsed: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(parsed["task"], parsed["of"], "{line}");
    }
}

#[test]
fn work_for_another_thread_takes_the_context_along_and_a_bare_thread_starts_empty() {
    bind_context!(request_id = "req-thread");
    let carried = carry(|| info!("context_carried"));
    std::thread::spawn(carried)
        .join()
        .expect("it does not panic");
    std::thread::spawn(|| info!("context_bare"))
        .join()
        .expect("it does not panic");
    clear_context();
    assert!(line_of("context_carried").contains("req-thread"));
    assert!(!line_of("context_bare").contains("req-thread"));
}

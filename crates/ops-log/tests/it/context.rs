use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ops_log::{
    LogContextExt, bind_context, capture_logs, capture_logs_of, carry, clear_context,
    context_scope, context_value, info, unbind_context, with_log_context,
};

use crate::{json, rest};

/// Yields pseudo-randomly, so that tasks move between workers.
async fn wander(seed: u64, steps: u64) {
    for step in 0..(seed * 7 + steps) % 5 {
        if (seed + step).is_multiple_of(3) {
            tokio::time::sleep(std::time::Duration::from_micros(seed % 50)).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tasks_on_two_workers_never_see_each_others_context() {
    let (pipeline, written) = json();
    let tasks: Vec<_> = (0..1000_u64)
        .map(|number| {
            let log = pipeline.root();
            let task = async move {
                bind_context!(task = number);
                for step in 0..8 {
                    wander(number, step).await;
                    info!(log, "step", of = number, step = step);
                    match (number + step) % 4 {
                        0 => bind_context!(task = number, extra = step),
                        1 => unbind_context(["extra"]),
                        2 => {
                            clear_context();
                            wander(number, step).await;
                            bind_context!(task = number);
                        }
                        _ => {}
                    }
                }
            };
            // every second task is bare
            if number.is_multiple_of(2) {
                tokio::spawn(task.with_log_context())
            } else {
                tokio::spawn(task)
            }
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let lines = written.lines();
    assert_eq!(lines.len(), 8000);
    let mut misattributed = 0;
    let mut lost = 0;
    for line in &lines {
        let parsed: serde_json::Value = serde_json::from_str(line).unwrap();
        match parsed.get("task") {
            Some(task) => misattributed += usize::from(*task != parsed["of"]),
            None => lost += 1,
        }
    }
    assert_eq!((misattributed, lost), (0, 0));
}

#[tokio::test(flavor = "current_thread")]
async fn a_bare_task_starts_empty_although_it_runs_on_the_same_thread() {
    bind_context!(request_id = "root");
    let seen = tokio::spawn(async { context_value("request_id") })
        .await
        .unwrap();
    assert_eq!(seen, None);
    let seen = ops_log::spawn(async { context_value("request_id") })
        .await
        .unwrap();
    assert_eq!(seen.unwrap(), "root");
    let seen = ops_log::spawn_blocking(|| context_value("request_id"))
        .await
        .unwrap();
    assert_eq!(seen.unwrap(), "root");
    clear_context();
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_bare_task_binds_stays_while_others_bind_on_its_thread() {
    async fn bound(id: &'static str) -> [Option<ops_log::Value>; 2] {
        bind_context!(request_id = id);
        tokio::task::yield_now().await;
        bind_context!(step = 2);
        tokio::task::yield_now().await;
        let seen = context_value("request_id");
        clear_context();
        tokio::task::yield_now().await;
        [seen, context_value("request_id")]
    }
    bind_context!(request_id = "of the thread");
    let tasks = ["first", "second"].map(|id| (id, tokio::spawn(bound(id))));
    let without = tokio::spawn(async {
        tokio::task::yield_now().await;
        context_value("request_id")
    });
    for (id, task) in tasks {
        assert_eq!(task.await.unwrap(), [Some(id.into()), None]);
    }
    assert_eq!(without.await.unwrap(), None);
    assert_eq!(context_value("request_id").unwrap(), "of the thread");
    assert_eq!(context_value("step"), None);
    clear_context();
}

#[test]
fn a_scope_around_a_runtime_is_not_its_tasks_context() {
    bind_context!(request_id = "outer");
    let seen = carry(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            tokio::spawn(async { context_value("request_id") })
                .await
                .unwrap()
        })
    })();
    clear_context();
    assert_eq!(seen, None);
}

#[tokio::test]
async fn what_a_task_binds_stays_across_awaits_and_does_not_reach_its_parent() {
    bind_context!(request_id = "parent");
    let child = async {
        bind_context!(request_id = "child", more = 1);
        tokio::task::yield_now().await;
        context_value("request_id").unwrap()
    };
    assert_eq!(with_log_context(child).await, "child");
    assert_eq!(context_value("request_id").unwrap(), "parent");
    assert_eq!(context_value("more"), None);
    // a future awaited without wrapping shares the caller's context
    async { bind_context!(more = 2) }.await;
    assert_eq!(context_value("more").unwrap(), 2);
    clear_context();
}

#[test]
fn work_for_another_thread_takes_the_context_along_and_a_bare_thread_starts_empty() {
    bind_context!(request_id = "req-thread");
    let carried = std::thread::spawn(carry(|| context_value("request_id")))
        .join()
        .unwrap();
    let helped = ops_log::thread::spawn(|| context_value("request_id"))
        .join()
        .unwrap();
    let bare = std::thread::spawn(|| context_value("request_id"))
        .join()
        .unwrap();
    clear_context();
    assert_eq!(carried.unwrap(), "req-thread");
    assert_eq!(helped.unwrap(), "req-thread");
    assert_eq!(bare, None);
}

#[test]
fn a_scope_puts_back_what_was_bound_before_also_when_it_panics() {
    bind_context!(phase = "outer", kept = 1);
    {
        let _scope = context_scope!(phase = "inner", extra = %"x");
        assert_eq!(context_value("phase").unwrap(), "inner");
        assert_eq!(context_value("extra").unwrap(), "x");
        bind_context!(kept = 2);
    }
    assert_eq!(context_value("phase").unwrap(), "outer");
    assert_eq!(context_value("extra"), None);
    assert_eq!(context_value("kept").unwrap(), 2);
    let _ = std::panic::catch_unwind(|| {
        let _scope = context_scope!(phase = "panicking");
        std::panic::resume_unwind(Box::new("quiet"));
    });
    assert_eq!(context_value("phase").unwrap(), "outer");
    unbind_context(["phase", "never bound"]);
    assert_eq!(context_value("phase"), None);
    clear_context();
    assert_eq!(context_value("kept"), None);
}

#[tokio::test]
async fn a_future_that_panics_or_is_dropped_leaves_the_thread_as_it_was() {
    struct Last(ops_log::Logger);

    impl Drop for Last {
        fn drop(&mut self) {
            info!(self.0, "dropped");
        }
    }

    let (pipeline, written) = json();
    let last = Last(pipeline.root());
    let mut future = Box::pin(with_log_context(async move {
        bind_context!(request_id = "inside");
        let _last = last;
        std::future::pending::<()>().await;
    }));
    let _ = futures_poll(future.as_mut());
    drop(future);
    assert_eq!(rest(&written.last()), r#","request_id":"inside"}"#);
    assert_eq!(context_value("request_id"), None);

    let mut panicking = Box::pin(with_log_context(async {
        bind_context!(request_id = "panicking");
        std::panic::resume_unwind(Box::new("quiet"));
    }));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _: std::task::Poll<()> = futures_poll(panicking.as_mut());
    }));
    assert!(result.is_err());
    assert_eq!(context_value("request_id"), None);
}

fn futures_poll<F: Future + ?Sized>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[test]
fn a_null_that_was_bound_is_shown() {
    let lines = capture_logs(|| {
        ops_log::bind_context("nothing", Option::<u8>::None);
        info!("null_bound");
    });
    assert!(
        lines[0].json.ends_with(r#","nothing":null}"#),
        "{}",
        lines[0].json
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_threads_and_tasks_bind_and_clear_without_a_lost_count() {
    let done = Arc::new(AtomicUsize::new(0));
    let ((), lines) = capture_logs_of(async {
        let tasks: Vec<_> = (0..1000_u32)
            .map(|n| {
                let done = Arc::clone(&done);
                ops_log::spawn(async move {
                    bind_context!(n = n);
                    tokio::task::yield_now().await;
                    info!("counted", of = n);
                    clear_context();
                    done.fetch_add(1, Ordering::Relaxed);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    })
    .await;
    assert_eq!(lines.len(), 1000);
    assert!(lines.iter().all(|line| line["n"] == line["of"]));
    assert_eq!(done.load(Ordering::Relaxed), 1000);
}

/// Binds its number, yields, and returns the number that is bound then.
async fn bind_and_look(number: i64) -> Option<ops_log::Value> {
    bind_context!(number = number);
    tokio::task::yield_now().await;
    context_value("number")
}

#[tokio::test]
async fn futures_of_one_task_have_contexts_of_their_own_where_each_is_wrapped() {
    let (one, two) = tokio::join!(
        bind_and_look(1).with_log_context(),
        bind_and_look(2).with_log_context()
    );
    assert_eq!((one.unwrap(), two.unwrap()), (1.into(), 2.into()));
    // bare futures of one task share its context, as documented
    let (one, two) = tokio::join!(bind_and_look(1), bind_and_look(2));
    assert_eq!((one.unwrap(), two.unwrap()), (2.into(), 2.into()));
    clear_context();
}

#[test]
fn a_pooled_blocking_thread_keeps_nothing_of_the_work_before() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let name = || std::thread::current().id();
        let first = tokio::task::spawn_blocking(move || {
            bind_context!(request_id = "first");
            (name(), context_value("request_id"))
        });
        let (thread, bound) = first.await.unwrap();
        assert_eq!(bound.unwrap(), "first");
        let second = tokio::task::spawn_blocking(move || (name(), context_value("request_id")));
        assert_eq!(second.await.unwrap(), (thread, None));
    });
}

#[test]
fn a_pooled_thread_keeps_nothing_of_work_that_was_carried() {
    let (send, work) = std::sync::mpsc::channel::<Box<dyn FnOnce() + Send>>();
    let pool = std::thread::spawn(move || work.into_iter().for_each(|work| work()));
    bind_context!(request_id = "mine");
    send.send(Box::new(carry(|| {
        bind_context!(request_id = "changed", more = 1);
        assert_eq!(context_value("request_id").unwrap(), "changed");
    })))
    .unwrap();
    send.send(Box::new(|| assert_eq!(context_value("request_id"), None)))
        .unwrap();
    drop(send);
    pool.join().unwrap();
    clear_context();
}

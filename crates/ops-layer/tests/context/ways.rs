//! Ways to lose the context, one test for each row of the table in docs/context.md.

use std::sync::mpsc;

use ops_layer::trace::{create_span, get_current_trace_id};
use ops_layer::{Carried, carry, with_context};

use crate::OPS;

/// Trace id and log context at one place.
type Found = (String, Option<String>);

fn here() -> Found {
    let bound = ops_layer::log::context_value("way");
    (get_current_trace_id(), bound.map(|value| value.to_string()))
}

fn nowhere() -> Found {
    ("no-trace".to_owned(), None)
}

/// Runs the future under a span and a bound field; passes it the result of `here` inside them.
async fn under<F: Future>(way: &'static str, work: impl FnOnce(Found) -> F) -> F::Output {
    let _ops = &*OPS;
    let inside = async {
        ops_layer::log::bind_context!(way = way);
        let here = here();
        assert_eq!(here.0.len(), 32);
        assert!(here.1.is_some());
        work(here).await
    };
    with_context(create_span(way, []).instrument(inside)).await
}

async fn later() -> Found {
    tokio::task::yield_now().await;
    here()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn select_join_and_streams_keep_the_context() {
    under("select", |outer| async move {
        let found = tokio::select! { found = later() => found };
        assert_eq!(found, outer);
        let (first, second) = tokio::join!(later(), later());
        assert_eq!([first, second], [outer.clone(), outer.clone()]);
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(later())).collect();
        for future in waiting.drain(..) {
            assert_eq!(future.await, outer);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spawn_loses_it_and_spawn_of_ours_does_not() {
    under("spawn", |outer| async move {
        assert_eq!(tokio::spawn(later()).await.unwrap(), nowhere());
        assert_eq!(ops_layer::spawn(later()).await.unwrap(), outer);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spawn_blocking_loses_it_and_spawn_blocking_of_ours_does_not() {
    under("spawn_blocking", |outer| async move {
        let lost = tokio::task::spawn_blocking(here).await.unwrap();
        assert_eq!(lost, nowhere());
        assert_eq!(ops_layer::spawn_blocking(here).await.unwrap(), outer);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_set_needs_with_context() {
    under("join_set", |outer| async move {
        let mut set = tokio::task::JoinSet::new();
        set.spawn(later());
        assert_eq!(set.join_next().await.unwrap().unwrap(), nowhere());
        set.spawn(with_context(later()));
        assert_eq!(set.join_next().await.unwrap().unwrap(), outer);
    })
    .await;
}

#[tokio::test]
async fn spawn_local_needs_with_context() {
    let local = tokio::task::LocalSet::new();
    let work = under("spawn_local", |outer| async move {
        let lost = tokio::task::spawn_local(later()).await.unwrap();
        assert_eq!(lost, nowhere());
        let held = tokio::task::spawn_local(with_context(later()))
            .await
            .unwrap();
        assert_eq!(held, outer);
    });
    local.run_until(work).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_future_that_is_polled_elsewhere_needs_with_context() {
    under("stream", |outer| async move {
        // FuturesUnordered, a stream, a boxed future in a queue: the context is that of the place where it is polled
        let (send, mut receive) = tokio::sync::mpsc::channel(2);
        let poller = tokio::spawn(async move {
            let mut found = Vec::new();
            while let Some(future) = receive.recv().await {
                let future: std::pin::Pin<Box<dyn Future<Output = Found> + Send>> = future;
                found.push(future.await);
            }
            found
        });
        send.send(Box::pin(later()) as _).await.unwrap();
        send.send(Box::pin(with_context(later())) as _)
            .await
            .unwrap();
        drop(send);
        assert_eq!(poller.await.unwrap(), [nowhere(), outer]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_needs_carried() {
    let (send, mut receive) = tokio::sync::mpsc::channel::<Carried<u32>>(2);
    let worker = tokio::spawn(async move {
        let order = receive.recv().await.unwrap();
        assert_eq!((here(), *order), (nowhere(), 7));
        let found = order.in_scope(|_| with_context(later())).await;
        (found, here())
    });
    let outer = under("channel", |outer| async move {
        send.send(Carried::new(7)).await.unwrap();
        outer
    })
    .await;
    assert_eq!(worker.await.unwrap(), (outer, nowhere()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_loses_it_and_spawn_thread_does_not() {
    under("thread", |outer| async move {
        assert_eq!(std::thread::spawn(here).join().unwrap(), nowhere());
        assert_eq!(ops_layer::spawn_thread(here).join().unwrap(), outer);
        std::thread::scope(|scope| {
            let held = scope.spawn(carry(here)).join().unwrap();
            assert_eq!(held, outer);
        });
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_pool_needs_carry() {
    under("rayon", |outer| async move {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        assert_eq!(pool.install(here), nowhere());
        assert_eq!(pool.install(carry(here)), outer);
        let items = Carried::new([1, 2, 3]);
        let found: Vec<Found> = pool.install(|| {
            use rayon::prelude::*;
            let each = items.par_iter().map(|_| items.clone().in_scope(|_| here()));
            each.collect()
        });
        assert!(found.iter().all(|found| *found == outer), "{found:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_needs_carry_and_finds_that_of_its_registration() {
    type Callback = Box<dyn FnOnce() -> Found + Send>;

    let (register, registered) = mpsc::channel::<Callback>();
    let outer = under("callback", |outer| async move {
        register.send(Box::new(here)).unwrap();
        register.send(Box::new(carry(here))).unwrap();
        outer
    })
    .await;
    let caller = std::thread::spawn(move || registered.iter().map(|call| call()).collect());
    let found: Vec<Found> = caller.join().unwrap();
    assert_eq!(found, [nowhere(), outer]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_of_tracing_keep_it_where_they_go() {
    use tracing::Instrument;

    under("tracing", |outer| async move {
        let task = tokio::spawn(
            async { get_current_trace_id() }.instrument(tracing::info_span!("theirs")),
        );
        assert_eq!(task.await.unwrap(), outer.0);
        let span = tracing::info_span!("sync");
        let thread = std::thread::spawn(move || span.in_scope(get_current_trace_id));
        assert_eq!(thread.join().unwrap(), outer.0);
    })
    .await;
}

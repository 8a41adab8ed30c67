//! Source that blocks the thread of the lookups.

use std::pin::pin;
use std::sync::{Mutex, mpsc};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use ops_secrets::{ErrorKind, Secrets, Source, SourceFuture, SourceValue};
use tokio::sync::Notify;

use crate::{SOON, config};

/// Blocks its thread when queried for `stuck`, and responds to `late` on command.
struct Stuck {
    blocked: Mutex<Option<mpsc::Receiver<()>>>,
    asked: Notify,
    answer: Notify,
}

impl Source for &'static Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    fn fetch<'a>(&'a self, names: &'a [String], _: Instant) -> SourceFuture<'a> {
        Box::pin(async move {
            if names.iter().any(|name| name == "stuck") {
                let blocked = self.blocked.lock().unwrap().take();
                self.asked.notify_one();
                blocked.map(|blocked| blocked.recv());
            } else {
                self.asked.notify_one();
                self.answer.notified().await;
            }
            let value = |_| Ok(SourceValue::new("the-value"));
            names.iter().map(value).collect()
        })
    }
}

async fn in_time<T>(waiting: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, waiting).await.unwrap()
}

#[tokio::test]
async fn a_caller_that_gives_up_on_a_stuck_thread_costs_the_next_thread_nothing() {
    let (release, blocked) = mpsc::channel();
    let stuck: &'static Stuck = Box::leak(Box::new(Stuck {
        blocked: Mutex::new(Some(blocked)),
        asked: Notify::new(),
        answer: Notify::new(),
    }));
    let config = config()
        .catalog_text("secrets: {stuck: {}, behind: {}, late: {}}")
        .source(stuck)
        // the lookup behind it has the same time from the moment that the stuck one is given up
        .deadline(Duration::from_secs(5));
    let secrets = Secrets::new(config).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let first = secrets.get("stuck");
    let mut first = pin!(first.into_future());
    assert!(first.as_mut().poll(&mut cx).is_pending());
    in_time(stuck.asked.notified()).await;
    let mut behind = pin!(secrets.get("behind").into_future());
    assert!(behind.as_mut().poll(&mut cx).is_pending());
    assert_eq!(first.await.unwrap_err().kind(), ErrorKind::Transient);
    // on another thread, while the first one is waited for
    let mut late = pin!(secrets.get("late").into_future());
    assert!(late.as_mut().poll(&mut cx).is_pending());
    in_time(stuck.asked.notified()).await;
    assert_eq!(behind.await.unwrap_err().kind(), ErrorKind::Transient);
    stuck.answer.notify_one();
    assert_eq!(late.await.unwrap().expose(), "the-value");
    drop(release);
}

//! Observer that records its calls.

use std::cell::Cell;
use std::time::Duration;

use http::{request, response};
use ops_http::{Observe, Outcome};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

thread_local! {
    static INSIDE: Cell<u32> = const { Cell::new(0) };
}

/// Returns the number of scopes that are entered on this thread.
pub(crate) fn inside() -> u32 {
    INSIDE.get()
}

/// Records every outcome, and marks the thread while a scope is entered.
#[derive(Clone)]
pub(crate) struct Record {
    started: Arc<Mutex<u32>>,
    sender: mpsc::UnboundedSender<Outcome>,
    ended: Arc<Mutex<mpsc::UnboundedReceiver<Outcome>>>,
}

pub(crate) struct Mark;

impl Drop for Mark {
    fn drop(&mut self) {
        INSIDE.set(INSIDE.get() - 1);
    }
}

impl Observe for Record {
    type Scope = ();
    type Entered<'a> = Mark;

    fn start(&self, _: &mut request::Parts) {
        *self.started.lock().unwrap() += 1;
    }

    fn enter<'a>(&'a self, (): &'a mut ()) -> Mark {
        INSIDE.set(INSIDE.get() + 1);
        Mark
    }

    fn response(&self, (): &mut (), response: &mut response::Parts) {
        response.headers.insert("x-seen", "1".parse().unwrap());
    }

    fn end(&self, (): (), outcome: &Outcome) {
        self.sender.send(outcome.clone()).unwrap();
    }
}

impl Record {
    pub(crate) fn new() -> Self {
        let (sender, ended) = mpsc::unbounded_channel();
        Self {
            started: Arc::default(),
            sender,
            ended: Arc::new(Mutex::new(ended)),
        }
    }

    /// Returns the outcome of the only request, which has ended.
    pub(crate) fn only(&self) -> Outcome {
        assert_eq!(*self.started.lock().unwrap(), 1);
        let mut ended = self.ended.lock().unwrap();
        let outcome = ended.try_recv().unwrap();
        assert!(ended.try_recv().is_err(), "end is reported exactly once");
        outcome
    }

    pub(crate) fn has_ended(&self) -> bool {
        !self.ended.lock().unwrap().is_empty()
    }

    /// Returns the outcome of the next request that ends at a server.
    pub(crate) async fn next(&self) -> Outcome {
        let next = std::future::poll_fn(|cx| self.ended.lock().unwrap().poll_recv(cx));
        let next = tokio::time::timeout(Duration::from_secs(60), next).await;
        next.expect("the request ends").unwrap()
    }
}

//! Server-sent events: changes, once a second, for at most [`MAX_STREAMS`] readers who share the work.

mod budget;
mod frames;
mod parts;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use tokio::sync::mpsc;

use crate::Admin;
use crate::state::millis;
use frames::Frames;
use parts::Parts;

/// Maximum number of open streams; one more is refused with 503.
const MAX_STREAMS: usize = 16;
/// Number of events that are kept for readers who reconnect, and time
/// for which they are collected without a reader: about half a minute.
const KEPT_EVENTS: usize = 64;
const ALONE_SECONDS: u32 = 30;
/// Number of events that may wait for a reader: the kept ones and 32 more. A reader who is slower is dropped.
const QUEUE: usize = KEPT_EVENTS + 32;
const SECOND: Duration = Duration::from_secs(1);

/// Readers, and the events that were sent to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hub(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    kept: VecDeque<(u64, Bytes)>,
    readers: Vec<mpsc::Sender<Bytes>>,
    running: bool,
}

/// Event: its name and its data as JSON.
pub(crate) struct Event {
    pub(crate) name: &'static str,
    pub(crate) data: String,
}

/// Responds with events as they arrive.
pub(crate) async fn open(hub: Hub, State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let seen = headers.get("last-event-id");
    let seen = seen.and_then(|id| id.to_str().ok());
    let Some(frames) = hub.subscribe(&admin, seen) else {
        let later = [(header::RETRY_AFTER, "5")];
        let why = format!("the limit of {MAX_STREAMS} open streams is reached\n");
        return (StatusCode::SERVICE_UNAVAILABLE, later, why).into_response();
    };
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    (kind, Body::new(frames)).into_response()
}

impl Hub {
    /// Adds a reader, who gets the events after the one it last saw; `None` if there are too many readers.
    fn subscribe(&self, admin: &Admin, seen: Option<&str>) -> Option<Frames> {
        let run = run(admin);
        let mut inner = self.lock();
        inner.readers.retain(|reader| !reader.is_closed());
        if inner.readers.len() >= MAX_STREAMS {
            return None;
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        let retry = Bytes::from_static(b"retry: 2000\n\n");
        let followed = seen.and_then(|seen| inner.after(seen, run));
        let first = match followed {
            Some(events) => std::iter::once(retry).chain(events).collect(),
            None => vec![retry, frame(run, inner.last, "reset", "{}")],
        };
        for bytes in first {
            // the queue has room for all kept events
            let _ = sender.try_send(bytes);
        }
        inner.readers.push(sender);
        if !inner.running {
            inner.running = true;
            drop(inner);
            tokio::spawn(collect(admin.clone(), self.clone()));
        }
        Some(Frames::new(receiver))
    }

    fn send(&self, run: u64, events: Vec<Event>) {
        let mut inner = self.lock();
        for event in events {
            inner.last += 1;
            let bytes = frame(run, inner.last, event.name, &event.data);
            if inner.kept.len() >= KEPT_EVENTS {
                inner.kept.pop_front();
            }
            let last = inner.last;
            inner.kept.push_back((last, bytes.clone()));
            // a reader whose queue is full is dropped: its response ends after the queued events
            inner
                .readers
                .retain(|reader| reader.try_send(bytes.clone()).is_ok());
        }
    }

    /// Ends the work if there is no reader; the next reader starts it again.
    fn end_if_alone(&self) -> bool {
        let mut inner = self.lock();
        inner.readers.retain(|reader| !reader.is_closed());
        let alone = inner.readers.is_empty();
        if alone {
            inner.running = false;
            // later events are not collected: a reader who saw the last
            // event has missed something when the next one arrives
            inner.kept.clear();
            inner.last += 1;
        }
        alone
    }

    fn is_alone(&self) -> bool {
        self.lock().readers.iter().all(mpsc::Sender::is_closed)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Returns the events after the one that was seen; `None` if some of them are not kept, or another process sent it.
    fn after(&self, seen: &str, run: u64) -> Option<Vec<Bytes>> {
        let (of, number) = seen.split_once('-')?;
        let number: u64 = number.parse().ok()?;
        let first = self.kept.front().map(|(number, _)| *number)?;
        let known = of.parse() == Ok(run) && self.running;
        if !known || number > self.last || number + 1 < first {
            return None;
        }
        let events = self.kept.iter().filter(|(kept, _)| *kept > number);
        Some(events.map(|(_, bytes)| bytes.clone()).collect())
    }
}

async fn collect(admin: Admin, hub: Hub) {
    let mut clock = tokio::time::interval(SECOND);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut parts = Parts::new();
    let mut alone = 0;
    loop {
        clock.tick().await;
        let readiness = admin.known_readiness().await;
        let collected = {
            let admin = admin.clone();
            tokio::task::spawn_blocking(move || {
                let events = parts.collect(&admin, readiness);
                (parts, events)
            })
        };
        match collected.await {
            Ok((kept, events)) => {
                parts = kept;
                hub.send(run(&admin), events);
            }
            // the panic is logged
            Err(_) => parts = Parts::new(),
        }
        alone = if hub.is_alone() { alone + 1 } else { 0 };
        if alone >= ALONE_SECONDS && hub.end_if_alone() {
            return;
        }
    }
}

/// Returns a number that identifies this run of the process.
fn run(admin: &Admin) -> u64 {
    millis(admin.started_at())
}

fn frame(run: u64, number: u64, event: &str, data: &str) -> Bytes {
    format!("id: {run}-{number}\nevent: {event}\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_reader_that_falls_behind_is_dropped_and_the_others_go_on() {
        let (hub, admin) = (Hub::default(), Admin::new("it"));
        // only this test sends events
        hub.lock().running = true;
        let mut slow = hub.subscribe(&admin, None).unwrap();
        let mut quick = hub.subscribe(&admin, None).unwrap();
        let is_first = |bytes: &Bytes| bytes.starts_with(b"retry:");
        let first = quick.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(is_first(&first));
        for number in 0..3 * QUEUE {
            let data = number.to_string();
            hub.send(1, vec![Event { name: "tick", data }]);
            assert!(quick.frame().await.unwrap().is_ok(), "{number}");
        }
        assert_eq!(hub.lock().readers.len(), 1);
        // queued events are sent, then the response ends: the reader reconnects with the id that it saw last
        let mut sent = 0;
        while let Some(frame) = slow.frame().await {
            assert!(frame.is_ok());
            sent += 1;
        }
        assert_eq!(sent, QUEUE);
        let seen = format!("{}-{}", run(&admin), 3 * QUEUE - 10);
        let mut again = hub.subscribe(&admin, Some(&seen)).unwrap();
        assert!(is_first(
            &again.frame().await.unwrap().unwrap().into_data().unwrap()
        ));
        for _ in 0..10 {
            let frame = again.frame().await.unwrap().unwrap();
            assert!(frame.into_data().unwrap().starts_with(b"id: 1-"));
        }
    }

    #[tokio::test]
    async fn a_reader_who_comes_back_after_a_time_without_readers_gets_a_reset() {
        let (hub, admin) = (Hub::default(), Admin::new("it"));
        let run = run(&admin);
        let tick = || {
            let data = "{}".to_owned();
            vec![Event { name: "tick", data }]
        };
        hub.lock().running = true;
        let first = hub.subscribe(&admin, None).unwrap();
        hub.send(run, tick());
        drop(first);
        assert!(hub.end_if_alone());
        // another page reconnects first
        hub.lock().running = true;
        let _other = hub.subscribe(&admin, None).unwrap();
        hub.send(run, tick());
        let mut again = hub.subscribe(&admin, Some(&format!("{run}-1"))).unwrap();
        again.frame().await.unwrap().unwrap();
        let frame = again.frame().await.unwrap().unwrap().into_data().unwrap();
        let frame = std::str::from_utf8(&frame).unwrap();
        assert!(frame.contains("event: reset"), "{frame}");
    }
}

//! Messages of a client that broke off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use axum::body::Body;
use axum::extract::Request;
use http_body::Body as _;
use http_body_util::BodyExt as _;

/// Records if the messages of a client break off: its stream is gone then, and it receives no response.
#[derive(Debug, Default)]
pub(in crate::serve) struct Upload(Arc<AtomicBool>);

impl Upload {
    /// Wraps the body of a call, to record if reading it fails.
    pub(in crate::serve) fn watch(&self, request: Request) -> Request {
        if request.body().is_end_stream() {
            return request;
        }
        let broke_off = Arc::clone(&self.0);
        let record = move |error| {
            broke_off.store(true, Relaxed);
            error
        };
        request.map(|body| Body::new(body.map_err(record)))
    }

    /// Returns `true` if reading the messages failed.
    pub(super) fn broke_off(&self) -> bool {
        self.0.load(Relaxed)
    }
}

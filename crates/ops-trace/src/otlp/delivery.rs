use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, Request};
use parking_lot::Mutex;

use crate::config::otlp::Otlp;
use crate::export::breaker::{Breaker, Change};
use crate::export::client::Client;
use crate::export::closing::Closing;
use crate::export::collector::{gzipped, headers};
use crate::export::reply::{FailedExport, MAX_MESSAGE_BYTES, Reply};
use crate::limits::cut;
use crate::signals::ledger::{Ledger, Outcome};

/// Posts the requests of one signal and counts the outcome of their items.
/// An outage is logged as one event when it begins and one when it ends.
pub(crate) struct Delivery {
    signal: &'static str,
    client: Client,
    reply: Arc<Mutex<Reply>>,
    url: String,
    headers: HeaderMap,
    gzip: bool,
    breaker: Breaker,
    ledger: Arc<Ledger>,
    closing: Arc<Closing>,
    is_rejecting: bool,
    /// True after an export for which the source delivered nothing, until the source delivers again.
    #[cfg(feature = "otlp-metrics")]
    is_source_failing: bool,
    /// Message of the last success response.
    warning: String,
}

impl Delivery {
    pub(crate) fn new(
        signal: &'static str,
        otlp: &Otlp,
        probe_after: Duration,
        ledger: Arc<Ledger>,
        closing: Arc<Closing>,
    ) -> Self {
        let reply = Arc::<Mutex<Reply>>::default();
        Self {
            signal,
            client: Client::new(otlp, Arc::clone(&closing), Arc::clone(&reply)),
            reply,
            url: otlp.url.clone(),
            headers: headers(otlp),
            gzip: otlp.gzip,
            breaker: Breaker::new(probe_after),
            ledger,
            closing,
            is_rejecting: false,
            #[cfg(feature = "otlp-metrics")]
            is_source_failing: false,
            warning: String::new(),
        }
    }

    /// Sends a request with this number of items, which the ledger
    /// has already counted, and returns true if the collector has it.
    pub(crate) fn send(&mut self, items: u64, body: Vec<u8>) -> bool {
        if let Some(left) = self.closing.remaining_budget()
            && (left.is_zero() || self.breaker.is_open())
        {
            self.ledger.record(items, Outcome::Shutdown);
            return false;
        }
        if !self.breaker.allows(Instant::now()) {
            self.ledger.record(items, Outcome::CircuitOpen);
            return false;
        }
        *self.reply.lock() = Reply::default();
        let body = if self.gzip { gzipped(&body) } else { body };
        let outcome = self.request(&body).map_err(|error| error.to_string());
        let outcome = outcome.and_then(|request| self.client.post(request));
        let reply = std::mem::take(&mut *self.reply.lock());
        match outcome {
            Ok(()) => {
                self.accepted(items, reply);
                true
            }
            Err(cause) => {
                let is_received = reply
                    .failure
                    .as_ref()
                    .is_some_and(|failed| failed.is_received);
                self.failed(items, cause, reply.failure);
                is_received
            }
        }
    }

    /// Counts an export without a request, and logs the first one in a row. The collector is not involved.
    #[cfg(feature = "otlp-metrics")]
    pub(crate) fn fail(&mut self, cause: String) {
        if !std::mem::replace(&mut self.is_source_failing, true) {
            let signal = self.signal;
            tracing::warn!(target: "ops_trace", signal, cause, "otlp_source_failing");
        }
        self.ledger.record(0, Outcome::NoSource { cause });
    }

    /// Ends a series of exports for which the source delivered nothing.
    #[cfg(feature = "otlp-metrics")]
    pub(crate) fn source_delivered(&mut self) {
        self.is_source_failing = false;
    }

    /// Returns the rest of the budget of a shutdown; `None` before the shutdown began.
    #[cfg(feature = "otlp-metrics")]
    pub(crate) fn remaining_budget(&self) -> Option<Duration> {
        self.closing.remaining_budget()
    }

    #[cfg(feature = "otlp-metrics")]
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn request<'b>(&self, body: &'b [u8]) -> Result<Request<&'b [u8]>, http::Error> {
        let mut request = Request::builder().method(Method::POST).uri(&self.url);
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.headers);
        }
        request.body(body)
    }

    fn accepted(&mut self, items: u64, reply: Reply) {
        let (signal, endpoint, rejected) = (self.signal, &*self.url, reply.rejected.min(items));
        self.ledger.record(items, Outcome::Accepted { rejected });
        if let Some(Change::Closed { outage }) = self.breaker.succeeded(Instant::now()) {
            let outage_ms = u64::try_from(outage.as_millis()).unwrap_or(u64::MAX);
            let dropped = self.ledger.stats().dropped();
            tracing::info!(
                target: "ops_trace", signal, endpoint, outage_ms, dropped, "otlp_export_recovered"
            );
        }
        let message = cut(reply.message, MAX_MESSAGE_BYTES);
        if rejected > 0 {
            if !std::mem::replace(&mut self.is_rejecting, true) {
                tracing::warn!(
                    target: "ops_trace", signal, endpoint, rejected, reason = message, "otlp_items_rejected"
                );
            }
            return;
        }
        self.is_rejecting = false;
        if !message.is_empty() && message != self.warning {
            tracing::warn!(
                target: "ops_trace", signal, endpoint, message_of_collector = message, "otlp_collector_warning"
            );
            self.warning = message;
        }
    }

    fn failed(&mut self, items: u64, cause: String, failure: Option<FailedExport>) {
        let failure = failure.unwrap_or_else(|| FailedExport::other(cause));
        let cause = failure.cause;
        self.ledger.record(
            items,
            Outcome::Failed {
                cause: cause.clone(),
            },
        );
        let change = self.breaker.failed(Instant::now(), failure.retry_after);
        if change == Some(Change::Opened) {
            let (signal, endpoint) = (self.signal, &*self.url);
            let dropped = self.ledger.stats().dropped();
            tracing::warn!(target: "ops_trace", signal, endpoint, cause, dropped, "otlp_export_failing");
        }
    }
}

//! Metrics and log lines, sent by a separate thread beside that of the spans. Each signal has its own breaker and
//! counts, so that a collector that refuses metrics costs no spans.

mod delivery;
#[cfg(feature = "otlp-metrics")]
mod delta;
#[cfg(feature = "otlp-logs")]
mod logs;
#[cfg(feature = "otlp-metrics")]
mod metrics;
#[cfg(feature = "otlp-logs")]
mod record;
#[cfg(feature = "otlp-metrics")]
mod source_call;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_sdk::Resource;

use crate::config::otlp::Otlp;
use crate::config::resolved::Resolved;
use crate::export::closing::Closing;
use crate::otlp::delivery::Delivery;
use crate::otlp::worker::{Source, Worker};
use crate::signals::Ledger;
use crate::{Error, SignalStats};

/// The exported signals, and the thread that sends them; without signals there is no thread.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    ledgers: Vec<(&'static str, Arc<Ledger>)>,
    worker: Option<Worker>,
    #[cfg(feature = "otlp-logs")]
    lines: Option<crate::LogLines>,
}

impl Signals {
    pub(crate) fn start(
        config: &Resolved,
        resource: &Resource,
        closing: &Arc<Closing>,
    ) -> Result<Self, Error> {
        let (mut ledgers, mut sources) = (Vec::new(), Vec::<Box<dyn Source>>::new());
        let resource = proto_resource(resource);
        let mut delivery = |name, otlp: &Otlp, ledger: Arc<Ledger>| {
            ledgers.push((name, Arc::clone(&ledger)));
            Delivery::new(name, otlp, config.probe_after, ledger, Arc::clone(closing))
        };
        // logs first: the last lines do not wait for the source of the metrics
        #[cfg(feature = "otlp-logs")]
        let lines = config.signals.logs.as_ref().map(|settings| {
            let delivery = delivery("logs", &settings.otlp, settings.lines.ledger());
            let pushed = logs::Logs::new(settings, resource.clone(), delivery);
            sources.push(Box::new(pushed));
            settings.lines.clone()
        });
        #[cfg(feature = "otlp-metrics")]
        if let Some(settings) = &config.signals.metrics {
            let delivery = delivery("metrics", &settings.otlp, Arc::default());
            let pushed = metrics::Metrics::new(settings, resource, delivery);
            sources.push(Box::new(pushed));
        }
        let worker = match sources.is_empty() {
            true => None,
            false => Some(
                Worker::start(sources, Arc::clone(closing)).map_err(|source| Error::Exporter {
                    source: source.into(),
                })?,
            ),
        };
        #[cfg(feature = "otlp-logs")]
        if let (Some(lines), Some(worker)) = (&lines, &worker) {
            lines.wake(worker.thread());
        }
        Ok(Self {
            ledgers,
            worker,
            #[cfg(feature = "otlp-logs")]
            lines,
        })
    }

    /// Stops accepting items, and wakes the thread to send the pending ones within the budget of the closing.
    pub(crate) fn close(&self) {
        #[cfg(feature = "otlp-logs")]
        if let Some(lines) = &self.lines {
            lines.close();
        }
        if let Some(worker) = &self.worker {
            worker.wake();
        }
    }

    /// Waits until everything is sent or the budget is spent; the rest is counted as lost. Blocks for up to that time.
    pub(crate) fn stop(&self, budget: Duration) {
        if let Some(worker) = &self.worker {
            worker.wait(budget);
        }
        for (_, ledger) in &self.ledgers {
            ledger.abandon();
        }
    }

    /// Returns the counts of each exported signal.
    pub(crate) fn stats(&self) -> impl Iterator<Item = (&'static str, SignalStats)> {
        let ledgers = self.ledgers.iter();
        ledgers.map(|(name, ledger)| (*name, ledger.stats()))
    }
}

fn proto_resource(resource: &Resource) -> ProtoResource {
    let attributes = resource.iter().map(|(key, value)| KeyValue {
        key: key.to_string(),
        value: Some(value.clone().into()),
        ..KeyValue::default()
    });
    ProtoResource {
        attributes: attributes.collect(),
        ..ProtoResource::default()
    }
}

/// Returns the scope of a logger, or of this crate's own items.
fn scope(name: &str) -> InstrumentationScope {
    InstrumentationScope {
        name: name.to_owned(),
        ..InstrumentationScope::default()
    }
}

use std::cell::Cell;
use std::sync::Arc;

use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SdkTracerProvider, SpanLimits,
};
use parking_lot::Mutex;

use crate::Error;
use crate::brief::Batch;
use crate::config::resolved::Resolved;
use crate::config::sampler::SamplerKind;
use crate::export::breaker::Breaker;
use crate::export::client::Client;
use crate::export::collector::Collector;
use crate::export::encode::EncodedBriefs;
use crate::export::exporter::CountingExporter;
use crate::export::queue::Queue;
use crate::export::queue_limiter::QueueLimiter;
use crate::export::state::ExportState;
use crate::export::tail::TailBuffer;
use crate::limits::{Limits, MAX_ATTRIBUTES, SETS_PER_ATTRIBUTE};
use crate::recent::ring::Ring;
use crate::sampling::{Ids, LiveRatio, LiveSampler};

/// Path of a span: the SDK's provider, the limiter, the queue, the exporter.
pub(crate) struct Pipeline {
    pub(crate) provider: SdkTracerProvider,
    pub(crate) sampler: LiveSampler,
    pub(crate) limiter: QueueLimiter,
    pub(crate) resource: Resource,
}

impl Pipeline {
    pub(crate) fn new(config: &Resolved) -> Result<Self, Error> {
        let ring = Ring::new(config.slow_after);
        let state = Arc::new(ExportState::new(config.queue_spans, config.limits, ring));
        let resource = resource(config);
        let limiter = limiter(config, state, &resource)?;
        let sampler = LiveSampler {
            ratio: LiveRatio::new(config.ratio),
            parent_based: config.sampler == SamplerKind::ParentBased,
            records_all: config.keep.is_on(),
        };
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_span_limits(span_limits(&config.limits))
            .with_span_processor(limiter.clone())
            .with_id_generator(Ids::default());
        let provider = if config.disabled {
            provider.with_sampler(Sampler::AlwaysOff)
        } else {
            provider.with_sampler(sampler.clone())
        };
        Ok(Self {
            provider: provider.build(),
            sampler,
            limiter,
            resource,
        })
    }
}

/// Returns the instrumentation scope of the spans that this crate creates.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("ops-trace").build()
}

fn resource(config: &Resolved) -> Resource {
    let pairs = config.resource.iter();
    let pairs = pairs.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes([
            KeyValue::new("telemetry.distro.name", env!("CARGO_PKG_NAME")),
            KeyValue::new("telemetry.distro.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance_id()),
        ])
        .with_attributes(pairs)
        .build()
}

/// Returns a random UUID (RFC 9562, version 4).
fn instance_id() -> String {
    let mut bytes = RandomIdGenerator::default().new_trace_id().to_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

/// Returns the SDK's limits. A span takes more attributes than the configured limit, so that the last value of a key
/// and the description of a failure are not lost; the excess is dropped at export.
fn span_limits(limits: &Limits) -> SpanLimits {
    let sets = MAX_ATTRIBUTES * SETS_PER_ATTRIBUTE;
    SpanLimits {
        max_attributes_per_span: u32::try_from(sets).unwrap_or(u32::MAX),
        max_events_per_span: limits.events,
        max_links_per_span: limits.links,
        max_attributes_per_event: limits.event_attributes,
        max_attributes_per_link: limits.link_attributes,
    }
}

fn limiter(
    config: &Resolved,
    state: Arc<ExportState>,
    resource: &Resource,
) -> Result<QueueLimiter, Error> {
    let otlp = match &config.otlp {
        Some(settings) => {
            let (closing, reply) = (Arc::clone(&state.closing), Arc::clone(&state.reply));
            let client = Client::new(settings, closing, reply);
            Some(Collector::new(settings, client, resource)?)
        }
        None => None,
    };
    if let (Some(collector), Some(settings)) = (&otlp, &config.otlp) {
        state.set_endpoint(&collector.url, settings.is_default);
    }
    let mut exporter = CountingExporter {
        state: Arc::clone(&state),
        otlp,
        console: config.console,
        breaker: Mutex::new(Breaker::new(config.probe_after)),
        collector_state: Mutex::default(),
        batch_spans: config.batch_spans,
        scope: scope(),
        briefs: EncodedBriefs::new(),
        uncounted: Cell::default(),
    };
    let export = move |batch: &mut Batch| exporter.export(batch);
    let queue = Queue::start(config.batch_spans, config.export_delay, export);
    let queue = queue.map_err(|source| Error::Exporter {
        source: source.into(),
    })?;
    let tail = TailBuffer::new(config.keep, config.slow_after);
    Ok(QueueLimiter {
        state,
        queue: Arc::new(queue),
        tail: config.keep.is_on().then(|| Arc::new(tail)),
    })
}

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use opentelemetry::Context;
use parking_lot::Mutex;

use crate::completed::CompletedSpan;
use crate::propagation::{self, Formats, Propagator};
use crate::span::SpanStart;
use crate::{Config, Error, ExportHealth, Handle, RecentTraces, Span, Stats, Tracer, Value};

static GLOBAL: OnceLock<Handle> = OnceLock::new();
static INSTALLING: Mutex<()> = Mutex::new(());

/// Installs tracing for this process. It does no network work: a collector may come later.
///
/// Also sets OpenTelemetry's global provider and propagator, for libraries that use them.
///
/// # Errors
/// Fails if a setting is invalid, the exporter cannot be built,
/// or a tracer is already installed; that tracer stays active.
pub fn init(config: Config) -> Result<Tracer, Error> {
    let _one_at_a_time = INSTALLING.lock();
    if GLOBAL.get().is_some() {
        return Err(Error::AlreadyInitialized);
    }
    let tracer = Tracer::new(config)?;
    let handle = GLOBAL.get_or_init(|| tracer.handle());
    opentelemetry::global::set_tracer_provider(handle.provider());
    if handle.formats() != Formats::NONE {
        opentelemetry::global::set_text_map_propagator(Propagator::new(handle.formats()));
    }
    // layers for spans of other crates change their interest here
    tracing::callsite::rebuild_interest_cache();
    Ok(tracer)
}

/// Installs tracing for a service and an endpoint. An empty endpoint means that of the environment, or the default.
///
/// # Errors
/// Fails as [`init`] does.
pub fn init_tracer(service_name: &str, otlp_endpoint: &str) -> Result<Tracer, Error> {
    init(Config::new(service_name).endpoint(otlp_endpoint))
}

/// Creates a child of the current span. It becomes current when it is [`enter`](Span::enter)ed, and ends on drop.
///
/// Before [`init`] it costs next to nothing and does nothing. [`span!`](crate::span!) is shorter to write, and
/// evaluates its attributes only if they are recorded.
pub fn create_span(
    name: impl Into<Cow<'static, str>>,
    attributes: impl IntoIterator<Item = (&'static str, Value)>,
) -> Span {
    SpanStart::new(global(), name).with(attributes)
}

/// Creates a child of the current span that has already ended, for work that is known only afterwards.
#[must_use = "nothing is recorded until `record` is called"]
pub fn completed_span(
    name: impl Into<Cow<'static, str>>,
    start: SystemTime,
    duration: Duration,
) -> CompletedSpan {
    CompletedSpan::new(global().cloned(), name.into(), start, duration)
}

/// Returns the counts of spans so far; all zero before [`init`].
pub fn stats() -> Stats {
    global().map_or_else(Stats::default, Handle::stats)
}

/// Returns the state of the export; before [`init`] it has no endpoint.
pub fn export_health() -> ExportHealth {
    global().map_or_else(ExportHealth::default, Handle::export_health)
}

/// Returns recent traces; empty before [`init`].
pub fn recent() -> RecentTraces {
    global().map_or_else(RecentTraces::default, Handle::recent)
}

/// Samples this share of new traces for the given time, then the configured share again.
///
/// # Errors
/// Fails if the ratio is not a number from 0 to 1.
pub fn set_sampling_ratio(ratio: f64, ttl: Duration) -> Result<(), Error> {
    match global() {
        Some(handle) => handle.set_sampling_ratio(ratio, ttl),
        None if (0.0..=1.0).contains(&ratio) => Ok(()),
        None => Err(Error::InvalidRatio { ratio }),
    }
}

/// Returns the baggage of the current context under the keys of
/// [`Config::baggage_field`], in their order; empty before [`init`].
pub fn current_baggage_fields() -> Vec<(String, String)> {
    global().map_or_else(Vec::new, Handle::current_baggage_fields)
}

/// Returns whether the last export worked; an error response
/// of the collector is a failure. `None` before the first one.
pub fn last_export_ok() -> Option<bool> {
    global().and_then(Handle::last_export_ok)
}

/// Adds the current trace context to the headers of an outgoing request: as `traceparent` and `tracestate`, or in the
/// formats of `OTEL_PROPAGATORS`. Headers and baggage of another context are replaced or removed.
///
/// Without a current span nothing is removed, and at most baggage is added.
pub fn inject(headers: &mut HeaderMap) {
    let formats = global().map_or_else(Formats::default, Handle::formats);
    Context::map_current(|context| propagation::inject(context, headers, formats));
}

/// Adds the trace context to the headers, as [`inject`](crate::inject), if [`Config::propagate_to`] names the host, and
/// returns whether it does. Third parties do not see the trace ids of this process.
pub fn inject_to(host: &str, headers: &mut HeaderMap) -> bool {
    global().is_some_and(|handle| handle.inject_to(host, headers))
}

/// Returns the handle that [`init`] installed.
pub fn global() -> Option<&'static Handle> {
    GLOBAL.get()
}

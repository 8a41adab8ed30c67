use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use parking_lot::Mutex;

use crate::completed::CompletedSpan;
use crate::propagation::W3c;
use crate::span::SpanStart;
use crate::{Config, Error, Handle, RecentTraces, Span, Stats, Tracer, Value};

static GLOBAL: OnceLock<Handle> = OnceLock::new();
static INSTALLING: Mutex<()> = Mutex::new(());

/// Installs tracing for this process. It neither connects nor waits: a collector may come later.
///
/// OpenTelemetry's global provider and propagator are set too, so that libraries that use them take part.
///
/// # Errors
/// A bad endpoint, an empty service name, a bad ratio, an exporter that cannot be made, or a tracer that is there
/// already, which stays active.
pub fn init(config: Config) -> Result<Tracer, Error> {
    let _one_at_a_time = INSTALLING.lock();
    if GLOBAL.get().is_some() {
        return Err(Error::AlreadyInitialized);
    }
    let tracer = Tracer::new(config)?;
    let handle = GLOBAL.get_or_init(|| tracer.handle());
    opentelemetry::global::set_tracer_provider(handle.provider());
    if handle.propagates() {
        opentelemetry::global::set_text_map_propagator(W3c::default());
    }
    Ok(tracer)
}

/// [`init`] as the overview names it. An empty endpoint is that of the environment, or the default one.
///
/// # Errors
/// As [`init`].
pub fn init_tracer(service_name: &str, otlp_endpoint: &str) -> Result<Tracer, Error> {
    init(Config::new(service_name).endpoint(otlp_endpoint))
}

/// A span below the current one. It is not current itself until [`enter`](Span::enter)ed, and ends on drop.
///
/// Before [`init`] it costs next to nothing and does nothing. [`span!`](crate::span!) is the shorter way to write it,
/// and looks at its attributes only where they are recorded.
pub fn create_span(
    name: impl Into<Cow<'static, str>>,
    attributes: impl IntoIterator<Item = (&'static str, Value)>,
) -> Span {
    SpanStart::new(global(), name).with(attributes)
}

/// A span that is over already, for what is known only afterwards: it becomes a child of the current span.
#[must_use = "nothing is recorded until `record` is called"]
pub fn completed_span(
    name: impl Into<Cow<'static, str>>,
    start: SystemTime,
    duration: Duration,
) -> CompletedSpan {
    CompletedSpan::new(global().cloned(), name.into(), start, duration)
}

/// What became of the spans so far; all zero before [`init`].
pub fn stats() -> Stats {
    global().map_or_else(Stats::default, Handle::stats)
}

/// The traces of late; empty before [`init`].
pub fn recent() -> RecentTraces {
    global().map_or_else(RecentTraces::default, Handle::recent)
}

/// Samples this share of new traces for so long, then the configured one again.
///
/// # Errors
/// A ratio that is not a number from 0 to 1.
pub fn set_sampling_ratio(ratio: f64, ttl: Duration) -> Result<(), Error> {
    match global() {
        Some(handle) => handle.set_sampling_ratio(ratio, ttl),
        None if (0.0..=1.0).contains(&ratio) => Ok(()),
        None => Err(Error::InvalidRatio { ratio }),
    }
}

/// Whether the last export worked: one that the collector answered with an error did not. `None` before the first one.
pub fn last_export_ok() -> Option<bool> {
    global().and_then(Handle::last_export_ok)
}

/// [`inject`](crate::inject) if [`Config::propagate_to`] names this host, and whether it does: third parties are not
/// told of our traces.
pub fn inject_to(host: &str, headers: &mut HeaderMap) -> bool {
    global().is_some_and(|handle| handle.inject_to(host, headers))
}

/// The handle that [`init`] installed.
pub fn global() -> Option<&'static Handle> {
    GLOBAL.get()
}

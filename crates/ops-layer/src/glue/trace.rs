use std::future::Future;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use tracing_subscriber::layer::SubscriberExt;

use crate::findings::example::{Example, TraceKind};
use crate::findings::snapshot::{Export, SLOW_ANSWER, SLOW_QUERY, SlowRoute};
use crate::{Config, Error};

pub(crate) use ops_trace::Config as Settings;
pub(crate) use ops_trace::http::{ClientSpans as ClientObserver, ServerSpans as Observer};
pub(crate) use ops_trace::{Carried, carry};

/// Traces; their ids are on every log line.
#[derive(Debug)]
pub(crate) struct Trace {
    tracer: Mutex<Option<ops_trace::Tracer>>,
    /// Variables whose value cannot be used, each with the value that is used instead.
    #[cfg(all(feature = "admin", feature = "serve"))]
    pub(crate) unusable: Vec<(&'static str, String)>,
}

/// Returns the service name from the environment, otherwise the program's.
pub(crate) fn service_name(program: &str) -> String {
    ops_trace::Config::new(program)
        .resolved_service_name()
        .unwrap_or_else(|| program.to_owned())
}

/// Turns spans of `tracing` into spans of ops-trace, and its events into lines.
/// A subscriber that was installed before stays, with the layers it has.
pub(crate) fn follow_tracing() {
    let subscriber = tracing_subscriber::registry().with(ops_trace::tracing_layer());
    #[cfg(feature = "log")]
    let subscriber = subscriber.with(ops_log::tracing_layer());
    let _ = tracing::subscriber::set_global_default(subscriber);
}

fn settings(config: &Config) -> ops_trace::Config {
    let name = config.service_name.as_str();
    match config.trace.clone() {
        Some(settings) => settings.service_name(name),
        None => ops_trace::Config::new(name),
    }
}

/// Returns the queue of lines for the export, if lines are exported.
#[cfg(feature = "otlp-logs")]
pub(crate) fn log_lines(config: &Config) -> Option<&'static ops_trace::LogLines> {
    static LINES: std::sync::LazyLock<ops_trace::LogLines> =
        std::sync::LazyLock::new(ops_trace::LogLines::new);
    settings(config).exports_logs().then_some(&*LINES)
}

impl Trace {
    pub(crate) fn start(config: &Config) -> Result<Self, Error> {
        let mut settings = settings(config);
        if let Some([version, ..]) = config.build {
            settings = settings.service_version(version);
        }
        for host in &config.propagate_to {
            settings = settings.propagate_to(host.as_str());
        }
        #[cfg(feature = "otlp-logs")]
        if let Some(lines) = log_lines(config) {
            settings = settings.log_lines(lines);
        }
        #[cfg(feature = "otlp-metrics")]
        {
            settings = settings.metrics_source(super::otlp_metrics::fill);
        }
        let tracer = ops_trace::init(settings).map_err(|error| Error::new("trace", error))?;
        #[cfg(feature = "log")]
        {
            ops_log::set_trace_id_source(|| {
                let ids = ops_trace::current_span_ids()?;
                Some(ops_log::TraceIds {
                    trace_id: ids.trace_id,
                    span_id: ids.span_id,
                })
            });
            ops_trace::set_attribute_filter(|_, text| ops_log::redacted(text));
        }
        #[cfg(feature = "metrics")]
        ops_metrics::set_exemplar_source(ops_trace::current_sampled_trace_id);
        Ok(Self {
            #[cfg(all(feature = "admin", feature = "serve"))]
            unusable: tracer.unusable().to_vec(),
            tracer: Mutex::new(Some(tracer)),
        })
    }

    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn look(&self) -> Option<Export> {
        Some(seen(&ops_trace::stats(), ops_trace::export_health()))
    }

    /// Sends the pending spans, once, and logs how many were exported and dropped.
    pub(crate) async fn shutdown(&self, budget: Duration) {
        let tracer = self.tracer.lock().ok().and_then(|mut tracer| tracer.take());
        if let Some(tracer) = tracer {
            let stats = tracer.shutdown(budget).await;
            // without an exporter spans are not wanted, so that is not a loss
            let dropped = stats.dropped() - stats.dropped_no_exporter;
            tracing::info!(
                target: "ops_layer",
                exported = stats.exported,
                dropped,
                "spans_flushed"
            );
        }
    }
}

/// Passes each span that ends to this function, with the time of its end, as JSON without secrets.
#[cfg(feature = "black-box")]
pub(crate) fn each_end(see: impl Fn(std::time::SystemTime, &[u8]) + Send + Sync + 'static) {
    thread_local! {
        static TEXT: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    each_span(move |span| {
        // a thread that is about to end has no thread-local storage left
        let _ = TEXT.try_with(|text| {
            let mut text = text.borrow_mut();
            text.clear();
            if write_ended(&mut text, span).is_ok() {
                see(span.at, &text);
            }
        });
    });
}

#[cfg(any(feature = "black-box", feature = "history"))]
type Hook = std::sync::Arc<dyn Fn(&ops_trace::EndedSpan<'_>) + Send + Sync>;

#[cfg(any(feature = "black-box", feature = "history"))]
static HOOKS: Mutex<Vec<Hook>> = Mutex::new(Vec::new());

/// Passes each span that ends to this function too.
#[cfg(any(feature = "black-box", feature = "history"))]
fn each_span(see: impl Fn(&ops_trace::EndedSpan<'_>) + Send + Sync + 'static) {
    let mut hooks = HOOKS
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    hooks.push(std::sync::Arc::new(see));
    let all = hooks.clone();
    ops_trace::set_span_end_hook(move |span| all.iter().for_each(|hook| hook(span)));
}

/// Stops passing spans to all of these functions.
pub(crate) fn forget_hooks() {
    #[cfg(any(feature = "black-box", feature = "history"))]
    {
        let mut hooks = HOOKS
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if !hooks.is_empty() {
            hooks.clear();
            ops_trace::set_span_end_hook(|_| {});
        }
    }
}

/// Offers each span that is sampled or failed to the history.
#[cfg(feature = "history")]
pub(crate) fn spans_to(history: &ops_history::History) {
    let history = history.clone();
    each_span(move |span| {
        if !span.is_sampled && !span.is_error {
            return;
        }
        let redacted = super::log::redacted(span.name);
        history.span(ops_history::Span {
            start: span.at.checked_sub(span.duration).unwrap_or(span.at),
            duration: span.duration,
            name: redacted.unwrap_or_else(|| span.name.to_owned()),
            kind: span.kind,
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            is_error: span.is_error,
        });
    });
}

#[cfg(feature = "black-box")]
fn write_ended(text: &mut Vec<u8>, span: &ops_trace::EndedSpan<'_>) -> std::io::Result<()> {
    use std::io::Write;
    let redacted = super::log::redacted(span.name);
    text.extend_from_slice(br#"{"name":"#);
    serde_json::to_writer(&mut *text, redacted.as_deref().unwrap_or(span.name))?;
    let trace_id = u128::from_be_bytes(span.trace_id);
    let span_id = u64::from_be_bytes(span.span_id);
    let took = span.duration.as_micros();
    write!(
        text,
        r#","trace_id":"{trace_id:032x}","span_id":"{span_id:016x}","duration_us":{took},"error":{}}}"#,
        span.is_error
    )
}

pub(crate) fn publish() {
    #[cfg(feature = "metrics")]
    ops_trace::publish_metrics();
}

pub(crate) fn client_observer() -> ClientObserver {
    ClientObserver::new()
}

/// Returns the variables that this configuration overrides, each with the value in effect.
pub(crate) fn overruled(settings: &Settings) -> Vec<(&'static str, String)> {
    settings.overruled()
}

/// Returns a configuration from a file, overridden by the environment.
pub(crate) fn beneath_environment(settings: Settings) -> Settings {
    settings.with_env()
}

/// Returns the default observer.
pub(crate) fn observer() -> Observer {
    Observer::new().peer(ops_trace::axum::peer)
}

pub(crate) fn with_context<F: Future>(future: F) -> impl Future<Output = F::Output> {
    ops_trace::with_trace_context(future)
}

/// Finds a kept trace of this kind, of this route if one is given: the preferred trace, otherwise the newest.
pub(crate) fn example(
    kind: TraceKind,
    route: Option<&str>,
    preferred: Option<&str>,
) -> Option<Example> {
    let recent = ops_trace::recent();
    let all = || {
        recent
            .errors
            .iter()
            .chain(&recent.slow)
            .chain(&recent.recent)
    };
    let fits = |trace: &&ops_trace::RecentTrace| {
        let shows = match kind {
            TraceKind::Failure => trace.error,
            TraceKind::SlowAnswer => trace.duration.as_secs_f64() >= SLOW_ANSWER,
            TraceKind::SlowQuery => trace
                .spans
                .iter()
                .any(|span| is_query(span) && span.duration > SLOW_QUERY),
            TraceKind::FailedQuery => trace.spans.iter().any(|span| is_query(span) && span.error),
        };
        shows && route.is_none_or(|route| route_of(trace).is_some_and(|known| known == route))
    };
    // of slow queries, one with operators measured by the engine is most informative
    let is_profiled = |trace: &ops_trace::RecentTrace| {
        let mut spans = trace.spans.iter();
        spans.any(|span| attribute(span, "duckdb.operators").is_some())
    };
    let is_preferred = |trace: &ops_trace::RecentTrace| preferred == Some(trace.trace_id.as_str());
    let best = all().filter(fits);
    let trace = best.max_by_key(|trace| {
        let is_better = kind == TraceKind::SlowQuery && is_profiled(trace);
        (is_better, is_preferred(trace), trace.start)
    })?;
    Some(Example {
        trace_id: trace.trace_id.clone(),
        route: route_of(trace),
    })
}

/// Age up to which a slow response shows what its route waits for.
const LATELY: Duration = Duration::from_secs(300);

/// Records for each route whether its slow responses wait for queries, as far as traces of them are kept.
pub(crate) fn look_for_queries(routes: &mut [SlowRoute]) {
    if routes.is_empty() {
        return;
    }
    let (recent, now) = (ops_trace::recent(), SystemTime::now());
    let late = recent.slow.iter().chain(&recent.recent).filter(|trace| {
        let age = now.duration_since(trace.start).unwrap_or_default();
        trace.duration.as_secs_f64() >= SLOW_ANSWER && age < LATELY
    });
    for trace in late {
        let of = route_of(trace);
        let Some(route) = routes
            .iter_mut()
            .find(|one| of.as_ref() == Some(&one.route))
        else {
            continue;
        };
        let queries = trace.spans.iter().filter(|span| is_query(span));
        let in_queries: Duration = queries.map(|span| span.duration).sum();
        let waits = in_queries >= trace.duration / 2;
        // queries may be among the spans that were left out
        if waits || trace.spans_left_out == 0 {
            route.waits_for_queries = Some(waits || route.waits_for_queries == Some(true));
        }
    }
}

fn is_query(span: &ops_trace::RecentSpan) -> bool {
    attribute(span, "db.query.text").is_some()
}

/// Returns method and route of the request that the trace began with.
fn route_of(trace: &ops_trace::RecentTrace) -> Option<String> {
    let root = trace.spans.first()?;
    if let Some(method) = attribute(root, "rpc.method") {
        // a method name that a client made up has no route
        return (method != "_OTHER").then(|| format!("POST /{method}"));
    }
    let method = attribute(root, "http.request.method")?;
    Some(format!("{method} {}", attribute(root, "http.route")?))
}

fn attribute<'a>(span: &'a ops_trace::RecentSpan, key: &str) -> Option<&'a str> {
    let mut all = span.attributes.iter();
    all.find(|(known, _)| known == key)
        .map(|(_, value)| value.as_str())
}

pub(crate) fn seen(stats: &ops_trace::Stats, health: ops_trace::ExportHealth) -> Export {
    Export {
        endpoint: health.endpoint,
        is_default: health.is_default_endpoint,
        failing_for: health.failing_for,
        failure: health.last_failure.unwrap_or_default(),
        kind: health.last_kind.unwrap_or_default(),
        status: health.last_status,
        last_duration: health.last_duration,
        ended: stats.ended_sampled,
        queued: stats.queued,
        queue_full: stats.dropped_queue_full,
        export_failed: stats.dropped_export_failed,
        circuit_open: stats.dropped_circuit_open,
        rejected: stats.rejected,
    }
}

//! Spans of the `tracing` crate as spans of this one: those of libraries, and of `#[instrument]`.

use opentelemetry::Context;
use opentelemetry::trace::{SpanBuilder, Tracer, TracerProvider};
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span as SdkSpan};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context as LayerContext, Filter};
use tracing_subscriber::registry::LookupSpan;

use crate::config::environment::Environment;
use crate::config::spans;
use crate::{Handle, global};

/// Targets whose spans would be about the export of spans.
const OWN_TARGETS: [&str; 2] = ["ops_trace", "opentelemetry"];

/// Returns a layer that turns `tracing` spans into spans of the handle that [`init`](crate::init) installs, now or later.
///
/// Parents are right in both directions: spans of ours inside of theirs are their children, and the other way round.
/// `OPS_TRACE_FILTER` chooses them by target and level, such as `info,sqlx=debug,h2=off`; default `info`. Their events
/// become events of the span with `OPS_TRACE_EVENTS=true`. Fields as `otel.kind` and `otel.name` are those of
/// `tracing-opentelemetry`.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let subscriber = tracing_subscriber::registry().with(ops_trace::tracing_layer());
/// # drop(subscriber);
/// ```
pub fn tracing_layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let settings = spans::of_spans(&Environment::default(), &mut Vec::new());
    layer(None, settings)
}

impl Handle {
    /// Returns a layer that turns `tracing` spans into spans of this handle, as [`tracing_layer`].
    pub fn tracing_layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        layer(Some(self.clone()), self.foreign_spans().clone())
    }
}

fn layer<S>(handle: Option<Handle>, settings: spans::ForeignSpans) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = SpanFilter {
        handle: handle.clone(),
        targets: settings.targets,
        events: settings.events,
    };
    tracing_opentelemetry::layer()
        .with_tracer(LateTracer::new(handle))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(filter)
}

/// Lets spans of the configured targets through while there is somebody to record them: the others stay transparent, so
/// that what is current outside of them is current inside.
struct SpanFilter {
    handle: Option<Handle>,
    targets: Targets,
    events: bool,
}

impl SpanFilter {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        (metadata.is_span() || self.events && metadata.is_event())
            && self.targets.would_enable(target, metadata.level())
            && !OWN_TARGETS.iter().any(|own| target.starts_with(own))
    }
}

impl<S> Filter<S> for SpanFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &LayerContext<'_, S>) -> bool {
        let handle = self.handle.as_ref().or_else(|| global());
        self.wants(metadata) && handle.is_some_and(|handle| handle.tracer().is_some())
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        // tracing may start later than the first span
        if self.wants(metadata) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        <Targets as Filter<S>>::max_level_hint(&self.targets)
    }
}

/// The tracer of a handle, or of the global one once there is one.
struct LateTracer {
    handle: Option<Handle>,
    /// Makes spans without ids.
    off: SdkTracer,
}

impl LateTracer {
    fn new(handle: Option<Handle>) -> Self {
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOff)
            .build();
        let off = provider.tracer("off");
        // without a processor there is nothing that could fail
        drop(provider.shutdown());
        Self { handle, off }
    }
}

impl Tracer for LateTracer {
    type Span = SdkSpan;

    fn build_with_context(&self, builder: SpanBuilder, parent: &Context) -> SdkSpan {
        let handle = self.handle.as_ref().or_else(|| global());
        let tracer = handle.and_then(Handle::tracer).unwrap_or(&self.off);
        tracer.build_with_context(builder, parent)
    }
}

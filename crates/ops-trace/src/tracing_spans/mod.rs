//! Spans of the `tracing` crate as spans of this crate: those of libraries, and of `#[instrument]`.

mod fields;
mod filter;
mod layer;

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::Handle;
use crate::config::environment::Environment;
use crate::config::spans::{self, ForeignSpans};

use filter::SpanFilter;
use layer::SpanLayer;

/// Returns a layer that turns `tracing` spans into spans of the handle
/// that [`init`](crate::init) installs, before or after this call.
///
/// Parents are correct in both directions: a span of this crate inside a `tracing` span is its child, and vice versa. A
/// span ends when it was exited for the last time.
///
/// - `OPS_TRACE_FILTER` selects spans by target and level, such as
///   `info,sqlx=debug,h2=off`; default `info`. Spans that are not selected are transparent.
/// - `OPS_TRACE_EVENTS=true` records the events of these targets and levels too, as events of the current span. Without
///   it only an error that a function returns, with `#[instrument(err)]`, becomes an `exception` and fails its span.
/// - The fields `otel.name`, `otel.kind`, `otel.status_code` and `otel.status_description` are those
///   of `tracing-opentelemetry`. Its extension trait for spans has no effect here: to set a parent
///   from elsewhere, make it current before the span is created.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let subscriber = tracing_subscriber::registry().with(ops_trace::tracing_layer());
/// # drop(subscriber);
/// ```
pub fn tracing_layer<S>() -> impl Layer<S> + Send + Sync + 'static
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let settings = spans::of_spans(&Environment::default(), &mut Vec::new());
    layer(None, settings)
}

impl Handle {
    /// Returns a layer that turns `tracing` spans into spans of this handle; see [`tracing_layer`].
    pub fn tracing_layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        layer(Some(self.clone()), self.foreign_spans().clone())
    }
}

fn layer<S>(handle: Option<Handle>, settings: ForeignSpans) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    SpanLayer::new(handle.clone(), settings.events).with_filter(SpanFilter::new(handle, settings))
}

//! Spans of the `tracing` crate as spans of this one: those of libraries, and of `#[instrument]`.

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

/// Returns a layer that turns `tracing` spans into spans of the handle that [`init`](crate::init) installs, now or later.
///
/// Parents are right in both directions: spans of ours inside of theirs are their children, and the other way round. A
/// span ends when it is left for the last time.
///
/// - `OPS_TRACE_FILTER` chooses spans by target and level, such as `info,sqlx=debug,h2=off`; default `info`. Spans that
///   are left out are transparent.
/// - `OPS_TRACE_EVENTS=true` takes the events of these targets and levels too, as events of the current span. Without it
///   only an error that a function returns, with `#[instrument(err)]`, becomes an `exception` and fails its span.
/// - The fields `otel.name`, `otel.kind`, `otel.status_code` and `otel.status_description` are those of
///   `tracing-opentelemetry`. Its extension trait for spans finds nothing here: a parent from elsewhere is made current
///   before the span is created.
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
    /// Returns a layer that turns `tracing` spans into spans of this handle, as [`tracing_layer`].
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

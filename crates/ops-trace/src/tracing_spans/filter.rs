use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Filter};

use crate::config::spans::ForeignSpans;
use crate::{Handle, global};

/// Targets whose spans would describe the export of spans.
const OWN_TARGETS: [&str; 2] = ["ops_trace", "opentelemetry"];

/// Enables spans of the configured targets while they can be recorded. Other spans
/// are transparent: the current span outside of them is also current inside.
pub(super) struct SpanFilter {
    /// `None` for the global handle, once there is one.
    handle: Option<Handle>,
    targets: Targets,
    events: bool,
}

impl SpanFilter {
    pub(super) fn new(handle: Option<Handle>, settings: ForeignSpans) -> Self {
        Self {
            handle,
            targets: settings.targets,
            events: settings.events,
        }
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        (metadata.is_span() || self.events || is_returned_error(metadata))
            && self.targets.would_enable(target, metadata.level())
            && !OWN_TARGETS.iter().any(|own| target.starts_with(own))
    }

    /// Returns `None` until tracing has started.
    fn is_recording(&self) -> Option<bool> {
        let handle = self.handle.as_ref().or_else(|| global())?;
        Some(handle.tracer().is_some())
    }
}

/// Reports whether this is the event of `#[instrument(err)]`: an error
/// and no other field. Events of handled errors have more fields.
pub(super) fn is_returned_error(metadata: &Metadata<'_>) -> bool {
    let fields = metadata.fields();
    metadata.is_event() && fields.len() == 1 && fields.field("error").is_some()
}

impl<S> Filter<S> for SpanFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.is_recording() == Some(true) && self.wants(metadata)
    }

    /// [`init`](crate::init) rebuilds the interest cache of callsites.
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self.is_recording() {
            Some(false) => Interest::never(),
            _ if !self.wants(metadata) => Interest::never(),
            Some(true) => Interest::always(),
            None => Interest::sometimes(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        <Targets as Filter<S>>::max_level_hint(&self.targets)
    }
}

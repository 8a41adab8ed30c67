//! Events of others, as lines of ours.

mod facade;
mod noise;
pub(crate) mod panic;
mod subscriber;

use tracing::Subscriber;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::pipeline;

/// Returns a layer that turns `tracing` events into lines, named by their target, for a host that composes its own subscriber.
///
/// It filters for itself: other layers see what they ask for. Fields of spans come before the event's own.
pub fn tracing_layer<S>() -> impl Layer<S> + Send + Sync + 'static
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    follow_levels();
    subscriber::layer()
}

/// From here on others hear of changed levels.
pub(crate) fn follow_levels() {
    pipeline::on_levels_changed(levels_changed);
}

/// Installs both bridges; a subscriber or logger that was installed before stays. Returns false if that subscriber makes no lines
/// of ours.
pub(crate) fn install() -> bool {
    facade::install();
    subscriber::install()
}

/// Makes others ask again about levels that they remember.
fn levels_changed() {
    facade::levels_changed();
    tracing::callsite::rebuild_interest_cache();
}

//! Events of other logging crates as lines.

mod facade;
mod noise;
pub(crate) mod panic;
mod subscriber;

use tracing::Subscriber;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::pipeline;

/// Returns a layer that turns `tracing` events into lines, named
/// by their target, for a program with its own subscriber.
///
/// It filters separately: other layers are not affected. Fields of spans come before the event's own.
pub fn tracing_layer<S>() -> impl Layer<S> + Send + Sync + 'static
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    follow_levels();
    subscriber::layer()
}

/// Notifies the bridges of changed levels from now on.
pub(crate) fn follow_levels() {
    pipeline::on_levels_changed(levels_changed);
}

/// Installs both bridges; an existing subscriber or logger stays.
/// Returns `false` if that subscriber has no layer of this crate.
pub(crate) fn install() -> bool {
    facade::install();
    subscriber::install()
}

/// Makes other crates evaluate cached levels again.
fn levels_changed() {
    facade::levels_changed();
    tracing::callsite::rebuild_interest_cache();
}

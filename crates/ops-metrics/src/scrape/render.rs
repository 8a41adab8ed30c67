use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::RwLock;

use crate::builtin;
use crate::error::Error;
use crate::recorder;
use crate::scrape::exposition;
use crate::series::cardinality::overflows;
use crate::series::definition::Kind;
use crate::series::registry;
use crate::series::rejected::RejectReason;

static HOOKS: RwLock<Vec<Arc<dyn Fn() + Send + Sync>>> = RwLock::new(Vec::new());

/// Has `publish` called before each scrape: for totals that are counted elsewhere.
///
/// One that panics is reported; the scrape goes on without it.
pub fn before_scrape(publish: impl Fn() + Send + Sync + 'static) {
    HOOKS.write().push(Arc::new(publish));
}

/// The text exposition, format 0.0.4: the catalog in its order, then what other crates recorded.
///
/// # Errors
///
/// [`Error::NotInstalled`] before [`install`].
pub fn render() -> Result<String, Error> {
    let foreign = recorder::installed().ok_or(Error::NotInstalled)?;
    let hooks = HOOKS.read().clone();
    for hook in hooks {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hook())).is_err() {
            tracing::error!(target: "ops_metrics", "before_scrape_panicked");
        }
    }
    Ok(render_with(foreign))
}

pub(crate) fn render_with(foreign: &PrometheusHandle) -> String {
    publish();
    let timer = builtin::ops_metrics_render_seconds().start_timer();
    let size = builtin::ops_metrics_render_bytes();
    let mut text = String::with_capacity(size.get() as usize + 16 * 1024);
    for family in registry::families() {
        exposition::write_family(&mut text, family);
    }
    text.push_str(&foreign.render());
    drop(timer);
    size.set(text.len() as f64);
    text
}

/// What the guard knows. Each label is there with 0 from the start, so that its first overflow is an increase.
fn publish() {
    for family in registry::families() {
        let definition = family.definition();
        for label in definition.labels {
            builtin::ops_metrics_overflow_total(definition.name, label.name).add(0);
        }
        for reason in RejectReason::ALL {
            let count = family.rejected(reason);
            let may_be_non_finite = matches!(definition.kind, Kind::Gauge | Kind::Histogram);
            if count > 0 || (reason == RejectReason::NonFinite && may_be_non_finite) {
                builtin::ops_metrics_rejected_total(definition.name, reason).absolute(count);
            }
        }
    }
    for overflow in overflows() {
        builtin::ops_metrics_overflow_total(overflow.metric, overflow.label)
            .absolute(overflow.count);
    }
    for family in registry::families() {
        builtin::ops_metrics_series(family.definition().name).set(family.len() as f64);
    }
}

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::builtin;
use crate::error::Error;
use crate::history::panics;
use crate::recorder;
use crate::scrape::exposition::{self, Format};
use crate::series::cardinality::overflows;
use crate::series::definition::Kind;
use crate::series::label::Label as _;
use crate::series::registry;
use crate::series::rejected::RejectReason;
use crate::series::scope::Scope;

static HOOKS: RwLock<Vec<Arc<dyn Fn() + Send + Sync>>> = RwLock::new(Vec::new());

/// Has `publish` called before each scrape: for totals that are counted elsewhere.
///
/// One that panics is reported; the scrape goes on without it.
pub fn before_scrape(publish: impl Fn() + Send + Sync + 'static) {
    HOOKS.write().push(Arc::new(publish));
}

/// Returns the text exposition, format 0.0.4: the catalogs in their order, then what other crates recorded.
///
/// # Errors
///
/// [`Error::NotInstalled`] before [`init`](crate::init).
pub fn render() -> Result<String, Error> {
    if !recorder::is_installed() {
        return Err(Error::NotInstalled);
    }
    run_hooks();
    Ok(render_current())
}

/// Returns the text exposition of the current scope.
pub(crate) fn render_current() -> String {
    let mut text = String::with_capacity(builtin::ops_metrics_render_bytes().get() as usize);
    render_into(Format::Text, &mut |chunk| text.push_str(chunk));
    text
}

/// Returns the OpenMetrics exposition of the current scope.
#[cfg(feature = "testing")]
pub(crate) fn render_open_metrics() -> String {
    let mut text = String::new();
    render_into(Format::OpenMetrics, &mut |chunk| text.push_str(chunk));
    text
}

/// Has published what is counted elsewhere.
pub(crate) fn run_hooks() {
    panics::publish();
    let hooks = HOOKS.read().clone();
    for hook in hooks {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hook())).is_err() {
            tracing::error!(target: "ops_metrics", "before_scrape_panicked");
        }
    }
}

/// Renders the current scope in chunks.
pub(crate) fn render_into(format: Format, out: &mut dyn FnMut(&str)) {
    publish();
    let timer = builtin::ops_metrics_render_seconds().start_timer();
    let mut bytes = 0;
    exposition::write_all(format, &mut |chunk| {
        bytes += chunk.len();
        out(chunk);
    });
    drop(timer);
    builtin::ops_metrics_render_bytes().set(bytes as f64);
}

/// Publishes what the guard knows. Each label of a catalog is there with 0 from the start, so that its first overflow is an
/// increase.
pub(crate) fn publish() {
    for family in registry::families() {
        let definition = family.definition();
        for label in definition.labels {
            builtin::ops_metrics_overflow_total(definition.name, label.name).add(0);
        }
        if matches!(definition.kind, Kind::Gauge | Kind::Histogram) {
            builtin::ops_metrics_rejected_total(definition.name, RejectReason::NonFinite).add(0);
        }
    }
    for overflow in overflows() {
        builtin::ops_metrics_overflow_total(overflow.metric, overflow.label)
            .absolute(overflow.count);
    }
    let mut series: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut refused: HashMap<(Box<str>, RejectReason), u64> = HashMap::new();
    for family in registry::all_families() {
        let name = family.definition().name;
        *series.entry(name).or_default() += family.len();
        for (reason, count) in family
            .rejected()
            .into_iter()
            .filter(|(_, count)| *count > 0)
        {
            *refused.entry((name.into(), reason)).or_default() += count;
        }
    }
    for (metric, reason, count) in Scope::current().refusals.counts() {
        *refused.entry((metric, reason)).or_default() += count;
    }
    for ((metric, reason), count) in refused {
        builtin::ops_metrics_rejected_total::family()
            .counter(&[&metric, reason.text()])
            .absolute(count);
    }
    for (metric, count) in series {
        builtin::ops_metrics_series(metric).set(count as f64);
    }
}

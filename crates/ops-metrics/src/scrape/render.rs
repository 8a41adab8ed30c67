use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;

use crate::builtin;
use crate::error::Error;
use crate::history::panics;
use crate::recorder;
use crate::scrape::exposition::Exposition;
use crate::scrape::hook::Hook;
use crate::scrape::lines::Format;
use crate::scrape::preparation::prepare;
use crate::series::cardinality::overflows;
use crate::series::definition::Kind;
use crate::series::label::Label as _;
use crate::series::registry;
use crate::series::rejected::RejectReason;
use crate::series::scope::Scope;

static HOOKS: RwLock<Vec<Arc<Hook>>> = RwLock::new(Vec::new());

/// Calls `publish` before each scrape, for totals that are counted elsewhere.
///
/// A panic in it is logged, and the scrape continues without it. All hooks together have 2 s: then the response
/// contains the values published so far, and later scrapes skip a hook that has not returned, until it has.
/// `ops_metrics_scrape_failures_total` counts both, with the reasons `timeout` and `hook`; `before_scrape_slow` and
/// `before_scrape_hangs` are logged once each time this begins.
pub fn before_scrape(publish: impl Fn() + Send + Sync + 'static) {
    HOOKS.write().push(Arc::new(Hook::new(publish)));
}

/// Returns the text exposition, format 0.0.4: the catalogs in their order, then the metrics of other crates.
///
/// It waits for the hooks of [`before_scrape`] like a scrape, for
/// at most 2 s, and then continues without them. Blocks the thread.
///
/// # Errors
///
/// [`Error::NotInstalled`] before [`init`](crate::init).
pub fn render() -> Result<String, Error> {
    if !recorder::is_installed() {
        return Err(Error::NotInstalled);
    }
    prepare();
    Ok(rendered(Format::Text))
}

/// Returns the text exposition of the current scope.
#[cfg(feature = "testing")]
pub(crate) fn render_current() -> String {
    publish();
    rendered(Format::Text)
}

/// Returns the OpenMetrics exposition of the current scope.
#[cfg(feature = "testing")]
pub(crate) fn render_open_metrics() -> String {
    publish();
    rendered(Format::OpenMetrics)
}

fn rendered(format: Format) -> String {
    let last = builtin::ops_metrics_render_bytes().get() as usize;
    let mut text = String::with_capacity(last + last / 16);
    Exposition::new(format).fill(&mut text, usize::MAX);
    text
}

/// Reports whether there are hooks.
pub(crate) fn has_hooks() -> bool {
    !HOOKS.read().is_empty()
}

/// Publishes values that are counted elsewhere, for the run that began at `began`; returns false if a hook was skipped.
pub(crate) fn run_hooks(began: Instant) -> bool {
    panics::publish();
    let hooks = HOOKS.read().clone();
    // each hook is called, whatever the result of the others
    hooks.iter().filter(|hook| !hook.run(began)).count() == 0
}

/// Publishes values that are counted elsewhere on this thread, even if calls of the hooks hang.
pub(crate) fn call_hooks() {
    panics::publish();
    let hooks = HOOKS.read().clone();
    for hook in hooks {
        hook.call();
    }
}

/// Publishes the numbers of the cardinality guard. Each label of a catalog is
/// published with 0 from the start, so that its first overflow is an increase.
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

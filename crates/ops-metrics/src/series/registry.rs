use std::collections::HashMap;

use crate::series::definition::Kind;
use crate::series::facade::{FACADE_METRICS_MAX, FacadeMetric};
use crate::series::family::Family;
use crate::series::rejected::RejectReason;
use crate::series::scope::Scope;

/// Metrics that are rendered. No two of them share a sample name.
#[derive(Default)]
pub(crate) struct Registered {
    catalogs: Vec<&'static Family>,
    /// By the names that other crates use, which may be invalid.
    facade: HashMap<Box<str>, &'static FacadeMetric>,
    /// Metric of each sample name.
    samples: HashMap<String, &'static str>,
    by_name: HashMap<&'static str, &'static Family>,
}

/// Adds a catalog that [`define!`](crate::define) exported: its metrics are on `/metrics` from now on, with 0 if all
/// label values are known. Registering the same metrics again changes nothing.
///
/// A metric that is not registered is rendered from its first use on. If two metrics share a name, or the name of a
/// sample such as `x_count`, the first one registered is rendered; the other one is logged once, and counted in
/// `ops_metrics_rejected_total{reason="name"}`.
pub fn register(catalog: &[fn() -> &'static Family]) {
    for family in catalog {
        register_family(family());
    }
}

/// Returns the families of all registered catalogs, in the order of registration.
pub fn families() -> Vec<&'static Family> {
    Scope::current().registered.read().catalogs.clone()
}

/// Returns the metrics that other crates record under their own names, ordered by name.
pub(crate) fn facade_metrics() -> Vec<&'static FacadeMetric> {
    let registered = Scope::current().registered.read();
    let mut all: Vec<_> = registered.facade.values().copied().collect();
    all.sort_unstable_by_key(|metric| metric.name);
    all
}

/// Returns all families: those of the catalogs, then those of other crates.
pub(crate) fn all_families() -> Vec<&'static Family> {
    let mut all = families();
    let of_facade = facade_metrics();
    all.extend(of_facade.into_iter().flat_map(FacadeMetric::families));
    all
}

pub(crate) fn find(name: &str) -> Option<&'static Family> {
    let registered = Scope::current().registered.read();
    registered.by_name.get(name).copied()
}

/// Returns whether a registered metric has a sample with this name.
pub(crate) fn has_sample(name: &str) -> bool {
    Scope::current()
        .registered
        .read()
        .samples
        .contains_key(name)
}

pub(crate) fn find_facade(name: &str) -> Option<&'static FacadeMetric> {
    let registered = Scope::current().registered.read();
    registered.facade.get(name).copied()
}

/// Registers the metric that another crate calls `raw`, and Prometheus calls `name`.
pub(crate) fn register_facade(
    raw: &str,
    name: &str,
    kind: Kind,
) -> Result<&'static FacadeMetric, Conflict> {
    let mut registered = Scope::current().registered.write();
    if let Some(known) = registered.facade.get(raw) {
        return Ok(known);
    }
    if let Some(owner) = registered.owner(name, kind) {
        return Err(Conflict::TakenBy(owner));
    }
    if registered.facade.len() >= FACADE_METRICS_MAX {
        return Err(Conflict::Full);
    }
    // bounded by that maximum
    let metric: &'static FacadeMetric = Box::leak(Box::new(FacadeMetric::new(name, kind)));
    registered.claim(metric.name, kind);
    registered.facade.insert(raw.into(), metric);
    Ok(metric)
}

/// Changes the type of a metric that was described, but never recorded, to the type with which it is recorded.
pub(crate) fn retype_facade(raw: &str, kind: Kind) -> Result<&'static FacadeMetric, Conflict> {
    let mut registered = Scope::current().registered.write();
    let Some(known) = registered.facade.get(raw).copied() else {
        return Err(Conflict::Full);
    };
    if known.kind == kind {
        return Ok(known); // another thread was first
    }
    if !known.is_only_described() {
        return Err(Conflict::TakenBy(known.name));
    }
    registered.release(known.name, known.kind);
    if let Some(owner) = registered.owner(known.name, kind) {
        registered.claim(known.name, known.kind);
        return Err(Conflict::TakenBy(owner));
    }
    // at most once for each metric, which is recorded from here on
    let metric: &'static FacadeMetric = Box::leak(Box::new(known.retyped(kind)));
    registered.claim(metric.name, kind);
    registered.facade.insert(raw.into(), metric);
    Ok(metric)
}

/// Reason for which a metric cannot be registered.
pub(crate) enum Conflict {
    /// The maximum number of metrics of other crates is reached.
    Full,
    /// A sample name is already used by this metric.
    TakenBy(&'static str),
}

pub(crate) fn register_family(family: &'static Family) {
    match claim_family(family) {
        // repeated for each scope: a series that exists in one scope may not exist in another
        Ok(()) => family.zero(),
        Err(taken_by) => {
            let metric = family.definition().name;
            let refusals = &Scope::current().refusals;
            if refusals.count(metric, RejectReason::Name, metric) {
                tracing::warn!(target: "ops_metrics", metric, taken_by, "metric_name_taken");
            }
        }
    }
}

fn claim_family(family: &'static Family) -> Result<(), &'static str> {
    let definition = family.definition();
    let name = definition.name;
    if find(name).is_some_and(|known| std::ptr::eq(known, family)) {
        return Ok(());
    }
    let mut registered = Scope::current().registered.write();
    match registered.by_name.get(name) {
        Some(known) if std::ptr::eq(*known, family) => return Ok(()),
        Some(_) => return Err(name),
        None => {}
    }
    if let Some(owner) = registered.owner(name, definition.kind) {
        return Err(owner);
    }
    registered.claim(name, definition.kind);
    registered.by_name.insert(name, family);
    registered.catalogs.push(family);
    Ok(())
}

impl Registered {
    /// Returns a copy of the catalogs, without the metrics of other crates.
    #[cfg(feature = "testing")]
    pub(crate) fn of_catalogs(&self) -> Self {
        let mut copy = Self::default();
        for family in &self.catalogs {
            let definition = family.definition();
            copy.claim(definition.name, definition.kind);
            copy.by_name.insert(definition.name, family);
            copy.catalogs.push(family);
        }
        copy
    }

    /// Returns the metric that already uses one of the sample names of a metric with this name.
    fn owner(&self, name: &str, kind: Kind) -> Option<&'static str> {
        let mut suffixes = kind.sample_suffixes().iter();
        suffixes.find_map(|suffix| self.samples.get(&format!("{name}{suffix}")).copied())
    }

    fn release(&mut self, name: &str, kind: Kind) {
        for suffix in kind.sample_suffixes() {
            self.samples.remove(&format!("{name}{suffix}"));
        }
    }

    fn claim(&mut self, name: &'static str, kind: Kind) {
        let suffixes = kind.sample_suffixes().iter();
        self.samples
            .extend(suffixes.map(|suffix| (format!("{name}{suffix}"), name)));
    }
}

use std::borrow::Cow;
use std::sync::OnceLock;

use metrics::{Key, SharedString, Unit};
use parking_lot::RwLock;

use crate::series::buckets;
use crate::series::definition::{Kind, LabelDefinition, MetricDefinition};
use crate::series::family::Family;
use crate::series::registry::{self, Conflict, find_facade, register_facade, retype_facade};
use crate::series::rejected::RejectReason;
use crate::series::scope::Scope;

/// Maximum number of metrics that other crates may record under their own names; further ones are refused.
pub(crate) const FACADE_METRICS_MAX: usize = 1000;
/// Maximum number of different sets of label names of one such metric; values with further sets are refused.
const LABEL_SETS_MAX: usize = 8;
/// Maximum number of labels of one value; further labels are dropped.
const LABELS_MAX: usize = 32;
/// Maximum length in bytes of a metric's or label's name; longer ones are refused.
const NAME_BYTES_MAX: usize = 256;
/// Names that Prometheus reserves; such a label is renamed.
const RESERVED_LABELS: [&str; 2] = ["le", "quantile"];

/// A metric that another crate records through the `metrics` facade, under a name that is in no catalog.
pub(crate) struct FacadeMetric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: OnceLock<SharedString>,
    /// Unit of its description.
    unit: OnceLock<Unit>,
    /// One family for each set of label names.
    families: RwLock<Vec<&'static Family>>,
}

/// Family of a value, with the values of its labels in the family's order.
pub(crate) type Place<'a> = (&'static Family, Vec<&'a str>);

impl FacadeMetric {
    pub(crate) fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: Box::leak(Box::from(name)),
            kind,
            help: OnceLock::new(),
            unit: OnceLock::new(),
            families: RwLock::default(),
        }
    }

    /// Returns a copy with the same description, as a metric of another type.
    pub(crate) fn retyped(&self, kind: Kind) -> Self {
        Self {
            name: self.name,
            kind,
            help: self.help.clone(),
            unit: self.unit.clone(),
            families: RwLock::default(),
        }
    }

    /// Returns true if the metric was only described, and nothing was recorded yet.
    pub(crate) fn is_only_described(&self) -> bool {
        self.families.read().is_empty()
    }

    pub(crate) fn families(&'static self) -> Vec<&'static Family> {
        self.families.read().clone()
    }

    fn place<'a>(&self, labels: &[(Cow<'a, str>, &'a str)]) -> Option<Place<'a>> {
        place_in(&self.families.read(), labels)
    }

    fn add_family<'a>(&self, labels: &[(Cow<'a, str>, &'a str)]) -> Option<Place<'a>> {
        let mut families = self.families.write();
        // another thread may have added it meanwhile
        let known = place_in(&families, labels);
        if known.is_some() {
            return known;
        }
        if families.len() >= LABEL_SETS_MAX {
            return None;
        }
        // bounded by the limits for metrics, label sets and labels
        let named: Vec<LabelDefinition> = labels
            .iter()
            .map(|(name, _)| LabelDefinition {
                name: Box::leak(Box::from(name.as_ref())),
                values: &[],
            })
            .collect();
        // all families of a metric have the same bounds, even if its unit is described later
        let buckets = families.first().map_or_else(
            || buckets::of(self.name, self.unit.get().copied()),
            |family| family.definition().buckets,
        );
        let family = Family::of_facade(MetricDefinition {
            name: self.name,
            kind: self.kind,
            help: "",
            labels: Vec::leak(named),
            at_start: false,
            buckets,
        });
        let family: &'static Family = Box::leak(Box::new(family));
        families.push(family);
        place_in(&[family], labels)
    }
}

/// Returns the family with these label names, in any order, and the values in the family's order.
fn place_in<'a>(
    families: &[&'static Family],
    labels: &[(Cow<'a, str>, &'a str)],
) -> Option<Place<'a>> {
    families.iter().find_map(|family| {
        let named = family.definition().labels;
        if named.len() != labels.len() {
            return None;
        }
        let value = |name: &str| labels.iter().find(|(known, _)| known == name);
        let values = named
            .iter()
            .map(|label| value(label.name).map(|(_, value)| *value));
        Some((*family, values.collect::<Option<Vec<_>>>()?))
    })
}

/// Finds or creates the place of a value that another crate records;
/// `None` if the value is refused, which is counted, and logged once.
pub(crate) fn place<'a>(kind: Kind, key: &'a Key) -> Option<Place<'a>> {
    let metric = match find_facade(key.name()) {
        Some(metric) if metric.kind == kind => metric,
        // the crate that described it may not know its type
        Some(metric) if metric.is_only_described() => match retype_facade(key.name(), kind) {
            Ok(metric) => metric,
            Err(Conflict::TakenBy(owner)) => return refuse_name(key.name(), owner),
            Err(Conflict::Full) => return refuse_name(key.name(), metric.name),
        },
        Some(metric) => return refuse_name(key.name(), metric.name),
        None => add_metric(kind, key.name())?,
    };
    let labels = cleaned_labels(key);
    let place = metric.place(&labels).or_else(|| metric.add_family(&labels));
    if place.is_none() && count(key.name(), RejectReason::Limit, key.name()) {
        let (metric, label_sets_max) = (key.name(), LABEL_SETS_MAX);
        tracing::warn!(target: "ops_metrics", metric, %key, label_sets_max, "metric_label_sets_full");
    }
    place
}

/// Stores the first description of a metric.
pub(crate) fn describe(kind: Kind, name: &str, unit: Option<Unit>, help: SharedString) {
    if registry::find(name).is_some() {
        return; // a catalog describes its metrics itself
    }
    let known = find_facade(name).or_else(|| add_metric(kind, name));
    if let Some(metric) = known.filter(|metric| metric.kind == kind) {
        metric.help.get_or_init(|| help);
        if let Some(unit) = unit {
            metric.unit.get_or_init(|| unit);
        }
    }
}

fn add_metric(kind: Kind, name: &str) -> Option<&'static FacadeMetric> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        if count(name, RejectReason::Name, name) {
            let accepted = "1 to 256 bytes";
            tracing::warn!(target: "ops_metrics", metric = name, accepted, "metric_name_invalid");
        }
        return None;
    }
    match register_facade(name, &sanitized(name, true), kind) {
        Ok(metric) => Some(metric),
        Err(Conflict::TakenBy(metric)) => refuse_name(name, metric),
        Err(Conflict::Full) => {
            if count(name, RejectReason::Limit, "") {
                let metrics_max = FACADE_METRICS_MAX;
                tracing::warn!(target: "ops_metrics", metric = name, metrics_max, "metrics_full");
            }
            None
        }
    }
}

fn refuse_name<T>(metric: &str, taken_by: &str) -> Option<T> {
    if count(metric, RejectReason::Name, metric) {
        tracing::warn!(target: "ops_metrics", metric, taken_by, "metric_name_taken");
    }
    None
}

/// Returns the labels in the form that Prometheus accepts. A label
/// with an empty value is dropped: it is the same as no label.
fn cleaned_labels(key: &Key) -> Vec<(Cow<'_, str>, &str)> {
    let mut labels: Vec<(Cow<'_, str>, &str)> = Vec::with_capacity(key.labels().len());
    let mut renamed = false;
    for label in key.labels().filter(|label| !label.value().is_empty()) {
        let name = sanitized(label.key(), false);
        let reserved = name.starts_with("__") || RESERVED_LABELS.contains(&name.as_ref());
        let name = if reserved {
            Cow::Owned(format!("exported_{}", name.trim_start_matches('_')))
        } else {
            name
        };
        let twice = labels.iter().any(|(known, _)| *known == name);
        let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && labels.len() < LABELS_MAX;
        renamed |= reserved || twice || !fits;
        if fits && !twice {
            labels.push((name, label.value()));
        }
    }
    if renamed {
        let names: Vec<&str> = key.labels().map(|label| label.key()).collect();
        let (metric, given) = (key.name(), names.join(","));
        if count(metric, RejectReason::Labels, &format!("{metric} {given}")) {
            let used: Vec<&str> = labels.iter().map(|(name, _)| name.as_ref()).collect();
            let used = used.join(",");
            tracing::warn!(target: "ops_metrics", metric, given, used, "metric_labels_renamed");
        }
    }
    labels
}

/// Replaces invalid characters of a name with `_`, as common exporters do. The name of a metric may contain colons.
fn sanitized(name: &str, colons: bool) -> Cow<'_, str> {
    let fits = |at: usize, char: char| match char {
        'a'..='z' | 'A'..='Z' | '_' => true,
        '0'..='9' => at > 0,
        ':' => colons,
        _ => false,
    };
    if name.char_indices().all(|(at, char)| fits(at, char)) {
        return Cow::Borrowed(name);
    }
    let chars = name.char_indices();
    Cow::Owned(
        chars
            .map(|(at, char)| if fits(at, char) { char } else { '_' })
            .collect(),
    )
}

fn count(metric: &str, reason: RejectReason, key: &str) -> bool {
    Scope::current().refusals.count(metric, reason, key)
}

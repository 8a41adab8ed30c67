use crate::series::family::Family;
use crate::series::guard::{CardinalityState, EXAMPLES_MAX, Limits};
use crate::series::registry::all_families;

/// A label whose values became `other`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overflow {
    /// Name of the metric.
    pub metric: &'static str,
    /// Name of the label.
    pub label: &'static str,
    /// Number of lookups whose value became `other`.
    pub count: u64,
    /// The first refused values, at most five, each cut after 64 characters.
    pub examples: Vec<String>,
}

/// Returns the labels that overflowed, most overflows first. Metrics of the facade may have several sets of labels
/// under one name; the overflows of a label are added over all sets.
pub fn overflows() -> Vec<Overflow> {
    let mut all: Vec<Overflow> = Vec::new();
    for overflow in all_families().into_iter().flat_map(overflows_of) {
        let is_same = |known: &&mut Overflow| {
            (known.metric, known.label) == (overflow.metric, overflow.label)
        };
        match all.iter_mut().find(is_same) {
            Some(known) => {
                known.count = known.count.saturating_add(overflow.count);
                known.examples.extend(overflow.examples);
                known.examples.truncate(EXAMPLES_MAX);
            }
            None => all.push(overflow),
        }
    }
    all.sort_by_key(|overflow| std::cmp::Reverse(overflow.count));
    all
}

fn overflows_of(family: &'static Family) -> Vec<Overflow> {
    let definition = family.definition();
    let read = |_: &Limits, cardinality: &CardinalityState| {
        let named = definition.labels.iter().zip(&cardinality.labels);
        let overflown = named.filter(|(_, state)| state.overflows > 0);
        overflown
            .map(|(label, state)| Overflow {
                metric: definition.name,
                label: label.name,
                count: state.overflows,
                examples: state.examples.clone(),
            })
            .collect()
    };
    family.with_cardinality(read).unwrap_or_default()
}

/// Number of series of a metric, and of values of each label.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cardinality {
    /// Name of the metric.
    pub metric: &'static str,
    /// Number of series.
    pub series: usize,
    /// Maximum number of series; beyond that, every new combination becomes `other`.
    pub series_max: usize,
    /// Each label with the number of its values and their maximum.
    pub labels: Vec<(&'static str, usize, usize)>,
}

/// Returns the size of each metric, most series first.
pub fn cardinality() -> Vec<Cardinality> {
    let mut all: Vec<Cardinality> = all_families()
        .into_iter()
        .filter_map(|family| {
            let (definition, series) = (family.definition(), family.len());
            family.with_cardinality(|limits, cardinality| {
                let named = definition.labels.iter().zip(&cardinality.labels);
                Cardinality {
                    metric: definition.name,
                    series,
                    series_max: limits.series_of(definition.name),
                    labels: named
                        .map(|(label, state)| {
                            let max = limits.of_label(definition.name, label.name);
                            (label.name, state.values.len(), max)
                        })
                        .collect(),
                }
            })
        })
        .collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.series));
    all
}

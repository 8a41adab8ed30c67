use crate::rules::burn;
use crate::rules::case::{Case, QueryAt, about};
use crate::rules::panel::{self, Panel, QueryKind, Target};
use crate::rules::query;
use crate::rules::slo::Objective;
use crate::rules::traffic::{Input, JOB};
use crate::series::family::Family;

/// Minutes of a step.
pub(super) const STEP: u64 = 1;
const STEPS: u64 = 10;
/// Pattern of the selected instances.
const INSTANCES: &str = "shop-.";
/// Factor for the counts of places that are not selected.
const UNSELECTED_FACTOR: f64 = 10.0;

/// Pace of each step. The average of the last five steps is 1, and so is that of the last four, because versions of
/// Prometheus differ in whether the first sample of a range counts; the paces before are very different.
type Paces = [f64; STEPS as usize];
const STEADY: Paces = [100.0, 100.0, 100.0, 100.0, 100.0, 1.0, 1.0, 1.0, 1.0, 1.0];
const ENDED: Paces = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 0.0, 0.0];

/// A job and instance with its share of the counts, and its paces.
struct Place {
    job: &'static str,
    instance: &'static str,
    share: f64,
    paces: Paces,
    is_selected: bool,
}

const fn place(job: &'static str, instance: &'static str, share: f64, paces: Paces) -> Place {
    Place {
        job,
        instance,
        share,
        paces,
        is_selected: share < UNSELECTED_FACTOR,
    }
}

/// Two selected places that differ, another job, and an instance that is not selected.
const PLACES: [Place; 4] = [
    place(JOB, "shop-1", 1.0, STEADY),
    place(JOB, "shop-2", 2.0, ENDED),
    place("other", "shop-1", UNSELECTED_FACTOR, STEADY),
    place(JOB, "lab-1", UNSELECTED_FACTOR, STEADY),
];

/// Returns a case for each panel: each query over series with different values.
pub(super) fn of(objectives: &[Objective], catalog: &[&'static Family]) -> Vec<Case> {
    let of_objectives = objectives.iter().flat_map(|objective| {
        let panels = panel::of_objective(objective).into_iter();
        panels.map(move |panel| of_ratios(objective, &panel))
    });
    let of_families = catalog.iter().flat_map(|family| {
        let panels = panel::of_family(family).into_iter();
        panels.map(move |panel| of_metric(family, &panel))
    });
    of_objectives.chain(of_families).collect()
}

fn case(panel: &Panel, inputs: Vec<Input>, queries: Vec<QueryAt>) -> Case {
    Case {
        name: format!("panel {}", panel.title),
        inputs,
        queries,
        alerts: Vec::new(),
    }
}

fn chosen(target: &Target) -> String {
    let expr = target.expr.replace("$__rate_interval", "5m");
    expr.replace("$job", JOB).replace("$instance", INSTANCES)
}

fn of_ratios(objective: &Objective, panel: &Panel) -> Case {
    let (mut inputs, mut queries) = (Vec::new(), Vec::new());
    for (at, target) in panel.targets.iter().enumerate() {
        let QueryKind::Ratio { window, of } = target.kind else {
            continue;
        };
        let share = 0.1 * (at + 1) as f64;
        let name = burn::ratio_name(objective, window);
        for (job, share) in [(JOB, share), ("other", share * UNSELECTED_FACTOR)] {
            inputs.push((
                format!("{name}{{job=\"{job}\"}}"),
                format!("{share}x{STEPS}"),
            ));
        }
        queries.push(QueryAt {
            step: STEPS,
            expr: about(&chosen(target), share / of),
            gives: vec![(format!("{{job=\"{JOB}\"}}"), 1.0)],
        });
    }
    case(panel, inputs, queries)
}

fn of_metric(family: &'static Family, panel: &Panel) -> Case {
    let (mut inputs, mut queries) = (Vec::new(), Vec::new());
    for target in &panel.targets {
        let (of_target, gives) = match target.kind {
            QueryKind::Quantile(quantile) => buckets(family, quantile),
            QueryKind::Rate { part } => paces(family, part),
            QueryKind::Value => values(family),
            QueryKind::Ratio { .. } => continue,
        };
        inputs.extend(of_target);
        for (_, value) in &gives {
            let same = gives
                .iter()
                .map(|(labels, other)| (labels.clone(), if other == value { 1.0 } else { 0.0 }));
            queries.push(QueryAt {
                step: STEPS,
                expr: about(&chosen(target), *value),
                gives: same.collect(),
            });
        }
    }
    inputs.sort();
    inputs.dedup();
    case(panel, inputs, queries)
}

/// Returns a series whose first label has this value.
fn series(family: &Family, part: &str, place: &Place, first: &str, bound: &str) -> String {
    let mut labels = vec![
        query::matcher("instance", "=", place.instance),
        query::matcher("job", "=", place.job),
    ];
    for (at, label) in family.definition().labels.iter().enumerate() {
        let known = label.values.first().copied().unwrap_or("some");
        let value = if at == 0 { first } else { known };
        // an empty label is the same as no label
        if value.is_empty() {
            continue;
        }
        labels.push(query::matcher(
            query::stored_name(family, label),
            "=",
            value,
        ));
    }
    if !bound.is_empty() {
        labels.push(query::matcher("le", "=", bound));
    }
    query::selector(family, part, &labels)
}

/// Returns the samples of a counter that grows by `a_minute` times the pace of each step.
fn counted(a_minute: f64, paces: &Paces) -> String {
    // not near 0, where Prometheus does not extrapolate
    let mut at = 1e6;
    let mut all = at.to_string();
    for pace in paces {
        at += a_minute * pace;
        all = format!("{all} {at}");
    }
    all
}

/// Returns two values of the first label, if it has two.
fn firsts(family: &Family) -> Vec<&'static str> {
    match family.definition().labels.first() {
        None => vec![""],
        Some(label) if label.values.is_empty() => vec!["some", "none"],
        Some(label) => label.values.iter().take(2).copied().collect(),
    }
}

type Expected = (Vec<Input>, Vec<(String, f64)>);

fn paces(family: &'static Family, part: &str) -> Expected {
    let (mut inputs, mut gives) = (Vec::new(), Vec::new());
    for (at, first) in firsts(family).into_iter().enumerate() {
        let mut sum = 0.0;
        for place in &PLACES {
            let a_second = place.share * (at * 3 + 1) as f64;
            let name = series(family, part, place, first, "");
            inputs.push((name, counted(60.0 * a_second, &place.paces)));
            if place.is_selected {
                sum += a_second;
            }
        }
        let labels = match family.definition().labels.first() {
            Some(label) if !first.is_empty() => format!(
                "{{{}}}",
                query::matcher(query::stored_name(family, label), "=", first)
            ),
            _ => "{}".to_owned(),
        };
        gives.push((labels, sum));
    }
    (inputs, gives)
}

fn values(family: &'static Family) -> Expected {
    let (mut inputs, mut gives) = (Vec::new(), Vec::new());
    let first = firsts(family).first().copied().unwrap_or_default();
    for place in &PLACES {
        let value = 40.0 * place.share;
        let name = series(family, "", place, first, "");
        if place.is_selected {
            let labels = name.split_once('{').map_or("", |(_, labels)| labels);
            gives.push((format!("{{{labels}"), value));
        }
        inputs.push((name, format!("{value}x{STEPS}")));
    }
    (inputs, gives)
}

/// Returns the buckets of a histogram. All observations of the steady places are in the first bucket, those of the
/// other place in further buckets. The place that has ended has one observation in each, and the steady one so many
/// that each of the two alone has other quantiles than both together.
fn buckets(family: &'static Family, quantile: f64) -> Expected {
    let bounds = family.buckets();
    let first = firsts(family).first().copied().unwrap_or_default();
    let most = bounds.len() as f64;
    let mut inputs = Vec::new();
    for place in &PLACES {
        let is_steady = place.paces == STEADY;
        let share = if place.is_selected {
            60.0
        } else {
            60.0 * UNSELECTED_FACTOR
        };
        // the count up to each bound, and the last count again for all observations
        let labels = bounds.iter().map(f64::to_string);
        for (at, bound) in labels.chain(["+Inf".to_owned()]).enumerate() {
            let up_to = if is_steady {
                most
            } else {
                (at as f64).min(most - 1.0)
            };
            let name = series(family, "_bucket", place, first, &bound);
            inputs.push((name, counted(share * up_to, &place.paces)));
        }
    }
    let value = quantile_of(bounds, quantile * (2.0 * most - 1.0));
    (inputs, vec![("{}".to_owned(), value)])
}

/// Returns the value below which `rank` observations are; as many as there are buckets are in the first bucket.
fn quantile_of(bounds: &[f64], rank: f64) -> f64 {
    let first = bounds.first().copied().unwrap_or_default();
    let most = bounds.len() as f64;
    if rank <= most {
        return first * rank / most;
    }
    let at = ((rank - most).ceil() as usize).max(1);
    let [below, above] = [at - 1, at].map(|at| bounds.get(at).copied().unwrap_or_default());
    below + (above - below) * (rank - most - (at - 1) as f64)
}

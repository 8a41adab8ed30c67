use crate::rules::burn;
use crate::rules::cases::{Case, QueryAt, about};
use crate::rules::panel::{self, Asks, Panel, Target};
use crate::rules::query;
use crate::rules::slo::Objective;
use crate::rules::traffic::{Input, JOB};
use crate::series::family::Family;

/// Minutes of a step.
pub(super) const STEP: u64 = 1;
const STEPS: u64 = 10;
/// Instances that are chosen, and which the pattern for them matches.
const CHOSEN: [&str; 2] = ["shop-1", "shop-2"];
const INSTANCES: &str = "shop-.";
/// Job and instance that are not chosen, and what they have more.
const OTHERS: [(&str, &str); 2] = [("other", "shop-1"), (JOB, "lab-1")];
const MORE: f64 = 10.0;

/// Returns a case for each panel: each query over series of which each has another value.
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
        let Asks::Ratio { window, of } = target.asks else {
            continue;
        };
        let share = 0.1 * (at + 1) as f64;
        let name = burn::ratio_name(objective, window);
        for (job, share) in [(JOB, share), ("other", share * MORE)] {
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
        let (of_target, gives) = match target.asks {
            Asks::Quantile(quantile) => buckets(family, quantile),
            Asks::Rate { part } => paces(family, part),
            Asks::Value => values(family),
            Asks::Ratio { .. } => continue,
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

/// Returns job, instance and a share for each series of one place: those not chosen have more.
fn places() -> impl Iterator<Item = (&'static str, &'static str, f64)> {
    let [one, other] = CHOSEN;
    let chosen = [(JOB, one, 1.0), (JOB, other, 2.0)];
    chosen
        .into_iter()
        .chain(OTHERS.map(|(job, instance)| (job, instance, MORE)))
}

/// Returns a series, with a first label of this value.
fn series(
    family: &Family,
    part: &str,
    (job, instance): (&str, &str),
    first: &str,
    bound: &str,
) -> String {
    let mut labels = vec![
        query::matcher("instance", "=", instance),
        query::matcher("job", "=", job),
    ];
    for (at, label) in family.definition().labels.iter().enumerate() {
        let known = label.values.first().copied().unwrap_or("some");
        labels.push(query::matcher(
            label.name,
            "=",
            if at == 0 { first } else { known },
        ));
    }
    if !bound.is_empty() {
        labels.push(query::matcher("le", "=", bound));
    }
    query::selector(family, part, &labels)
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
        for (job, instance, share) in places() {
            let a_second = share * (at * 3 + 1) as f64;
            let pace = 60.0 * a_second;
            let name = series(family, part, (job, instance), first, "");
            inputs.push((name, format!("1000+{pace}x{STEPS}")));
            if share < MORE {
                sum += a_second;
            }
        }
        let labels = match family.definition().labels.first() {
            Some(label) => format!("{{{}}}", query::matcher(label.name, "=", first)),
            None => "{}".to_owned(),
        };
        gives.push((labels, sum));
    }
    (inputs, gives)
}

fn values(family: &'static Family) -> Expected {
    let (mut inputs, mut gives) = (Vec::new(), Vec::new());
    let first = firsts(family).first().copied().unwrap_or_default();
    for (job, instance, share) in places() {
        let value = 40.0 * share;
        let name = series(family, "", (job, instance), first, "");
        if share < MORE {
            let labels = name.split_once('{').map_or("", |(_, labels)| labels);
            gives.push((format!("{{{labels}"), value));
        }
        inputs.push((name, format!("{value}x{STEPS}")));
    }
    (inputs, gives)
}

/// Observations in each bucket of a chosen instance, the same in all of them; those of others are in the first one.
fn buckets(family: &'static Family, quantile: f64) -> Expected {
    let bounds = family.buckets();
    let first = firsts(family).first().copied().unwrap_or_default();
    let mut inputs = Vec::new();
    for (job, instance, share) in places() {
        let all = 60.0 * share * bounds.len() as f64;
        for (at, bound) in bounds.iter().enumerate() {
            let pace = if share < MORE {
                60.0 * share * (at + 1) as f64
            } else {
                all
            };
            let name = series(
                family,
                "_bucket",
                (job, instance),
                first,
                &bound.to_string(),
            );
            inputs.push((name, format!("1000+{pace}x{STEPS}")));
        }
        let name = series(family, "_bucket", (job, instance), first, "+Inf");
        inputs.push((name, format!("1000+{all}x{STEPS}")));
    }
    let rank = quantile * bounds.len() as f64;
    let at = (rank.ceil() as usize).clamp(1, bounds.len().max(1)) - 1;
    let below = at
        .checked_sub(1)
        .and_then(|below| bounds.get(below))
        .copied()
        .unwrap_or(0.0);
    let above = bounds.get(at).copied().unwrap_or(0.0);
    let value = below + (above - below) * (rank - at as f64);
    (inputs, vec![("{}".to_owned(), value)])
}

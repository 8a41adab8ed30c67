use crate::rules::query;
use crate::rules::slo::{Bad, LabelPattern, Objective, counted};
use crate::series::family::Family;

/// Steps of a test case with the same pace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    pub(super) steps: u64,
    /// Events in each step.
    pub(super) events: f64,
    /// Share of bad events.
    pub(super) bad: f64,
}

/// A series and its samples, in promtool's notation.
pub(super) type Input = (String, String);

/// Events of ignored series for each event of another series: a query that counts them gives a very different value.
const IGNORED: f64 = 10.0;

/// Kind of failure that a job never had, so that it has no series for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unseen {
    Nothing,
    /// Failures in the counter of events.
    Failed,
    /// Failures in the other counter.
    Also,
}

/// Label values of one series; all other labels have a value that no pattern matches.
type Chosen<'a> = [(&'a str, String)];

/// Instances of a job, with the share of events of each: two, so that one cannot be mistaken for all.
const TWO: [(&str, f64); 2] = [("shop-1", 0.3), ("shop-2", 0.7)];
const ONE: [(&str, f64); 1] = [("shop-1", 1.0)];

/// Returns the series of an objective's metrics: one matching series for each alternative of its patterns.
pub(super) fn inputs(objective: &Objective, phases: &[Phase], unseen: Unseen) -> Vec<Input> {
    let mut all = matched(objective, phases, &[], &TWO, unseen);
    let ignored: Vec<Phase> = phases
        .iter()
        .map(|phase| Phase {
            events: phase.events * IGNORED,
            bad: 0.5,
            ..*phase
        })
        .collect();
    for one in &objective.ignores {
        for example in one.pattern.examples() {
            let chosen = [(one.label, example)];
            all.extend(matched(objective, &ignored, &chosen, &ONE, Unseen::Nothing));
        }
    }
    all
}

/// Returns the series of a job that counted good events for `steps` steps, after `from` steps without a sample.
pub(super) fn of_good_job(objective: &Objective, job: &str, [from, steps]: [u64; 2]) -> Vec<Input> {
    let phases = [Phase {
        steps,
        events: 600.0,
        bad: 0.0,
    }];
    let chosen = [("job", job.to_owned())];
    let all = match objective.bad {
        Bad::SlowerThan(bound) => slower(objective, bound, &phases, &chosen, &ONE),
        Bad::Failed(..) => {
            let family = objective.family;
            let name = series(objective, family, counted(family), &chosen, 0);
            vec![(name, samples(&phases, |phase| phase.events))]
        }
    };
    let later = |(name, samples): Input| match from {
        0 => (name, samples),
        _ => (name, format!("_x{from} {samples}")),
    };
    all.into_iter().map(later).collect()
}

/// Returns series that share the events of `phases`. Ignored ones have no series of good events in counters.
fn matched(
    objective: &Objective,
    phases: &[Phase],
    chosen: &Chosen<'_>,
    instances: &[(&str, f64)],
    unseen: Unseen,
) -> Vec<Input> {
    let bad = |phase: &Phase| phase.events * phase.bad;
    match &objective.bad {
        Bad::SlowerThan(bound) => slower(objective, *bound, phases, chosen, instances),
        Bad::Failed(fails, also) => {
            let (family, part) = (objective.family, counted(objective.family));
            let combinations = combinations(fails);
            let [failed, other] = shares(fails, also.is_some());
            let mut all = Vec::new();
            let of_one = failed / combinations.len() as f64;
            for (nth, (instance, share)) in instances.iter().enumerate() {
                let at = (INSTANCE, (*instance).to_owned());
                for labels in combinations.iter().filter(|_| unseen != Unseen::Failed) {
                    let labels = [chosen, labels, std::slice::from_ref(&at)].concat();
                    let name = series(objective, family, part, &labels, nth);
                    all.push((name, samples(phases, |phase| bad(phase) * of_one * share)));
                }
                for also in also.iter().filter(|_| unseen != Unseen::Also) {
                    let labels = [chosen, std::slice::from_ref(&at)].concat();
                    let name = series(objective, also, counted(also), &labels, nth);
                    all.push((name, samples(phases, |phase| bad(phase) * other * share)));
                }
            }
            if chosen.is_empty() {
                let near = near_misses(fails);
                let share = 1.0 / near.len() as f64;
                for labels in near {
                    let name = series(objective, family, part, &labels, 0);
                    let pace = |phase: &Phase| share * (phase.events - bad(phase) * failed);
                    all.push((name, samples(phases, pace)));
                }
            }
            all
        }
    }
}

/// Returns the shares of bad events that are failures in the counter of events, and in the other counter.
pub(super) fn shares(fails: &[LabelPattern], has_other: bool) -> [f64; 2] {
    let failed = combinations(fails).len() as f64;
    let parts = failed + f64::from(u8::from(has_other));
    [failed / parts, 1.0 - failed / parts]
}

/// Returns sets of labels that all match, so that each alternative of each pattern occurs in one of them.
fn combinations(fails: &[LabelPattern]) -> Vec<Vec<(&'static str, String)>> {
    let examples: Vec<_> = fails
        .iter()
        .map(|one| (one.label, one.pattern.examples()))
        .collect();
    let most = examples
        .iter()
        .map(|(_, values)| values.len())
        .max()
        .unwrap_or(0);
    let nth = |at: usize| {
        let of_label = examples.iter().filter_map(move |(label, values)| {
            values
                .get(at % values.len().max(1))
                .map(|value| (*label, value.clone()))
        });
        of_label.collect()
    };
    (0..most).map(nth).collect()
}

/// Returns sets of labels of good events: no label matches, or all but one do.
fn near_misses(fails: &[LabelPattern]) -> Vec<Vec<(&'static str, String)>> {
    let mut all = vec![Vec::new()];
    if fails.len() > 1 {
        for missing in fails {
            let others = fails.iter().filter(|one| one.label != missing.label);
            let matching =
                others.filter_map(|one| Some((one.label, one.pattern.examples().first()?.clone())));
            all.push(matching.collect());
        }
    }
    all
}

/// Returns the buckets around a bound, and the count.
fn slower(
    objective: &Objective,
    bound: f64,
    phases: &[Phase],
    chosen: &Chosen<'_>,
    instances: &[(&str, f64)],
) -> Vec<Input> {
    let bounds = objective.family.buckets();
    let at = bounds.iter().position(|known| *known == bound).unwrap_or(0);
    let mut all = Vec::new();
    for (nth, (instance, share)) in instances.iter().enumerate() {
        let chosen = [chosen, &[(INSTANCE, (*instance).to_owned())]].concat();
        let mut bucket = |bound: String, good: f64, bad: f64| {
            let labels = [&chosen[..], &[("le", bound)]].concat();
            let name = series(objective, objective.family, "_bucket", &labels, nth);
            let of_events = |phase: &Phase| good * (1.0 - phase.bad) + bad * phase.bad;
            let pace = |phase: &Phase| share * phase.events * of_events(phase);
            all.push((name, samples(phases, pace)));
        };
        if let Some(below) = at.checked_sub(1).and_then(|below| bounds.get(below)) {
            bucket(below.to_string(), 0.5, 0.0);
        }
        bucket(bound.to_string(), 1.0, 0.0);
        if let Some(above) = bounds.get(at + 1) {
            bucket(above.to_string(), 1.0, 0.5);
        }
        bucket("+Inf".to_owned(), 1.0, 1.0);
        let name = series(objective, objective.family, "_count", &chosen, nth);
        all.push((name, samples(phases, |phase| share * phase.events)));
    }
    all
}

/// Returns a series' name with all of its labels; labels without
/// a chosen value have the nth value that no pattern matches.
fn series(
    objective: &Objective,
    family: &Family,
    part: &str,
    chosen: &Chosen<'_>,
    nth: usize,
) -> String {
    let of_name = |label: &str| chosen.iter().find(|(name, _)| *name == label);
    let job = of_name("job").map_or(JOB, |(_, job)| job);
    let mut labels = vec![query::matcher("job", "=", job)];
    for label in family.definition().labels {
        let label_name = query::stored_name(family, label);
        let fails = match &objective.bad {
            Bad::Failed(fails, _) => fails.as_slice(),
            Bad::SlowerThan(_) => &[],
        };
        let of_label = |one: &&LabelPattern| one.label == label_name;
        let patterns: Vec<_> = fails
            .iter()
            .chain(&objective.ignores)
            .filter(of_label)
            .collect();
        let value = match of_name(label_name) {
            Some((_, value)) => value.clone(),
            None => {
                let others = LabelPattern::others(&patterns, label.values);
                let nth = nth % others.len().max(1);
                others.get(nth).cloned().unwrap_or_default()
            }
        };
        labels.push(query::matcher(label_name, "=", &value));
    }
    // labels that Prometheus adds, and the label of buckets
    let added = chosen
        .iter()
        .filter(|(name, _)| ["le", INSTANCE].contains(name));
    labels.extend(added.map(|(name, value)| query::matcher(name, "=", value)));
    query::selector(family, part, &labels)
}

/// Job of all test cases.
pub(super) const JOB: &str = "shop";
const INSTANCE: &str = "instance";

fn samples(phases: &[Phase], step: impl Fn(&Phase) -> f64) -> String {
    // not near 0, where Prometheus does not extrapolate
    let mut at = 1e6;
    let mut all = Vec::new();
    for phase in phases.iter().filter(|phase| phase.steps > 0) {
        let pace = step(phase);
        all.push(format!("{}+{pace}x{}", at + pace, phase.steps - 1));
        at += pace * phase.steps as f64;
    }
    all.join(" ")
}

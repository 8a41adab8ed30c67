use crate::rules::burn::{self, BURNS, WINDOWS};
use crate::rules::case::{Case, QueryAt, about};
use crate::rules::query::{self, Window};
use crate::rules::slo::{Bad, Objective};
use crate::rules::traffic::{self, JOB, Phase, Unseen};

/// Returns the cases of what is recorded, over the windows that fit to steps of so many minutes: with every kind of failure, and
/// without any series of one of them.
pub(super) fn of(objective: &Objective, step: u64) -> Vec<Case> {
    let mut cases = vec![
        of_unseen(objective, step, Unseen::Nothing),
        of_good_jobs(objective, step),
    ];
    if let Bad::Failed(_, also) = &objective.bad {
        cases.push(of_unseen(objective, step, Unseen::Failed));
        cases.extend(also.map(|_| of_unseen(objective, step, Unseen::Also)));
    }
    cases
}

/// Returns the windows that fit to steps of so many minutes, the longest first.
fn windows(step: u64) -> Vec<Window> {
    let all = WINDOWS.into_iter().rev();
    // the shortest has samples enough, and the longest does not take long
    all.filter(|window| (5..=96).contains(&(window.minutes / step)))
        .collect()
}

fn last(phases: &[Phase]) -> u64 {
    phases.iter().map(|phase| phase.steps).sum::<u64>() - 1
}

/// Each window adds time in which fewer events were bad, so that one taken for another gives another number.
fn of_unseen(objective: &Objective, step: u64, unseen: Unseen) -> Case {
    let windows = windows(step);
    let phases = phases(&windows, step);
    let last = last(&phases);
    let counts = |window: &Window| {
        let (events, bad) = within(&phases, window.minutes / step);
        seen(objective, unseen, events, bad)
    };
    let ratios = windows.iter().map(|window| {
        let (events, bad) = counts(window);
        (burn::ratio_name(objective, *window), bad / events)
    });
    let counted = BURNS.iter().filter(|burn| {
        windows
            .iter()
            .any(|window| window.minutes == burn.long.minutes)
    });
    let events = counted.map(|burn| {
        let (events, _) = counts(&burn.long);
        (burn::events_name(objective, burn.long), events)
    });
    let queries = ratios.chain(events).map(|(name, value)| QueryAt {
        step: last,
        expr: about(&name, value),
        gives: vec![(format!("{{{}}}", query::matcher("job", "=", JOB)), 1.0)],
    });
    let which = match unseen {
        Unseen::Nothing => "",
        Unseen::Failed => ", without a failure of the events",
        Unseen::Also => ", without one of the other counter",
    };
    Case {
        name: format!("{}: recorded over each window{which}", objective.name),
        queries: queries.collect(),
        inputs: traffic::inputs(objective, &phases, unseen),
        alerts: Vec::new(),
    }
}

/// Jobs without a failure, of which one began lately and the others ended: each window has one that is in no shorter window.
fn of_good_jobs(objective: &Objective, step: u64) -> Case {
    let windows = windows(step);
    let last = last(&phases(&windows, step));
    let began = "began".to_owned();
    let mut inputs = traffic::of_good_job(objective, &began, [last - 2, 3]);
    let mut queries = Vec::new();
    let mut jobs = vec![began];
    for window in windows.iter().rev() {
        let job = format!("ended-{}", window.text);
        let ago = window.minutes / step / 2 + 1;
        inputs.extend(traffic::of_good_job(objective, &job, [0, last + 1 - ago]));
        jobs.push(job);
        let all_good = |job: &String| (format!("{{{}}}", query::matcher("job", "=", job)), 1.0);
        queries.push(QueryAt {
            step: last,
            expr: about(&burn::ratio_name(objective, *window), 0.0),
            gives: jobs.iter().map(all_good).collect(),
        });
    }
    Case {
        name: format!("{}: recorded of jobs that began or ended", objective.name),
        inputs,
        queries,
        alerts: Vec::new(),
    }
}

/// Returns events and bad ones that there are series of.
fn seen(objective: &Objective, unseen: Unseen, events: f64, bad: f64) -> (f64, f64) {
    let [failed, other] = match &objective.bad {
        Bad::Failed(fails, also) => traffic::shares(fails, also.is_some()),
        Bad::SlowerThan(_) => [1.0, 0.0],
    };
    match unseen {
        Unseen::Nothing => (events, bad),
        // these failures are events themselves
        Unseen::Failed => (events - bad * failed, bad * other),
        Unseen::Also => (events, bad * failed),
    }
}

/// Paces of the last steps: none is near their average. Those before are at it, as versions of Prometheus differ in whether the
/// first of them counts.
const LAST: [f64; 4] = [1.4, 1.4, 0.9, 0.3];

/// Returns a phase before all windows, and one for what each has more than the next; the shortest ends with paces of its own.
fn phases(windows: &[Window], step: u64) -> Vec<Phase> {
    let shorter = windows
        .iter()
        .skip(1)
        .map(|window| window.minutes)
        .chain([0]);
    let mut bad = 0.05;
    let mut events = 600.0;
    // none of many, so that a longer window gives another number
    let mut phases = vec![Phase {
        steps: 10,
        events: 10_000.0,
        bad: 0.0,
    }];
    for (window, shorter) in windows.iter().zip(shorter) {
        bad += 0.12;
        events *= 1.3;
        let steps = (window.minutes - shorter) / step;
        let last = if shorter == 0 { &LAST[..] } else { &[] };
        phases.push(Phase {
            steps: steps - last.len() as u64,
            events,
            bad,
        });
        phases.extend(last.iter().map(|pace| Phase {
            steps: 1,
            events: events * pace,
            bad,
        }));
    }
    phases
}

/// Returns events and bad events of the last steps.
fn within(phases: &[Phase], steps: u64) -> (f64, f64) {
    let mut left = steps;
    let mut sums = (0.0, 0.0);
    for phase in phases.iter().rev() {
        let of_phase = left.min(phase.steps);
        left -= of_phase;
        let events = phase.events * of_phase as f64;
        sums = (sums.0 + events, sums.1 + events * phase.bad);
    }
    sums
}

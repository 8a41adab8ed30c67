use crate::rules::burn::{self, BURNS, WINDOWS};
use crate::rules::case::{Case, QueryAt, about};
use crate::rules::query::{self, Window};
use crate::rules::slo::{Bad, Objective};
use crate::rules::traffic::{self, JOB, Phase, Unseen};

/// Returns the cases of recorded series, over the windows that fit steps of `step`
/// minutes: with every kind of failure, and without any series of one kind.
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

/// Returns the windows that fit steps of `step` minutes, the longest first.
fn windows(step: u64) -> Vec<Window> {
    let all = WINDOWS.into_iter().rev();
    // the shortest has enough samples, and the longest does not take long
    all.filter(|window| (5..=96).contains(&(window.minutes / step)))
        .collect()
}

fn last(phases: &[Phase]) -> u64 {
    phases.iter().map(|phase| phase.steps).sum::<u64>() - 1
}

/// Each longer window adds time in which fewer events were bad, so that a wrong window gives another value.
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

/// Returns a case of jobs without a failure: one began recently and the
/// others ended. Each window contains one that no shorter window does.
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

/// Returns the events and the bad events for which there are series.
fn seen(objective: &Objective, unseen: Unseen, events: f64, bad: f64) -> (f64, f64) {
    let [failed, other] = match &objective.bad {
        Bad::Failed(fails, also) => traffic::shares(fails, also.is_some()),
        Bad::SlowerThan(_) => [1.0, 0.0],
    };
    match unseen {
        Unseen::Nothing => (events, bad),
        // these failures are events too
        Unseen::Failed => (events - bad * failed, bad * other),
        Unseen::Also => (events, bad * failed),
    }
}

/// Paces of the last steps: none is near their average. The steps before have the average pace, because versions of
/// Prometheus differ in whether the first of them counts.
const LAST: [f64; 4] = [1.4, 1.4, 0.9, 0.3];

/// Returns a phase before all windows, and one for the time of each
/// window outside the next shorter one; the shortest ends with [`LAST`].
fn phases(windows: &[Window], step: u64) -> Vec<Phase> {
    let shorter = windows
        .iter()
        .skip(1)
        .map(|window| window.minutes)
        .chain([0]);
    let mut bad = 0.05;
    let mut events = 600.0;
    // many events, none of them bad, so that a longer window gives another value
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

/// Returns the events and the bad events of the last steps.
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

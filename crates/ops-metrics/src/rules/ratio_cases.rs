use crate::rules::burn::{self, BURNS, WINDOWS};
use crate::rules::cases::{Case, QueryAt, about};
use crate::rules::query::{self, Window};
use crate::rules::slo::{Bad, Objective};
use crate::rules::traffic::{self, JOB, Phase, Unseen};

/// Returns the cases of what is recorded, over the windows that fit to steps of so many minutes: with every kind of failure, and
/// without any series of one of them.
pub(super) fn of(objective: &Objective, step: u64) -> Vec<Case> {
    let mut cases = vec![of_unseen(objective, step, Unseen::Nothing)];
    if let Bad::Failed(_, also) = &objective.bad {
        cases.push(of_unseen(objective, step, Unseen::Failed));
        cases.extend(also.map(|_| of_unseen(objective, step, Unseen::Also)));
    }
    cases
}

/// Each window adds time in which fewer events were bad, so that one taken for another gives another number.
fn of_unseen(objective: &Objective, step: u64, unseen: Unseen) -> Case {
    let mut windows: Vec<Window> = WINDOWS
        .into_iter()
        // the shortest has samples enough, and the longest does not take long
        .filter(|window| (5..=96).contains(&(window.minutes / step)))
        .collect();
    windows.reverse();
    let phases = phases(&windows, step);
    let last = phases.iter().map(|phase| phase.steps).sum::<u64>() - 1;
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

/// Returns a phase before all windows, and one for what each has more than the next.
fn phases(windows: &[Window], step: u64) -> Vec<Phase> {
    let shorter = windows
        .iter()
        .skip(1)
        .map(|window| window.minutes)
        .chain([0]);
    let mut bad = 0.05;
    let mut events = 100.0;
    let mut phases = vec![Phase {
        steps: 10,
        events,
        bad: 0.9,
    }];
    for (window, shorter) in windows.iter().zip(shorter) {
        let steps = (window.minutes - shorter) / step;
        // the shortest window has two, so that the last samples are not all of it
        let lately = if shorter == 0 { steps / 2 } else { 0 };
        for steps in [steps - lately, lately] {
            if steps > 0 {
                bad += 0.12;
                events *= 1.3;
                phases.push(Phase { steps, events, bad });
            }
        }
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

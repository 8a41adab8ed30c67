use crate::rules::burn::{self, BURNS, WINDOWS};
use crate::rules::cases::{Case, QueryAt, about};
use crate::rules::query::{self, Window};
use crate::rules::slo::Objective;
use crate::rules::traffic::{self, JOB, Phase};

/// Returns the case of what is recorded, over the windows that fit to steps of so many minutes. Each window adds time in which
/// fewer events were bad, so that one taken for another gives another number.
pub(super) fn of(objective: &Objective, step: u64) -> Case {
    let mut windows: Vec<Window> = WINDOWS
        .into_iter()
        // the shortest has samples enough, and the longest does not take long
        .filter(|window| (5..=96).contains(&(window.minutes / step)))
        .collect();
    windows.reverse();
    let phases = phases(&windows, step);
    let last = phases.iter().map(|phase| phase.steps).sum::<u64>() - 1;
    let ratios = windows.iter().map(|window| {
        let (events, bad) = within(&phases, window.minutes / step);
        (burn::ratio_name(objective, *window), bad / events)
    });
    let counted = BURNS.iter().filter(|burn| {
        windows
            .iter()
            .any(|window| window.minutes == burn.long.minutes)
    });
    let events = counted.map(|burn| {
        let (events, _) = within(&phases, burn.long.minutes / step);
        (burn::events_name(objective, burn.long), events)
    });
    let queries = ratios.chain(events).map(|(name, value)| QueryAt {
        step: last,
        expr: about(&name, value),
        gives: vec![(format!("{{{}}}", query::matcher("job", "=", JOB)), 1.0)],
    });
    Case {
        name: format!("{}: recorded over each window", objective.name),
        queries: queries.collect(),
        inputs: traffic::inputs(objective, &phases),
        alerts: Vec::new(),
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

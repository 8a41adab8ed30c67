use crate::rules::alert_cases::Maker;
use crate::rules::burn::{self, Alert, BURNS, EVENTS_MIN, KEEP_MINUTES, WINDOWS};
use crate::rules::case::{Case, QueryAt};
use crate::rules::query;
use crate::rules::slo::Objective;
use crate::rules::traffic::{Input, JOB};

/// Factors of a threshold, just above and just below it.
const ABOVE: f64 = 1.02;
const BELOW: f64 = 0.98;

/// Values that are recorded for a number of steps.
#[derive(Clone, Copy, Debug)]
struct Recorded {
    steps: u64,
    long: f64,
    short: f64,
    events: f64,
    /// Ratios and events of all other windows.
    others: [f64; 2],
}

/// Returns the cases of an alert at each of its thresholds. Their inputs are recorded series, because only these are
/// precise enough; all other windows have the opposite value.
pub(super) fn of(objective: &Objective, alert: &Alert, step: u64) -> Vec<Case> {
    let maker = Maker {
        objective,
        alert,
        step,
    };
    let threshold = maker.threshold();
    let all = Recorded {
        steps: maker.hold() + 4,
        long: 1.0,
        short: 1.0,
        events: 1e6,
        others: [1.0, 1e6],
    };
    let long = Recorded {
        long: threshold,
        ..all
    };
    let short = Recorded {
        short: threshold,
        ..all
    };
    let events = Recorded {
        events: EVENTS_MIN as f64,
        ..all
    };
    vec![
        maker.just_above(),
        maker.never("at the threshold of the long window", long),
        maker.never("at the threshold of the short window", short),
        maker.never("at the threshold of events", events),
        maker.ends(),
    ]
}

impl Maker<'_> {
    fn case_of_recorded(
        &self,
        name: &str,
        recorded: &[Recorded],
        alerts: &[(u64, Option<f64>)],
    ) -> Case {
        self.case(name, self.recorded_inputs(recorded), alerts)
    }

    fn recorded_inputs(&self, recorded: &[Recorded]) -> Vec<Input> {
        let burn = self.alert.burn;
        let series = |name: String, value: &dyn Fn(&Recorded) -> f64| {
            let of_one = |one: &Recorded| format!("{}x{}", value(one), one.steps - 1);
            let samples: Vec<String> = recorded.iter().map(of_one).collect();
            let job = query::matcher("job", "=", JOB);
            (format!("{name}{{{job}}}"), samples.join(" "))
        };
        let ratios = WINDOWS.into_iter().map(|window| {
            let name = burn::ratio_name(self.objective, window);
            series(name, &|one| match window.minutes {
                minutes if minutes == burn.long.minutes => one.long,
                minutes if minutes == burn.short.minutes => one.short,
                _ => one.others[0],
            })
        });
        let events = BURNS.iter().map(|other| {
            let name = burn::events_name(self.objective, other.long);
            let is_own = other.long.minutes == burn.long.minutes;
            series(name, &|one| if is_own { one.events } else { one.others[1] })
        });
        ratios.chain(events).collect()
    }

    /// Returns values just above all thresholds; those of the other windows are 0.
    fn above_for(&self, steps: u64) -> Recorded {
        let share = self.above(ABOVE);
        Recorded {
            steps,
            long: share,
            short: share,
            events: (EVENTS_MIN + 1) as f64,
            others: [0.0, 0.0],
        }
    }

    fn just_above(&self) -> Case {
        let hold = self.hold();
        let above = self.above_for(hold + 1);
        let alerts = [(hold - 1, None), (hold, Some(above.long))];
        self.case_of_recorded("just above each threshold", &[above], &alerts)
    }

    fn never(&self, name: &str, recorded: Recorded) -> Case {
        self.case_of_recorded(name, &[recorded], &[(recorded.steps - 1, None)])
    }

    /// Returns a case for the end of the alert: a page ends a while
    /// after the short window is below the threshold, a ticket at once.
    fn ends(&self) -> Case {
        let first = self.hold() + 1;
        let is_page = self.alert.burn.is_page();
        let kept = if is_page { KEEP_MINUTES / self.step } else { 0 };
        let above = self.above_for(first);
        let below = Recorded {
            steps: kept + 1,
            short: BELOW * self.threshold(),
            ..above
        };
        let mut case = self.case_of_recorded("ends", &[above, below], &[(first + kept, None)]);
        let name = &self.alert.name;
        // counted: the value of the alert is that of its last evaluation above the threshold, which is not tested
        case.queries
            .extend((first..first + kept).map(|step| QueryAt {
                step,
                expr: format!("count(ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}})"),
                gives: vec![("{}".to_owned(), 1.0)],
            }));
        case
    }
}

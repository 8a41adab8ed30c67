use crate::rules::burn::{Alert, EVENTS_MIN, KEEP_MINUTES};
use crate::rules::case::{AlertAt, Case, QueryAt};
use crate::rules::query::{self, Window};
use crate::rules::slo::Objective;
use crate::rules::traffic::{self, Input, JOB, Phase, Unseen};

/// Events in each step, enough for any alert.
const BUSY: f64 = 1000.0;
/// Factors clearly above and clearly below a threshold.
const ABOVE: f64 = 1.1;
const BELOW: f64 = 0.9;

/// Generator of the cases of an alert.
pub(super) struct Maker<'a> {
    pub(super) objective: &'a Objective,
    pub(super) alert: &'a Alert,
    /// Minutes of a step.
    pub(super) step: u64,
}

/// Returns the cases of an alert over events, with steps of `step` minutes.
pub(super) fn of(objective: &Objective, alert: &Alert, step: u64) -> Vec<Case> {
    let maker = Maker {
        objective,
        alert,
        step,
    };
    let mut cases = vec![
        maker.held(),
        maker.below(),
        maker.began_recently(),
        maker.little_traffic(),
        maker.enough_traffic(),
    ];
    cases.extend(maker.recovered());
    cases.extend(maker.keeps_firing());
    cases
}

/// Returns labels and annotations of an alert that fires at this share of bad events.
fn fired(alert: &Alert, share: f64) -> [Vec<(&'static str, String)>; 2] {
    let [before, after] = &alert.description;
    let description = format!("{before}{}{after}", query::percentage(share));
    let labels = vec![
        ("job", JOB.to_owned()),
        ("severity", alert.burn.severity.to_owned()),
    ];
    let mut annotations = vec![
        ("summary", expanded(&alert.summary)),
        ("description", description),
    ];
    let more = alert.annotations.iter();
    annotations.extend(more.map(|(name, text)| (*name, expanded(text))));
    [labels, annotations]
}

/// Returns a text as Prometheus expands it for the job of the
/// cases, the only label of the series that an alert evaluates.
fn expanded(text: &str) -> String {
    query::JOB_TEMPLATES
        .iter()
        .fold(text.to_owned(), |text, job| text.replace(job, JOB))
}

impl Maker<'_> {
    pub(super) fn threshold(&self) -> f64 {
        self.alert.burn.threshold(self.objective)
    }

    /// Returns a share above the threshold, at most halfway to 1, which is the share of all events.
    pub(super) fn above(&self, times: f64) -> f64 {
        let threshold = self.threshold();
        (times * threshold).min((threshold + 1.0) / 2.0)
    }

    fn steps(&self, window: Window) -> u64 {
        window.minutes / self.step
    }

    pub(super) fn hold(&self) -> u64 {
        self.alert.burn.hold_minutes / self.step
    }

    /// Returns a case that checks the alert at some steps: it fires at a share of bad events, or not at all.
    pub(super) fn case(
        &self,
        name: &str,
        inputs: Vec<Input>,
        alerts: &[(u64, Option<f64>)],
    ) -> Case {
        let at = |(step, share): &(u64, Option<f64>)| AlertAt {
            step: *step,
            name: self.alert.name.clone(),
            fires: share.map(|share| fired(self.alert, share)),
        };
        Case {
            name: format!("{}: {name}", self.alert.name),
            inputs,
            alerts: alerts.iter().map(at).collect(),
            queries: Vec::new(),
        }
    }

    fn case_of_events(&self, name: &str, phases: &[Phase], alerts: &[(u64, Option<f64>)]) -> Case {
        let inputs = traffic::inputs(self.objective, phases, Unseen::Nothing);
        self.case(name, inputs, alerts)
    }

    fn held(&self) -> Case {
        let (bad, hold) = (self.above(ABOVE), self.hold());
        let phases = [Phase {
            steps: hold + 4,
            events: BUSY,
            bad,
        }];
        // the first rate needs two samples
        self.case_of_events(
            "held long enough",
            &phases,
            &[(hold, None), (hold + 2, Some(bad))],
        )
    }

    fn below(&self) -> Case {
        let steps = self.hold() + 4;
        let phases = [Phase {
            steps,
            events: BUSY,
            bad: BELOW * self.threshold(),
        }];
        self.case_of_events("below the threshold", &phases, &[(steps - 1, None)])
    }

    /// Returns a case in which only the long window is above the threshold.
    fn recovered(&self) -> Option<Case> {
        let (long, short) = (
            self.steps(self.alert.burn.long),
            self.steps(self.alert.burn.short),
        );
        let quiet = short + KEEP_MINUTES / self.step + 3;
        let (high, low) = (self.above(1.5), 0.5 * self.threshold());
        let average = ((long - quiet) as f64 * high + quiet as f64 * low) / long as f64;
        if average < 1.02 * self.threshold() {
            return None; // the long window ends as soon as the short one
        }
        let phases = [
            Phase {
                steps: long,
                events: BUSY,
                bad: high,
            },
            Phase {
                steps: quiet,
                events: BUSY,
                bad: low,
            },
        ];
        Some(self.case_of_events("recovered", &phases, &[(long + quiet - 1, None)]))
    }

    /// Returns a case in which a page keeps firing for a while after the short window is below the threshold.
    fn keeps_firing(&self) -> Option<Case> {
        let long = self.steps(self.alert.burn.long);
        let phases = [
            Phase {
                steps: long,
                events: BUSY,
                bad: self.above(ABOVE),
            },
            Phase {
                steps: 1,
                events: BUSY,
                bad: 0.0,
            },
        ];
        let mut case = self.case_of_events("goes on for a while", &phases, &[]);
        let name = &self.alert.name;
        // counted: the value of the alert is that of its last evaluation above the threshold, which is not tested
        case.queries.push(QueryAt {
            step: long,
            expr: format!("count(ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}})"),
            gives: vec![("{}".to_owned(), 1.0)],
        });
        self.alert.burn.is_page().then_some(case)
    }

    /// Returns a case in which only the short window is above the threshold.
    fn began_recently(&self) -> Case {
        let (long, short) = (
            self.steps(self.alert.burn.long),
            self.steps(self.alert.burn.short),
        );
        let lately = short + self.hold() + 2;
        let phases = [
            Phase {
                steps: long,
                events: BUSY,
                bad: 0.0,
            },
            Phase {
                steps: lately,
                events: BUSY,
                bad: self.above(1.5),
            },
        ];
        self.case_of_events("began lately", &phases, &[(long + lately - 1, None)])
    }

    fn little_traffic(&self) -> Case {
        self.with_traffic("little traffic", 0.9, 1.0, false)
    }

    fn enough_traffic(&self) -> Case {
        self.with_traffic("just enough traffic", 1.2, self.above(1.5), true)
    }

    /// Returns a case with this multiple of the events up to which no alert fires.
    fn with_traffic(&self, name: &str, times: f64, bad: f64, fires: bool) -> Case {
        let long = self.steps(self.alert.burn.long);
        let steps = long + self.hold() + 4;
        let phases = [Phase {
            steps,
            events: times * EVENTS_MIN as f64 / long as f64,
            bad,
        }];
        self.case_of_events(name, &phases, &[(steps - 1, fires.then_some(bad))])
    }
}

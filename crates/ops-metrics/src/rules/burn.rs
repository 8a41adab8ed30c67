use crate::rules::query::{self, Window};
use crate::rules::slo::{Annotation, Bad, Objective, counted};

/// A rate at which the budget of 30 days is spent, with the alert for it.
#[derive(Debug)]
pub(super) struct Burn {
    pub(super) suffix: &'static str,
    /// Multiple of the budget above which the alert fires.
    pub(super) factor: f64,
    pub(super) long: Window,
    /// The short window, which ends the alert soon after its cause has ended.
    pub(super) short: Window,
    pub(super) hold_minutes: u64,
    pub(super) severity: &'static str,
    exhausted_in: &'static str,
    /// Minutes of a step in its test cases: as many as its short window allows, so that the cases do not take long.
    pub(super) step: u64,
}

/// Number of events in the long window up to which no alert fires.
pub(super) const EVENTS_MIN: u64 = 100;
/// Minutes for which a page keeps firing after its cause has ended.
pub(super) const KEEP_MINUTES: u64 = 5;

const M5: Window = Window::new("5m", 5);
const M30: Window = Window::new("30m", 30);
const H1: Window = Window::new("1h", 60);
const H2: Window = Window::new("2h", 120);
const H6: Window = Window::new("6h", 360);
const D1: Window = Window::new("1d", 1440);
const D3: Window = Window::new("3d", 4320);

pub(super) const WINDOWS: [Window; 7] = [M5, M30, H1, H2, H6, D1, D3];

pub(super) const BURNS: [Burn; 4] = [
    Burn {
        suffix: "BurnFast",
        factor: 14.4,
        long: H1,
        short: M5,
        hold_minutes: 2,
        severity: "page",
        exhausted_in: "2 days",
        step: 1,
    },
    Burn {
        suffix: "BurnSlow",
        factor: 6.0,
        long: H6,
        short: M30,
        hold_minutes: 15,
        severity: "page",
        exhausted_in: "5 days",
        step: 5,
    },
    Burn {
        suffix: "BurnDay",
        factor: 3.0,
        long: D1,
        short: H2,
        hold_minutes: 60,
        severity: "ticket",
        exhausted_in: "10 days",
        step: 15,
    },
    Burn {
        suffix: "BurnThreeDays",
        factor: 1.0,
        long: D3,
        short: H6,
        hold_minutes: 180,
        severity: "ticket",
        exhausted_in: "30 days",
        step: 60,
    },
];

/// A recording rule.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) record: String,
    pub(super) expr: String,
}

#[derive(Debug)]
pub(super) struct Alert {
    pub(super) name: String,
    pub(super) expr: String,
    pub(super) burn: &'static Burn,
    pub(super) summary: String,
    /// Text before and after the value of the long window.
    pub(super) description: [String; 2],
    pub(super) annotations: &'static [Annotation],
}

impl Burn {
    /// Returns the share of bad events above which the alert fires.
    pub(super) fn threshold(&self, objective: &Objective) -> f64 {
        self.factor * objective.budget()
    }

    pub(super) fn is_page(&self) -> bool {
        self.severity == "page"
    }
}

pub(super) fn ratio_name(objective: &Objective, window: Window) -> String {
    format!("slo:{}:bad_ratio_{}", objective.snake, window.text)
}

pub(super) fn events_name(objective: &Objective, window: Window) -> String {
    format!("slo:{}:events_{}", objective.snake, window.text)
}

pub(super) fn recordings(objective: &Objective) -> Vec<Recording> {
    let ratios = WINDOWS.iter().map(|window| Recording {
        record: ratio_name(objective, *window),
        expr: bad_ratio(objective, *window),
    });
    let events = BURNS.iter().map(|burn| Recording {
        record: events_name(objective, burn.long),
        expr: format!(
            "sum by (job) (increase({}[{}]))",
            events(objective),
            burn.long.text
        ),
    });
    ratios.chain(events).collect()
}

/// Returns the alerts that can fire: a budget of 10 %, for example, cannot be spent 14 times as fast.
pub(super) fn alerts(objective: &Objective) -> Vec<Alert> {
    let possible = BURNS.iter().filter(|burn| burn.threshold(objective) < 1.0);
    possible.map(|burn| alert(objective, burn)).collect()
}

fn alert(objective: &Objective, burn: &'static Burn) -> Alert {
    let (factor, budget) = (burn.factor, objective.budget());
    let [long, short] = [burn.long, burn.short].map(|window| ratio_name(objective, window));
    let events = events_name(objective, burn.long);
    let allowed = query::percentage(budget);
    Alert {
        name: format!("{}{}", objective.name, burn.suffix),
        expr: format!(
            "{long} > {factor} * {budget} and {short} > {factor} * {budget} and {events} > {EVENTS_MIN}"
        ),
        burn,
        summary: format!(
            "{}: the 30-day error budget will be exhausted in {}",
            objective.text, burn.exhausted_in
        ),
        description: [
            String::new(),
            format!(
                " of the events in {} were bad; the objective allows {allowed}.",
                burn.long.text
            ),
        ],
        annotations: objective.annotations,
    }
}

/// Returns the selector of all events.
fn events(objective: &Objective) -> String {
    let family = objective.family;
    query::selector(family, counted(family), &ignored(objective))
}

fn ignored(objective: &Objective) -> Vec<String> {
    let ignores = objective.ignores.iter();
    ignores
        .map(|one| query::matcher(one.label, "!~", one.text))
        .collect()
}

fn bad_ratio(objective: &Objective, window: Window) -> String {
    let rate = |selector: String| format!("sum by (job) (rate({selector}[{}]))", window.text);
    let total = rate(events(objective));
    let ignored = ignored(objective);
    match &objective.bad {
        Bad::Failed(fails, also) => {
            let fails = fails
                .iter()
                .map(|one| query::matcher(one.label, "=~", one.text));
            let matchers: Vec<String> = ignored.iter().cloned().chain(fails).collect();
            // a job without a failure has no series of failures
            let or_none = |selector: String| format!("({} or 0 * {total})", rate(selector));
            let family = objective.family;
            let failed = or_none(query::selector(family, counted(family), &matchers));
            match also {
                None => format!("{failed} / {total}"),
                Some(also) => {
                    let other = or_none(query::selector(also, counted(also), &ignored));
                    format!("({failed} + {other}) / {total}")
                }
            }
        }
        Bad::SlowerThan(seconds) => {
            let matchers: Vec<String> = ignored
                .into_iter()
                .chain([query::bound(*seconds)])
                .collect();
            let good = rate(query::selector(objective.family, "_bucket", &matchers));
            format!("1 - {good} / {total}")
        }
    }
}

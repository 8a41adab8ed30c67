use crate::rules::burn::{self, WINDOWS};
use crate::rules::query::{self, Window};
use crate::rules::slo::Objective;
use crate::series::definition::Kind;
use crate::series::family::Family;

/// A panel of the dashboard.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) unit: &'static str,
    pub(super) targets: Vec<Target>,
}

/// A query of a panel.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) expr: String,
    pub(super) legend: String,
    pub(super) kind: QueryKind,
}

/// Kind of a query, which determines its test cases.
#[derive(Clone, Copy, Debug)]
pub(super) enum QueryKind {
    /// Share of bad events, divided by `of`.
    Ratio {
        window: Window,
        of: f64,
    },
    /// Events per second, by the first label.
    Rate {
        part: &'static str,
    },
    /// The series themselves.
    Value,
    Quantile(f64),
}

const TARGETS: [&str; 2] = ["job=~\"$job\"", "instance=~\"$instance\""];
const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")];

/// Returns the panels of an objective.
pub(super) fn of_objective(objective: &Objective) -> Vec<Panel> {
    let budget = objective.budget();
    let target = |window: Window, of: f64| {
        let name = burn::ratio_name(objective, window);
        let selector = format!("{name}{{{}}}", TARGETS[0]);
        Target {
            expr: if of == 1.0 {
                selector
            } else {
                format!("{selector} / {of}")
            },
            legend: format!("{{{{job}}}} {}", window.text),
            kind: QueryKind::Ratio { window, of },
        }
    };
    let [short, _, hour, _, six_hours, day, three_days] = WINDOWS;
    let allowed = query::percentage(budget);
    let text = objective.text;
    vec![
        Panel {
            title: format!("{}: burn rate", objective.name),
            description: format!(
                "{text}. Rate at which the error budget of {allowed} is spent, as a multiple of the allowed rate."
            ),
            unit: "none",
            targets: [hour, six_hours, day, three_days]
                .map(|window| target(window, budget))
                .into(),
        },
        Panel {
            title: format!("{}: bad events", objective.name),
            description: format!(
                "{text}. Share of events that were bad; the objective allows {allowed}."
            ),
            unit: "percentunit",
            targets: vec![target(short, 1.0), target(hour, 1.0)],
        },
    ]
}

/// Returns the panels of a metric.
pub(super) fn of_family(family: &'static Family) -> Vec<Panel> {
    let definition = family.definition();
    let panel = |title: String, unit: &'static str, targets: Vec<Target>| Panel {
        title,
        description: format!("{}.", definition.help().trim_end_matches('.')),
        unit,
        targets,
    };
    let name = definition.name;
    let events = match definition.kind {
        // cores, if the time is that of processors
        Kind::Seconds => "none",
        _ if definition.unit() == "bytes" => "Bps",
        _ if definition.unit() == "seconds" && definition.kind == Kind::Counter => "none",
        _ => "ops",
    };
    match definition.kind {
        Kind::Counter | Kind::Seconds => {
            vec![panel(name.to_owned(), events, vec![rate(family, "")])]
        }
        Kind::Gauge => vec![panel(name.to_owned(), unit(family), vec![value(family)])],
        Kind::Histogram => vec![
            panel(
                name.to_owned(),
                unit(family),
                QUANTILES.map(|of| quantile(family, of)).into(),
            ),
            panel(
                format!("{name}: observations"),
                "ops",
                vec![rate(family, "_count")],
            ),
        ],
    }
}

fn unit(family: &Family) -> &'static str {
    match family.definition().unit() {
        "seconds" => "s",
        "bytes" => "bytes",
        _ => "none",
    }
}

fn shown(family: &Family, part: &str) -> String {
    query::selector(family, part, &TARGETS.map(str::to_owned))
}

fn rate(family: &'static Family, part: &'static str) -> Target {
    let rate = format!("rate({}[$__rate_interval])", shown(family, part));
    let (expr, legend) = match family.definition().labels.first() {
        Some(label) => (
            format!("sum by ({}) ({rate})", query::stored_name(family, label)),
            format!("{{{{{}}}}}", query::stored_name(family, label)),
        ),
        None => (format!("sum({rate})"), "all".to_owned()),
    };
    Target {
        expr,
        legend,
        kind: QueryKind::Rate { part },
    }
}

fn value(family: &'static Family) -> Target {
    let labels = family.definition().labels.iter();
    let labels = labels.map(|label| query::stored_name(family, label));
    let legend: Vec<String> = ["instance"]
        .into_iter()
        .chain(labels)
        .map(|label| format!("{{{{{label}}}}}"))
        .collect();
    Target {
        expr: shown(family, ""),
        legend: legend.join(" "),
        kind: QueryKind::Value,
    }
}

fn quantile(family: &'static Family, (quantile, legend): (f64, &str)) -> Target {
    let rate = format!("rate({}[$__rate_interval])", shown(family, "_bucket"));
    Target {
        expr: format!("histogram_quantile({quantile}, sum by (le) ({rate}))"),
        legend: legend.to_owned(),
        kind: QueryKind::Quantile(quantile),
    }
}

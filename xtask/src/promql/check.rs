//! Finds errors in a query.

use promql_parser::label::Matcher;
use promql_parser::parser::token::{T_LUNLESS, T_TOPK};
use promql_parser::parser::{self, AggregateExpr, Call, Expr, LabelModifier, VectorSelector};

use super::table::{Kind, Table};

/// Labels that Prometheus adds to each series.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];
const OVER_COUNTERS: [&str; 4] = ["rate", "irate", "increase", "resets"];
const OVER_GAUGES: [&str; 3] = ["deriv", "delta", "predict_linear"];

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    /// In a dashboard, where each selector has to match the chosen job and instance.
    Dashboard,
    Alert,
}

/// Returns the selectors of a query, without range and offset.
pub(crate) fn selectors(query: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    walk(&parser::parse(query)?, &mut |expr, _| {
        if let Some(selector) = selector(expr) {
            let mut plain = selector.clone();
            plain.offset = None;
            found.push(plain.to_string());
        }
    });
    Ok(found)
}

/// Returns all errors in a query.
pub(crate) fn faults(query: &str, table: &Table, place: Place) -> Vec<String> {
    let expr = match parser::parse(query) {
        Ok(expr) => expr,
        Err(why) => return vec![format!("does not parse: {why}")],
    };
    let mut faults = Vec::new();
    let mut asks = false;
    walk(&expr, &mut |expr, scope| {
        if let Some(selector) = selector(expr) {
            asks = true;
            let ranged = matches!(expr, Expr::MatrixSelector(_));
            faults.extend(of_selector(selector, ranged, scope, table, place));
        }
        match expr {
            Expr::Aggregate(aggregate) => faults.extend(of_aggregate(aggregate, table)),
            Expr::Call(call) if call.func.name == "histogram_quantile" => {
                faults.extend(of_quantile(call));
            }
            _ => {}
        }
    });
    if !asks {
        faults.push("contains no metric".to_owned());
    }
    faults
}

/// Context of an expression: the nearest function, and if it is inside `unless`.
#[derive(Clone, Copy, Default)]
struct Scope<'a> {
    function: Option<&'a str>,
    unless: bool,
}

fn walk<'a>(expr: &'a Expr, visit: &mut impl FnMut(&'a Expr, Scope<'a>)) {
    go(expr, Scope::default(), visit);
}

fn go<'a>(expr: &'a Expr, scope: Scope<'a>, visit: &mut impl FnMut(&'a Expr, Scope<'a>)) {
    visit(expr, scope);
    match expr {
        Expr::Aggregate(aggregate) => {
            go(&aggregate.expr, scope, visit);
            if let Some(param) = &aggregate.param {
                go(param, scope, visit);
            }
        }
        Expr::Unary(unary) => go(&unary.expr, scope, visit),
        Expr::Binary(binary) => {
            let unless = scope.unless || binary.op.id() == T_LUNLESS;
            let scope = Scope { unless, ..scope };
            go(&binary.lhs, scope, visit);
            go(&binary.rhs, scope, visit);
        }
        Expr::Paren(paren) => go(&paren.expr, scope, visit),
        Expr::Subquery(subquery) => go(&subquery.expr, scope, visit),
        Expr::Call(call) => {
            let function = Some(call.func.name);
            for argument in &call.args.args {
                go(argument, Scope { function, ..scope }, visit);
            }
        }
        _ => {}
    }
}

fn selector(expr: &Expr) -> Option<&VectorSelector> {
    match expr {
        Expr::VectorSelector(selector) => Some(selector),
        Expr::MatrixSelector(matrix) => Some(&matrix.vs),
        _ => None,
    }
}

fn of_selector(
    selector: &VectorSelector,
    ranged: bool,
    scope: Scope<'_>,
    table: &Table,
    place: Place,
) -> Vec<String> {
    let Some(name) = &selector.name else {
        return vec![format!("{selector} has no metric name")];
    };
    let Some(named) = table.named(name) else {
        return vec![format!("unknown metric {name}")];
    };
    let mut faults = Vec::new();
    let histogram = named.metric.kind == Kind::Histogram;
    if histogram && named.part.is_none() {
        faults.push(format!(
            "{name} is a histogram: use _bucket, _sum or _count"
        ));
    }
    let counts = named.metric.kind == Kind::Counter || named.part.is_some();
    let function = scope.function.unwrap_or_default();
    let rated = ranged && OVER_COUNTERS.contains(&function);
    // existence tests (`absent`, `unless`) and alerts may use a counter without `rate`: a new series is itself the
    // event
    let compared = scope.unless || function == "absent" || place == Place::Alert && !ranged;
    if counts && !rated && !compared {
        faults.push(format!(
            "{name} is cumulative: use it inside rate or increase"
        ));
    }
    if !counts && OVER_COUNTERS.contains(&function) {
        faults.push(format!("{name} is a gauge: {function} is for counters"));
    }
    if counts && OVER_GAUGES.contains(&function) {
        faults.push(format!("{name} is a counter: {function} is for gauges"));
    }
    let known = |label: &str| is_label(label, &named.metric.labels, named.part);
    let matchers = &selector.matchers.matchers;
    for Matcher { name: label, .. } in matchers.iter().filter(|matcher| !known(&matcher.name)) {
        faults.push(format!("{name} has no label {label}"));
    }
    // recorded series belong to a job, as the colons in their names show
    let needed = if name.contains(':') {
        &TARGET_LABELS[..1]
    } else {
        &TARGET_LABELS[..]
    };
    let missing = needed
        .iter()
        .filter(|label| !matchers.iter().any(|matcher| matcher.name == **label));
    if place == Place::Dashboard {
        faults.extend(missing.map(|label| format!("{name} is not matched by {label}")));
    }
    faults
}

fn is_label(label: &str, of_the_metric: &[String], part: Option<&str>) -> bool {
    let bound = label == "le" && part == Some("_bucket");
    bound || TARGET_LABELS.contains(&label) || of_the_metric.iter().any(|known| known == label)
}

/// Finds grouping by a label that no metric in the expression has: it results in a single group that looks valid.
fn of_aggregate(aggregate: &AggregateExpr, table: &Table) -> Vec<String> {
    let Some(LabelModifier::Include(labels) | LabelModifier::Exclude(labels)) = &aggregate.modifier
    else {
        return Vec::new();
    };
    let mut names = Vec::new();
    walk(&aggregate.expr, &mut |expr, _| {
        names.extend(selector(expr).and_then(|selector| selector.name.clone()));
    });
    let has = |label: &str| {
        names
            .iter()
            .filter_map(|name| table.named(name))
            .any(|named| is_label(label, &named.metric.labels, named.part))
    };
    let missing = labels.labels.iter().filter(|label| !has(label));
    missing
        .map(|label| {
            format!(
                "groups by {label}, which {} does not have",
                names.join(", ")
            )
        })
        .collect()
}

fn of_quantile(call: &Call) -> Option<String> {
    let Some(Expr::Aggregate(aggregate)) = call.args.args.get(1).map(AsRef::as_ref) else {
        return None; // the series themselves have `le`
    };
    let keeps_bounds = match &aggregate.modifier {
        Some(LabelModifier::Include(labels)) => labels.labels.iter().any(|label| label == "le"),
        Some(LabelModifier::Exclude(labels)) => !labels.labels.iter().any(|label| label == "le"),
        None => aggregate.op.id() == T_TOPK,
    };
    (!keeps_bounds).then(|| "histogram_quantile needs le, which the aggregation drops".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(query: &str) -> String {
        let table = Table::read(
            "| `requests_total` | counter | | `route`, `status` | T |\n| `latency_seconds` | histogram | seconds | `route` | T |\n\
             | `depth` | gauge | | | T |\n",
        );
        faults(query, &table, Place::Alert).join("; ")
    }

    #[test]
    fn a_sound_query_has_no_fault() {
        for sound in [
            r#"sum by (route) (rate(requests_total{status=~"5.."}[5m])) / (sum(rate(requests_total[5m])) > 0)"#,
            "histogram_quantile(0.95, sum by (le, route) (rate(latency_seconds_bucket[5m]))) > 0.5",
            "deriv(depth[30m]) > 0 and depth > 10",
            "sum by (route) (requests_total) unless sum by (route) (requests_total offset 1h)",
            "absent(requests_total)",
            r#"sum(rate(latency_seconds_bucket{le="0.25"}[5m]))"#,
        ] {
            assert_eq!(message(sound), "", "{sound}");
        }
    }

    #[test]
    fn each_mutation_of_a_sound_query_is_found() {
        for (query, fault) in [
            (
                "sum(rate(request_total[5m]))",
                "unknown metric request_total",
            ),
            (
                "sum by (le) (rate(latency_seconds[5m]))",
                "latency_seconds is a histogram: use _bucket, _sum or _count",
            ),
            (
                "sum by (verb) (rate(requests_total[5m]))",
                "groups by verb, which requests_total does not have",
            ),
            (
                r#"sum(rate(requests_total{code="500"}[5m]))"#,
                "requests_total has no label code",
            ),
            (
                "histogram_quantile(0.9, sum by (route) (rate(latency_seconds_bucket[5m])))",
                "histogram_quantile needs le, which the aggregation drops",
            ),
            (
                "sum(max_over_time(requests_total[5m]))",
                "requests_total is cumulative: use it inside rate or increase",
            ),
            ("rate(depth[5m])", "depth is a gauge: rate is for counters"),
            ("vector(1)", "contains no metric"),
        ] {
            assert!(
                message(query).contains(fault),
                "{query}: {}",
                message(query)
            );
        }
        assert!(message("sum(rate(requests_total[5m])").starts_with("does not parse"));
    }

    #[test]
    fn a_dashboard_asks_for_the_chosen_targets_and_shows_no_bare_counter() {
        let table = Table::read("| `requests_total` | counter | | | T |\n");
        let found = faults("sum(requests_total)", &table, Place::Dashboard);
        assert_eq!(
            found,
            [
                "requests_total is cumulative: use it inside rate or increase",
                "requests_total is not matched by job",
                "requests_total is not matched by instance"
            ]
        );
        let chosen = r#"sum(rate(requests_total{job=~".+",instance=~".+"}[5m]))"#;
        assert_eq!(
            faults(chosen, &table, Place::Dashboard),
            <[String; 0]>::default()
        );
    }

    #[test]
    fn what_is_recorded_is_asked_for_by_job() {
        let table = Table::default().with_recorded(["slo:a:bad_ratio_1h".to_owned()]);
        let found = |query: &str| faults(query, &table, Place::Dashboard).join("; ");
        assert_eq!(found(r#"slo:a:bad_ratio_1h{job=~".+"} / 0.1"#), "");
        assert_eq!(
            found("slo:a:bad_ratio_1h"),
            "slo:a:bad_ratio_1h is not matched by job"
        );
        assert_eq!(
            found(r#"slo:a:bad_ratio_2h{job=~".+"}"#),
            "unknown metric slo:a:bad_ratio_2h"
        );
    }

    #[test]
    fn selectors_are_read_out_of_a_query() {
        let found = selectors(r#"sum(rate(a_total{b="c"}[5m])) > 1 and d offset 1h"#).unwrap();
        assert_eq!(found, [r#"a_total{b="c"}"#, "d"]);
    }
}

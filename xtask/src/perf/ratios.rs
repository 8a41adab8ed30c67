//! Parses the figures printed by the benchmarks.

use super::results::Row;

/// Parses `what: 12.3 ns, other 45.6 ns, ratio 0.27 (goal <= 0.5: met)`, and the forms without a ratio; `None` for
/// other lines.
pub(super) fn row(line: &str) -> Option<Row> {
    let (printed, goal) = match line.rsplit_once(" (goal ") {
        Some((printed, goal)) => (printed, number(goal.trim_start_matches("<= "))),
        None => (line, None),
    };
    let mut parts = printed.split(", ").collect::<Vec<_>>();
    let last = parts.last()?;
    let ratio = last.strip_prefix("ratio ").and_then(number);
    if ratio.is_some() {
        parts.pop();
    }
    // the name may contain commas: the figure is the first part that ends with one
    let at = parts.iter().position(|part| measured(part).is_some())?;
    let (name, value, unit) = measured(parts.get(at)?)?;
    let what = parts.get(..at)?.iter().copied().chain([name]);
    let what = what.collect::<Vec<_>>().join(", ");
    let what = what.trim_end_matches(':').to_owned();
    // `the observer adds 7 ns`: the goal applies to the difference
    if ratio.is_none()
        && parts.len() > at + 1
        && let Some((name, value, unit)) = measured(parts.last()?)
        && !name.ends_with(':')
    {
        let what = format!("{}: {name}", what.trim_end_matches(':'));
        return Some(Row::plain(&what, value, unit, goal));
    }
    let beside = parts.get(at + 1..)?.join(", ");
    let beside =
        measured(&beside).map(|(name, value, _)| (name.trim_end_matches(':').to_owned(), value));
    (!what.is_empty() && (goal.is_some() || ratio.is_some())).then(|| Row {
        what,
        value,
        unit: unit.to_owned(),
        beside: beside.filter(|_| ratio.is_some()),
        ratio,
        goal,
        is_at_least: false,
    })
}

/// Splits `name 12.3 ns`, `name: 12.3 ns` and `name: 7`.
fn measured(text: &str) -> Option<(&str, f64, &str)> {
    let (rest, last) = text.rsplit_once(' ')?;
    if let Ok(count) = last.parse() {
        return rest.ends_with(':').then_some((rest, count, ""));
    }
    let (name, value) = rest.rsplit_once(' ')?;
    let is_unit = matches!(last, "ns" | "µs" | "ms" | "s");
    Some((name, value.parse().ok()?, last)).filter(|_| is_unit)
}

fn number(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    text.get(..end.unwrap_or(text.len()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_has_its_peer_and_its_goal() {
        let line = "span with 3 attributes, sampled, limiter and ring on: 1080.6 ns, the raw SDK 981.3 ns, ratio 1.1073 (goal <= 1.3000: met)";
        let found = row(line).unwrap();
        assert_eq!(
            found.what,
            "span with 3 attributes, sampled, limiter and ring on"
        );
        assert_eq!((found.value, found.unit.as_str()), (1080.6, "ns"));
        assert_eq!(found.beside, Some(("the raw SDK".to_owned(), 981.3)));
        assert_eq!((found.ratio, found.goal), (Some(1.1073), Some(1.3)));
        assert!(!found.is_missed() && found.is_slower());
        let missed = row(
            "10 fields, JSON: 296.7 ns, slog-json 591.5 ns, ratio 0.5069 (goal <= 0.5000: missed)",
        );
        assert!(missed.unwrap().is_missed());
    }

    #[test]
    fn counts_and_absolute_goals_are_rows_and_other_lines_are_none() {
        let count = row("allocations of 10,000 increments: 0 (goal 0)").unwrap();
        assert_eq!(
            (count.what.as_str(), count.value, count.goal),
            ("allocations of 10,000 increments", 0.0, Some(0.0))
        );
        let observed = row(
            "request, sampled, observed: 3453.3 ns, by nobody: 625.8 ns, the observer adds 2796.9 ns (goal <= 1200)",
        );
        let observed = observed.unwrap();
        assert_eq!(
            observed.what,
            "request, sampled, observed: the observer adds"
        );
        assert!(observed.value == 2796.9 && observed.is_missed());
        assert_eq!(row("the same with fastrace: 503.2 ns"), None);
        assert_eq!(row("10 k x 8: 10000 rows of 8 columns"), None);
        assert_eq!(row("$ cargo bench --quiet"), None);
    }
}

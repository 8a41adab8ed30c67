use crate::series::definition::LabelDefinition;
use crate::series::family::Family;

/// A range of a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) text: &'static str,
    pub(super) minutes: u64,
}

impl Window {
    pub(super) const fn new(text: &'static str, minutes: u64) -> Self {
        Self { text, minutes }
    }
}

/// Templates of the job, the only label of the series that an alert evaluates.
pub(super) const JOB_TEMPLATES: [&str; 2] = ["{{ $labels.job }}", "{{$labels.job}}"];

/// Returns `name_part{matchers}`.
pub(super) fn selector(family: &Family, part: &str, matchers: &[String]) -> String {
    let name = family.definition().name;
    match matchers {
        [] => format!("{name}{part}"),
        some => format!("{name}{part}{{{}}}", some.join(",")),
    }
}

/// Returns the name of a metric's label as Prometheus stores it. Prometheus adds its own `job` and `instance`, and
/// prefixes a label of the metric with `exported_` until no other label has that name.
pub(super) fn stored_name(family: &Family, label: &LabelDefinition) -> &'static str {
    let is_taken = |name: &str| {
        let mut labels = family.definition().labels.iter();
        labels.any(|label| label.name == name)
    };
    match label.name {
        "job" if is_taken("exported_job") => "exported_exported_job",
        "job" => "exported_job",
        "instance" if is_taken("exported_instance") => "exported_exported_instance",
        "instance" => "exported_instance",
        name => name,
    }
}

/// Returns a matcher; the value is quoted as a PromQL string.
pub(super) fn matcher(label: &str, operator: &str, value: &str) -> String {
    let value = value.replace('\\', r"\\").replace('"', r#"\""#);
    let value = value.replace('\n', r"\n");
    format!("{label}{operator}\"{value}\"")
}

/// Returns the matcher of a bucket: the bound as it is scraped,
/// which Prometheus 2 stores, or as Prometheus 3 writes it.
pub(super) fn bound(bound: f64) -> String {
    let (scraped, stored) = (bound.to_string(), stored(bound));
    if scraped == stored {
        return matcher("le", "=", &scraped);
    }
    let literal = |text: &str| text.replace('.', "[.]").replace('+', "[+]");
    let either = format!("{}|{}", literal(&scraped), literal(&stored));
    matcher("le", "=~", &either)
}

/// Returns the bound of a bucket as Prometheus 3 stores it: with an exponent
/// of two digits from 1e6 on and below 1e-4, otherwise with a point.
fn stored(bound: f64) -> String {
    let shortest = format!("{bound:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    let plain = bound.to_string();
    match plain.contains('.') {
        true => plain,
        false => format!("{plain}.0"),
    }
}

/// Returns the text of Prometheus's `humanizePercentage`: four digits.
pub(super) fn percentage(share: f64) -> String {
    let percent = share * 100.0;
    let digits = if percent > 0.0 {
        3 - percent.log10().floor() as i32
    } else {
        0
    };
    let text = format!("{percent:.*}", digits.clamp(0, 12) as usize);
    let trimmed = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{trimmed}%")
}

/// Quotes a text for YAML. A line break in single quotes would become
/// a blank, so such a text becomes a JSON string, which is valid YAML.
pub(super) fn quoted(text: &str) -> String {
    if text.contains(char::is_control) {
        return serde_json::Value::from(text).to_string();
    }
    format!("'{}'", text.replace('\'', "''"))
}

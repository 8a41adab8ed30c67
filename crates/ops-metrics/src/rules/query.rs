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

/// Returns `name_part{matchers}`.
pub(super) fn selector(family: &Family, part: &str, matchers: &[String]) -> String {
    let name = family.definition().name;
    match matchers {
        [] => format!("{name}{part}"),
        some => format!("{name}{part}{{{}}}", some.join(",")),
    }
}

pub(super) fn matcher(label: &str, operator: &str, value: &str) -> String {
    format!("{label}{operator}\"{value}\"")
}

/// Returns the matcher of a bucket. Prometheus 3 calls the bound `1` of a bucket `1.0`.
pub(super) fn bound(seconds: f64) -> String {
    let plain = seconds.to_string();
    if plain.contains('.') {
        matcher("le", "=", &plain)
    } else {
        matcher("le", "=~", &format!("{plain}|{plain}.0"))
    }
}

/// Returns the text of `humanizePercentage` in Prometheus: four digits.
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

/// Quotes a text for YAML.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

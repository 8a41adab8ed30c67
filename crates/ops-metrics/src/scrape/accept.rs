use http::HeaderMap;
use http::header::ACCEPT;

use crate::scrape::lines::Format;

/// Returns the format that `Accept` prefers (RFC 9110 section 12.5.1): OpenMetrics
/// only if it is named, and its weight is not below that of the text format.
pub(crate) fn format(headers: &HeaderMap) -> Format {
    let ranges = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| elements(value, ','));
    let mut open_metrics = 0.0_f32;
    let mut text: [Option<f32>; 3] = [None; 3];
    // if a range occurs twice, the higher weight applies
    let higher = |known: Option<f32>, weight| known.unwrap_or(0.0).max(weight);
    for range in ranges {
        let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
        let weight = weight(parameters);
        match name.trim().to_ascii_lowercase().as_str() {
            "application/openmetrics-text" if is_version(parameters, "1.0.0") => {
                open_metrics = open_metrics.max(weight);
            }
            "text/plain" if is_version(parameters, "0.0.4") => {
                text[0] = Some(higher(text[0], weight));
            }
            "text/*" => text[1] = Some(higher(text[1], weight)),
            "*/*" => text[2] = Some(higher(text[2], weight)),
            _ => {}
        }
    }
    // the most specific range that matches the text format applies
    let text = text.into_iter().flatten().next().unwrap_or(0.0);
    if open_metrics > 0.0 && open_metrics >= text {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

/// Returns whether a media range has this version, or names none.
fn is_version(parameters: &str, version: &str) -> bool {
    parameter(parameters, "version").is_none_or(|known| known.trim_matches('"') == version)
}

/// Returns whether `Accept-Encoding` accepts gzip (RFC 9110 section 12.5.3).
#[cfg(feature = "gzip")]
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings = headers
        .get_all(http::header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| elements(value, ','));
    // `x-gzip` is the same coding (section 8.4.1.3): one of the names is enough
    let (mut named, mut any) = (None, false);
    for coding in codings {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
                named = Some(named.unwrap_or(false) || is_wanted(parameters));
            }
            "*" => any |= is_wanted(parameters),
            _ => {}
        }
    }
    named.unwrap_or(any)
}

/// Returns false for a weight of 0, which means never.
#[cfg(feature = "gzip")]
fn is_wanted(parameters: &str) -> bool {
    weight(parameters) > 0.0
}

/// Returns the weight, by default 1; an invalid number is 0.
fn weight(parameters: &str) -> f32 {
    parameter(parameters, "q").map_or(1.0, |weight| weight.parse().unwrap_or(0.0))
}

fn parameter<'a>(parameters: &'a str, wanted: &str) -> Option<&'a str> {
    elements(parameters, ';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let same = name.trim().eq_ignore_ascii_case(wanted);
        same.then_some(value.trim())
    })
}

/// Returns the elements of a list; a separator in a quoted string (RFC 9110 section 5.6.4) is part of the string.
fn elements(list: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    list.split(move |char| {
        let is_plain = !std::mem::take(&mut is_escaped);
        match char {
            '\\' => is_escaped = is_quoted && is_plain,
            '"' if is_plain => is_quoted = !is_quoted,
            _ => {}
        }
        char == separator && !is_quoted
    })
}

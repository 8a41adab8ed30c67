use http::HeaderMap;
use http::header::ACCEPT;

use crate::scrape::lines::Format;

/// Returns the format that `Accept` prefers (RFC 9110 section 12.5.1): OpenMetrics only for those who ask for it by name,
/// and do not like the text format better.
pub(crate) fn format(headers: &HeaderMap) -> Format {
    let ranges = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut open_metrics = 0.0_f32;
    let mut text: [Option<f32>; 3] = [None; 3];
    for range in ranges {
        let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
        let weight = weight(parameters);
        match name.trim().to_ascii_lowercase().as_str() {
            "application/openmetrics-text" if is_version(parameters, "1.0.0") => {
                open_metrics = open_metrics.max(weight);
            }
            "text/plain" if is_version(parameters, "0.0.4") => {
                text[0] = Some(text[0].unwrap_or(0.0).max(weight));
            }
            "text/*" => text[1] = Some(weight),
            "*/*" => text[2] = Some(weight),
            _ => {}
        }
    }
    // of the ranges that match the text format, the most specific one counts
    let text = text.into_iter().flatten().next().unwrap_or(0.0);
    if open_metrics > 0.0 && open_metrics >= text {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

/// Returns whether a media range is about this version, which it need not name.
fn is_version(parameters: &str, version: &str) -> bool {
    parameter(parameters, "version").is_none_or(|known| known.trim_matches('"') == version)
}

/// Returns whether `Accept-Encoding` takes gzip (RFC 9110 section 12.5.3).
#[cfg(feature = "gzip")]
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings = headers
        .get_all(http::header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut any = None;
    for coding in codings {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
                return is_wanted(parameters);
            }
            "*" => any = Some(is_wanted(parameters)),
            _ => {}
        }
    }
    any.unwrap_or(false)
}

/// A weight of 0 means never.
#[cfg(feature = "gzip")]
fn is_wanted(parameters: &str) -> bool {
    weight(parameters) > 0.0
}

/// Returns the weight, which is 1 unless there is one; one that is no number is 0.
fn weight(parameters: &str) -> f32 {
    parameter(parameters, "q").map_or(1.0, |weight| weight.parse().unwrap_or(0.0))
}

fn parameter<'a>(parameters: &'a str, wanted: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let same = name.trim().eq_ignore_ascii_case(wanted);
        same.then_some(value.trim())
    })
}

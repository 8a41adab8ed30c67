use std::sync::OnceLock;

use http::Method;

/// Variable with the methods that are known, separated by commas, in place of the default ones.
const VARIABLE: &str = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS";

/// Methods that [`VARIABLE`] may name; further ones are refused. Each one is a label value and part of span names.
const MAX_METHODS: usize = 64;

/// Longest method that [`VARIABLE`] may name.
const MAX_METHOD_BYTES: usize = 32;

/// Returns the name of a known method, which may become a label; any other one is reported as `_OTHER`.
///
/// Known are the methods of RFC 9110, PATCH (RFC 5789) and QUERY, written in capitals. The variable
/// `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`, read at the first call, replaces the whole list, as the semantic
/// conventions for HTTP require it: at most 64 methods of up to 32 bytes each, separated by commas. Names are
/// case-sensitive.
pub fn known_method(method: &Method) -> Option<&'static str> {
    match &configured().known {
        Some(known) => {
            let mut known = known.iter().map(String::as_str);
            known.find(|known| *known == method.as_str())
        }
        None => default_name(method),
    }
}

/// Returns the entries of `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS` that were ignored: names that no method can have,
/// and those beyond the limits of [`known_method`].
pub fn refused_methods() -> &'static [String] {
    &configured().refused
}

fn default_name(method: &Method) -> Option<&'static str> {
    Some(match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        Method::QUERY => "QUERY",
        _ => return None,
    })
}

#[derive(Debug, Default)]
struct Configured {
    /// `None` for the default ones.
    known: Option<Vec<String>>,
    refused: Vec<String>,
}

fn configured() -> &'static Configured {
    static CONFIGURED: OnceLock<Configured> = OnceLock::new();
    CONFIGURED.get_or_init(|| match std::env::var_os(VARIABLE) {
        Some(list) => parse(&list.to_string_lossy()),
        None => Configured::default(),
    })
}

/// A list without a method is none, as an empty variable is an unset one.
fn parse(list: &str) -> Configured {
    let mut known: Vec<String> = Vec::new();
    let mut refused = Vec::new();
    let entries = list.split(',').map(str::trim);
    for entry in entries.filter(|entry| !entry.is_empty()) {
        let fits = entry.len() <= MAX_METHOD_BYTES && known.len() < MAX_METHODS;
        if !fits || Method::from_bytes(entry.as_bytes()).is_err() {
            refused.push(entry.to_owned());
        } else if !known.iter().any(|known| known == entry) {
            known.push(entry.to_owned());
        }
    }
    Configured {
        known: (!known.is_empty()).then_some(known),
        refused,
    }
}

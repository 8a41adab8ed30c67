use std::sync::OnceLock;

use http::Method;

/// Variable with the known methods, separated by commas; replaces the default list.
const VARIABLE: &str = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS";

/// Maximum number of methods in [`VARIABLE`]; further ones are
/// refused. Each one is a label value and part of span names.
const MAX_METHODS: usize = 64;

/// Maximum length of a method in [`VARIABLE`], in bytes; longer ones are refused.
const MAX_METHOD_BYTES: usize = 32;

/// Returns the name of a known method, which may become a label; all other methods are reported as `_OTHER`.
///
/// Known methods are those of RFC 9110, PATCH (RFC 5789) and QUERY, in capitals. The
/// variable `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`, read at the first call,
/// replaces the whole list, as the semantic conventions for HTTP require: at most 64
/// methods of up to 32 bytes each, separated by commas. Names are case-sensitive.
pub fn known_method(method: &Method) -> Option<&'static str> {
    match &configured().known {
        Some(known) => {
            let mut known = known.iter().map(String::as_str);
            known.find(|known| *known == method.as_str())
        }
        None => default_name(method),
    }
}

/// Returns the entries of `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS` that were
/// ignored: invalid method names, and entries beyond the limits of [`known_method`].
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
    /// `None` for the default list.
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

/// Parses the variable. A list without a valid method counts as unset, like an empty variable.
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
